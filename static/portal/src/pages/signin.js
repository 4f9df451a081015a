// Sign-in, the question for a new password, and the forced change of a first password; then to the mailbox.
//
// The form stays dead until the browser has shown that it can unlock (sealed-mailbox 13). What is typed goes to the
// engine alone; only the values that the engine computes leave this page.

import { COMMON_PASSWORDS } from "../engine/common_passwords.js";
import { rememberLanguage } from "../app/language.js";
import { normaliseLoginName } from "../sealed/forms.js";
import { wireNewPassword } from "./password.js";
import {
  checkFields, doWork, explainError, find, keepFragment, onSubmit, openForm, readPage, showNote, showSection, takeFragment, typed, wipe, wipeOnLeave, wireReveals,
} from "./shell.js";
import { h } from "../app/dom.js";

const { page, t } = readPage();
const SECRETS = ["password", "code", "new-password", "repeat-password"];
const problem = find("problem");
const signInParts = { live: find("live"), progress: find("progress"), text: find("progress-text") };
const changeParts = { live: find("change-live"), progress: find("change-progress"), text: find("change-progress-text") };

/** @type {import("../engine/session.js").Session | null} */
let session = null;
let current = "";
/** @type {import("../engine/entry_engine.js").EntryEngine} */
let engine;
/** @type {(session: import("../engine/session.js").Session) => void} */
let enterMailbox;
/** @type {ReturnType<typeof wireNewPassword>} */
let passwords;

/** In the language that the reader chose, else in the one of the organisation's record of this reader, else in the browser's. */
function openMailbox() {
  const opened = /** @type {import("../engine/session.js").Session} */ (session);
  // Nothing typed stays behind; a password manager looks at the fields in the moment in which they go.
  [session, current] = [null, ""];
  const fields = SECRETS.map((id) => /** @type {HTMLInputElement} */ (find(id)));
  setTimeout(() => fields.forEach((field) => { field.value = ""; }), 1000);
  if (page.chosen || !["de", "en"].includes(opened.lang) || opened.lang === page.lang) enterMailbox(opened);
  // In place of the sign-in, here too: going back must not lead into the mailbox again.
  else location.replace(`/mailbox?lang=${opened.lang}`);
}

/** @param {string} id @returns {string} what is wrong with an address, or "" */
function checkName(id) {
  try {
    const name = normaliseLoginName(typed(id));
    return /^[^@\s]+@[^@\s]+$/.test(name) ? "" : t("input.name");
  } catch {
    return t("input.name");
  }
}

/** @param {*} error */
function explainSignIn(error) {
  if (error?.name === "InputError") {
    if (error.code === "code") showCode();
    const field = { code: "code", name: "login-name" }[error.code] ?? "password";
    checkFields([[field, t(field === "password" ? "input.password.empty" : `input.${error.code}`)]]);
    return;
  }
  const reference = error?.reference ? t("error.reference", { reference: error.reference }) : "";
  if (error?.code === "wrong") {
    showNote(problem, { kind: "error", head: t("wrong"), lines: [t("wrong.do")] });
    find("password").setAttribute("aria-invalid", "true");
    find("password").focus();
  } else if (error?.code === "locked") showNote(problem, { kind: "error", head: t("locked"), lines: [t("locked.do"), reference] });
  else showNote(problem, explainError(error, t));
}

function showCode() {
  /** @type {HTMLDetailsElement} */ (find("code-field")).open = true;
}

async function signIn() {
  showNote(problem);
  const fits = checkFields([
    ["login-name", checkName("login-name")],
    ["password", typed("password") ? "" : t("input.password.empty")],
    ["code", ""],
  ]);
  if (!fits) return;
  const fault = await doWork(signInParts, t("unlock.working"), async () => {
    current = typed("password");
    session = await engine.signIn({ loginName: typed("login-name"), password: current, code: typed("code") });
  });
  if (fault) return fault === "busy" ? undefined : explainSignIn(fault);
  if (!session?.mustChange) return openMailbox();
  if (!session.firstPassword) find("change-why").textContent = t("change.asked");
  /** @type {HTMLInputElement} */ (find("change-name")).value = typed("login-name").trim();
  wipe("password", "code");
  showSection("change", t("title.password"));
  find("new-password").focus();
}

