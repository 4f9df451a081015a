/** The seed for the length of a visit: half of its key lies in the tab, half in the session row. sealed-mailbox 10. */
import { concat, pae } from "./encoding.js";
import { hkdf, importAes, openGcm, sealGcm } from "./primitives.js";

/** @param {Uint8Array} server @param {Uint8Array} local @param {string} portal @param {string} box */
async function tabKey(server, local, portal, box) {
  const octets = await hkdf(concat(server, local), "LL1/tab", portal, box);
  const key = await importAes(octets);
  octets.fill(0);
  return key;
}

/** @param {{server: Uint8Array, local: Uint8Array, portal: string, box: string, gen: number}} place @param {Uint8Array} seed @returns {Promise<Uint8Array>} */
export async function sealTab({ server, local, portal, box, gen }, seed) {
  return sealGcm(await tabKey(server, local, portal, box), seed, pae("LL1/tab", portal, box, gen));
}

/** @param {{server: Uint8Array, local: Uint8Array, portal: string, box: string, gen: number}} place @param {Uint8Array} untrustedBlob refuses with `auth` @returns {Promise<Uint8Array>} */
export async function openTab({ server, local, portal, box, gen }, untrustedBlob) {
  return openGcm(await tabKey(server, local, portal, box), untrustedBlob, pae("LL1/tab", portal, box, gen));
}
