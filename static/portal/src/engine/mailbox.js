/**
 * @typedef {Object} Part
 * @property {number} i @property {"html"|"text"|"inline"|"file"|"preview"} role @property {string} name @property {string} type @property {number} size bytes
 *
 * @typedef {Object} Message  one row of the inbox
 * @property {string} id @property {number} no @property {number} gen @property {boolean} seen @property {string} expires
 * @property {"mail"|"damaged"} state damaged: only id, no, expires, reference and code stand
 * @property {string} [reference] @property {string} [code]
 * @property {boolean} [withdrawn] signed by a card that the organisation has withdrawn
 * @property {string} thread @property {{name: string, addr: string}} from @property {{name: string, addr: string}[]} to @property {{name: string, addr: string}[]} cc
 * @property {string} subject @property {string} snippet @property {string} time @property {boolean} receipt @property {string} [re] @property {Part[]} parts
 */
export class Mailbox extends EventTarget {
  /** Events: "change" (list, account or receipts changed). */
  /** @type {Message[]} newest first, kinds mail and damaged only */
  messages = [];
  /** True while older pages are left. */
  more = true;
  /** "confirmed" | "not-yet" | "somebody-else" (then nothing else is shown) */
  account = "not-yet";
  /** A message named a newer card than the portal gave: no reply is sealed. */
  cardsBehind = false;
  /** State of own replies by id, from signed receipts. @type {Map<string, "arrived"|"refused">} */
  receipts = new Map();
  /** Loads the newest page and what came since. @returns {Promise<void>} */
  async refresh() { throw new Error("not yet"); }
  /** Loads the next older page. @returns {Promise<void>} */
  async loadMore() { throw new Error("not yet"); }
  /** @param {string} id @returns {Message | undefined} */
  find(id) { throw new Error("not yet"); }
  /** Messages and sent items of one conversation, oldest first. @param {string} thread @returns {Message[]} */
  thread(thread) { throw new Error("not yet"); }
  /** Downloads and verifies text, html and inline parts. @param {string} id @returns {Promise<{html: string|null, text: string|null, inline: Map<string, Blob>}>} html is NOT yet cleaned: run DOMPurify before the frame; inline by name (content id) */
  async openBody(id) { throw new Error("not yet"); }
  /** Whole part, verified to its last chunk. @param {string} id @param {number} i @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<Blob>} */
  async download(id, i, options) { throw new Error("not yet"); }
  /** Signed `read`; silent when it was sent before. @param {string} id @returns {Promise<void>} */
  async markRead(id) { throw new Error("not yet"); }
  /** Signed `deleted`, at once; undo is the page's delay before calling. @param {string} id @returns {Promise<void>} */
  async remove(id) { throw new Error("not yet"); }
  /** Signed `close`: ends the mailbox for good. @returns {Promise<void>} */
  async closeBox() { throw new Error("not yet"); }
  /** Over what was opened in this tab: subject, names, addresses, snippet, file names, bodies read so far. @param {string} query @returns {Message[]} */
  search(query) { throw new Error("not yet"); }
  /** @param {{before?: number}} [options] @returns {Promise<{sent: SentItem[], more: boolean}>} */
  async listSent(options) { throw new Error("not yet"); }
  /** @param {SentItem} item @param {number} i @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<Blob>} */
  async downloadSent(item, i, options) { throw new Error("not yet"); }
  /** @returns {Promise<import("./compose.js").DraftRow[]>} newest first */
  async listDrafts() { throw new Error("not yet"); }
  /** @param {{re: string, to?: "sender"|"all", subject?: string}} start @returns {import("./compose.js").Composer} */
  compose(start) { throw new Error("not yet"); }
  /** @param {string} id @returns {Promise<import("./compose.js").Composer>} */
  async openDraft(id) { throw new Error("not yet"); }
}
/**
 * @typedef {Object} SentItem
 * @property {string} id @property {number} seq @property {string} time @property {"handed-over"|"arrived"|"refused"} state
 * @property {string} re @property {"sender"|"all"} to @property {string} subject @property {string} text body, opened on demand: see mailbox.downloadSent @property {Part[]} parts
 */
