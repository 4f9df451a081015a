// Answering from a PDF: unlock with its password, save the message's files, write with files, send (sealed-mailbox 12).
//
// The password is computed with here and never sent. There are no drafts: what is typed lives in this page alone, and
// the page asks before it is left with something unsent.

import { createEngine } from "../engine/reply_engine.js";
import { h } from "../app/dom.js";
import { rememberLanguage } from "../app/language.js";
import { findOthers, nameOf } from "../app/people.js";
import { makeHarmless } from "../app/saving.js";
import {
  checkFields, doWork, explainError, find, keepFragment, markField, onSubmit, openForm, readPage, showNote, showSection, takeFragment, typed, wipe, wipeOnLeave, wireReveals,
} from "./shell.js";
import { makeUploads } from "./uploads.js";

const { page, words, t } = readPage();
const engine = createEngine({ portal: page.portal, assets: page.assets });
const problem = find("problem");
const unlockParts = { live: find("live"), progress: find("progress"), text: find("progress-text") };
const writeParts = { live: find("write-live"), progress: find("write-progress"), text: find("write-progress-text") };

/** @type {import("../engine/reply.js").ReplyTicket | null} */
let ticket = null;
/** @type {ReturnType<typeof makeUploads> | null} */
let uploads = null;
let sent = false;

const person = () => ticket?.from.name || ticket?.from.addr || page.organisation;

/** @param {*} error */
function explainUnlock(error) {
  if (error?.name === "InputError") {
    checkFields([["password", t(typed("password") ? `secret.form.${page.form}` : "input.password.empty")]]);
    return;
  }
  if (error?.code === "locked") return lock();
  if (error?.code !== "wrong") return showNote(problem, explainError(error, t));
  const left = error.body?.tries_left;
  if (left === 0) return lock();
  const tries = Number.isInteger(left) ? t("tries", { n: left }) : "";
  showNote(problem, { kind: "error", head: t("wrong"), lines: [`${t("wrong.do")} ${tries}`.trim()] });
  find("password").setAttribute("aria-invalid", "true");
  find("password").focus();
}

function lock() {
  wipe("password");
  showSection("locked", t("locked"));
}

async function unlock() {
  showNote(problem);
  if (!checkFields([["password", typed("password") ? "" : t("input.password.empty")]])) return;
  const fault = await doWork(unlockParts, t("unlock.working"), async () => {
    ticket = await engine.openReply({ token: page.token, box: page.box, form: page.form, secret: typed("password") });
  });
  if (fault) return fault === "busy" ? undefined : explainUnlock(fault);
  wipe("password");
  showWriting();
}

function showWriting() {
  const name = person();
  find("write-title").textContent = t("title", { name });
  const organisation = ticket.org || page.organisation;
  find("write-intro").textContent = t("intro", { name, organisation, date: words.date(ticket.time) });
  showRecipients(name, organisation);
  find("copy").textContent = sayCopy();
  const subject = ticket.subject ?? "";
  if (uploads) {
    // Unlocked for the second time: what was typed still stands there.
    showNote(find("write-problem"));
    uploads.again();
    showSection("write", t("title", { name }));
    find("text").focus();
    return;
  }
  /** @type {HTMLInputElement} */ (find("subject")).value = /^(re|aw)\s*:/i.test(subject) ? subject : `Re: ${subject}`.trim();
  if (ticket.quote) {
    find("quote").textContent = ticket.quote;
    find("original").hidden = false;
  }
  const files = (ticket.parts ?? []).filter((part) => part.role === "file");
  find("got").hidden = !files.length;
  find("got-files").replaceChildren(...files.map(showFile));
  // Only a plain "no" hides them: the engine refuses files anyway where the organisation takes none.
  find("drop").hidden = ticket.files === false;
  uploads = makeUploads({ getTicket: () => ticket, words, t, limits: ticket.limits ?? page.limits, fail: (fault) => explainTransfer(find("write-problem"), fault) });
  showSection("write", t("title", { name }));
}

/** Whether the answer comes back as a copy: the ticket says what held when it was sealed, and its password may have been retired since. */
const sayCopy = () => t(ticket?.copy === false ? "done.copy.no" : "done.copy");

/** @param {string} name @param {string} organisation */
function showRecipients(name, organisation) {
  const { reached, left, isCertain } = findOthers(ticket, "");
  // One of those outside is the reader.
  find("to-hint").hidden = left.length < 2;
  if (!reached.length && (isCertain || left.length < 2)) {
    find("to").textContent = t("sender", { name, organisation });
    return;
  }
  const names = [name, ...reached.map(nameOf)].join(", ");
  const choice = (value, label, checked) => h("label.check", {}, h("input", { type: "radio", name: "to", value, checked }), h("span", {}, label));
  find("to").replaceWith(
    h("div", { id: "to", role: "radiogroup", "aria-labelledby": "to-label", "aria-describedby": "to-hint" }, choice("sender", t("sender", { name, organisation }), true), choice("all", t("all", { organisation, names }), false)),
  );
}

