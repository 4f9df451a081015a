/**
 * Argon2id 1.3 of one lane, 32 octets out (RFC 9106), over BLAKE2b (RFC 7693), in WebAssembly with 128-bit vectors.
 *
 * The module is put together here from one text for both permutations: that is a third of what a compiled module takes,
 * nobody has to trust a binary, and the product of two halves is one instruction (i64x2.extmul_low_i32x4_u), which
 * compilers do not find. Why not a library: docs/adr/0007. It takes no parameters from a server: see stretch.js.
 */
import { concat } from "./encoding.js";

// Memory, in octets: BLAKE2b's state, message block and working vector; the block between the halves of Argon2's
// permutation; three blocks for addresses; then the lane; behind it the addresses of one segment.
const [STATE, MESSAGE, WORKING, BETWEEN, ZERO, INPUT, MIDDLE, LANE] = [0, 64, 192, 1024, 2048, 3072, 4096, 8192];
const BLOCK = 1024;
const PAGE = 65536;
const SYSTEM_PAGE = 4096;
const TAG = 32;
const [VERSION, TYPE_ID] = [0x13, 2];
const SLICES = 4;
const IV = Uint32Array.of(
  0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
  0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19,
);
// RFC 7693, 2.7. Rounds 10 and 11 are the first two again.
const SIGMA =
  "0123456789abcdef ea489fd61c02b753 b8c052fdae367194 7931dcbe265a40f8 905724afe1bc683d 2c6a0b834d75fe19" +
  " c51fed4a0763928b db7ec13950f4862a 6fe9b308c2d714a5 a2847615fb9e3cd0 0123456789abcdef ea489fd61c02b753";

// --- the module: each function gives octets of WebAssembly's binary format (W3C WebAssembly 2.0, 5) ------------------

/** @typedef {(number | Code)[]} Code */

