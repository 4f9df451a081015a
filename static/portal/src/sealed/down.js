/** Manifest: the signed head of a message, relay to browser. sealed-mailbox 7, 16. */
import { Fields, fromB64, pae } from "./encoding.js";
import { SealedDataError } from "./errors.js";
import { countChunks } from "./parts.js";
import { openHpke, SUITE_X25519, verifyEs256 } from "./primitives.js";

export const MAX_MANIFEST = 64 * 1024;
const SIGNATURE = 64;
const MAX_PARTS = 100;
const MAX_ADDRESSES = 2000;
/** Hard limit of a message, octets. */
const MAX_MESSAGE = 2 * 2 ** 30;
const ROLES = ["html", "text", "inline", "file", "preview"];
const KINDS = ["mail", "ticket", "receipt", "account"];

/**
 * @typedef {{i: number, role: "html"|"text"|"inline"|"file"|"preview", name: string, type: string, size: number}} Part
 * @typedef {{name: string, addr: string, inside?: boolean}} Person  `inside`: does an answer to all reach this person; absent where nothing is said
 * @typedef {Object} Manifest  fields as in the specification; which stand depends on kind
 * @property {"mail"|"ticket"|"receipt"|"account"} kind @property {string} id @property {number} gen @property {number} no @property {number} card @property {string} time
 * @property {string} thread @property {Person} from @property {Person[]} to @property {Person[]} cc
 * @property {string} subject @property {string} snippet @property {string} expires @property {boolean} receipt @property {string} [re]
 * @property {"arrived"|"refused"} [state] @property {{gen: number, enc: string, sign: string}} [of]
 * @property {Uint8Array} key @property {Part[]} parts
 * @property {boolean} files tickets: may the answer have files
 * @property {boolean} [copy] tickets: the answer comes back as an encrypted PDF as things stand; receipts: it did; absent where nothing is said
 */

/**
 * Verifies in the order of section 16; the first failure refuses the whole.
 * @param {unknown} untrustedSealed b64, as listed
 * @param {{portal: string, box: string, gen: number, id: string, no?: number}} listed where the portal says it belongs
 * @param {{keys: Map<number, import("./seed.js").SeedKeys>, cards: import("./card.js").TrustedCards}} own
 * @returns {Promise<Manifest>} refuses with SealedDataError; `untrustedCard` says what a decrypted manifest named
 */
export async function openDown(untrustedSealed, listed, own) {
  const sealed = fromB64(untrustedSealed);
  if (sealed.length > MAX_MANIFEST + SIGNATURE + 48) throw new SealedDataError("size");
  const keys = own.keys.get(listed.gen);
  if (!keys) throw new SealedDataError("generation");
  const info = pae("LL1/down", listed.portal, listed.box, listed.gen, listed.id);
  const opened = await openHpke(SUITE_X25519, keys.encKey, info, sealed);
  if (opened.length < SIGNATURE) throw new SealedDataError("format");
  const octets = opened.slice(SIGNATURE);
  const fields = Fields.read(octets, MAX_MANIFEST);
  const serial = fields.number("card");
  try {
    await verifyEs256(own.cards.card(serial).sign, "LL1/sign/down", octets, opened.slice(0, SIGNATURE));
    return readManifest(fields, listed, keys.enc);
  } catch (error) {
    if (error instanceof SealedDataError) error.untrustedCard = serial;
    throw error;
  }
}

/** @param {Fields} fields @param {{portal: string, box: string, gen: number, id: string, no?: number}} listed @param {string} enc @returns {Manifest} */
function readManifest(fields, listed, enc) {
  const bound = { dir: "down", portal: listed.portal, box: listed.box, gen: listed.gen, id: listed.id, enc };
  for (const [name, value] of Object.entries(bound)) if (fields.get(name) !== value) throw new SealedDataError("binding");
  const no = fields.number("no");
  if (listed.no !== undefined && no !== listed.no) throw new SealedDataError("binding");
  const kind = /** @type {Manifest["kind"]} */ (fields.check("kind", KINDS, "unknown"));
  const base = { kind, id: listed.id, gen: listed.gen, no, card: fields.number("card"), time: fields.time("time") };
  if (kind === "receipt") {
    const state = fields.check("state", ["arrived", "refused"], "unknown");
    return /** @type {any} */ ({ ...base, re: fields.id("re"), state, ...readFlag(fields, "copy") });
  }
  if (kind === "account") {
    const of = fields.object("of");
    return /** @type {any} */ ({ ...base, of: { gen: of.number("gen"), enc: of.text("enc"), sign: of.text("sign") } });
  }
  return {
    ...base,
    thread: fields.id("thread"),
    from: readAddress(fields.object("from")),
    to: fields.objects("to", MAX_ADDRESSES).map(readAddress),
    cc: fields.objects("cc", MAX_ADDRESSES).map(readAddress),
    subject: fields.text("subject"),
    snippet: fields.text("snippet"),
    expires: fields.time("expires"),
    receipt: fields.boolean("receipt"),
    ...(fields.has("re") && !fields.isNull("re") ? { re: fields.id("re") } : {}),
    key: fields.octets("key", 32),
    parts: readParts(fields),
    files: fields.has("files") ? fields.boolean("files") : false,
    ...readFlag(fields, "copy"),
  };
}

/** @param {Fields} fields @returns {Person} */
function readAddress(fields) {
  return { name: fields.text("name"), addr: fields.text("addr"), ...readFlag(fields, "inside") };
}

/** @param {Fields} fields @param {string} name @returns {Record<string, boolean>} nothing where nothing is said */
function readFlag(fields, name) {
  return fields.has(name) ? { [name]: fields.boolean(name) } : {};
}

/** @param {Fields} fields with `parts` @returns {Part[]} */
export function readParts(fields) {
  const parts = fields.objects("parts", MAX_PARTS).map((entry) => ({
    i: entry.number("i"),
    role: /** @type {Part["role"]} */ (entry.check("role", ROLES, "unknown")),
    name: entry.text("name"),
    type: entry.text("type"),
    size: entry.number("size"),
  }));
  if (new Set(parts.map(({ i }) => i)).size !== parts.length) throw new SealedDataError("duplicate");
  if (parts.reduce((sum, { size }) => sum + size, 0) > MAX_MESSAGE) throw new SealedDataError("size");
  return parts;
}

/** Parts as the portal counts them. @param {Part[]} parts @returns {{i: number, chunks: number}[]} */
export function countParts(parts) {
  return parts.map(({ i, size }) => ({ i, chunks: countChunks(size) }));
}
