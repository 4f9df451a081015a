/** What every page's engine has: API client, Argon2 worker, tab storage, the portal's id. Touches no document. */
import { checkSupport, KDF_PARAMETERS } from "../../sealed.js";
import { Api } from "./api.js";
import { Argon } from "./argon.js";

/**
 * @typedef {Object} EngineOptions
 * @property {string} portal the portal's id, from the page's data
 * @property {Record<string, {url: string}>} [assets] from the page's data, with argon-worker.js
 * @property {import("./api.js").Api} [api] @property {import("../sealed/stretch.js").RunArgon} [argon] @property {Storage} [storage] tests give their own
 */

export class CoreEngine {
  /** @type {Argon | null} */
  #worker = null;
  #workerUrl;

  /** @param {EngineOptions} options */
  constructor({ portal, assets = {}, api = new Api(), argon, storage = globalThis.sessionStorage }) {
    this.#workerUrl = assets["argon-worker.js"]?.url ?? "";
    /** @type {import("./session.js").Context} */
    this.context = { api, portal, storage, argon: argon ?? ((...what) => this.#startWorker().run(...what)) };
  }

  #startWorker() {
    if (this.#worker?.failed) this.endWorker();
    this.#worker ??= new Argon(this.#workerUrl);
    return this.#worker;
  }

  /** Somebody types: whatever the password is, it needs this much memory. */
  prepareWorker() {
    this.#startWorker().prepare(KDF_PARAMETERS[1].memory);
  }

  /** Ends the worker, and with it the memory that a password went through. The next password starts another. */
  endWorker() {
    this.#worker?.end();
    this.#worker = null;
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
}
