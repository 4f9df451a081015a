/** Parts on their way: fetched and verified to the last chunk, or sealed once and sent until stored. sealed-mailbox 9. */
import { CHUNK, countChunks, derivePartKey, PartOpener, PartSealer } from "../../sealed.js";

/** Types a browser draws by itself without running anything; every other part is octets. */
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/**
 * @param {import("./api.js").Api} api @param {{id: string, key: Uint8Array}} from message or sent item @param {import("../sealed/down.js").Part} part
 * @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options]
 * @returns {Promise<Blob>} the whole part; rejects SealedDataError, ApiError, OfflineError, AbortError and then hands out nothing
 */
export async function downloadPart(api, { id, key }, part, { signal, onProgress } = {}) {
  const opener = new PartOpener(await derivePartKey(key, id, part.i), part.size);
  /** @type {Blob[]} */
  const pieces = [];
  for (let n = 0; n < opener.count; n += 1) {
    signal?.throwIfAborted();
    // A Blob for each megabyte: the browser may keep large files out of memory.
    pieces.push(new Blob([await opener.open(await api.getBlob(id, part.i, n, signal))]));
    onProgress?.(Math.min((n + 1) * CHUNK, part.size), part.size);
  }
  opener.finish();
  return new Blob(pieces, { type: PICTURES.includes(part.type) ? part.type : "application/octet-stream" });
}

/** One file on its way to the portal under one part number. */
export class Upload {
  #api;
  #id;
  #file;
  #messageKey;
  /** @type {PartSealer | null} */
  #sealer = null;
  /** Sealed and not known to be stored: sent again as it is. @type {Map<number, Uint8Array>} */
  #waiting = new Map();
  /** @type {Set<number>} */
  #stored = new Set();

  /** @param {import("./api.js").Api} api @param {{id: string, key: Uint8Array, i: number, file: Blob}} what */
  constructor(api, { id, key, i, file }) {
    this.#api = api;
    this.#id = id;
    this.#messageKey = key;
    this.#file = file;
    this.i = i;
    this.size = file.size;
    this.count = countChunks(file.size);
  }

  /** Octets stored at the portal. */
  get done() {
    const whole = this.#stored.has(this.count - 1) ? this.#stored.size - 1 : this.#stored.size;
    return whole * CHUNK + (this.#stored.has(this.count - 1) ? this.size - (this.count - 1) * CHUNK : 0);
  }

  /**
   * Sends what is missing; may be called again after a failure or an abort.
   * @param {{signal?: AbortSignal, onProgress?: (done: number, size: number) => void}} [options]
   */
  async run({ signal, onProgress } = {}) {
    this.#sealer ??= new PartSealer(await derivePartKey(this.#messageKey, this.#id, this.i), this.size);
    for (let n = 0; n < this.count; n += 1) {
      if (this.#stored.has(n)) continue;
      signal?.throwIfAborted();
      await this.#api.putChunk(this.#id, this.i, n, await this.#seal(n), signal);
      this.#waiting.delete(n);
      this.#stored.add(n);
      onProgress?.(this.done, this.size);
    }
  }

  /** @param {number} n @returns {Promise<Uint8Array>} the same octets however often it is asked */
  async #seal(n) {
    const known = this.#waiting.get(n);
    if (known) return known;
    const plaintext = new Uint8Array(await this.#file.slice(n * CHUNK, (n + 1) * CHUNK).arrayBuffer());
    const sealed = await /** @type {PartSealer} */ (this.#sealer).seal(n, plaintext);
    this.#waiting.set(n, sealed);
    return sealed;
  }

  /** After a failure: asks which chunks the portal has, so that none is sent twice. */
  async refresh() {
    const { parts } = await this.#api.getDraft(this.#id);
    const stored = parts.find((part) => part.i === this.i)?.chunks ?? [];
    for (const n of stored) {
      // Only chunks that this upload sealed count: another writer's octets under our number would not open.
      if (this.#waiting.delete(n)) this.#stored.add(n);
    }
  }
}
