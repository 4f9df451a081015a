/**
 * @typedef {Object} Attachment
 * @property {number} i part number @property {string} name @property {string} type @property {number} size
 * @property {"waiting"|"sending"|"done"|"failed"|"lost"} state lost: unfinished before a reload, add the file again
 * @property {number} done bytes stored at the portal @property {Error} [error]
 *
 * @typedef {{id: string, re: string, to: "sender"|"all", subject: string, text: string, time: string, attachments: number, damaged?: boolean}} DraftRow
 */
/** One reply being written. Events: "change" (attachments, state), "saved", "conflict" (changed in another tab or device). */
export class Composer extends EventTarget {
  id = ""; re = ""; subject = ""; text = "";
  /** @type {"sender"|"all"} */ to = "sender";
  /** @type {Attachment[]} */ attachments = [];
  /** @type {"clean"|"dirty"|"saving"|"saved"|"conflict"|"sending"|"sent"} */ state = "clean";
  /** Set subject, text, to; saves two seconds after the last change. @param {{subject?: string, text?: string, to?: "sender"|"all"}} fields */
  edit(fields) { throw new Error("not yet"); }
  /** Saves now. @returns {Promise<void>} rejects ApiError changed: see takeTheirs, keepMine */
  async save() { throw new Error("not yet"); }
  /** After "conflict". @returns {Promise<void>} */
  async keepMine() { throw new Error("not yet"); }
  /** After "conflict". @returns {Promise<void>} */
  async takeTheirs() { throw new Error("not yet"); }
  /** Encrypts and stores; resolves when all chunks are stored. @param {File} file @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<Attachment>} rejects InputError too-large|too-many, ApiError quota */
  async attach(file, options) { throw new Error("not yet"); }
  /** Sends the failed attachment's missing chunks again. @param {number} i @returns {Promise<Attachment>} */
  async retry(i) { throw new Error("not yet"); }
  /** @param {number} i */
  detach(i) { throw new Error("not yet"); }
  /** @returns {Promise<{id: string}>} rejects RefusedError cards-behind, ApiError generation (sign in again, the draft stays) */
  async send() { throw new Error("not yet"); }
  /** Deletes the draft and its parts. @returns {Promise<void>} */
  async discard() { throw new Error("not yet"); }
  /** Stops timers (page left). */
  close() { throw new Error("not yet"); }
}