/** A file of the message, to be saved here. @param {{i: number, name: string, type: string, size: number}} part */
function showFile(part) {
  const name = part.name || t("file");
  const state = h("span.file-meta", {}, `${words.fileKind(name, part.type)}, ${words.size(part.size)}`);
  const bar = h("progress", { max: part.size || 1, value: 0, "aria-label": name, hidden: true });
  const button = h("button.button.second.compact", { type: "button", "aria-label": t("file.save.label", { name }) }, t("file.save"));
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    bar.hidden = false;
    try {
      const got = await ticket.download(part.i, {
        onProgress: (done, size) => {
          bar.value = done;
          state.textContent = t("file.saving", { done: words.size(done), size: words.size(size) });
        },
      });
      const link = h("a", { href: URL.createObjectURL(makeHarmless(got, part.type)), download: name, hidden: true });
      document.body.append(link);
      link.click();
      link.remove();
      // The browser reads the address after this turn; a minute is long enough for the slowest question "save where?".
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      state.textContent = t("file.saved", { size: words.size(part.size) });
    } catch (error) {
      state.textContent = t("file.save.failed");
      explainTransfer(find("got-problem"), error);
    } finally {
      bar.hidden = true;
      button.removeAttribute("aria-disabled");
    }
  });
  return h("li.file", {}, h("span.file-name", {}, name), state, button, bar);
}

async function send() {
  showNote(find("write-problem"));
  const text = typed("text");
  if (!text.trim() && !uploads.count()) {
    checkFields([["text", t("text.empty")]]);
    return;
  }
  markField("text");
  if (uploads.isBusy()) {
    find("files-status").textContent = t("files.busy");
    showNote(find("write-problem"), { kind: "warn", lines: [t("files.busy")] });
    await uploads.settle();
    showNote(find("write-problem"));
    if (uploads.hasFailed()) return showNote(find("write-problem"), { kind: "error", head: t("send.failed"), lines: [t("error.offline.do")] });
  }
  const to = /** @type {HTMLInputElement|null} */ (document.querySelector("input[name=to]:checked"))?.value ?? "sender";
  const fault = await doWork(writeParts, t("sending"), async () => {
    await ticket.send({ text, to, subject: typed("subject") });
  });
  if (fault) return fault === "busy" ? undefined : explainSend(fault);
  showDone();
}

/** A file, either way. @param {HTMLElement} region @param {*} error */
function explainTransfer(region, error) {
  if (error?.code === "signed-out") askAgain();
  else showNote(region, explainError(error, t));
}

/** The session is over, or of another page's box by now: the password once more. What was typed stays in its fields. */
function askAgain() {
  // Each of several files may say so while it is being typed.
  if (!find("unlock").hidden) return;
  showSection("unlock", t("title", { name: person() }));
  showNote(problem, { kind: "warn", head: t("away"), lines: [t("away.do")] });
  find("password").focus();
}

/** @param {*} error */
function explainSend(error) {
  const reference = error?.reference ? t("error.reference", { reference: error.reference }) : "";
  const code = error?.code ?? "";
  if (code === "cards-behind") return showNote(find("write-problem"), { kind: "error", head: t("send.failed"), lines: [t("send.cards")] });
  if (code === "empty") return void checkFields([["text", t("text.empty")]]);
  if (code === "too-large") {
    // The files alone would fit; with the text they do not.
    const told = t("file.too-large", { name: uploads.names().join(", ") || t("file"), limit: words.size((ticket.limits ?? page.limits).message) });
    return showNote(find("write-problem"), { kind: "error", head: t("send.failed"), lines: [told] });
  }
  if (code === "signed-out") return askAgain();
  if (["closed", "generation", "locked"].includes(code)) {
    return showNote(find("write-problem"), { kind: "error", head: t("send.failed"), lines: [t("send.closed"), reference] });
  }
  if (error?.name === "OfflineError") return showNote(find("write-problem"), { kind: "error", head: t("send.failed"), lines: [t("send.failed.do")] });
  return showNote(find("write-problem"), explainError(error, t));
}

function showDone() {
  sent = true;
  const names = uploads.names();
  find("done-when").textContent = `${t("done.when", { name: person() })} ${sayCopy()}`;
  find("done-files").hidden = !names.length;
  find("done-files").textContent = t("done.files", { n: names.length, names: names.join(", ") });
  find("done-time").textContent = t("done.time", { date: words.full(new Date().toISOString()) });
  wipe("text", "subject");
  showSection("done", t("title.done"));
}

async function start() {
  const fragment = takeFragment();
  keepFragment(fragment);
  rememberLanguage();
  wireReveals(t);
  wipeOnLeave("password");
  if (!(await openForm({ live: unlockParts.live, region: problem, check: () => engine.checkSupport(), t }))) return;
  if (Number.isInteger(page.tries_left) && page.tries_left < 5) {
    showNote(problem, { kind: "warn", lines: [t("tries", { n: page.tries_left })] });
  }
  onSubmit("unlock-form", unlock);
  onSubmit("write-form", send);
  addEventListener("beforeunload", (event) => {
    if (ticket && !sent && (typed("text").trim() || uploads?.count())) event.preventDefault();
  });
}

void start();
