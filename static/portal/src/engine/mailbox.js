/**
 * The mailbox of one session: manifests opened and verified, held in this tab's memory alone. sealed-mailbox 6, 7, 11, 16.
 * A message that fails stands as damaged and is reported, signed; the rest works.
 */
import { openDown, openSent, SealedDataError, sealUp } from "../../sealed.js";
import { Composer, listDrafts } from "./compose.js";
import { ApiError, RefusedError } from "./errors.js";
import { downloadPart } from "./parts.js";

const REPORTED = "letterlock-reported";
const PAGE = 50;
/** Bodies kept in memory, so that going back and forth loads nothing twice. */
const BODIES = 30;
/** By how much the clocks of relay and portal may differ when older receipts are looked for. */
const CLOCKS = 864e5;

/**
 * @typedef {import("../sealed/down.js").Part} Part
 * @typedef {Object} Message  one row of the inbox
 * @property {string} id @property {number} no @property {number} gen @property {boolean} seen @property {string} expires
 * @property {"mail" | "damaged"} state damaged: only id, no, gen, seen, expires, reference and code stand
 * @property {string} [reference] @property {string} [code] @property {boolean} [withdrawn] damaged because the organisation has withdrawn the
 *   card it names: it is not shown, and not reported, since the organisation knows
 * @property {string} thread @property {{name: string, addr: string}} from @property {{name: string, addr: string}[]} to
 * @property {{name: string, addr: string}[]} cc @property {string} subject @property {string} snippet @property {string} time
 * @property {boolean} receipt @property {string} [re] @property {Part[]} parts @property {Uint8Array} key
 *
 * @typedef {Object} SentItem
 * @property {string} id @property {number} seq @property {string} time @property {"handed-over" | "arrived" | "refused"} state
 * @property {string} handed when the portal took it @property {string} until the portal keeps it at least so long, "" if it does not say
 * @property {string} re @property {"sender" | "all"} to @property {string} subject @property {Part[]} parts @property {string} thread
 *   of the message it answers, "" if that is not loaded @property {Uint8Array} key
 *
 * @typedef {{html: string | null, text: string | null, inline: Map<string, Blob>}} Body
 */

/** Events: "change" (list, account or receipts changed). */
export class Mailbox extends EventTarget {
  /** @type {Message[]} newest first */
  messages = [];
  /** True while older pages are left. */
  more = true;
  /** @type {"confirmed" | "not-yet" | "somebody-else"} the last: nothing else is shown */
  account = "not-yet";
  /** A message named a newer card than the portal gave: no reply is sealed. */
  cardsBehind = false;
  /** What became of own replies, from signed receipts. @type {Map<string, "arrived" | "refused">} */
  receipts = new Map();
  #context;
  /** Every listed row by id, whatever its kind. @type {Map<string, number>} */
  #numbers = new Map();
  /** Evidence about the present generation. */
  #seen = { fits: false, other: false, shut: false };
  /** @type {Map<string, Body>} */
  #bodies = new Map();
  /** @type {Map<string, string>} */
  #texts = new Map();
  /** @type {SentItem[]} */
  #sent = [];
  /** Time of the oldest manifest loaded; all newer ones are here. */
  #oldest = "";
  /** Marks and deletions under way, each once. @type {Map<string, Promise<void>>} */
  #running = new Map();

  /** @param {import("./session.js").Context} context @param {import("./session.js").Session} session */
  constructor(context, session) {
    super();
    this.#context = context;
    this.session = session;
    // The relay made this generation itself: there is nothing to confirm.
    if (session.by === "relay") this.#seen.fits = true;
    this.#judge();
  }

