/** Answering from a PDF: a box like a mailbox, whose password is the PDF's. sealed-mailbox 12. Keeps nothing in the tab. */
import { dropSeeds, openDown, readSecret, SealedDataError } from "../../sealed.js";
import { Composer } from "./compose.js";
import { RefusedError } from "./errors.js";
import { downloadPart } from "./parts.js";
import { logIn } from "./session.js";

const PAGE = 200;

/**
 * @param {import("./session.js").Context} context
 * @param {{token: string, box: string, form: "b32" | "digits" | "words", secret: string, code?: string}} typed
 * @returns {Promise<ReplyTicket>} Rejects InputError secret|code, ApiError wrong (body.tries_left)|locked|wait, SealedDataError
 */
export async function openReply(context, { token, box, form, secret, code }) {
  const octets = readSecret(form, secret, code);
  const { opened, session } = await logIn(context, { kind: "reply", who: box, secret: octets, identity: { token } });
  dropSeeds(opened);
  const row = await findRow(context.api, session.ticket);
  const { portal, keys, cards } = session;
  const ticket = await openDown(row.sealed, { portal, box, gen: row.gen, id: row.id, no: row.no }, { keys, cards });
  if (ticket.kind !== "ticket") throw new SealedDataError("unknown");
  const quote = ticket.parts.find(({ role }) => role === "text");
  return new ReplyTicket(context, session, ticket, quote ? await (await downloadPart(context.api, ticket, quote)).text() : null);
}

/**
 * One box stands behind all PDFs of a pair: an older link's ticket lies far down.
 * @param {import("./api.js").Api} api @param {string | null} ticket @returns {Promise<any>} untrusted row
 */
async function findRow(api, ticket) {
  let before;
  for (;;) {
    const { messages, more } = await api.listMessages({ before, limit: PAGE });
    const row = messages.find(({ id }) => id === ticket);
    if (row) return row;
    const lowest = messages.at(-1)?.no;
    if (!more || !Number.isSafeInteger(lowest) || (before !== undefined && lowest >= before)) throw new SealedDataError("unknown");
    before = lowest;
  }
}

/** An opened ticket: what is answered, and the answer. */
export class ReplyTicket {
  #composer;
  #context;
  #ticket;

  /** @param {import("./session.js").Context} context @param {import("./session.js").Session} session @param {import("../sealed/down.js").Manifest} ticket @param {string | null} quote */
  constructor(context, session, ticket, quote) {
    this.#context = context;
    this.#ticket = ticket;
    this.org = session.org;
    this.from = ticket.from;
    this.to = ticket.to;
    this.cc = ticket.cc;
    this.subject = ticket.subject;
    this.time = ticket.time;
    this.expires = ticket.expires;
    /** May files be attached? */
    this.files = ticket.files;
    /** Whether the answer comes back as an encrypted PDF; undefined: not said. */
    this.copy = ticket.copy;
    this.quote = quote;
    /** Files of the mail that the PDF holds, where policy and size let them lie here. @type {import("./mailbox.js").Part[]} */
    this.parts = ticket.parts.filter(({ role }) => role === "file");
    this.limits = session.limits;
    this.#composer = new Composer(context, session, { re: ticket.id, autosave: false });
  }

  /** A file of the mail, verified to its last chunk. @param {number} i @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<Blob>} */
  async download(i, options) {
    const part = this.parts.find((one) => one.i === i);
    if (!part) throw new SealedDataError("unknown");
    return downloadPart(this.#context.api, this.#ticket, part, options);
  }

  /** @returns {import("./compose.js").Attachment[]} */
  get attachments() {
    return this.#composer.attachments;
  }

  /** Event "change": attachments. @param {() => void} act */
  onChange(act) {
    this.#composer.addEventListener("change", act);
  }

  /** @param {File} file @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<import("./compose.js").Attachment>} */
  async attach(file, options) {
    if (!this.files) throw new RefusedError("not-files");
    return this.#composer.attach(file, options);
  }

  /** @param {number} i @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<import("./compose.js").Attachment>} */
  async retry(i, options) {
    return this.#composer.retry(i, options);
  }

  /** @param {number} i */
  detach(i) {
    this.#composer.detach(i);
  }

  /** @param {{text: string, to?: "sender" | "all", subject?: string}} typed @returns {Promise<{id: string}>} as Composer.send */
  async send({ text, to = "sender", subject = this.subject }) {
    this.#composer.edit({ text, to, subject });
    return this.#composer.send();
  }
}
