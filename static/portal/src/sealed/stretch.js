/** Password to keys: Argon2id runs elsewhere (a worker); parameters stand in the script and come from no server. sealed-mailbox 4. */
import { pae, toB64 } from "./encoding.js";
import { SealedDataError } from "./errors.js";
import { hkdf, importAes, sha256 } from "./primitives.js";

export const KDF_OF_KIND = Object.freeze({ mailbox: 1, reply: 2 });
/** Argon2id 1.3, p 1, 32 octets out; memory in KiB. */
export const KDF_PARAMETERS = Object.freeze({ 1: { memory: 65536, passes: 3 }, 2: { memory: 8192, passes: 1 } });

/**
 * @typedef {(secret: Uint8Array, salt: Uint8Array, parameters: {memory: number, passes: number}) => Promise<Uint8Array>} RunArgon
 * @typedef {{auth: Uint8Array, av: Uint8Array, kek: CryptoKey}} Stretched auth is sent, av stands in the capsule, kek is non-extractable
 */

/** What the portal knows a name by. @param {string} portal @param {string} who @returns {Promise<string>} */
export async function loginId(portal, who) {
  return toB64(await sha256(pae("LL1/login", portal, who)));
}

/**
 * @param {RunArgon} argon @param {{portal: string, who: string, kdf: 1 | 2, secret: Uint8Array}} what
 *   who: login name, or box id of a reply box; secret: overwritten
 * @returns {Promise<Stretched>}
 */
export async function stretch(argon, { portal, who, kdf, secret }) {
  const parameters = KDF_PARAMETERS[kdf];
  if (!parameters) throw new SealedDataError("kdf");
  const salt = (await sha256(pae("LL1/salt", portal, who))).slice(0, 16);
  try {
    return await fromMaster(await argon(secret, salt, parameters));
  } finally {
    secret.fill(0);
  }
}

/** @param {Uint8Array} master output of Argon2id; overwritten @returns {Promise<Stretched>} */
async function fromMaster(master) {
  const auth = await hkdf(master, "LL1/auth");
  const kek = await hkdf(master, "LL1/kek");
  master.fill(0);
  const stretched = { auth, av: await checkValue(auth), kek: await importAes(kek) };
  kek.fill(0);
  return stretched;
}

/** @param {Uint8Array} auth @returns {Promise<Uint8Array>} av */
export async function checkValue(auth) {
  return sha256(pae("LL1/av", auth));
}
