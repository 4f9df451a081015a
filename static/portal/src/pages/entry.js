// The script of both pages of a mailbox, / and /mailbox. In one file, so that nothing is loaded or started a second time
// between the password and the mail: the sign-in page becomes the mailbox where it stands.

import { startMailbox } from "../app/mailbox.js";
import { createEngine } from "../engine/engine.js";
import { find, keepFragment, readPage } from "./shell.js";
import { showSignIn } from "./signin.js";

const { page } = readPage();
const engine = createEngine({ portal: page.portal, assets: page.assets });

/** @param {import("../engine/session.js").Session} session */
function enterMailbox(session) {
  const parts = document.importNode(/** @type {HTMLTemplateElement} */ (find("mailbox-page")).content, true);
  const take = (name) => [.../** @type {Element} */ (parts.querySelector(`[data-part=${name}]`)).childNodes];
  // In place of the sign-in's entry in the history: going back leads to where the reader came from.
  history.replaceState(null, "", `/mailbox${page.suffix}`);
  // Code and user name were for the sign-in; here nothing would take them out of the address again.
  keepFragment("");
  document.body.className = "app";
  find("main").replaceChildren(...take("main"));
  document.querySelector(".bar-links")?.prepend(...take("bar"));
  document.querySelector(".foot")?.append(...take("foot"));
  scrollTo(0, 0);
  find("main").focus({ preventScroll: true });
  startMailbox(engine, session);
}

if (document.getElementById("sign-in-form")) void showSignIn(engine, enterMailbox);
else startMailbox(engine);
