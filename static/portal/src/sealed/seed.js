/** Keys of one generation, all derived from its seed S. sealed-mailbox 4.1, 6. */
import { toB64 } from "./encoding.js";
import { SealedDataError } from "./errors.js";
import { hkdf, importAes, importPrivate } from "./primitives.js";

export const SEED_LENGTH = 32;

/**
 * @typedef {Object} SeedKeys  private keys non-extractable, no octets kept
 * @property {string} portal @property {string} box @property {number} gen
 * @property {{privateKey: CryptoKey, pub: Uint8Array}} encKey X25519 @property {string} enc public, b64
 * @property {CryptoKey} signKey Ed25519 @property {string} sign public, b64
 * @property {CryptoKey} store @property {CryptoKey} body
 */

/** @param {Uint8Array} seed 32 octets, left to the caller to overwrite @param {string} portal @param {string} box @param {number} gen @returns {Promise<SeedKeys>} */
export async function deriveSeedKeys(seed, portal, box, gen) {
  if (seed.length !== SEED_LENGTH) throw new SealedDataError("format");
  const [encOctets, signOctets, storeOctets, bodyOctets] = await Promise.all(
    ["enc", "sign", "store", "body"].map((name) => hkdf(seed, "LL1/seed", name, portal, box, gen)),
  );
  const encKey = await importPrivate("X25519", encOctets);
  const signKey = await importPrivate("Ed25519", signOctets);
  const keys = {
    portal,
    box,
    gen,
    encKey,
    enc: toB64(encKey.pub),
    signKey: signKey.privateKey,
    sign: toB64(signKey.pub),
    store: await importAes(storeOctets),
    body: await importAes(bodyOctets),
  };
  for (const octets of [encOctets, signOctets, storeOctets, bodyOctets]) octets.fill(0);
  return keys;
}
