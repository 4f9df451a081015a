/** What a reader keeps for himself under the store key: drafts and sent items. sealed-mailbox 8, 10. */
import { pae } from "./encoding.js";
import { openGcm, sealGcm } from "./primitives.js";

/** @param {import("./seed.js").SeedKeys} keys @param {"draft" | "sent"} what @param {string} id */
function context(keys, what, id) {
  return pae("LL1/self", keys.portal, keys.box, keys.gen, what, id);
}

/** @param {import("./seed.js").SeedKeys} keys @param {"draft" | "sent"} what @param {string} id @param {Uint8Array} plaintext @returns {Promise<Uint8Array>} */
export async function sealSelf(keys, what, id, plaintext) {
  return sealGcm(keys.store, plaintext, context(keys, what, id));
}

/** @param {import("./seed.js").SeedKeys} keys @param {"draft" | "sent"} what @param {string} id @param {Uint8Array} untrustedSealed refuses with `auth` @returns {Promise<Uint8Array>} */
export async function openSelf(keys, what, id, untrustedSealed) {
  return openGcm(keys.store, untrustedSealed, context(keys, what, id));
}
