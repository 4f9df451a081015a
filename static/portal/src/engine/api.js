/**
 * The portal's browser API as functions. sealed-mailbox 14. Parses no sealed thing and keeps nothing.
 * Unsafe calls carry X-Letterlock, which no foreign page can send, and all of them the open box. Rejects with ApiError or OfflineError.
 */
import { ApiError, OfflineError } from "./errors.js";

const SHORT = 30_000;
const LONG = 180_000;
const WAITS = [500, 2000];
/** Answers of a proxy or a portal that starts: the same octets may be sent again. */
const BRIEF = [502, 503, 504];

export class Api {
  /** The box that this page has open, once it is known; a session of another one does nothing for it. */
  box = "";
  #base;
  #fetch;

  /** @param {{base?: string, fetch?: typeof fetch}} [options] base: prefix of /api */
  constructor({ base = "", fetch = globalThis.fetch.bind(globalThis) } = {}) {
    this.#base = `${base}/api`;
    this.#fetch = fetch;
  }

  /** @param {{login_id?: string, token?: string, kdf: number, auth: string}} body @returns {Promise<any>} */
  login(body) { return this.#json("POST", "/login", body); }
  getSession() { return this.#json("GET", "/session"); }
  /** @param {{capsule: string, sig: string, auth: string}} body @returns {Promise<{state: string, gen: number, half: string}>} the same octets again are answered alike */
  rekey(body) { return this.#json("POST", "/rekey", body, { tries: 2 }); }
  logout() { return this.#json("POST", "/logout", {}); }
  listSessions() { return this.#json("GET", "/sessions"); }
  /** @param {string} id */
  endSession(id) { return this.#json("POST", "/sessions/end", { id }); }
  /** @param {string} loginId */
  forgot(loginId) { return this.#json("POST", "/forgot", { login_id: loginId }); }
  getCards() { return this.#json("GET", "/cards"); }
  /** @param {{before?: number, limit?: number}} page @returns {Promise<{messages: any[], more: boolean}>} */
  listMessages({ before, limit = 50 }) {
    return this.#json("GET", `/messages?limit=${limit}${before === undefined ? "" : `&before=${before}`}`);
  }
  /** @param {string} id @param {number} i @param {number} n @param {AbortSignal} [signal] @returns {Promise<Uint8Array>} one sealed chunk */
  async getBlob(id, i, n, signal) {
    const answer = await this.#call("GET", `/blobs/${id}/${i}/${n}`, { signal, tries: 3, timeout: LONG });
    return this.#read(async () => new Uint8Array(await answer.arrayBuffer()), signal);
  }
  listDrafts() { return this.#json("GET", "/drafts"); }
  /** @param {string} id @returns {Promise<{id: string, rev: number, sealed: string, parts: {i: number, chunks: number[]}[]}>} */
  getDraft(id) { return this.#json("GET", `/drafts/${id}`); }
  /** @param {string} id @param {{rev: number, sealed: string}} body rev: the one it replaces, 0 for a new draft @returns {Promise<{rev: number}>} */
  putDraft(id, body) { return this.#json("PUT", `/drafts/${id}`, body); }
  /** @param {string} id */
  deleteDraft(id) { return this.#json("DELETE", `/drafts/${id}`); }
  /** @param {string} id @param {number} i @param {number} n @param {Uint8Array} sealed @param {AbortSignal} [signal] */
  async putChunk(id, i, n, sealed, signal) {
    const type = "application/octet-stream";
    await this.#call("PUT", `/drafts/${id}/${i}/${n}`, { body: sealed, type, signal, tries: 3, timeout: LONG });
  }
  /** @param {object} body @returns {Promise<{seq: number}>} the same octets again are answered alike; what is small leaves even if the page goes */
  send(body) { return this.#json("POST", "/send", body, { tries: 3, keepalive: !("self" in body && body.self) }); }
  /** @param {{before?: number}} page @returns {Promise<{sent: any[], more: boolean}>} */
  listSent({ before }) { return this.#json("GET", `/sent${before === undefined ? "" : `?before=${before}`}`); }
  /** @param {string} id */
  getJoin(id) { return this.#json("GET", `/join/${id}`); }
  /** @param {{id: string, card: number, sealed: string}} body */
  join(body) { return this.#json("POST", "/join", body, { tries: 3 }); }

  /** @param {string} method @param {string} path @param {object} [body] @param {{tries?: number, keepalive?: boolean}} [options] @returns {Promise<any>} */
  async #json(method, path, body, { tries = method === "GET" ? 3 : 1, keepalive = false } = {}) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const answer = await this.#call(method, path, { body: text, type: "application/json", tries, timeout: SHORT, keepalive });
    const read = await this.#read(() => answer.text());
    try {
      return read ? JSON.parse(read) : {};
    } catch {
      throw new ApiError(answer.status, {});
    }
  }

  /** A body that breaks off. @template T @param {() => Promise<T>} act @param {AbortSignal} [signal] @returns {Promise<T>} */
  async #read(act, signal) {
    try {
      return await act();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new OfflineError(error);
    }
  }

  /**
   * @param {string} method @param {string} path
   * @param {{body?: BodyInit, type?: string, signal?: AbortSignal, tries: number, timeout: number, keepalive?: boolean}} options @returns {Promise<Response>} 2xx
   */
  async #call(method, path, options) {
    for (let tried = 1; ; tried += 1) {
      try {
        return await this.#once(method, path, options);
      } catch (error) {
        const isBrief = error instanceof OfflineError || (error instanceof ApiError && BRIEF.includes(error.status));
        if (!isBrief || tried >= options.tries) throw error;
        await new Promise((resolve) => setTimeout(resolve, WAITS[tried - 1]));
        options.signal?.throwIfAborted();
      }
    }
  }

  /** @param {string} method @param {string} path @param {{body?: BodyInit, type?: string, signal?: AbortSignal, timeout: number, keepalive?: boolean}} options @returns {Promise<Response>} */
  async #once(method, path, { body, type, signal, timeout, keepalive }) {
    /** @type {Record<string, string>} */
    const headers = method === "GET" ? {} : { "X-Letterlock": "1" };
    if (body !== undefined && type) headers["Content-Type"] = type;
    if (this.box) headers["X-Letterlock-Box"] = this.box;
    const limit = AbortSignal.timeout(timeout);
    /** @type {Response} */
    let answer;
    try {
      answer = await this.#fetch(this.#base + path, {
        method,
        headers,
        body,
        signal: joinSignals(signal, limit),
        keepalive,
        cache: "no-store",
        credentials: "same-origin",
        redirect: "error",
        referrerPolicy: "no-referrer",
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw new OfflineError(error);
    }
    if (answer.ok) return answer;
    const untrusted = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, untrusted !== null && typeof untrusted === "object" ? untrusted : {});
  }
}

/** @param {AbortSignal | undefined} stop @param {AbortSignal} limit @returns {AbortSignal} Safari before 17.4 cannot join: there the reader's goes first */
function joinSignals(stop, limit) {
  if (!stop) return limit;
  return AbortSignal.any ? AbortSignal.any([stop, limit]) : stop;
}
