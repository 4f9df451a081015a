/**
 * WebCrypto and HPKE under the names of sealed-mailbox 4: hkdf, gcm, Ed25519, ES256, HPKE suites 1 and 2.
 * Private keys are imported as PKCS#8 and non-extractable.
 */
import { concat, fromB64, pae, randomBytes } from "./encoding.js";
import { SealedDataError } from "./errors.js";
import { Hpke } from "./hpke.js";

const subtle = globalThis.crypto.subtle;
const NONCE = 12;
const TAG = 16;
/** Octets that gcm adds. */
export const GCM_OVERHEAD = NONCE + TAG;
export const SUITE_X25519 = 1;
export const SUITE_P256 = 2;
const SUITES = {
  [SUITE_X25519]: new Hpke(0x20, { name: "X25519" }, 32),
  [SUITE_P256]: new Hpke(0x10, { name: "ECDH", namedCurve: "P-256" }, 65),
};
// RFC 8410: PrivateKeyInfo of 32 octets, up to the octets themselves.
const PKCS8 = { X25519: hex("302e020100300506032b656e04220420"), Ed25519: hex("302e020100300506032b657004220420") };

/** @param {string} digits @returns {Uint8Array} */
function hex(digits) {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** @param {Uint8Array} octets @returns {Promise<Uint8Array>} SHA-256 */
export async function sha256(octets) {
  return new Uint8Array(await subtle.digest("SHA-256", octets));
}

/**
 * HKDF-SHA256, salt 32 zero octets, 32 octets out, info = PAE of the elements.
 * @param {Uint8Array} secret @param {...(string | number | Uint8Array)} info @returns {Promise<Uint8Array>}
 */
export async function hkdf(secret, ...info) {
  const key = await subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const bits = await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(32), info: pae(...info) }, key, 256);
  return new Uint8Array(bits);
}

/** @param {Uint8Array} octets 32 @returns {Promise<CryptoKey>} AES-256-GCM, non-extractable */
export async function importAes(octets) {
  return subtle.importKey("raw", octets, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/** @param {CryptoKey} key @param {BufferSource} plaintext @param {Uint8Array} aad @returns {Promise<Uint8Array>} nonce || ciphertext || tag */
export async function sealGcm(key, plaintext, aad) {
  const nonce = randomBytes(NONCE);
  const sealed = await subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: aad }, key, plaintext);
  return concat(nonce, new Uint8Array(sealed));
}

/** @param {CryptoKey} key @param {Uint8Array} untrustedSealed @param {Uint8Array} aad @returns {Promise<Uint8Array>} refuses with `auth` */
export async function openGcm(key, untrustedSealed, aad) {
  if (untrustedSealed.length < GCM_OVERHEAD) throw new SealedDataError("auth");
  try {
    const iv = untrustedSealed.subarray(0, NONCE);
    return new Uint8Array(await subtle.decrypt({ name: "AES-GCM", iv, additionalData: aad }, key, untrustedSealed.subarray(NONCE)));
  } catch {
    throw new SealedDataError("auth");
  }
}

/**
 * A private key and its public half; the octets are not kept.
 * @param {"X25519" | "Ed25519"} name @param {Uint8Array} octets 32
 * @returns {Promise<{privateKey: CryptoKey, pub: Uint8Array}>} privateKey non-extractable
 */
export async function importPrivate(name, octets) {
  const uses = name === "X25519" ? ["deriveBits"] : ["sign"];
  const pkcs8 = concat(PKCS8[name], octets);
  // The public half can be had from an extractable copy only; it goes with this function.
  const copy = await subtle.importKey("pkcs8", pkcs8, { name }, true, /** @type {KeyUsage[]} */ (uses));
  const pub = fromB64((await subtle.exportKey("jwk", copy)).x, 32);
  const privateKey = await subtle.importKey("pkcs8", pkcs8, { name }, false, /** @type {KeyUsage[]} */ (uses));
  pkcs8.fill(0);
  return { privateKey, pub };
}

/** @param {CryptoKey} privateKey @param {string} label @param {Uint8Array} octets @returns {Promise<Uint8Array>} 64 octets */
export async function signEd25519(privateKey, label, octets) {
  return new Uint8Array(await subtle.sign({ name: "Ed25519" }, privateKey, pae(label, octets)));
}

/** @param {Uint8Array} pub @param {string} label @param {Uint8Array} octets @param {Uint8Array} untrustedSig refuses with `signature` */
export async function verifyEd25519(pub, label, octets, untrustedSig) {
  await verify(pub, { name: "Ed25519" }, { name: "Ed25519" }, pae(label, octets), untrustedSig, "signature");
}

/** @param {Uint8Array} pub 65 octets @param {string} label @param {Uint8Array} octets @param {Uint8Array} untrustedSig refuses with `signature`, `format` */
export async function verifyEs256(pub, label, octets, untrustedSig) {
  const key = { name: "ECDSA", namedCurve: "P-256" };
  await verify(pub, key, { name: "ECDSA", hash: "SHA-256" }, pae(label, octets), untrustedSig, "format");
}

/** @param {Uint8Array} pub @param {any} keyAlgorithm @param {any} algorithm @param {Uint8Array} octets @param {Uint8Array} sig @param {"format"|"signature"} badKey */
async function verify(pub, keyAlgorithm, algorithm, octets, sig, badKey) {
  const key = await subtle.importKey("raw", pub, keyAlgorithm, false, ["verify"]).catch(() => {
    throw new SealedDataError(badKey);
  });
  const good = await subtle.verify(algorithm, key, sig, octets).catch(() => false);
  if (!good) throw new SealedDataError("signature");
}

/** @param {number} suite @param {Uint8Array} pub @param {Uint8Array} info @param {Uint8Array} plaintext @returns {Promise<Uint8Array>} enc || ct */
export async function sealHpke(suite, pub, info, plaintext) {
  const hpke = SUITES[suite] ?? refuseSuite();
  if (pub.length !== hpke.length) throw new SealedDataError("format");
  try {
    return await hpke.seal(pub, info, plaintext);
  } catch {
    throw new SealedDataError("format");
  }
}

/**
 * @param {number} suite @param {{privateKey: CryptoKey, pub: Uint8Array}} recipientKey @param {Uint8Array} info
 * @param {Uint8Array} untrustedSealed @returns {Promise<Uint8Array>} refuses with `auth`
 */
export async function openHpke(suite, recipientKey, info, untrustedSealed) {
  const hpke = SUITES[suite] ?? refuseSuite();
  if (untrustedSealed.length < hpke.length + TAG) throw new SealedDataError("auth");
  try {
    return await hpke.open(recipientKey.privateKey, recipientKey.pub, info, untrustedSealed);
  } catch {
    throw new SealedDataError("auth");
  }
}

/** @returns {never} */
function refuseSuite() {
  throw new SealedDataError("suite");
}
