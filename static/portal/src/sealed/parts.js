/**
 * Parts of a message in chunks of 1 MiB, one in memory at a time. sealed-mailbox 9.
 * Nonces are random: a chunk is sealed once and the same octets are sent again until stored.
 */
import { pae, randomBytes } from "./encoding.js";
import { SealedDataError } from "./errors.js";
import { GCM_OVERHEAD, hkdf, importAes, openGcm, sealGcm } from "./primitives.js";

export const CHUNK = 2 ** 20;
export const MAX_SEALED_CHUNK = CHUNK + GCM_OVERHEAD;

/** @param {number} size octets @returns {number} an empty part has one chunk, empty and last */
export function countChunks(size) {
  return Math.max(1, Math.ceil(size / CHUNK));
}

/** @returns {Uint8Array} key of one message or item, used under one id only */
export function newMessageKey() {
  return randomBytes(32);
}

/** @param {Uint8Array} messageKey @param {string} id @param {number} i @returns {Promise<CryptoKey>} */
export async function derivePartKey(messageKey, id, i) {
  const octets = await hkdf(messageKey, "LL1/part", id, i);
  const key = await importAes(octets);
  octets.fill(0);
  return key;
}

/** @param {number} size @param {number} n @returns {number} octets of chunk n */
function chunkLength(size, n) {
  return n === countChunks(size) - 1 ? size - n * CHUNK : CHUNK;
}

/** Seals the chunks of one part, each once. */
export class PartSealer {
  /** @param {CryptoKey} key of the part @param {number} size octets of the part */
  constructor(key, size) {
    this.key = key;
    this.size = size;
    this.count = countChunks(size);
    /** @type {Set<number>} */
    this.done = new Set();
  }

  /** @param {number} n @param {Uint8Array} plaintext exactly the octets of its place @returns {Promise<Uint8Array>} */
  async seal(n, plaintext) {
    if (n < 0 || n >= this.count || plaintext.length !== chunkLength(this.size, n)) throw new RangeError("not the octets of this place");
    if (this.done.has(n)) throw new RangeError("a chunk is sealed once");
    this.done.add(n);
    return sealGcm(this.key, plaintext, pae("LL1/chunk", n, n === this.count - 1 ? 1 : 0));
  }
}

/** Opens the chunks of one part in order. Hand nothing on before `finish` returned. */
export class PartOpener {
  /** @param {CryptoKey} key of the part @param {number} size from the signed manifest or item */
  constructor(key, size) {
    this.key = key;
    this.size = size;
    this.count = countChunks(size);
    this.next = 0;
  }

  /** @param {Uint8Array} untrustedChunk refuses with `auth`, `size` @returns {Promise<Uint8Array>} */
  async open(untrustedChunk) {
    const n = this.next;
    if (n >= this.count || untrustedChunk.length > MAX_SEALED_CHUNK) throw new SealedDataError("size");
    this.next += 1;
    const plaintext = await openGcm(this.key, untrustedChunk, pae("LL1/chunk", n, n === this.count - 1 ? 1 : 0));
    if (plaintext.length !== chunkLength(this.size, n)) throw new SealedDataError("size");
    return plaintext;
  }

  /** Refuses with `size` unless every chunk was opened. */
  finish() {
    if (this.next !== this.count) throw new SealedDataError("size");
  }
}
