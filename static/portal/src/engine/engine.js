/**
 * The one object a page makes: API client, Argon2 worker, tab storage and the portal's id, and what stands on them.
 * Touches no document. sealed-mailbox 10-14.
 */
import { checkSupport, loginId, normaliseLoginName } from "../../sealed.js";
import { Api } from "./api.js";
import { Argon } from "./argon.js";
import { openJoin } from "./join.js";
import { Mailbox } from "./mailbox.js";
import { openReply } from "./reply.js";
import { changePassword, dropTab, resume, signIn } from "./session.js";

/**
 * @typedef {Object} EngineOptions
 * @property {string} portal the portal's id, from the page's data
 * @property {Record<string, {url: string}>} [assets] from the page's data, with argon-worker.js
 * @property {import("./api.js").Api} [api] @property {import("../sealed/stretch.js").RunArgon} [argon] @property {Storage} [storage] tests give their own
 */

/** @param {EngineOptions} options @returns {Engine} */
export function createEngine(options) {
  return new Engine(options);
}

export class Engine {
  /** @type {Argon | null} */
  #worker = null;
  #workerUrl;
  #context;

  /** @param {EngineOptions} options */
  constructor({ portal, assets = {}, api = new Api(), argon, storage = globalThis.sessionStorage }) {
    this.#workerUrl = assets["argon-worker.js"]?.url ?? "";
    /** @type {import("./session.js").Context} */
    this.#context = { api, portal, storage, argon: argon ?? ((...what) => this.#startWorker().run(...what)) };
  }

  #startWorker() {
    this.#worker ??= new Argon(this.#workerUrl);
    return this.#worker;
  }

  /** Can this browser do it? Starts and warms the worker. The sign-in button waits for it. @returns {Promise<boolean>} */
  async checkSupport() {
    if (!(await checkSupport())) return false;
    try {
      await this.#startWorker().warm();
      return true;
    } catch {
      return false;
    }
  }

  /** @param {{loginName: string, password: string, code?: string}} typed @returns {Promise<import("./session.js").Session>} see session.js */
  async signIn(typed) {
    return signIn(this.#context, typed);
  }

  /** After a reload or on the next page. @returns {Promise<import("./session.js").Session | null>} null: sign in again */
  async resume() {
    return resume(this.#context);
  }

  /**
   * New password = new generation. Right after signIn with mustChange the old one is not asked again, else `password` is it.
   * @param {import("./session.js").Session} session @param {{newPassword: string, password?: string, code?: string}} typed
   * @returns {Promise<import("./session.js").Session>} to be used from now on
   */
  async changePassword(session, typed) {
    return changePassword(this.#context, session, typed);
  }

  /** The same answer whether the name exists or not. @param {string} loginName */
  async forgot(loginName) {
    await this.#context.api.forgot(await loginId(this.#context.portal, normaliseLoginName(loginName)));
  }

  /** Ends the tab even when the portal does not answer. @param {import("./session.js").Session | null} [session] */
  async signOut(session) {
    dropTab(this.#context.storage);
    if (session) session.auth = null;
    await this.#context.api.logout();
  }

  /** @returns {Promise<{id: string, current: boolean, browser: string, since: string, seen: string}[]>} */
  async listSessions() {
    return (await this.#context.api.listSessions()).sessions;
  }

  /** @param {string} id "all": every one but this */
  async endSession(id) {
    const ids = id === "all" ? (await this.listSessions()).filter(({ current }) => !current).map((one) => one.id) : [id];
    for (const one of ids) await this.#context.api.endSession(one);
  }

  /** @param {import("./session.js").Session} session @returns {Mailbox} */
  openMailbox(session) {
    return new Mailbox(this.#context, session);
  }

  /** PDF reply page. @param {{token: string, box: string, form: "b32" | "digits" | "words", secret: string, code?: string}} typed @returns {Promise<import("./reply.js").ReplyTicket>} */
  async openReply(typed) {
    return openReply(this.#context, typed);
  }

  /** Registration link. @param {{id: string, fragment: string}} link fragment: location.hash @returns {Promise<import("./join.js").Invitation>} */
  async openJoin(link) {
    return openJoin(this.#context, link);
  }
}
