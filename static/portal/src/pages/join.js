// Registration: the partner chooses a password before the mail is sent (sealed-mailbox 12).
//
// The secret of the link stands behind # and is never sent; trust in the organisation's keys comes with it. Choosing is
// one step: what is handed in cannot be handed in twice.

import { COMMON_PASSWORDS } from "../engine/common_passwords.js";
import { createEngine } from "../engine/join_engine.js";
import { rememberLanguage } from "../app/language.js";
import { normaliseLoginName } from "../sealed/forms.js";
import { checkPdfPassword, wireNewPassword } from "./password.js";
import {
  checkFields, doWork, explainError, find, keepFragment, markField, onSubmit, openForm, readPage, showNote, showSection, typed, wipe, wipeOnLeave, wireReveals,
} from "./shell.js";

const { page, t } = readPage();
const engine = createEngine({ portal: page.portal, assets: page.assets });
const problem = find("problem");
const parts = { live: find("live"), progress: find("progress"), text: find("progress-text") };
const wantsPdf = () => /** @type {HTMLInputElement} */ (find("want-pdf")).checked;

/** @type {import("../engine/join.js").Invitation | null} */
let invitation = null;
const passwords = wireNewPassword({
  t,
  loginName: () => (wantsPdf() ? "" : typed("login-name")),
  findMore: (password) => (wantsPdf() ? checkPdfPassword(password) : ""),
  common: COMMON_PASSWORDS,
});

function checkName() {
  try {
    normaliseLoginName(typed("login-name"));
    return "";
  } catch {
    return t("input.name");
  }
}

function showChoice() {
  const pdf = wantsPdf();
  find("name-field").hidden = pdf;
  find("note-mailbox").hidden = pdf;
  find("note-pdf").hidden = !pdf;
  markField("login-name");
  passwords.update();
}

async function choose() {
  showNote(problem);
  const rest = passwords.check();
  const name = wantsPdf() || checkFields([["login-name", checkName()]]);
  if (!rest || !name || !invitation) return;
  const held = invitation;
  const fault = await doWork(parts, t("saving"), async () => {
    if (wantsPdf()) await held.choosePdf({ password: typed("new-password") });
    else await held.chooseMailbox({ loginName: typed("login-name"), password: typed("new-password") });
  });
  if (fault) return fault === "busy" ? undefined : explainChoice(fault);
  showDone();
}

/** @param {*} error */
function explainChoice(error) {
  if (error?.name === "InputError") {
    if (error.code === "name" && checkName()) return void checkFields([["login-name", t("input.name")]]);
    return passwords.refuse(error.code);
  }
  if (error?.status === 404 || error?.status === 409 || error?.status === 410) return showEnd(t("gone"), [t("gone.do")]);
  return showNote(problem, explainError(error, t));
}

/** Nothing more can be done here: the form goes. @param {string} head @param {string[]} lines */
function showEnd(head, lines) {
  wipe("new-password", "repeat-password");
  find("join-form").remove();
  showNote(problem, { kind: "error", head, lines });
}

function showDone() {
  const key = wantsPdf() ? "done.pdf" : "done.mailbox";
  find("done-title").textContent = t(key);
  find("done-next").textContent = t(`${key}.next`);
  find("done-note").textContent = t("done.note");
  find("done-note").hidden = wantsPdf();
  wipe("new-password", "repeat-password");
  showSection("done", t(key));
}

async function start() {
  // Stays in the address line until the choice is made: a reload must still have it.
  const fragment = location.hash;
  keepFragment(fragment.slice(1));
  rememberLanguage();
  wireReveals(t);
  wipeOnLeave("new-password", "repeat-password");
  const live = parts.live;
  if (!(await openForm({ live, region: problem, check: () => engine.checkSupport(), t }))) return;
  live.disabled = true;
  try {
    invitation = await engine.openJoin({ id: page.join, fragment });
  } catch (error) {
    if (error?.name === "InputError") return showEnd(t("link.broken"), [t("link.broken.do")]);
    if (error?.name === "SealedDataError" || error?.name === "RefusedError") return showEnd(t("link.untrusted"), [t("link.untrusted.do")]);
    if (error?.status === 404 || error?.status === 410) return showEnd(t("gone"), [t("gone.do")]);
    return showNote(problem, explainError(error, t));
  }
  live.disabled = false;
  for (const id of ["want-mailbox", "want-pdf"]) find(id).addEventListener("change", showChoice);
  showChoice();
  onSubmit("join-form", choose);
}

void start();
