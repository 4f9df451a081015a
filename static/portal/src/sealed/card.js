/** Cards: the organisation's public keys, signed by its root. sealed-mailbox 6. */
import { Fields, fromB64, sameBytes, toB64 } from "./encoding.js";
import { SealedDataError } from "./errors.js";
import { sha256, SUITE_P256, verifyEs256 } from "./primitives.js";

const MAX_CARD = 8 * 1024;
const MAX_SIGNATURES = 8;
const MAX_DISTRUST = 256;

/**
 * @typedef {Object} Card @property {string} portal @property {number} serial @property {string} org @property {string} root b64
 * @property {Uint8Array} sign @property {Uint8Array} reply @property {Uint8Array | null} escrow @property {number} mailboxSuite @property {number[]} distrust
 * @typedef {{card: string, sigs: {root: string, sig: string}[]}} CardRecord
 */

/** Cards that were checked together: the newest is sealed to; those it distrusts verify nothing any more. */
export class TrustedCards {
  /** @param {Card[]} cards serials rising */
  constructor(cards) {
    this.newest = /** @type {Card} */ (cards.at(-1));
    this.all = new Map(cards.map((card) => [card.serial, card]));
  }

  /** @param {number} serial refuses with `card` @returns {Card} */
  card(serial) {
    const card = this.all.get(serial);
    const withdrawn = this.newest.distrust.includes(serial);
    if (!card || withdrawn) throw new SealedDataError("card", { card: serial, withdrawn });
    return card;
  }

  /** @returns {number[]} serials that may verify */
  get serials() {
    return [...this.all.keys()].filter((serial) => !this.newest.distrust.includes(serial));
  }
}

/** @param {Uint8Array} untrustedOctets no signature yet @returns {Card} */
function readCard(untrustedOctets) {
  const fields = Fields.read(untrustedOctets, MAX_CARD);
  fields.check("type", ["card"]);
  const sign = fields.object("sign");
  sign.check("alg", ["ES256"], "suite");
  const distrust = fields.list("distrust", MAX_DISTRUST);
  if (!distrust.every((serial) => Number.isSafeInteger(serial))) throw new SealedDataError("format");
  fields.time("time");
  return {
    portal: fields.id("portal"),
    serial: fields.number("serial"),
    org: fields.text("org"),
    root: toB64(fields.octets("root", 65)),
    sign: sign.octets("pub", 65),
    reply: readHpkeKey(fields.object("reply")),
    escrow: fields.isNull("escrow") ? null : readHpkeKey(fields.object("escrow")),
    mailboxSuite: fields.number("mailbox_suite"),
    distrust: /** @type {number[]} */ (distrust),
  };
}

/** @param {Fields} fields @returns {Uint8Array} */
function readHpkeKey(fields) {
  if (fields.number("suite") !== SUITE_P256) throw new SealedDataError("suite");
  return fields.octets("pub", 65);
}

/**
 * Every card signed by the pinned root, serials rising, suite never falling, the newest at least the pinned serial.
 * @param {unknown[]} untrustedRecords oldest first @param {{portal: string, root: string, least: number}} pinned @returns {Promise<TrustedCards>}
 */
export async function checkCards(untrustedRecords, { portal, root, least }) {
  const cards = [];
  for (const untrusted of untrustedRecords) {
    const card = await checkRecord(new Fields(untrusted), portal, root);
    const before = cards.at(-1);
    if (before && (card.serial <= before.serial || card.mailboxSuite < before.mailboxSuite)) throw new SealedDataError("card");
    cards.push(card);
  }
  if (!cards.length || /** @type {Card} */ (cards.at(-1)).serial < least) throw new SealedDataError("card");
  return new TrustedCards(cards);
}

/** @param {Fields} record @param {string} portal @param {string} root @returns {Promise<Card>} */
async function checkRecord(record, portal, root) {
  const octets = record.octets("card");
  const card = readCard(octets);
  if (card.portal !== portal) throw new SealedDataError("binding");
  const entry = record.objects("sigs", MAX_SIGNATURES).find((sig) => sig.text("root") === root);
  if (!entry) throw new SealedDataError("signature");
  await verifyEs256(fromB64(root, 65), "LL1/sign/card", octets, entry.octets("sig"));
  return card;
}

/**
 * For registration, where nothing is pinned yet: the newest card's root, if the link's print fits it.
 * @param {unknown[]} untrustedRecords @param {{portal: string, print: Uint8Array}} link print: first 16 octets of SHA-256 of the root key
 * @returns {Promise<TrustedCards>}
 */
export async function checkCardsByPrint(untrustedRecords, { portal, print }) {
  const last = untrustedRecords.at(-1);
  if (!last) throw new SealedDataError("card");
  const { root } = readCard(new Fields(last).octets("card"));
  if (!sameBytes((await sha256(fromB64(root, 65))).slice(0, 16), print)) throw new SealedDataError("card");
  return checkCards(untrustedRecords, { portal, root, least: 0 });
}
