// Stands in for static/portal/src/app/mailbox.js where a test looks at the sign-in page alone.

/** @param {object} _engine @param {object} [session] */
export function startMailbox(_engine, session) {
  document.getElementById("who").textContent = session ? "opened here" : "opened on its own page";
}
