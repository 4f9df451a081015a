/**
 * May this be somebody's own password? Its form (sealed-mailbox 5), and whether many people use it: a base word with
 * digits behind or said twice, a row of keys, a pattern that repeats. Rules instead of a list keep it small.
 * portal.md 3 (ASVS 6.2.4): the server sees no password, so this is the place.
 */
import { checkOwnPassword, InputError } from "../../sealed.js";

const WORDS = new Set(
  (
    "password passwort passw0rd p@ssword p@ssw0rd pa55word kennwort geheim geheimnis secret mypassword meinpasswort " +
    "changeme letmein welcome willkommen hallo hello helloworld hallowelt gutentag gutenmorgen " +
    "admin administrator root user benutzer guest gast test tester demo default login zugang office buero " +
    "iloveyou ichliebedich liebe love schatz schatzi prinzessin princess sonnenschein sunshine sommer summer winter " +
    "fruehling herbst autumn spring montag monday januar january dezember december football fussball baseball " +
    "liverpool arsenal bayern dortmund schalke hamburg berlin muenchen frankfurt monkey dragon master shadow superman " +
    "batman pokemon starwars michael jessica charlie daniel thomas andreas computer internet samsung google facebook " +
    "microsoft windows trustno whatever freedom mustang ferrari porsche mercedes familie family letterlock portal " +
    "mailbox postfach email"
  ).split(" "),
);
const ROWS = [
  "12345678901234567890", "09876543210987654321", "qwertzuiopasdfghjklyxcvbnm", "qwertyuiopasdfghjklzxcvbnm", "abcdefghijklmnopqrstuvwxyz",
  "1q2w3e4r5t6z7u8i9o0p", "1q2w3e4r5t6y7u8i9o0p", "1qay2wsx3edc4rfv5tgb", "1qaz2wsx3edc4rfv5tgb",
];
/** InputError's code by what checkOwnPassword says, where they differ. @type {Record<string, string>} */
const CODES = { form: "first-form", name: "login-name" };

/** @param {string} folded lower case @returns {boolean} */
export function isCommonPassword(folded) {
  if (/^(.{1,4})\1{2,}.{0,3}$/u.test(folded) || /^[0-9]{12,19}$/.test(folded)) return true;
  const core = folded.replace(/^[0-9!?.,#$*+_ -]+|[0-9!?.,#$*+_ -]+$/gu, "");
  if (ROWS.some((row) => row.includes(folded) || (core.length > 3 && row.includes(core)))) return true;
  const half = core.slice(0, core.length / 2);
  return core.split(/[ ._-]+/u).every((word) => WORDS.has(word)) || (half + half === core && WORDS.has(half));
}

/** For checkOwnPassword. */
export const COMMON_PASSWORDS = Object.freeze({ has: isCommonPassword });

/** @param {string} password @param {string} loginName in its normal form, "" where there is none. Throws InputError short|long|first-form|login-name|common */
export function checkNewPassword(password, loginName) {
  const fault = checkOwnPassword(password, loginName, /** @type {any} */ (COMMON_PASSWORDS));
  if (fault) throw new InputError(CODES[fault] ?? fault);
}
