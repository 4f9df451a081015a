/** Item: a signed thing from browser to relay. sealed-mailbox 8. */
import { concat, Fields, formatTime, fromB64, newId, pae, toB64, writeJson } from "./encoding.js";
import { SealedDataError } from "./errors.js";
import { readParts } from "./down.js";
import { sealHpke, signEd25519, SUITE_P256 } from "./primitives.js";
import { openSelf, sealSelf } from "./selfsealed.js";

export const MAX_ITEM = 64 * 1024;

/**
 * @typedef {{id?: string, re: string, kind: "reply", to: "sender"|"all", subject: string, key: Uint8Array, parts: import("./down.js").Part[]}
 *   | {id?: string, re: string, kind: "read"|"deleted"} | {id?: string, re: string, kind: "damaged", code: string} | {id?: string, kind: "close"}} ItemFields
 */

/**
 * @param {import("./seed.js").SeedKeys} keys of the newest generation @param {import("./card.js").Card} card the newest trusted one
 * @param {ItemFields} fields @returns {Promise<{id: string, gen: number, card: number, sealed: string, self: string | null}>} b64; self: for the Sent folder, replies only
 */
export async function sealUp(keys, card, fields) {
  const { kind, id = newId(), ...rest } = fields;
  const item = { v: 1, dir: "up", kind, portal: keys.portal, box: keys.box, gen: keys.gen, id, card: card.serial, time: formatTime(), mode: "browser", ...rest };
  if (fields.kind === "reply") Object.assign(item, { key: toB64(fields.key) });
  const octets = writeJson(item);
  if (octets.length > MAX_ITEM) throw new SealedDataError("size");
  const sig = await signEd25519(keys.signKey, "LL1/sign/up", octets);
  const info = pae("LL1/up", keys.portal, keys.box, keys.gen, id, card.serial);
  const sealed = await sealHpke(SUITE_P256, card.reply, info, concat(sig, octets));
  const self = kind === "reply" ? toB64(await sealSelf(keys, "sent", id, octets)) : null;
  return { id, gen: keys.gen, card: card.serial, sealed: toB64(sealed), self };
}

/**
 * A reply kept for the Sent folder. @param {import("./seed.js").SeedKeys} keys of its generation @param {string} id @param {unknown} untrustedSealed b64
 * @returns {Promise<{id: string, re: string, to: "sender"|"all", subject: string, time: string, key: Uint8Array, parts: import("./down.js").Part[]}>}
 */
export async function openSent(keys, id, untrustedSealed) {
  const fields = Fields.read(await openSelf(keys, "sent", id, fromB64(untrustedSealed)), MAX_ITEM);
  if (fields.get("dir") !== "up" || fields.get("id") !== id || fields.get("box") !== keys.box) throw new SealedDataError("binding");
  fields.check("kind", ["reply"], "unknown");
  return {
    id,
    re: fields.id("re"),
    to: /** @type {"sender"|"all"} */ (fields.has("to") ? fields.check("to", ["sender", "all"]) : "sender"),
    subject: fields.text("subject"),
    time: fields.time("time"),
    key: fields.octets("key", 32),
    parts: readParts(fields),
  };
}
