/**
 * How bytes and structures are written: PAE, base64url, strict JSON, ids, times. sealed-mailbox 3.
 * Knows no key. What is signed or sealed is kept as bytes and never written again from what was read.
 */
import { SealedDataError } from "./errors.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Map([...ALPHABET].map((character, value) => [character.charCodeAt(0), value]));
const ID = /^[A-Za-z0-9_-]{21}[AQgw]$/;
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/;
const SURROGATE = /[\ud800-\udfff]/u;

/** Random octets. @param {number} length @returns {Uint8Array} */
export function randomBytes(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** @param {string} text @returns {Uint8Array} UTF-8 */
export function toUtf8(text) {
  return encoder.encode(text);
}

/** @param {Uint8Array[]} pieces @returns {Uint8Array} */
export function concat(...pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Are two byte strings equal? For public values; no secret is compared in the browser. @param {Uint8Array} a @param {Uint8Array} b */
export function sameBytes(a, b) {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

/**
 * Pre-authentication encoding. @param {...(string | number | Uint8Array)} elements text, whole numbers from 0, octets
 * @returns {Uint8Array}
 */
export function pae(...elements) {
  const pieces = [];
  for (const element of elements) {
    if (typeof element === "number" && !(Number.isSafeInteger(element) && element >= 0)) throw new TypeError("PAE: not a whole number");
    const octets = element instanceof Uint8Array ? element : encoder.encode(String(element));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, octets.length);
    pieces.push(length, octets);
  }
  return concat(...pieces);
}

/** @param {Uint8Array} octets @returns {string} base64url without padding */
export function toB64(octets) {
  const pieces = [];
  for (let at = 0; at < octets.length; at += 3) {
    const word = (octets[at] << 16) | ((octets[at + 1] ?? 0) << 8) | (octets[at + 2] ?? 0);
    pieces.push(ALPHABET[word >> 18], ALPHABET[(word >> 12) & 63], ALPHABET[(word >> 6) & 63], ALPHABET[word & 63]);
  }
  const text = pieces.join("");
  return text.slice(0, text.length - ((3 - (octets.length % 3)) % 3));
}

/**
 * Only the one spelling that re-encodes to itself. @param {unknown} untrustedText @param {number} [length] octets, exactly
 * @returns {Uint8Array}
 */
export function fromB64(untrustedText, length) {
  if (typeof untrustedText !== "string" || untrustedText.length % 4 === 1) throw new SealedDataError("format");
  const octets = new Uint8Array(Math.floor((untrustedText.length * 3) / 4));
  let word = 0;
  let bits = 0;
  let at = 0;
  for (let index = 0; index < untrustedText.length; index += 1) {
    const value = VALUES.get(untrustedText.charCodeAt(index));
    if (value === undefined) throw new SealedDataError("format");
    word = ((word << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      octets[at] = (word >> bits) & 255;
      at += 1;
    }
  }
  if ((word & ((1 << bits) - 1)) !== 0) throw new SealedDataError("format");
  if (length !== undefined && octets.length !== length) throw new SealedDataError("format");
  return octets;
}

/** @returns {string} a new id: 16 random octets as 22 characters */
export function newId() {
  return toB64(randomBytes(16));
}

/** @param {unknown} untrusted */
export function isId(untrusted) {
  return typeof untrusted === "string" && ID.test(untrusted);
}

/** @param {Date} [at] @returns {string} */
export function formatTime(at = new Date()) {
  return `${at.toISOString().slice(0, 19)}Z`;
}

/** @param {object} fields names in the order given @returns {Uint8Array} */
export function writeJson(fields) {
  return encoder.encode(JSON.stringify(fields));
}

/**
 * Strict JSON: UTF-8, one object, whole numbers from 0 to 2^53-1, no name twice, no half of a surrogate pair.
 * @param {Uint8Array} untrustedOctets @param {number} limit octets, else `size` @returns {Record<string, unknown>}
 */
export function readJson(untrustedOctets, limit) {
  if (untrustedOctets.length > limit) throw new SealedDataError("size");
  try {
    const text = decoder.decode(untrustedOctets);
    const value = JSON.parse(text);
    if (value === null || typeof value !== "object" || Array.isArray(value)) throw new SealedDataError("format");
    checkTokens(text);
    return value;
  } catch {
    throw new SealedDataError("format");
  }
}

/** What JSON.parse lets pass, on text that it took: doubled names, other numbers, broken surrogates. @param {string} text */
function checkTokens(text) {
  const tokens = /"(?:[^"\\]|\\.)*"|[-+0-9.eE]+|true|false|null|[{}[\],:]/g;
  /** @type {(Set<string> | null)[]} */
  const open = [];
  let nameNext = false;
  for (const [token] of text.matchAll(tokens)) {
    const names = open.at(-1);
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(null);
    else if (token === "}" || token === "]") open.pop();
    else if (token[0] === '"') {
      const value = JSON.parse(token);
      if (SURROGATE.test(value)) throw new SealedDataError("format");
      if (names && nameNext) {
        if (names.has(value)) throw new SealedDataError("format");
        names.add(value);
      }
    } else if (/^[-+0-9.]/.test(token) && !(/^[0-9]+$/.test(token) && Number.isSafeInteger(Number(token)))) {
      throw new SealedDataError("format");
    }
    nameNext = token === "{" || (token === "," && open.at(-1) instanceof Set);
  }
}

/** An object that was read, asked field by field; unknown names stay where they are. Refuses with `format`. */
export class Fields {
  /** @param {unknown} untrustedObject */
  constructor(untrustedObject) {
    if (untrustedObject === null || typeof untrustedObject !== "object" || Array.isArray(untrustedObject)) throw new SealedDataError("format");
    this.values = /** @type {Record<string, unknown>} */ (untrustedObject);
  }

  /** Reads octets of our version. @param {Uint8Array} untrustedOctets @param {number} limit */
  static read(untrustedOctets, limit) {
    return new Fields(readJson(untrustedOctets, limit)).checkVersion();
  }

  /** @param {string} name */
  has(name) {
    return Object.hasOwn(this.values, name);
  }

  /** @param {string} name @returns {unknown} */
  get(name) {
    return this.has(name) ? this.values[name] : undefined;
  }

  checkVersion() {
    if (this.get("v") !== 1) throw new SealedDataError("version");
    return this;
  }

  /** @param {string} name @param {readonly string[]} known @param {ConstructorParameters<typeof SealedDataError>[0]} [code] */
  check(name, known, code = "format") {
    const value = this.text(name);
    if (!known.includes(value)) throw new SealedDataError(code);
    return value;
  }

  /** @param {string} name @returns {string} */
  text(name) {
    const value = this.get(name);
    if (typeof value !== "string") throw new SealedDataError("format");
    return value;
  }

  /** @param {string} name @returns {number} a whole number from 0 */
  number(name) {
    const value = this.get(name);
    if (!Number.isSafeInteger(value) || /** @type {number} */ (value) < 0) throw new SealedDataError("format");
    return /** @type {number} */ (value);
  }

  /** @param {string} name @returns {boolean} */
  boolean(name) {
    const value = this.get(name);
    if (typeof value !== "boolean") throw new SealedDataError("format");
    return value;
  }

  /** @param {string} name @param {number} [length] @returns {Uint8Array} */
  octets(name, length) {
    return fromB64(this.get(name), length);
  }

  /** @param {string} name @returns {string} */
  id(name) {
    const value = this.get(name);
    if (!isId(value)) throw new SealedDataError("format");
    return /** @type {string} */ (value);
  }

  /** @param {string} name @returns {string} */
  time(name) {
    const value = this.text(name);
    const at = TIME.test(value) ? new Date(value) : new Date(NaN);
    if (Number.isNaN(at.getTime()) || formatTime(at) !== value) throw new SealedDataError("format");
    return value;
  }

  /** @param {string} name @returns {Fields} */
  object(name) {
    return new Fields(this.get(name));
  }

  /** @param {string} name */
  isNull(name) {
    return this.get(name) === null;
  }

  /** @param {string} name @param {number} limit more is `size` @returns {unknown[]} */
  list(name, limit) {
    const value = this.get(name);
    if (!Array.isArray(value)) throw new SealedDataError("format");
    if (value.length > limit) throw new SealedDataError("size");
    return value;
  }

  /** A list of objects. @param {string} name @param {number} limit @returns {Fields[]} */
  objects(name, limit) {
    return this.list(name, limit).map((value) => new Fields(value));
  }
}
