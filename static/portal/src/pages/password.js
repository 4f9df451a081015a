// Choosing a password: its rules (sealed-mailbox 5), a word about its strength while it is typed, and typing it twice.

import { checkOwnPassword, MIN_PASSWORD, normaliseLoginName } from "../sealed/forms.js";
import { checkFields, find, markField } from "./shell.js";
import { rateStrength } from "./strength.js";

const WORDS = ["", "password.weak", "password.fair", "password.good", "password.best"];
/** Names of the rules in the page's words, where checkOwnPassword calls them otherwise. */
const RULES = { form: "first-form", name: "login-name" };
/** Most readers cut a PDF's password there (pdf.md 2.4). */
const MOST_PDF = 32;

/** @param {string} code @param {(name: string, values?: Object) => string} t @param {string} [password] @returns {string} */
export function sayRule(code, t, password = "") {
  const missing = Math.max(1, MIN_PASSWORD - [...password.normalize("NFC")].length);
  const name = `password.${RULES[code] ?? code}`;
  const words = t(name, { n: missing });
  return words === name ? t("error.unknown") : words;
}

/**
 * A password for PDFs: the readers' own limits come on top. @param {string} password @returns {string} the rule it breaks, or ""
 */
export function checkPdfPassword(password) {
  if (/[^\u0020-\u007e]/.test(password)) return "password.ascii";
  if (password.length > MOST_PDF) return "password.pdf-long";
  if (password !== password.trim()) return "password.edge";
  return "";
}

/**
 * Wires the two fields of templates/portal/fields.html.
 * @param {{t: (name: string, values?: Object) => string, loginName: () => string, current?: () => string, findMore?: (password: string) => string, common?: {has: (password: string) => boolean}}} options
 *   loginName: as typed; current: the password that is to be replaced; findMore: the rule that it breaks on top of those of a mailbox, or ""
 * @returns {{check: () => boolean, refuse: (code: string) => void, update: () => void}} check marks the fields and says whether both are right
 */
export function wireNewPassword({ t, loginName, current = () => "", findMore = () => "", common = new Set() }) {
  const first = /** @type {HTMLInputElement} */ (find("new-password"));
  const second = /** @type {HTMLInputElement} */ (find("repeat-password"));
  const status = find("strength");
  const meter = /** @type {HTMLMeterElement} */ (find("strength-meter"));
  let timer = 0;

  function readName() {
    try {
      return normaliseLoginName(loginName());
    } catch {
      return "";
    }
  }

  /** @returns {string} what is wrong with the password, in words, or "" */
  function findFault() {
    if (!first.value) return t("input.password.empty");
    const rule = checkOwnPassword(first.value, readName(), common);
    if (rule) return sayRule(rule, t, first.value);
    if (current() && first.value.normalize("NFC") === current().normalize("NFC")) return t("password.same");
    const more = findMore(first.value);
    return more && t(more);
  }

  function update() {
    const rate = rateStrength(first.value);
    const fault = first.value && findFault();
    meter.value = fault ? Math.min(rate, 1) : rate;
    clearTimeout(timer);
    // A field that was refused keeps its own line up to date; the same words do not stand there twice.
    const refused = first.getAttribute("aria-invalid") === "true";
    if (refused) markField("new-password", findFault());
    // Read out when the typing rests, not at each key.
    timer = setTimeout(() => {
      status.textContent = fault ? (refused ? "" : fault) : rate ? t(WORDS[rate]) : "";
    }, 400);
    if (second.value && second.value === first.value) markField("repeat-password");
  }

  first.addEventListener("input", update);
  // While typing and not when the field is left: a line that appears then moves the button from under the finger.
  second.addEventListener("input", () => {
    const differs = second.value.length >= first.value.length && second.value !== first.value;
    markField("repeat-password", differs ? t("password.differ") : "");
  });
  return {
    update,
    check() {
      clearTimeout(timer);
      if (findFault()) status.textContent = "";
      return checkFields([
        ["new-password", findFault()],
        ["repeat-password", second.value === first.value ? "" : t("password.differ")],
      ]);
    },
    refuse(code) {
      status.textContent = "";
      checkFields([["new-password", sayRule(code, t, first.value)]]);
    },
  };
}
