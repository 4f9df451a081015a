/** Can this browser do it? Asked before a password is typed. sealed-mailbox 13. */

// (module): the smallest WebAssembly module.
const EMPTY_WASM = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

/** @returns {Promise<boolean>} X25519, Ed25519, P-256, AES-GCM, HKDF and WebAssembly work, and not only stand there */
export async function checkSupport() {
  try {
    const { subtle } = globalThis.crypto;
    const box = /** @type {CryptoKeyPair} */ (await subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]));
    await subtle.deriveBits({ name: "X25519", public: box.publicKey }, box.privateKey, 256);
    const sign = /** @type {CryptoKeyPair} */ (await subtle.generateKey({ name: "Ed25519" }, false, ["sign"]));
    await subtle.sign({ name: "Ed25519" }, sign.privateKey, EMPTY_WASM);
    const point = await subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"]);
    await subtle.deriveBits({ name: "ECDH", public: point.publicKey }, point.privateKey, 256);
    const key = await subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt"]);
    await subtle.encrypt({ name: "AES-GCM", iv: new Uint8Array(12) }, key, EMPTY_WASM);
    await WebAssembly.compile(EMPTY_WASM);
    return typeof Worker === "function";
  } catch {
    return false;
  }
}
