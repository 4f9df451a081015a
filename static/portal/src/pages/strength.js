// How hard a password is to guess, roughly, for a word beside the field. No list, no network; never refuses anything.

/** Rows of keyboards and the alphabet: neighbours here are guessed together. */
const ROWS = ["abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopüasdfghjklöäyxcvbnm", "01234567890"];

/** @param {string} one @param {string} other */
function areNeighbours(one, other) {
  return one === other || ROWS.some((row) => row.includes(one + other) || row.includes(other + one));
}

/**
 * @param {string} password
 * @returns {0|1|2|3|4} 0 nothing typed, 1 weak, 2 enough, 3 good, 4 very good. Counts what a guesser has to choose: a
 *   letter that repeats or follows its neighbour counts a quarter, and so does a piece that stood there before.
 */
export function rateStrength(password) {
  const letters = [...password.normalize("NFC").toLowerCase()];
  if (!letters.length) return 0;
  let choices = 0;
  letters.forEach((letter, at) => {
    const before = letters[at - 1];
    const piece = letters.slice(at - 2, at + 1).join("");
    const stoodBefore = at >= 3 && letters.slice(0, at).join("").includes(piece);
    choices += (before !== undefined && areNeighbours(before, letter)) || stoodBefore ? 0.25 : 1;
  });
  const kinds = [/\p{L}/u, /\p{N}/u, /[^\p{L}\p{N}]/u].filter((kind) => kind.test(password)).length;
  // Digits alone are 3.3 bits each where words and signs are four to five.
  const weight = kinds === 1 && /^\p{N}+$/u.test(password) ? 0.7 : kinds === 3 ? 1.1 : 1;
  const score = choices * weight;
  if (score >= 19) return 4;
  if (score >= 14.5) return 3;
  return score >= 9.5 ? 2 : 1;
}