/** LEB128, unsigned. @param {number} value @returns {number[]} */
const leb = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);
/** LEB128, signed, of a positive number: a digit more where the first bit would read as a sign. @param {number} value @returns {number[]} */
const signed = (value) => (value < 64 ? [value] : [(value & 127) | 128, ...signed(value >>> 7)]);
/** @param {number} value @returns {Code} */
const i32 = (value) => [0x41, signed(value)];
/** @param {number} local @returns {Code} */
const get = (local) => [0x20, local];
/** @param {number} local @returns {Code} */
const set = (local) => [0x21, local];
/** @param {number} local @returns {Code} */
const tee = (local) => [0x22, local];
/** @param {number} opcode @returns {Code} */
const vector = (opcode) => [0xfd, leb(opcode)];
/** v128.load of the address below. @param {number} offset @returns {Code} */
const load = (offset) => [vector(0x00), 4, leb(offset)];
/** @param {number} offset @returns {Code} */
const store = (offset) => [vector(0x0b), 4, leb(offset)];
const [I32_ADD, I32_SUB, I32_SHL, I32_LESS] = [0x6a, 0x6b, 0x74, 0x49];
const [END, XOR, OR, ADD] = [0x0b, vector(0x51), vector(0x50), vector(0xce)];
const PRODUCT = vector(0xde);
/** i8x16.shuffle by numbers of octets. @param {number[]} lanes @returns {Code} */
const shuffle = (lanes) => [vector(0x0d), lanes];
/** Both numbers turned right by so many octets. @param {number} by @returns {Code} */
const turn = (by) => shuffle(Array.from({ length: 16 }, (_, k) => (k & 8) | ((k + by) & 7)));
/** High half of the first operand, low half of the second. @type {Code} */
const ACROSS = shuffle(Array.from({ length: 16 }, (_, k) => k + 8));
/** The low 32 bits of both numbers side by side. */
const LOW = shuffle([0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);
/** Types of values. */
const [V128, I32, I64] = [0x7b, 0x7f, 0x7e];

/**
 * The rounds that BLAKE2b and Argon2 share, on eight vectors v0..v15 in locals from `at`: columns, then diagonals.
 * @param {number} at @param {number} spare a local @param {((half: number, step: number, pair: number) => Code) | null} message
 *   BLAKE2b's words to add; null: Argon2's product instead
 * @returns {Code}
 */
function permute(at, spare, message) {
  const [a, b, c, d] = [0, 2, 4, 6].map((row) => [at + row, at + row + 1]);
  /** @param {number} x @param {number} y @param {Code} [words] @returns {Code} x += y, and what is added besides */
  const mix = (x, y, words = []) => {
    const product = [get(x), get(x), LOW, get(y), get(y), LOW, PRODUCT, tee(spare), get(spare), ADD, ADD];
    return [get(x), get(y), ADD, message ? words : product, set(x)];
  };
  /** @param {number} x @param {number} y @param {number} by octets @returns {Code} x = (x ^ y) >>> 8 by */
  const twist = (x, y, by) => [get(x), get(y), XOR, tee(spare), get(spare), turn(by), set(x)];
  /** @param {number} x @param {number} y @returns {Code} by 63 bits: x << 1 | x >>> 63 */
  const twistLast = (x, y) => [get(x), get(y), XOR, tee(spare), get(spare), ADD, get(spare), i32(63), vector(0xcd), OR, set(x)];
  /** @param {number[]} C @param {number[]} B @param {number[]} D @param {number} half @returns {Code} */
  const quarter = (B, C, D, half) => {
    /** @param {(pair: number) => Code} act @returns {Code} both pairs in turn, so that neither waits for the other */
    const both = (act) => [act(0), act(1)];
    /** @param {number} step @param {number} pair */
    const words = (step, pair) => (message ? [message(half, step, pair), ADD] : []);
    return [
      both((k) => mix(a[k], B[k], words(0, k))), both((k) => twist(D[k], a[k], 4)),
      both((k) => mix(C[k], D[k])), both((k) => twist(B[k], C[k], 3)),
      both((k) => mix(a[k], B[k], words(1, k))), both((k) => twist(D[k], a[k], 2)),
      both((k) => mix(C[k], D[k])), both((k) => twistLast(B[k], C[k])),
    ];
  };
  /** A row's two vectors from x and y, each of the high half of one and the low half of the other. @param {number[]} row @param {number} x @param {number} y @returns {Code} */
  const shift = (row, x, y) => [get(x), get(y), ACROSS, get(y), get(x), ACROSS, set(row[1]), set(row[0])];
  return [
    quarter(b, c, d, 0),
    shift(b, b[0], b[1]), shift(d, d[1], d[0]),
    // Row c is moved on by two: its vectors change places.
    quarter(b, [c[1], c[0]], d, 1),
    shift(b, b[1], b[0]), shift(d, d[0], d[1]),
  ];
}

const eight = [0, 1, 2, 3, 4, 5, 6, 7];
/** @param {number} local @param {number} step @param {number} end @param {Code} body @returns {Code} body for 0, step, 2 step ... below end */
const count = (local, step, end, body) => [i32(0), set(local), 0x03, 0x40, body, get(local), i32(step), I32_ADD, tee(local), i32(end), I32_LESS, 0x0d, 0, END];

/** Argon2's G (RFC 9106, 3.5) of the blocks at parameters 0 and 1, to 2. @param {boolean} isLater pass: what lies at 2 is added */
function writeCompress(isLater) {
  const [previous, reference, out, offset, at, spare] = [0, 1, 2, 3, 4, 12];
  /** @param {number} block @param {number} place @returns {Code} */
  const loadFrom = (block, place) => [get(block), get(offset), I32_ADD, load(place)];
  /** @param {number} place @returns {Code} */
  const loadInput = (place) => [loadFrom(previous, place), loadFrom(reference, place), XOR];
  const rows = [
    eight.map((k) => [loadInput(16 * k), set(at + k)]),
    permute(at, spare, null),
    eight.map((k) => [get(offset), get(at + k), store(BETWEEN + 16 * k)]),
  ];
  const columns = [
    eight.map((k) => [get(offset), load(BETWEEN + 128 * k), set(at + k)]),
    permute(at, spare, null),
    eight.map((k) => {
      const feed = [loadInput(128 * k), XOR, isLater ? [loadFrom(out, 128 * k), XOR] : []];
      return [get(out), get(offset), I32_ADD, get(at + k), feed, store(128 * k)];
    }),
  ];
  return { locals: [[1, I32], [9, V128]], code: [count(offset, 128, 1024, rows), count(offset, 16, 128, columns)] };
}

/** Blocks of a segment (RFC 9106, 3.3, 3.4). Parameters: block, end, size of the reference set, its start, blocks in all, table of addresses or 0, is later pass. */
function writeFill() {
  const [block, end, area, start, all, table, isLater, previous, out, reference, number] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  /** @param {Code} index @returns {Code} */
  const address = (index) => [index, i32(10), I32_SHL, i32(LANE), I32_ADD];
  const [I64_MUL, I64_SHR, I64_OF, I32_OF] = [0x7e, 0x88, 0xad, 0xa7];
  const halve = [0x42, 32, I64_SHR];
  /** @param {number} of @returns {Code} */
  const call = (of) => [get(previous), get(reference), get(out), 0x10, of];
  const code = [
    0x03, 0x40,
    address([get(block)]), set(out),
    address([get(block), get(all), get(block), 0x1b, i32(1), I32_SUB]), set(previous),
    // x = J1^2 >> 32; y = area x >> 32; z = area - 1 - y
    get(table), get(previous), get(table), 0x1b, 0x35, 2, 0, tee(number), get(number), I64_MUL, halve, get(area), I64_OF, I64_MUL, halve, set(number),
    get(start), get(area), I32_ADD, i32(1), I32_SUB, get(number), I32_OF, I32_SUB, tee(reference),
    // modulo the lane
    get(all), i32(0), get(reference), get(all), 0x4f, 0x1b, I32_SUB, set(reference),
    address([get(reference)]), set(reference),
    get(isLater), 0x04, 0x40, call(1), 0x05, call(0), END,
    get(table), 0x04, 0x40, get(table), i32(8), I32_ADD, set(table), END,
    get(area), i32(1), I32_ADD, set(area),
    get(block), i32(1), I32_ADD, tee(block), get(end), I32_LESS, 0x0d, 0, END,
  ];
  return { locals: [[3, I32], [1, I64]], code };
}

/** BLAKE2b's F (RFC 7693, 3.2) over the prepared working vector. */
function writeHash() {
  const [at, spare] = [0, 8];
  /** @param {string} order @returns {Code} */
  const round = (order) => {
    /** @param {number} k @returns {number} */
    const place = (k) => MESSAGE + 8 * Number.parseInt(order[k], 16);
    /** @param {number} half @param {number} step @param {number} pair @returns {Code} load64_zero, load64_lane */
    const words = (half, step, pair) => {
      const k = 8 * half + 4 * pair + step;
      return [i32(0), i32(0), vector(0x5d), 3, leb(place(k)), vector(0x57), 3, leb(place(k + 2)), 1];
    };
    return permute(at, spare, words);
  };
  return {
    locals: [[9, V128]],
    code: [
      eight.map((k) => [i32(0), load(WORKING + 16 * k), set(at + k)]),
      SIGMA.split(" ").map(round),
      [0, 1, 2, 3].map((k) => [i32(0), i32(0), load(STATE + 16 * k), get(at + k), XOR, get(at + k + 4), XOR, store(STATE + 16 * k)]),
    ],
  };
}

/** @returns {Uint8Array} the module: memory, compress, fill and hash */
function writeModule() {
  /** @param {number} id @param {Code} body @returns {number[]} */
  const section = (id, body) => {
    const octets = /** @type {number[]} */ (body.flat(Infinity));
    return [id, ...leb(octets.length), ...octets];
  };
  /** @param {string} name @param {number} kind @param {number} index @returns {Code} */
  const exported = (name, kind, index) => [name.length, [...name].map((letter) => letter.charCodeAt(0)), kind, index];
  const functions = [writeCompress(false), writeCompress(true), writeFill(), writeHash()].map(({ locals, code }) => {
    const octets = /** @type {number[]} */ ([locals.length, locals, code, END].flat(Infinity));
    return [leb(octets.length), octets];
  });
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [3, 0x60, 3, I32, I32, I32, 0, 0x60, 7, Array(7).fill(I32), 0, 0x60, 0, 0]),
    ...section(3, [4, 0, 0, 1, 2]),
    ...section(5, [1, 0, 1]),
    ...section(7, [4, exported("memory", 2, 0), exported("compress", 0, 0), exported("fill", 0, 2), exported("hash", 0, 3)]),
    ...section(10, [functions.length, functions]),
  ]);
}