  /** Loads the newest page, what came since, and as much as tells whether the generation is confirmed. */
  async refresh() {
    const page = await this.#load(undefined);
    const lowest = page.messages.at(-1)?.no ?? 0;
    const listed = new Set(page.messages.map(({ id }) => id));
    // Recalled, expired or deleted elsewhere.
    for (const [id, no] of this.#numbers) if ((no >= lowest || !page.more) && !listed.has(id)) this.#forget(id);
    if (!page.more) this.more = false;
    while (this.account === "not-yet" && this.more && this.#reaches(this.session.gen)) await this.loadMore();
    this.#tell();
  }

  /** Loads the next older page. */
  async loadMore() {
    if (!this.more) return;
    const lowest = Math.min(...this.#numbers.values());
    const page = await this.#load(Number.isFinite(lowest) ? lowest : undefined);
    this.more = page.more && page.messages.length > 0;
    this.#tell();
  }

  /** @param {string} id @returns {Message | undefined} */
  find(id) {
    return this.messages.find((message) => message.id === id);
  }

  /** Messages of one conversation, oldest first. @param {string} thread @returns {Message[]} */
  thread(thread) {
    return this.messages.filter((message) => message.state === "mail" && message.thread === thread).reverse();
  }

  /**
   * Text, html and inline parts, verified. @param {string} id @returns {Promise<Body>}
   * html is as the relay cleaned it and has to be cleaned again; inline by content id.
   */
  async openBody(id) {
    const known = this.#bodies.get(id);
    if (known) return known;
    const message = this.#mail(id);
    /** @type {Body} */
    const body = { html: null, text: null, inline: new Map() };
    for (const part of message.parts) {
      if (part.role === "html" || part.role === "text") body[part.role] = await (await this.download(id, part.i)).text();
      if (part.role === "inline") body.inline.set(part.name, await this.download(id, part.i));
    }
    this.#bodies.set(id, body);
    if (this.#bodies.size > BODIES) this.#bodies.delete(/** @type {string} */ (this.#bodies.keys().next().value));
    this.#texts.set(id, fold(`${body.text ?? ""} ${body.html?.replace(/<[^>]*>/g, " ") ?? ""}`));
    return body;
  }

  /** @param {string} id @param {number} i @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<Blob>} verified to the last chunk */
  async download(id, i, options) {
    const message = this.#mail(id);
    try {
      return await downloadPart(this.#context.api, message, findPart(message.parts, i), options);
    } catch (error) {
      if (error instanceof SealedDataError) this.#report(id, error.code);
      throw error;
    }
  }

  /** Signed `read`; once. @param {string} id */
  async markRead(id) {
    const message = this.find(id);
    if (!message || message.seen || message.state !== "mail") return;
    await this.#once(`read ${id}`, async () => {
      await this.#sendItem({ kind: "read", re: id });
      message.seen = true;
      this.#tell();
    });
  }

  /** Signed `deleted`; there is no way back. @param {string} id */
  async remove(id) {
    await this.#once(`deleted ${id}`, async () => {
      await this.#sendItem({ kind: "deleted", re: id });
      this.#forget(id);
      this.#tell();
    });
  }

  /**
   * Seals a deletion now and hands over what sends it, at once and without waiting: for a page that may be gone the next moment.
   * @param {string} id @returns {Promise<() => Promise<void>>}
   */
  async prepareRemoval(id) {
    const request = await this.#makeRequest({ kind: "deleted", re: id });
    return async () => {
      await this.#context.api.send(request);
      this.#forget(id);
      this.#tell();
    };
  }

  /** Signed `close`: ends the mailbox for good. */
  async closeBox() {
    await this.#sendItem({ kind: "close" });
  }

  /** @returns {Promise<{used: number, limit: number}>} octets, as they are now */
  async loadQuota() {
    const { quota } = await this.#context.api.getSession();
    this.session.quota = { used: Number(quota?.used ?? 0), limit: Number(quota?.limit ?? 0) };
    return this.session.quota;
  }

  /** Over what was opened in this tab; every word must occur. @param {string} query @returns {Message[]} newest first */
  search(query) {
    const words = fold(query).split(" ").filter(Boolean);
    return this.messages.filter((message) => message.state === "mail" && words.every((word) => this.#searchable(message).includes(word)));
  }

  /** @param {{before?: number}} [page] seq @returns {Promise<{sent: SentItem[], more: boolean}>} newest first */
  async listSent({ before } = {}) {
    const page = await this.#context.api.listSent({ before });
    /** @type {SentItem[]} */
    const sent = [];
    for (const row of page.sent) {
      const item = await this.#openSent(row);
      if (item) sent.push(item);
    }
    const listed = new Set(sent.map(({ id }) => id));
    this.#sent = [...this.#sent.filter(({ id }) => !listed.has(id)), ...sent];
    return { sent, more: page.more === true };
  }

  /**
   * Loads older pages until each listed reply has its receipt or is older than what is loaded: receipts lie among the mail.
   * A receipt counts up behind the message that it is about.
   */
  async findReceipts() {
    const isOpen = (/** @type {SentItem} */ item) => item.state === "handed-over" && !this.find(item.re) && this.#oldest > shift(item.handed, -CLOCKS);
    while (this.more && this.#sent.some(isOpen)) await this.loadMore();
  }

  /** @param {SentItem} item @param {number} i @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<Blob>} */
  async downloadSent(item, i, options) {
    return downloadPart(this.#context.api, item, findPart(item.parts, i), options);
  }

  /** @returns {Promise<import("./compose.js").DraftRow[]>} */
  async listDrafts() {
    return listDrafts(this.#context, this.session);
  }

  /** @param {{re: string, to?: "sender" | "all", subject?: string}} start @returns {Composer} */
  compose(start) {
    return new Composer(this.#context, this.session, { ...start, maySeal: () => this.#checkSealing() });
  }

  /** @param {string} id @returns {Promise<Composer>} */
  async openDraft(id) {
    return Composer.open(this.#context, this.session, id, () => this.#checkSealing());
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  /** @param {number | undefined} before @returns {Promise<{messages: any[], more: boolean}>} */
  async #load(before) {
    const page = await this.#context.api.listMessages({ before, limit: PAGE });
    for (const row of page.messages) await this.#take(row);
    this.messages.sort((a, b) => b.no - a.no);
    // A signed receipt counts before what the portal says.
    for (const item of this.#sent) item.state = this.receipts.get(item.id) ?? item.state;
    this.#judge();
    return page;
  }

  /** @param {any} row untrusted, as listed */
  async #take(row) {
    const message = this.find(row.id);
    if (message) message.seen ||= row.seen === true;
    if (this.#numbers.has(row.id)) return;
    this.#numbers.set(row.id, row.no);
    const base = { id: row.id, no: row.no, gen: row.gen, seen: row.seen === true, expires: String(row.expires ?? "") };
    const { portal, box, keys, cards } = this.session;
    try {
      const manifest = await openDown(row.sealed, { portal, box, gen: row.gen, id: row.id, no: row.no }, { keys, cards });
      this.#checkCard(manifest.card);
      this.#takeManifest(manifest, base);
    } catch (error) {
      if (!(error instanceof SealedDataError)) throw error;
      if (error.untrustedCard !== undefined) this.#checkCard(error.untrustedCard);
      this.#takeDamaged(error, base);
    }
  }

  /** @param {import("../sealed/down.js").Manifest} manifest @param {any} base */
  #takeManifest(manifest, base) {
    if (!this.#oldest || manifest.time < this.#oldest) this.#oldest = manifest.time;
    if (manifest.gen === this.session.gen) this.#seen.fits = true;
    if (manifest.kind === "mail") this.messages.push({ ...base, ...manifest, seen: base.seen, state: "mail" });
    else if (manifest.kind === "receipt") this.receipts.set(/** @type {string} */ (manifest.re), /** @type {any} */ (manifest).state);
    else if (manifest.kind === "account") this.#takeAccount(/** @type {any} */ (manifest).of);
  }

  /** @param {{gen: number, enc: string, sign: string}} of */
  #takeAccount(of) {
    const { gen, enc, sign } = this.session.newest;
    if (of.gen === gen && (of.enc !== enc || of.sign !== sign)) this.#seen.other = true;
  }

  /** @param {SealedDataError} error @param {any} base */
  #takeDamaged(error, base) {
    if (base.gen === this.session.gen && error.code === "auth") this.#seen.shut = true;
    const reference = base.id.slice(0, 8);
    this.messages.push(/** @type {any} */ ({ ...base, state: "damaged", code: error.code, reference, withdrawn: error.withdrawn === true, parts: [] }));
    if (!error.withdrawn) this.#report(base.id, error.code);
  }

  /** @param {number} serial named by a manifest that opened, verified or not */
  #checkCard(serial) {
    if (serial > this.session.cards.newest.serial) this.cardsBehind = true;
  }

  #judge() {
    const { fits, other, shut } = this.#seen;
    this.account = other || (shut && !fits) ? "somebody-else" : fits ? "confirmed" : "not-yet";
  }

  /** Does the oldest loaded row belong to this generation? @param {number} gen */
  #reaches(gen) {
    return (this.messages.at(-1)?.gen ?? gen) >= gen;
  }

  /** @param {string} id */
  #forget(id) {
    this.messages = this.messages.filter((message) => message.id !== id);
    this.#numbers.delete(id);
    this.#bodies.delete(id);
    this.#texts.delete(id);
  }

  /** @param {string} id @returns {Message} */
  #mail(id) {
    const message = this.find(id);
    if (!message || message.state !== "mail") throw new SealedDataError("unknown");
    return message;
  }

  #checkSealing() {
    if (this.cardsBehind) throw new RefusedError("cards-behind");
    if (this.account === "somebody-else") throw new RefusedError("somebody-else");
  }

  /** @param {import("../sealed/up.js").ItemFields} fields */
  async #sendItem(fields) {
    await this.#context.api.send(await this.#makeRequest(fields));
  }

