/** Capsule: what the portal keeps of a generation. Written once, never edited. sealed-mailbox 6, 16. */
import { Fields, formatTime, fromB64, newId, pae, randomBytes, toB64, writeJson } from "./encoding.js";
import { SealedDataError } from "./errors.js";
import { GCM_OVERHEAD, openGcm, sealGcm, sealHpke, signEd25519, SUITE_P256, SUITE_X25519, verifyEd25519 } from "./primitives.js";
import { deriveSeedKeys, SEED_LENGTH } from "./seed.js";
import { KDF_OF_KIND } from "./stretch.js";

export const MAX_CAPSULE = 128 * 1024;
/** Seeds that a capsule holds beside its own; numbers go on behind it (section 17). */
const MAX_GENERATIONS = 500;
const MAX_NUMBER = 2 ** 31 - 1;
const MAX_PASSKEYS = 20;
const FORMS = ["b32", "digits", "words"];
const ESCROW_LENGTH = 65 + SEED_LENGTH + 16;

/**
 * @typedef {{gen: number, suite: number, seed: Uint8Array}} OlderSeed
 * @typedef {Object} Body @property {string | null} name @property {string} org @property {string} root b64 @property {number} card
 * @property {OlderSeed[]} older @property {{id: string, pub: Uint8Array}[]} passkeys
 * @typedef {Object} Capsule schema only, nothing trusted @property {"mailbox" | "reply"} kind @property {"relay" | "browser"} by
 * @property {string} portal @property {string} box @property {number} gen @property {number} kdf @property {string} enc @property {string} sign
 * @property {Uint8Array} [pw] @property {Uint8Array} body @property {string} [form] @property {{card: number} | null} [escrow]
 * @property {{id: string, sealed: Uint8Array}[]} passkeys
 * @typedef {{capsule: Capsule, keys: import("./seed.js").SeedKeys, body: Body, seed: Uint8Array}} OpenedCapsule
 *   seed and body.older[].seed are octets: dropSeeds() them as soon as the tab has them
 */

/** @param {Uint8Array} untrustedOctets @param {"mailbox" | "reply"} kind the route's @returns {Capsule} */
export function readCapsule(untrustedOctets, kind) {
  const fields = Fields.read(untrustedOctets, MAX_CAPSULE);
  return readFields(fields, kind, true);
}

/** As GET /session gives it: without pw, av, escrow. @param {unknown} untrustedObject @param {"mailbox" | "reply"} kind @returns {Capsule} */
export function readStrippedCapsule(untrustedObject, kind) {
  return readFields(new Fields(untrustedObject).checkVersion(), kind, false);
}

/** @param {Fields} fields @param {"mailbox" | "reply"} kind @param {boolean} whole @returns {Capsule} */
function readFields(fields, kind, whole) {
  fields.check("type", ["capsule"]);
  const found = /** @type {"mailbox" | "reply"} */ (fields.check("kind", ["mailbox", "reply"]));
  if (found !== kind) throw new SealedDataError("binding");
  if (fields.number("suite") !== SUITE_X25519) throw new SealedDataError("suite");
  const kdf = fields.number("kdf");
  if (kdf !== KDF_OF_KIND[kind]) throw new SealedDataError("kdf");
  const gen = fields.number("gen");
  if (gen < 1 || gen > MAX_NUMBER) throw new SealedDataError("generation");
  fields.id("id");
  fields.time("time");
  const capsule = {
    kind,
    by: /** @type {"relay" | "browser"} */ (fields.check("by", ["relay", "browser"])),
    portal: fields.id("portal"),
    box: fields.id("box"),
    gen,
    kdf,
    enc: toB64(fields.octets("enc", 32)),
    sign: toB64(fields.octets("sign", 32)),
    body: fields.octets("body"),
    passkeys: fields.objects("passkeys", MAX_PASSKEYS).map((entry) => ({ id: entry.text("id"), sealed: entry.octets("sealed") })),
    ...(found === "reply" ? { form: fields.check("form", FORMS) } : {}),
  };
  return whole ? { ...capsule, ...readLoginFields(fields) } : capsule;
}

/** @param {Fields} fields */
function readLoginFields(fields) {
  fields.octets("av", 32);
  const pw = fields.octets("pw", SEED_LENGTH + GCM_OVERHEAD);
  if (fields.isNull("escrow")) return { pw, escrow: null };
  const record = fields.object("escrow");
  record.octets("sealed", ESCROW_LENGTH);
  return { pw, escrow: { card: record.number("card") } };
}

/**
 * Opens with a password's key, in the order of section 16.
 * @param {Uint8Array} untrustedOctets @param {{portal: string, kind: "mailbox" | "reply", kek: CryptoKey}} route @returns {Promise<OpenedCapsule>}
 */
export async function openCapsule(untrustedOctets, { portal, kind, kek }) {
  const capsule = readCapsule(untrustedOctets, kind);
  if (capsule.portal !== portal) throw new SealedDataError("binding");
  const aad = pae("LL1/pw", portal, capsule.box, capsule.gen, capsule.kdf);
  const seed = await openGcm(kek, /** @type {Uint8Array} */ (capsule.pw), aad);
  return openWithSeed(capsule, seed, portal);
}

