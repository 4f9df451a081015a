/**
 * A reply being written: draft, attachments, sending. sealed-mailbox 8, 9, 10.
 * The draft's id is the reply's, so parts are sent as they lie. A part number is never used twice.
 */
import { countParts, Fields, formatTime, fromB64, InputError, isId, newId, newMessageKey, openSelf, SealedDataError, sealSelf, sealUp, toB64, toUtf8, writeJson } from "../../sealed.js";
import { ApiError, RefusedError } from "./errors.js";
import { Upload } from "./parts.js";

const AUTOSAVE = 2000;
const MAX_DRAFT = 512 * 1024;
/** Text the draft holds; the rest of MAX_DRAFT is for attachments and seals. */
export const MAX_TEXT = 100_000;

/**
 * @typedef {Object} Attachment
 * @property {number} i part number @property {string} name @property {string} type @property {number} size
 * @property {"waiting" | "sending" | "done" | "failed" | "lost"} state lost: unfinished before a reload, add the file again
 * @property {number} done octets stored at the portal @property {Error} [error]
 * @typedef {{id: string, re: string, to: "sender" | "all", subject: string, text: string, time: string, attachments: number, damaged?: boolean}} DraftRow
 * @typedef {{text: string, part: import("../sealed/down.js").Part, upload: Upload}} TextPart
 * @typedef {import("./session.js").Context} Context
 * @typedef {import("./session.js").Session} Session
 */

/** Events: "change" (attachments, state), "saved", "unsaved" (detail: why), "conflict" (changed in another tab or device). */
export class Composer extends EventTarget {
  /** @type {"clean" | "dirty" | "saving" | "saved" | "conflict" | "sending" | "sent"} */
  state = "clean";
  /** @type {Attachment[]} */
  attachments = [];
  #context;
  #session;
  #maySeal;
  #autosave;
  #key;
  #rev = 0;
  /** The next part number. */
  #next = 0;
  /** @type {Map<number, Upload>} */
  #uploads = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Saves one after another: each needs the revision of the one before. @type {Promise<void>} */
  #saving = Promise.resolve();
  /** The text part as stored, for a send that is tried again. @type {TextPart | null} */
  #textPart = null;
  /** What was sent without an answer: the same octets may be sent again. @type {{print: string, body: object} | null} */
  #request = null;
  #changes = 0;

  /**
   * @param {Context} context @param {Session} session
   * @param {{re: string, to?: "sender" | "all", subject?: string, id?: string, maySeal?: () => void, autosave?: boolean}} start
   */
  constructor(context, session, { re, to = "sender", subject = "", id = newId(), maySeal = () => {}, autosave = true }) {
    super();
    this.#context = context;
    this.#session = session;
    this.#maySeal = maySeal;
    this.#autosave = autosave;
    this.#key = newMessageKey();
    this.id = id;
    this.re = re;
    this.to = to;
    this.subject = subject;
    this.text = "";
  }

  /** Saves two seconds after the last change. @param {{subject?: string, text?: string, to?: "sender" | "all"}} fields */
  edit({ subject = this.subject, text = this.text, to = this.to }) {
    if (text.length > MAX_TEXT || subject.length > 1000) throw new InputError("too-large");
    Object.assign(this, { subject, text, to });
    this.#touch();
  }

