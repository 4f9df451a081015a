/** Errors of sealed things and of what is typed. No text here reaches a reader: pages choose their words by `code`. */

/** A sealed or signed thing was refused; nothing of it was handed out. sealed-mailbox 17. */
export class SealedDataError extends Error {
  /**
   * @param {"format"|"version"|"suite"|"kdf"|"size"|"auth"|"signature"|"binding"|"card"|"generation"|"unknown"|"duplicate"|"expired"} code
   * @param {{card?: number, withdrawn?: boolean}} [found] card: serial a decrypted manifest named, verified or not;
   *   withdrawn: its card is distrusted
   */
  constructor(code, found = {}) {
    super(`sealed data refused: ${code}`);
    this.name = "SealedDataError";
    this.code = code;
    this.untrustedCard = found.card;
    this.withdrawn = found.withdrawn === true;
  }
}

/** What was typed or chosen cannot be used; nothing was sent. */
export class InputError extends Error {
  /** @param {string} code name, secret, code, short, long, form, common, same, empty, too-large, too-many, link */
  constructor(code) {
    super(`input refused: ${code}`);
    this.name = "InputError";
    this.code = code;
  }
}
