/** Registration: what the browser hands in under the secret of an invitation's link. sealed-mailbox 12. */
import { concat, formatTime, fromB64, isId, pae, toB64, writeJson } from "./encoding.js";
import { InputError, SealedDataError } from "./errors.js";
import { hkdf, sealHpke, SUITE_P256 } from "./primitives.js";

const MAX_JOIN = 150_000;

/** @param {string} id from the path @param {string} fragment `#T.R` @returns {{id: string, secret: Uint8Array, print: Uint8Array}} rejects InputError `link` */
export function readJoinLink(id, fragment) {
  const [secret, print, ...more] = fragment.replace(/^#/, "").split(".");
  try {
    if (!isId(id) || more.length) throw new InputError("link");
    return { id, secret: fromB64(secret, 16), print: fromB64(print, 16) };
  } catch {
    throw new InputError("link");
  }
}

/**
 * @param {{id: string, secret: Uint8Array, portal: string}} link @param {import("./card.js").Card} card
 * @param {{want: "mailbox", capsule: string} | {want: "pdf", password: string}} wish @returns {Promise<{id: string, card: number, sealed: string}>}
 */
export async function sealJoin({ id, secret, portal }, card, wish) {
  const octets = writeJson({ v: 1, dir: "join", portal, id, card: card.serial, time: formatTime(), ...wish });
  const key = await hkdf(secret, "LL1/join-key", portal, id);
  const hmac = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", hmac, octets));
  const sealed = await sealHpke(SUITE_P256, card.reply, pae("LL1/join", portal, id, card.serial), concat(mac, octets));
  if (sealed.length > MAX_JOIN) throw new SealedDataError("size");
  return { id, card: card.serial, sealed: toB64(sealed) };
}