async function changePassword() {
  showNote(find("change-problem"));
  if (!passwords.check() || !session) return;
  const held = session;
  const fault = await doWork(changeParts, t("saving"), async () => {
    session = await engine.changePassword(held, { newPassword: typed("new-password") });
  });
  if (fault) return fault === "busy" ? undefined : explainChange(fault);
  openMailbox();
}

/** @param {*} error */
function explainChange(error) {
  if (error?.name === "InputError") return passwords.refuse(error.code);
  if (["changed", "signed-out", "counts"].includes(error?.code)) return startAgain(t(error.code));
  return showNote(find("change-problem"), explainError(error, t));
}

/** Back to the first step: this session is over. @param {string} why */
function startAgain(why) {
  session = null;
  current = "";
  wipe("new-password", "repeat-password", "password");
  showSection("sign-in", document.title.split(" · ")[0]);
  find("sign-in-help").hidden = false;
  showNote(problem, { kind: "warn", head: why });
}

async function askForCall() {
  const live = /** @type {HTMLFieldSetElement} */ (find("forgot-live"));
  if (live.disabled || !checkFields([["forgot-name", checkName("forgot-name")]])) return;
  live.disabled = true;
  try {
    await engine.forgot(typed("forgot-name"));
    showNote(find("forgot-answer"), { kind: "ok", lines: [t("forgot.sent"), t("forgot.next")] });
  } catch (error) {
    showNote(find("forgot-answer"), explainError(error, t));
  } finally {
    live.disabled = false;
  }
}

/**
 * @param {import("../engine/entry_engine.js").EntryEngine} given @param {(session: import("../engine/session.js").Session) => void} enter
 *   draws the mailbox in this page's place
 */
export async function showSignIn(given, enter) {
  engine = given;
  enterMailbox = enter;
  passwords = wireNewPassword({ t, loginName: () => typed("login-name"), current: () => current, common: COMMON_PASSWORDS });
  const fragment = takeFragment();
  // What an e-mail's link may carry behind #, where no server sees it: c, the code.
  const code = /^c=([0-9A-Za-z-]{1,40})$/.exec(fragment)?.[1];
  keepFragment(code ? fragment : "");
  rememberLanguage();
  wireReveals(t);
  // Not before: a password manager looks at the fields when the page is left.
  wipeOnLeave(...SECRETS);
  const extra = page.policy.decrypt === "browser" ? [] : [h("p", {}, h("a", { href: `/simple${page.suffix}` }, t("simple")))];
  if (!(await openForm({ live: signInParts.live, region: problem, check: () => engine.checkSupport(), t, extra }))) {
    find("sign-in-help").hidden = true;
    return;
  }
  /** @type {HTMLFieldSetElement} */ (find("forgot-live")).disabled = false;
  if (code) {
    showCode();
    /** @type {HTMLInputElement} */ (find("code")).value = code;
  }
  const isOver = fragment === "signed-out" || fragment === "closed";
  if (isOver) showNote(problem, { kind: "", lines: [t(fragment)] });
  onSubmit("sign-in-form", signIn);
  find("sign-in-form").addEventListener("input", () => engine.prepareWorker(), { once: true });
  onSubmit("forgot-form", askForCall);
  onSubmit("change-form", changePassword);
  find("forgot").addEventListener("toggle", () => {
    const name = /** @type {HTMLInputElement} */ (find("forgot-name"));
    if (!name.value) name.value = typed("login-name");
  });
  // A tab that is still signed in goes on where it was; a code in the address means that somebody wants to sign in.
  if (code || isOver) return;
  const held = await engine.resume().catch(() => null);
  if (!held || held.mustChange || typed("password")) return;
  session = held;
  openMailbox();
}
