/**
 * HPKE (RFC 9180) of exactly the two suites in use, in base mode, one message a key, empty AAD, over WebCrypto:
 * DHKEM(X25519) and DHKEM(P-256), each with HKDF-SHA256 and AES-256-GCM. sealed-mailbox 4. Why not a library: docs/adr/0007.
 * Throws whatever WebCrypto throws; primitives.js makes one refusal of all of them.
 */
import { concat, toUtf8 } from "./encoding.js";

const subtle = globalThis.crypto.subtle;
const EMPTY = new Uint8Array(0);
const HASH = { name: "HKDF", hash: "SHA-256" };
/** Salt of HKDF-Extract where none is given: HMAC fills a shorter key with zeros (RFC 5869, 2.2). */
const NO_SALT = new Uint8Array(32);
const KDF_HKDF_SHA256 = 1;
const NONCE = 12;
/** Its number (7.3) and octets of its key. */
const AES_256_GCM = [2, 32];
/** Base mode, then psk_id and info hashed (5.1). */
const BASE = Uint8Array.of(0);

/** I2OSP(n, 2) @param {...number} values @returns {Uint8Array} */
const two = (...values) => Uint8Array.from(values.flatMap((value) => [value >> 8, value & 255]));

/** @param {Uint8Array} suiteId @param {string} label @param {...Uint8Array} parts @returns {Uint8Array} what LabeledExtract takes as key material (4) */
const labelInput = (suiteId, label, ...parts) => concat(toUtf8("HPKE-v1"), suiteId, toUtf8(label), ...parts);

/** @param {Uint8Array} suiteId @param {string} label @param {number} length @param {...Uint8Array} parts @returns {Uint8Array} info of LabeledExpand (4) */
const labelInfo = (suiteId, label, length, ...parts) => concat(two(length), labelInput(suiteId, label, ...parts));

/** HKDF-Extract alone, which WebCrypto does not have. @param {Uint8Array} input @returns {Promise<Uint8Array>} */
async function extract(input) {
  const key = await subtle.importKey("raw", NO_SALT, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", key, input));
}

/** @param {Uint8Array} input @returns {Promise<CryptoKey>} for HKDF */
const importInput = (input) => subtle.importKey("raw", input, "HKDF", false, ["deriveBits", "deriveKey"]);

export class Hpke {
  #algorithm;
  #kemId;
  #suiteId;
  /** What does not depend on the message: LabeledExtract of "psk_id_hash", key material of "secret". @type {Promise<[Uint8Array, CryptoKey]> | undefined} */
  #fixed;

  #keyLength;

  /**
   * @param {number} kem its number (7.1) @param {EcKeyImportParams | Algorithm} algorithm of its keys @param {number} length of a public key
   * @param {number[]} [aead] the RFC's own vectors for HKDF-SHA256 are of AES-128-GCM
   */
  constructor(kem, algorithm, length, [aead, keyLength] = AES_256_GCM) {
    this.#algorithm = algorithm;
    this.#keyLength = keyLength;
    this.length = length;
    this.#kemId = concat(toUtf8("KEM"), two(kem));
    this.#suiteId = concat(toUtf8("HPKE"), two(kem, KDF_HKDF_SHA256, aead));
  }

  /** @param {Uint8Array} recipient public key @param {Uint8Array} info @param {Uint8Array} plaintext @returns {Promise<Uint8Array>} enc || ct */
  async seal(recipient, info, plaintext) {
    const pair = /** @type {CryptoKeyPair} */ (await subtle.generateKey(this.#algorithm, false, ["deriveBits"]));
    const enc = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
    const { key, iv } = await this.schedule(pair.privateKey, recipient, enc, recipient, info);
    return concat(enc, new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv }, key, plaintext)));
  }

  /** @param {CryptoKey} privateKey @param {Uint8Array} pub its public half @param {Uint8Array} info @param {Uint8Array} untrustedSealed enc || ct @returns {Promise<Uint8Array>} */
  async open(privateKey, pub, info, untrustedSealed) {
    const enc = untrustedSealed.slice(0, this.length);
    const { key, iv } = await this.schedule(privateKey, enc, enc, pub, info);
    return new Uint8Array(await subtle.decrypt({ name: "AES-GCM", iv }, key, untrustedSealed.subarray(this.length)));
  }

  /**
   * What Encap and Decap share (4.1), then KeySchedule (5.1). @param {CryptoKey} own private @param {Uint8Array} theirs public
   * @param {Uint8Array} enc @param {Uint8Array} recipient public @param {Uint8Array} info @returns {Promise<{key: CryptoKey, iv: ArrayBuffer}>} of the first message
   */
  async schedule(own, theirs, enc, recipient, info) {
    this.#fixed ??= this.#makeFixed();
    const [shared, infoHash, [pskIdHash, secretInput]] = await Promise.all([
      this.#agree(own, theirs, concat(enc, recipient)),
      extract(labelInput(this.#suiteId, "info_hash", info)),
      this.#fixed,
    ]);
    const context = concat(BASE, pskIdHash, infoHash);
    /** @param {string} label @param {number} length */
    const derivation = (label, length) => ({ ...HASH, salt: shared, info: labelInfo(this.#suiteId, label, length, context) });
    const [key, iv] = await Promise.all([
      subtle.deriveKey(derivation("key", this.#keyLength), secretInput, { name: "AES-GCM", length: 8 * this.#keyLength }, false, ["encrypt", "decrypt"]),
      subtle.deriveBits(derivation("base_nonce", NONCE), secretInput, 8 * NONCE),
    ]);
    shared.fill(0);
    return { key, iv };
  }

  /** ExtractAndExpand of the Diffie-Hellman value. @param {CryptoKey} own @param {Uint8Array} theirs @param {Uint8Array} context @returns {Promise<Uint8Array>} */
  async #agree(own, theirs, context) {
    const key = await subtle.importKey("raw", theirs, this.#algorithm, false, []);
    const dh = new Uint8Array(await subtle.deriveBits({ name: this.#algorithm.name, public: key }, own, 256));
    // RFC 9180, 7.1.4: a point of small order. WebCrypto refuses it too; older ones did not.
    if (dh.every((octet) => octet === 0)) throw new RangeError("no secret");
    const input = await importInput(labelInput(this.#kemId, "eae_prk", dh));
    dh.fill(0);
    const expansion = { ...HASH, salt: NO_SALT, info: labelInfo(this.#kemId, "shared_secret", 32, context) };
    return new Uint8Array(await subtle.deriveBits(expansion, input, 256));
  }

  /** @returns {Promise<[Uint8Array, CryptoKey]>} */
  #makeFixed() {
    return Promise.all([extract(labelInput(this.#suiteId, "psk_id_hash", EMPTY)), importInput(labelInput(this.#suiteId, "secret", EMPTY))]);
  }
}