  /** @param {import("../sealed/up.js").ItemFields} fields @returns {Promise<object>} */
  async #makeRequest(fields) {
    this.#checkSealing();
    const { newest, cards } = this.session;
    const made = await sealUp(newest, cards.newest, fields);
    const re = "re" in fields ? { re: fields.re } : {};
    return { ...made, self: null, parts: [], kind: fields.kind, ...re };
  }

  /** @param {string} name @param {() => Promise<void>} act */
  async #once(name, act) {
    const running = this.#running.get(name) ?? act().finally(() => this.#running.delete(name));
    this.#running.set(name, running);
    await running;
  }

  /** Tells the relay, once a tab; that it fails hinders nobody. @param {string} id @param {string} code */
  #report(id, code) {
    const { storage } = this.#context;
    const told = (storage.getItem(REPORTED) ?? "").split(" ");
    // A generation that this session does not know is no damage: somebody signed in elsewhere.
    if (told.includes(id) || code === "generation") return;
    storage.setItem(REPORTED, [...told.slice(-200), id].join(" "));
    this.#sendItem({ kind: "damaged", re: id, code }).catch(() => {});
  }

  /** @param {Message} message */
  #searchable(message) {
    const people = [message.from, ...message.to, ...message.cc].flatMap(({ name, addr }) => [name, addr]);
    const head = [message.subject, message.snippet, ...people, ...message.parts.map(({ name }) => name)].join(" ");
    return `${fold(head)} ${this.#texts.get(message.id) ?? ""}`;
  }

  /** @param {any} row untrusted @returns {Promise<SentItem | null>} null: of a generation or kind that cannot be shown */
  async #openSent(row) {
    const keys = this.session.keys.get(row.gen);
    if (!keys || typeof row.self !== "string") return null;
    try {
      const item = await openSent(keys, row.id, row.self);
      const state = this.receipts.get(row.id) ?? (row.state === "refused" ? "refused" : "handed-over");
      const [handed, until] = [row.time, row.until].map((time) => (typeof time === "string" ? time : ""));
      return { ...item, seq: row.seq, state, handed, until, thread: this.find(item.re)?.thread ?? "" };
    } catch (error) {
      if (error instanceof SealedDataError) return null;
      throw error;
    }
  }
}

/** @param {Part[]} parts @param {number} i @returns {Part} */
function findPart(parts, i) {
  const part = parts.find((one) => one.i === i);
  if (!part) throw new ApiError(404, { error: "unknown" });
  return part;
}

/** For searching: one case, no accents, single spaces. @param {string} text */
function fold(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/\s+/g, " ").trim();
}

/** @param {string} time @param {number} ms @returns {string} "" for what is no time */
function shift(time, ms) {
  const at = new Date(Date.parse(time) + ms);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
}
