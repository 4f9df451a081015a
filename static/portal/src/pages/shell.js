// What the sign-in, reply and registration pages share: the page's data, fields, notes, waiting, and the test of the browser.
//
// It must not send or store anything itself; what is typed leaves the fields only through the engine.

import { h } from "../app/dom.js";
import { makeWords } from "../app/words.js";

/** @param {string} id @returns {HTMLElement} */
export const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Data of this page, and its words. @returns {{page: Object, words: ReturnType<typeof makeWords>, t: (name: string, values?: Object) => string}} */
export function readPage() {
  const page = JSON.parse(find("page").textContent ?? "");
  const words = makeWords(page.lang, page.texts);
  const whom = { organisation: page.organisation, phone: page.phone };
  return { page, words, t: (name, values = {}) => words.t(name, { ...whom, ...values }) };
}

/** The part of the address behind #, taken out of the address line so that it stays in no history. @returns {string} */
export function takeFragment() {
  const fragment = location.hash.slice(1);
  if (fragment) history.replaceState(null, "", location.pathname + location.search);
  return fragment;
}

/** Links to the other language keep what came behind #, or lose it again. @param {string} fragment */
export function keepFragment(fragment) {
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[data-language]"))) {
    link.setAttribute("href", link.search + (fragment && `#${fragment}`));
  }
}

/** Buttons that show and hide a typed password. @param {(name: string) => string} t */
export function wireReveals(t) {
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-reveal]"))) {
    const input = /** @type {HTMLInputElement} */ (find(button.dataset.reveal ?? ""));
    const set = (shown) => {
      input.type = shown ? "text" : "password";
      button.textContent = t(shown ? "password.hide" : "password.show");
      button.setAttribute("aria-label", t(shown ? "password.hide.label" : "password.show.label"));
    };
    button.removeAttribute("aria-pressed");
    button.addEventListener("click", () => set(input.type === "password"));
    input.form?.addEventListener("submit", () => set(false));
    set(false);
    button.hidden = false;
  }
}

/**
 * A note for the reader in one of the page's alert regions; the region is there from the start, so that it is read out.
 * @param {HTMLElement} region @param {{kind?: "error"|"warn"|"ok"|"", head?: string, lines?: string[], extra?: Node[]}} [note] none empties the region
 */
export function showNote(region, note) {
  if (!note) return region.replaceChildren();
  const lines = (note.lines ?? []).filter(Boolean);
  region.replaceChildren(
    h(`div.note${note.kind ? `.${note.kind}` : ""}`, {}, note.head && h("p", {}, h("strong", {}, note.head)), lines.map((line) => h("p", {}, line)), note.extra),
  );
}

/** Says what is wrong with one field, beside it, or that nothing is. @param {string} id @param {string} [text] */
export function markField(id, text = "") {
  const input = find(id);
  const line = find(`${id}-error`);
  line.textContent = text;
  line.hidden = !text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/** Marks fields and puts the cursor into the first wrong one. @param {[string, string][]} wrong id and text @returns {boolean} whether none was wrong */
export function checkFields(wrong) {
  for (const [id, text] of wrong) markField(id, text);
  const first = wrong.find(([, text]) => text);
  if (first) find(first[0]).focus();
  return !first;
}

/** Shows one section of the page in place of the others, and starts reading it at its heading. @param {string} id @param {string} title */
export function showSection(id, title) {
  for (const section of document.querySelectorAll("main > section, main > .under")) {
    /** @type {HTMLElement} */ (section).hidden = section.id !== id;
  }
  const heading = /** @type {HTMLElement} */ (find(id).querySelector("h1"));
  document.title = `${title} · ${document.title.split(" · ").at(-1)}`;
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
}

/** @param {number} seconds @param {(name: string, values?: Object) => string} t */
export function sayWait(seconds, t) {
  return seconds > 90 ? t("wait.minutes", { n: Math.ceil(seconds / 60) }) : t("wait.seconds", { n: Math.max(1, seconds) });
}

/**
 * A fault in words, where the page has no better ones.
 * @param {*} error @param {(name: string, values?: Object) => string} t
 * @returns {{kind: "error", head: string, lines: string[]}}
 */
export function explainError(error, t) {
  const reference = error?.reference ? t("error.reference", { reference: error.reference }) : "";
  const known = {
    OfflineError: ["error.offline", "error.offline.do"],
    SealedDataError: ["error.unverified", "error.unverified.do"],
  }[error?.name];
  if (known) return { kind: "error", head: t(known[0]), lines: [t(known[1]), reference] };
  if (error?.code === "wait") return { kind: "error", head: t("error.many"), lines: [sayWait(error.body?.seconds ?? 60, t), reference] };
  return { kind: "error", head: t("error.unknown"), lines: [t("error.unknown.do"), reference] };
}

/**
 * Runs one thing at a time: the form is dead meanwhile, and a line says what happens.
 * @param {{live: HTMLFieldSetElement, progress: HTMLElement, text: HTMLElement}} parts @param {string} words @param {() => Promise<void>} work
 * @returns {Promise<*>} what went wrong, or null; "busy" if it runs already. The form is live again by then
 */
export async function doWork({ live, progress, text }, words, work) {
  if (live.disabled) return "busy";
  const active = /** @type {HTMLElement|null} */ (document.activeElement);
  live.disabled = true;
  progress.hidden = false;
  text.textContent = words;
  let fault = null;
  try {
    await work();
  } catch (error) {
    fault = error ?? new Error();
  }
  live.disabled = false;
  progress.hidden = true;
  text.textContent = "";
  // A dead control loses the cursor; who was on the button is on it again.
  if (live.contains(active)) active?.focus();
  return fault;
}

/**
 * Makes the form live once the browser has shown that it can unlock; else says so before anything is typed.
 * @param {{live: HTMLFieldSetElement, region: HTMLElement, check: () => Promise<boolean>, t: (name: string, values?: Object) => string, extra?: Node[]}} parts
 * @returns {Promise<boolean>}
 */
export async function openForm({ live, region, check, t, extra }) {
  find("script-missing").remove();
  if (await check().catch(() => false)) {
    live.disabled = false;
    return true;
  }
  // Not even shown: a field that nobody may fill in says nothing but "broken".
  live.form?.remove();
  showNote(region, {
    kind: "warn",
    head: t("browser.old"),
    lines: [t("browser.old.why"), t("browser.old.do"), t("browser.old.call")],
    extra,
  });
  return false;
}

/** A form's own handler: the event never leaves the page. @param {string} id @param {() => void|Promise<void>} act */
export function onSubmit(id, act) {
  find(id).addEventListener("submit", (event) => {
    event.preventDefault();
    void act();
  });
}

/** @param {string} id @returns {string} what is typed in a field */
export const typed = (id) => /** @type {HTMLInputElement} */ (find(id)).value;

/** Empties secret fields when the page is left: a page that comes back out of the browser's memory holds none. @param {...string} ids */
export function wipeOnLeave(...ids) {
  addEventListener("pagehide", () => wipe(...ids));
}

/** Empties fields that held something secret, where they still are. @param {...string} ids */
export function wipe(...ids) {
  for (const id of ids) {
    const input = /** @type {HTMLInputElement|null} */ (document.getElementById(id));
    if (input) input.value = "";
  }
}