// --- the algorithm ------------------------------------------------------------------------------------------------------

/** @param {...number} values @returns {Uint8Array} 32 bits each, little-endian */
function words(...values) {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, k) => view.setUint32(4 * k, value, true));
  return new Uint8Array(view.buffer);
}

/** One instance with its own memory, which keeps what the last run left until wipe(). Throws where WebAssembly or its vectors are missing. */
export class Argon2 {
  #exports;

  constructor() {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(writeModule()));
    this.#exports = /** @type {{memory: WebAssembly.Memory, compress: Function, fill: Function, hash: Function}} */ (/** @type {unknown} */ (exports));
  }

  /** @param {number} start @param {number} length @returns {Uint8Array} */
  #octets(start, length) {
    return new Uint8Array(this.#exports.memory.buffer, start, length);
  }

  /** Makes room for a run. Each page is written to, for that is when the system gives it: a fifth of a run's time. @param {number} memory KiB */
  prepare(memory) {
    const before = this.#exports.memory.buffer.byteLength;
    const blocks = SLICES * Math.floor(memory / SLICES);
    const missing = LANE + blocks * BLOCK + Math.ceil(blocks / SLICES / 128) * BLOCK - before;
    if (missing <= 0) return;
    this.#exports.memory.grow(Math.ceil(missing / PAGE));
    const octets = this.#octets(0, this.#exports.memory.buffer.byteLength);
    for (let at = before; at < octets.length; at += SYSTEM_PAGE) octets[at] = 0;
  }

  /** Nothing of a run is left. */
  wipe() {
    this.#octets(0, this.#exports.memory.buffer.byteLength).fill(0);
  }

  /** BLAKE2b without key. @param {number} length at most 64 @param {...Uint8Array} parts @returns {Uint8Array} */
  hash(length, ...parts) {
    const input = concat(...parts);
    const [state, working] = [this.#words(STATE, 16), this.#words(WORKING, 32)];
    state.set(IV);
    state[0] ^= 0x01010000 ^ length;
    for (let done = 0; ; ) {
      const piece = input.subarray(done, done + 128);
      done += piece.length;
      const last = done >= input.length;
      const message = this.#octets(MESSAGE, 128).fill(0);
      message.set(piece);
      working.set(state);
      working.set(IV, 16);
      working[24] ^= done;
      if (last) for (const k of [28, 29]) working[k] = ~working[k];
      this.#exports.hash();
      if (last) return this.#octets(STATE, length).slice();
    }
  }

  /** @param {number} start @param {number} count @returns {Uint32Array} the processor's own order, which is WebAssembly's everywhere that browsers run */
  #words(start, count) {
    return new Uint32Array(this.#exports.memory.buffer, start, count);
  }

  /** H' (RFC 9106, 3.3) of 1024 octets. @param {Uint8Array} input @param {number} at where they go */
  #expand(input, at) {
    let value = this.hash(64, words(BLOCK), input);
    for (let place = 0; place < BLOCK - 64; place += 32) {
      this.#octets(at + place, 32).set(value.subarray(0, 32));
      value = this.hash(64, value);
    }
    this.#octets(at + BLOCK - 64, 64).set(value);
  }

  /** The addresses of a segment that must not depend on the password (RFC 9106, 3.4.1.2). @param {number} at @param {number} slice @param {number} blocks @param {number} passes */
  #address(at, slice, blocks, passes) {
    this.#octets(ZERO, 2 * BLOCK).fill(0);
    const input = this.#words(INPUT, 16);
    [input[4], input[6], input[8], input[10]] = [slice, blocks, passes, TYPE_ID];
    for (let k = 0; k < blocks / SLICES / 128; k += 1) {
      input[12] = k + 1;
      this.#exports.compress(ZERO, INPUT, MIDDLE);
      this.#exports.compress(ZERO, MIDDLE, at + k * BLOCK);
    }
  }

  /**
   * @param {Uint8Array} secret @param {Uint8Array} salt @param {{memory: number, passes: number}} parameters memory in KiB, at least 8
   * @returns {Uint8Array} 32 octets. Throws RangeError where the memory cannot be had
   */
  run(secret, salt, { memory, passes }) {
    this.prepare(memory);
    const blocks = SLICES * Math.floor(memory / SLICES);
    const segment = blocks / SLICES;
    const table = LANE + blocks * BLOCK;
    const start = this.hash(64, words(1, TAG, memory, passes, VERSION, TYPE_ID), words(secret.length), secret, words(salt.length), salt, words(0, 0));
    for (const k of [0, 1]) this.#expand(concat(start, words(k, 0)), LANE + k * BLOCK);
    for (let pass = 0; pass < passes; pass += 1) {
      for (let slice = 0; slice < SLICES; slice += 1) {
        const isBlind = pass === 0 && slice < 2;
        if (isBlind) this.#address(table, slice, blocks, passes);
        const first = pass || slice ? 0 : 2;
        const begin = slice * segment;
        const area = (pass ? blocks - segment : begin) - 1 + first;
        const origin = pass && slice < SLICES - 1 ? begin + segment : 0;
        this.#exports.fill(begin + first, begin + segment, area, origin, blocks, isBlind ? table + 8 * first : 0, pass);
      }
    }
    const last = this.#octets(LANE + (blocks - 1) * BLOCK, BLOCK);
    return this.hash(TAG, words(TAG), last);
  }
}
