/**
 * Passwords of twelve characters and more that many people use: a base word with digits behind, or said twice; a row of
 * keys; a pattern that repeats. Rules instead of a list keep it small. sealed-mailbox 5, portal.md 3 (ASVS 6.2.4).
 */
const WORDS = new Set(
  (
    "password passwort passw0rd p@ssword p@ssw0rd pa55word kennwort parole geheim geheimnis secret mypassword meinpasswort " +
    "changeme changemenow letmein letmeinnow welcome willkommen hallo hello helloworld hallowelt guten gutentag gutenmorgen " +
    "admin administrator root user benutzer guest gast test testtest tester demo default login anmeldung zugang office buero " +
    "iloveyou ichliebedich liebe love schatz schatzi mausi hase prinzessin princess sonnenschein sunshine sommer summer winter " +
    "fruehling herbst autumn spring montag monday januar january dezember december football fussball baseball basketball soccer " +
    "liverpool arsenal chelsea bayern dortmund schalke hamburg berlin muenchen frankfurt monkey dragon master shadow superman " +
    "batman pokemon starwars michael jessica jennifer charlie daniel thomas andreas stefan computer internet samsung google " +
    "facebook whatsapp microsoft windows trustno ihateyou lovely whatever freedom mustang harley ferrari porsche mercedes " +
    "familie family mutter mother vater father letterlock portal mailbox postfach email"
  ).split(" "),
);
const ROWS = ["1234567890123456789012345678901234567890", "0987654321098765432109876543210987654321", "qwertzuiopasdfghjklyxcvbnm", "qwertyuiopasdfghjklzxcvbnm", "abcdefghijklmnopqrstuvwxyz", "1q2w3e4r5t6z7u8i9o0p", "1q2w3e4r5t6y7u8i9o0p", "1qay2wsx3edc4rfv5tgb6zhn7ujm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "qaywsxedcrfvtgbzhnujm", "qazwsxedcrfvtgbyhnujm", "azertyuiopqsdfghjklmwxcvbn"];

/** @param {string} folded lower case @returns {boolean} */
export function isCommonPassword(folded) {
  if (/^(.{1,4})\1{2,}.{0,3}$/u.test(folded) || ROWS.some((row) => row.includes(folded))) return true;
  if (/^[0-9]{12,19}$/.test(folded)) return true;
  const core = folded.replace(/^[0-9!?.,#$*+_ -]+|[0-9!?.,#$*+_ -]+$/gu, "");
  const halves = core.split(/[ ._-]+/u);
  const half = core.slice(0, core.length / 2);
  return WORDS.has(core) || ROWS.some((row) => core.length > 3 && row.includes(core)) || halves.every((word) => WORDS.has(word)) || (half + half === core && WORDS.has(half));
}

/** For checkOwnPassword. */
export const COMMON_PASSWORDS = Object.freeze({ has: isCommonPassword });