  /** Saves now. Rejects ApiError changed: then keepMine or takeTheirs. */
  async save() {
    clearTimeout(this.#timer);
    this.#saving = this.#saving.catch(() => {}).then(() => this.#saveOnce());
    await this.#saving;
  }

  /** After "conflict": this text replaces the other. */
  async keepMine() {
    const row = await this.#context.api.getDraft(this.id);
    const taken = row.sealed ? (await openDraftFields(this.#session.keys, this.id, row.sealed)).next : 0;
    this.#rev = row.rev;
    // Numbers that the other text took are not free again.
    this.#next = Math.max(this.#next, taken, ...row.parts.map(({ i }) => i + 1));
    this.#setState("dirty");
    await this.save();
  }

  /** After "conflict": the other text replaces this. */
  async takeTheirs() {
    await this.#load();
    this.#setState("saved");
  }

  /**
   * Seals and stores a file. @param {File} file @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options]
   * @returns {Promise<Attachment>} when all of it is stored. Rejects InputError too-large|too-many, ApiError quota, AbortError (then `failed`, see retry)
   */
  async attach(file, options) {
    const { limits } = this.#session;
    // One part is the text.
    if (this.attachments.length + 2 > limits.parts) throw new InputError("too-many");
    if (this.attachments.reduce((sum, { size }) => sum + size, file.size) > limits.message) throw new InputError("too-large");
    /** @type {Attachment} */
    const attachment = { i: this.#takeNumber(), name: file.name, type: file.type || "application/octet-stream", size: file.size, state: "waiting", done: 0 };
    this.attachments.push(attachment);
    this.#uploads.set(attachment.i, new Upload(this.#context.api, { id: this.id, key: this.#key, i: attachment.i, file }));
    this.#tell();
    return this.#send(attachment, options, true);
  }

  /** Sends what a failed or paused attachment still lacks. @param {number} i @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @returns {Promise<Attachment>} */
  async retry(i, options) {
    const attachment = this.attachments.find((one) => one.i === i);
    if (!attachment || !this.#uploads.has(i)) throw new InputError("empty");
    return this.#send(attachment, options, false);
  }

  /** @param {number} i */
  detach(i) {
    this.attachments = this.attachments.filter((one) => one.i !== i);
    this.#uploads.delete(i);
    this.#touch();
  }

  /**
   * @returns {Promise<{id: string}>} Rejects InputError empty|too-large, RefusedError cards-behind|somebody-else|unfinished, ApiError generation
   * (sign in again; the draft stays), OfflineError (the same call may be made again)
   */
  async send() {
    this.#maySeal();
    if (!this.text.trim() && !this.attachments.length) throw new InputError("empty");
    if (this.attachments.some(({ state }) => state !== "done")) throw new RefusedError("unfinished");
    // The text counts too: what is larger would be refused behind the portal, when it is too late to leave a file out.
    const size = this.attachments.reduce((sum, one) => sum + one.size, toUtf8(this.text).length);
    if (size > this.#session.limits.message) throw new InputError("too-large");
    this.#setState("sending");
    try {
      await this.#sendWhole();
    } catch (error) {
      this.#setState("dirty");
      throw error;
    }
    this.#setState("sent");
    return { id: this.id };
  }

  /** Deletes the draft and its parts. */
  async discard() {
    this.close();
    await this.#saving.catch(() => {});
    if (this.#rev) await this.#context.api.deleteDraft(this.id);
    this.#setState("clean");
  }

  /** Stops timers (page left). */
  close() {
    clearTimeout(this.#timer);
    this.#autosave = false;
  }

  /** Opens a stored draft into this one. */
  async #load() {
    const row = await this.#context.api.getDraft(this.id);
    const { keys } = this.#session;
    const draft = await openDraftFields(keys, this.id, row.sealed);
    const stored = new Map(row.parts.map(({ i, chunks }) => [i, chunks]));
    this.#rev = row.rev;
    this.#key = draft.key;
    this.#next = Math.max(this.#next, draft.next, ...row.parts.map(({ i }) => i + 1));
    const { re, to, subject, text } = draft;
    Object.assign(this, { re, to, subject, text });
    this.attachments = draft.attachments.map((one) => {
      const isWhole = one.done && stored.has(one.i);
      return { ...one, state: isWhole ? "done" : "lost", done: isWhole ? one.size : 0 };
    });
    this.#tell();
  }

  /** @param {Context} context @param {Session} session @param {string} id @param {() => void} maySeal @returns {Promise<Composer>} */
  static async open(context, session, id, maySeal) {
    const composer = new Composer(context, session, { re: "", id, maySeal });
    await composer.#load();
    return composer;
  }

  #takeNumber() {
    this.#next += 1;
    return this.#next - 1;
  }

  #touch() {
    this.#changes += 1;
    if (this.state !== "conflict") this.#setState("dirty");
    clearTimeout(this.#timer);
    if (this.#autosave) this.#timer = setTimeout(() => this.save().catch((detail) => this.dispatchEvent(new CustomEvent("unsaved", { detail }))), AUTOSAVE);
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Composer["state"]} state */
  #setState(state) {
    this.state = state;
    this.#tell();
  }

  async #saveOnce() {
    if (this.state === "sent") return;
    if (this.state === "conflict") throw new ApiError(409, { error: "changed" });
    const before = this.#changes;
    const wasSending = this.state === "sending";
    if (!wasSending) this.#setState("saving");
    try {
      const { rev } = await this.#context.api.putDraft(this.id, { rev: this.#rev, sealed: toB64(await this.#seal()) });
      this.#rev = rev;
    } catch (error) {
      const isConflict = error instanceof ApiError && error.code === "changed";
      this.#setState(isConflict ? "conflict" : "dirty");
      if (isConflict) this.dispatchEvent(new Event("conflict"));
      throw error;
    }
    if (!wasSending) this.#setState(before === this.#changes ? "saved" : "dirty");
    this.dispatchEvent(new Event("saved"));
  }

  /** @returns {Promise<Uint8Array>} */
  async #seal() {
    const { id, re, to, subject, text } = this;
    const attachments = this.attachments.map(({ i, name, type, size, state }) => ({ i, name, type, size, done: state === "done" }));
    const octets = writeJson({ v: 1, id, re, to, subject: wellFormed(subject), text: wellFormed(text), time: formatTime(), key: toB64(this.#key), next: this.#next, attachments });
    if (octets.length > MAX_DRAFT) throw new InputError("too-large");
    return sealSelf(this.#session.newest, "draft", id, octets);
  }

  /** @param {Attachment} attachment @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options] @param {boolean} [isNew] */
  async #send(attachment, { signal, onProgress } = {}, isNew = false) {
    const upload = /** @type {Upload} */ (this.#uploads.get(attachment.i));
    try {
      attachment.state = "sending";
      delete attachment.error;
      this.#tell();
      // The number is taken in the draft before anything lies under it.
      if (isNew) await this.save();
      else await upload.refresh();
      await upload.run({
        signal,
        onProgress: (done, size) => {
          attachment.done = done;
          onProgress?.(done, size);
          this.#tell();
        },
      });
    } catch (error) {
      Object.assign(attachment, { state: "failed", error });
      this.#tell();
      throw error;
    }
    Object.assign(attachment, { state: "done", done: attachment.size });
    this.#tell();
    if (this.attachments.includes(attachment)) await this.save();
    return attachment;
  }

  async #sendWhole() {
    clearTimeout(this.#timer);
    await this.#saving.catch(() => {});
    const print = JSON.stringify([this.text, this.subject, this.to, this.attachments.map(({ i }) => i)]);
    if (this.#request?.print !== print) this.#request = { print, body: await this.#makeRequest() };
    try {
      await this.#context.api.send(this.#request.body);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#request = null;
      if (error.code !== "missing") throw error;
      this.#dropMissing(error);
      if (this.attachments.some(({ state }) => state !== "done")) throw error;
      // Only the text was missing: it is here and goes under a new number.
      this.#request = { print, body: await this.#makeRequest() };
      await this.#context.api.send(this.#request.body);
    }
  }

  /** @returns {Promise<object>} */
  async #makeRequest() {
    const { newest, cards } = this.#session;
    const parts = [await this.#storeText(), ...this.attachments.map(({ i, name, type, size }) => ({ i, role: /** @type {const} */ ("file"), name: wellFormed(name), type, size }))];
    const { id, re, to } = this;
    const made = await sealUp(newest, cards.newest, { kind: "reply", id, re, to, subject: wellFormed(this.subject), key: this.#key, parts }).catch((error) => {
      // Many long file names outgrow the item.
      throw error.code === "size" ? new InputError("too-many") : error;
    });
    return { ...made, parts: countParts(parts), kind: "reply", re };
  }

  /** @returns {Promise<import("../sealed/down.js").Part>} the text as a part, stored */
  async #storeText() {
    if (this.#textPart?.text !== this.text) {
      const file = new Blob([toUtf8(this.text)]);
      const part = { i: this.#takeNumber(), role: /** @type {const} */ ("text"), name: "", type: "text/plain", size: file.size };
      const upload = new Upload(this.#context.api, { id: this.id, key: this.#key, i: part.i, file });
      this.#textPart = { text: this.text, part, upload };
      await this.save();
    }
    const { part, upload } = /** @type {TextPart} */ (this.#textPart);
    await upload.run();
    return part;
  }

  /** @param {ApiError} error with the chunks that the portal lacks */
  #dropMissing(error) {
    const missing = new Set((Array.isArray(error.body.missing) ? error.body.missing : []).map((pair) => pair[0]));
    for (const attachment of this.attachments) if (missing.has(attachment.i)) attachment.state = "lost";
    this.#textPart = null;
  }
}

/** @param {Context} context @param {Session} session @returns {Promise<DraftRow[]>} newest first */
export async function listDrafts(context, session) {
  const { drafts } = await context.api.listDrafts();
  const rows = [];
  for (const { id, sealed } of drafts) rows.push(await readRow(session, id, sealed));
  return rows.sort((a, b) => (a.time < b.time ? 1 : -1));
}

/** @param {Session} session @param {string} id @param {string} sealed @returns {Promise<DraftRow>} */
async function readRow(session, id, sealed) {
  try {
    const { re, to, subject, text, time, attachments } = await openDraftFields(session.keys, id, sealed);
    return { id, re, to, subject, text, time, attachments: attachments.length };
  } catch (error) {
    if (!(error instanceof SealedDataError)) throw error;
    return { id, re: "", to: "sender", subject: "", text: "", time: "", attachments: 0, damaged: true };
  }
}

/** A draft may be of an older generation: its row does not say which. @param {Map<number, import("../sealed/seed.js").SeedKeys>} keys @param {string} id @param {unknown} untrustedSealed */
async function openDraftFields(keys, id, untrustedSealed) {
  const sealed = fromB64(untrustedSealed);
  const generations = [...keys.keys()].sort((a, b) => b - a);
  for (const gen of generations) {
    try {
      return readDraft(await openSelf(/** @type {any} */ (keys.get(gen)), "draft", id, sealed), id);
    } catch (error) {
      if (!(error instanceof SealedDataError && error.code === "auth")) throw error;
    }
  }
  throw new SealedDataError("auth");
}

/** @param {Uint8Array} octets @param {string} id */
function readDraft(octets, id) {
  const fields = Fields.read(octets, MAX_DRAFT);
  if (!isId(id) || fields.id("id") !== id) throw new SealedDataError("binding");
  const attachments = fields.objects("attachments", 100).map((entry) => ({
    i: entry.number("i"), name: entry.text("name"), type: entry.text("type"), size: entry.number("size"), done: entry.boolean("done"),
  }));
  const to = /** @type {"sender" | "all"} */ (fields.check("to", ["sender", "all"]));
  return { re: fields.id("re"), to, subject: fields.text("subject"), text: fields.text("text"), time: fields.time("time"), key: fields.octets("key", 32), next: fields.number("next"), attachments };
}

/** Half of a surrogate pair has no UTF-8. @param {string} text */
function wellFormed(text) {
  return text.replace(/[\ud800-\udfff]/gu, "\ufffd");
}