/** @param {Capsule} capsule @param {Uint8Array} seed @param {string} portal the page's @returns {Promise<OpenedCapsule>} */
export async function openWithSeed(capsule, seed, portal) {
  if (capsule.portal !== portal) throw new SealedDataError("binding");
  const keys = await deriveSeedKeys(seed, portal, capsule.box, capsule.gen);
  if (keys.enc !== capsule.enc || keys.sign !== capsule.sign) throw new SealedDataError("binding");
  const octets = await openGcm(keys.body, capsule.body, pae("LL1/body", portal, capsule.box, capsule.gen));
  const body = readBody(octets, capsule);
  octets.fill(0);
  return { capsule, keys, body, seed };
}

/** @param {Uint8Array} octets @param {Capsule} capsule @returns {Body} */
function readBody(octets, capsule) {
  const fields = Fields.read(octets, MAX_CAPSULE);
  if (fields.id("portal") !== capsule.portal || fields.id("box") !== capsule.box || fields.number("gen") !== capsule.gen) throw new SealedDataError("binding");
  const older = fields.objects("older", MAX_GENERATIONS).map((entry) => ({ gen: entry.number("gen"), suite: entry.number("suite"), seed: entry.octets("seed", SEED_LENGTH) }));
  if (new Set(older.map(({ gen }) => gen)).size !== older.length || older.some(({ gen }) => gen < 1 || gen >= capsule.gen)) throw new SealedDataError("generation");
  if (older.some(({ suite }) => suite !== SUITE_X25519)) throw new SealedDataError("suite");
  return {
    name: fields.isNull("name") ? null : fields.text("name"),
    org: fields.text("org"),
    root: toB64(fields.octets("root", 65)),
    card: fields.number("card"),
    older,
    passkeys: fields.objects("passkeys", MAX_PASSKEYS).map((entry) => ({ id: entry.text("id"), pub: entry.octets("pub", 32) })),
  };
}

/** Overwrites the seeds of an opened capsule. @param {OpenedCapsule} opened */
export function dropSeeds(opened) {
  opened.seed.fill(0);
  for (const older of opened.body.older) older.seed.fill(0);
}

/**
 * A new generation with a new seed, by the browser. An older seed is never wrapped again.
 * @param {{kind: "mailbox", portal: string, box: string, gen: number, name: string, stretched: import("./stretch.js").Stretched,
 *   card: import("./card.js").Card, older: OlderSeed[], passkeys?: {id: string, pub: Uint8Array}[], time?: string}} fields
 *   card: the newest trusted one; its root is pinned, the seed is sealed to its escrow key
 * @returns {Promise<{octets: Uint8Array, seed: Uint8Array, keys: import("./seed.js").SeedKeys}>}
 */
export async function makeCapsule({ kind, portal, box, gen, name, stretched, card, older, passkeys = [], time = formatTime() }) {
  // Nobody could open it again: the inside makes room by a reset.
  if (older.length > MAX_GENERATIONS || gen > MAX_NUMBER) throw new SealedDataError("generation");
  const kdf = KDF_OF_KIND[kind];
  const seed = randomBytes(SEED_LENGTH);
  const keys = await deriveSeedKeys(seed, portal, box, gen);
  const body = {
    v: 1, portal, box, gen, name, org: card.org, root: card.root, card: card.serial,
    older: older.map((entry) => ({ gen: entry.gen, suite: entry.suite, seed: toB64(entry.seed) })),
    passkeys: passkeys.map((entry) => ({ id: entry.id, pub: toB64(entry.pub) })),
  };
  const wraps = [];
  for (const { id, pub } of passkeys) {
    wraps.push({ id, sealed: toB64(await sealHpke(SUITE_X25519, pub, pae("LL1/passkey", portal, box, gen, id), seed)) });
  }
  const escrow = card.escrow && {
    card: card.serial,
    sealed: toB64(await sealHpke(SUITE_P256, card.escrow, pae("LL1/escrow", portal, box, gen, card.serial), seed)),
  };
  const octets = writeJson({
    v: 1, type: "capsule", kind, by: "browser", portal, box, gen, id: newId(), time, suite: SUITE_X25519, enc: keys.enc, sign: keys.sign, kdf,
    av: toB64(stretched.av),
    pw: toB64(await sealGcm(stretched.kek, seed, pae("LL1/pw", portal, box, gen, kdf))),
    passkeys: wraps,
    body: toB64(await sealGcm(keys.body, writeJson(body), pae("LL1/body", portal, box, gen))),
    escrow,
  });
  if (octets.length > MAX_CAPSULE) throw new SealedDataError("size");
  return { octets, seed, keys };
}

/** @param {import("./seed.js").SeedKeys} previous generation gen-1 @param {Uint8Array} capsule exact octets @returns {Promise<Uint8Array>} */
export async function signRekey(previous, capsule) {
  return signEd25519(previous.signKey, "LL1/sign/rekey", capsule);
}

/** @param {string} previousSign b64 @param {Uint8Array} untrustedCapsule @param {Uint8Array} untrustedSig refuses with `signature` */
export async function verifyRekey(previousSign, untrustedCapsule, untrustedSig) {
  await verifyEd25519(fromB64(previousSign, 32), "LL1/sign/rekey", untrustedCapsule, untrustedSig);
}
