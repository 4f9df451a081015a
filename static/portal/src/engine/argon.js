/**
 * Argon2id in a worker. Made as soon as a password may be typed, and warmed by a small run, which takes the compiling
 * out of the sign-in. sealed-mailbox 4, 10: its URL goes through the Trusted Types policy `letterlock`.
 */
/** Twice over the memory: the second pass is code of its own. */
const WARM = { memory: 4096, passes: 2 };

/** @type {{createScriptURL: (url: string) => string} | null} */
let policy = null;

/** Only a file of ours by its hashed name. @param {string} untrustedUrl */
function checkUrl(untrustedUrl) {
  const url = new URL(untrustedUrl, location.href);
  if (url.origin !== location.origin || !/^\/[\w/.-]*argon-worker[\w-]*\.js$/.test(url.pathname)) throw new TypeError("no worker of ours");
  return url.href;
}

/** @param {string} url @returns {any} TrustedScriptURL where the browser knows it */
function trustUrl(url) {
  const { trustedTypes } = /** @type {any} */ (globalThis);
  policy ??= trustedTypes ? trustedTypes.createPolicy("letterlock", { createScriptURL: checkUrl }) : { createScriptURL: checkUrl };
  return /** @type {any} */ (policy).createScriptURL(url);
}

export class Argon {
  #worker;
  #next = 1;
  /** @type {Map<number, {resolve: (master: Uint8Array) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();
  /** Its script did not load or broke off: nothing answers any more. */
  failed = false;

  /** @param {string} url of argon-worker.js */
  constructor(url) {
    this.#worker = new Worker(trustUrl(url), { type: "module", name: "argon" });
    this.#worker.addEventListener("message", ({ data }) => {
      const one = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.failed) one?.reject(new Error("Argon2id failed: too little memory?"));
      else one?.resolve(data.master);
    });
    this.#worker.addEventListener("error", () => {
      this.failed = true;
      for (const { reject } of this.#waiting.values()) reject(new Error("the worker for Argon2id did not start"));
      this.#waiting.clear();
    });
  }

  /** @returns {Promise<void>} resolves when the worker is compiled and has run */
  async warm() {
    await this.run(new Uint8Array(12), new Uint8Array(16), WARM);
  }

  /** Room for a run that is about to come. @param {number} memory KiB */
  prepare(memory) {
    this.#worker.postMessage({ memory });
  }

  /** Nothing may be under way. */
  end() {
    this.#worker.terminate();
  }

  /** @type {import("../sealed/stretch.js").RunArgon} */
  run = (secret, salt, parameters) =>
    new Promise((resolve, reject) => {
      const id = this.#next;
      this.#next += 1;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, secret, salt, parameters });
    });
}
