/** What people type, in the one form that is computed with. sealed-mailbox 5. Must agree with relay.core.wire.sealed.forms octet by octet. */
import { toUtf8 } from "./encoding.js";
import { InputError } from "./errors.js";

export const MIN_PASSWORD = 12;
export const MAX_PASSWORD = 128;
const FIRST_LENGTH = 12;
const REPLY_LENGTH = 16;
const GAPS = /[\s\u2010-\u2015-]+/g;
const CROCKFORD = /^[0-9a-hjkmnp-tv-z]+$/;
// A URL's host ends before these; a domain has none of them (URL Standard, forbidden host code points).
const NO_DOMAIN = /[\u0000-\u0020"#%/:<>?@[\\\]^`{|}\u007f]/;
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/;

/** A-Z only: other letters keep their case. @param {string} text */
function lowerAscii(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Half of a surrogate pair? Asked before normalising: Firefox then writes U+FFFD for it. @param {string} text */
function hasSurrogate(text) {
  return /[\ud800-\udfff]/u.test(text);
}

/** @param {string} typed @returns {string} the login name; rejects InputError `name` */
export function normaliseLoginName(typed) {
  const text = typed.trim().normalize("NFC");
  const at = text.lastIndexOf("@");
  const local = text.slice(0, Math.max(at, 0));
  let domain = text.slice(at + 1);
  if (!local || !domain || hasSurrogate(typed)) throw new InputError("name");
  if (/[^\u0000-\u007f]/.test(domain)) {
    if (NO_DOMAIN.test(domain)) throw new InputError("name");
    try {
      domain = new URL(`http://${domain}/`).hostname;
    } catch {
      throw new InputError("name");
    }
    // The URL parser reads such a host as an IPv4 address and may write it otherwise.
    if (NUMBER.test(/** @type {string} */ (domain.replace(/\.$/, "").split(".").at(-1)))) throw new InputError("name");
  }
  return `${lowerAscii(local)}@${lowerAscii(domain)}`;
}

/** @param {string} typed @param {number} length @returns {string | null} the machine-made secret of this length that the text is, or null */
export function readCrockford(typed, length) {
  const text = lowerAscii(typed.replace(GAPS, "")).replace(/o/g, "0").replace(/[il]/g, "1");
  return text.length === length && CROCKFORD.test(text) ? text : null;
}

/**
 * Input of Argon2id. @param {"own" | "b32" | "digits" | "words"} form own: a mailbox's @param {string} typed
 * @param {string} [code] from the notice, where there is one @returns {Uint8Array} rejects InputError `secret`, `code`
 */
export function readSecret(form, typed, code = "") {
  /** @type {string | null} */
  let secret = null;
  if (form === "own") secret = readCrockford(typed, FIRST_LENGTH) ?? typed.normalize("NFC");
  else if (form === "b32") secret = readCrockford(typed, REPLY_LENGTH);
  else if (form === "digits") secret = typed.replace(/[^0-9]+/g, "");
  else if (form === "words") secret = typed.replace(GAPS, "-").replace(/^-+|-+$/g, "").toLowerCase();
  if (!secret || hasSurrogate(secret) || (form === "own" && hasSurrogate(typed))) throw new InputError("secret");
  if (code.replace(GAPS, "")) {
    const read = readCrockford(code, FIRST_LENGTH);
    if (read === null) throw new InputError("code");
    secret = `${secret}.${read}`;
  }
  return toUtf8(secret);
}

/**
 * May this be one's own password? @param {string} typed @param {string} loginName in its normal form
 * @param {ReadonlySet<string>} [common] lower case
 * @returns {"short" | "long" | "form" | "name" | "common" | null} form: it would be read as a first password (add a character)
 */
export function checkOwnPassword(typed, loginName, common = new Set()) {
  const text = typed.normalize("NFC");
  const length = [...text].length;
  if (length < MIN_PASSWORD) return "short";
  if (length > MAX_PASSWORD) return "long";
  if (readCrockford(typed, FIRST_LENGTH) !== null || hasSurrogate(typed)) return "form";
  const folded = lowerAscii(text);
  if (folded === loginName) return "name";
  return common.has(folded) ? "common" : null;
}
