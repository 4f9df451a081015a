/**
 * Every entry of the vectors, one result each: runs alike in Node and in browsers.
 * @param {object} vectors @param {(secret: Uint8Array, salt: Uint8Array, parameters: object) => Promise<Uint8Array>} argon
 * @returns {Promise<{name: string, error: string | null}[]>} error null: as it should be
 */
import * as sealed from "../../../static/portal/sealed.js";
import { importAes } from "../../../static/portal/src/sealed/primitives.js";
import { fromHex, importReply, openEscrow, openJoin, openPasskey, openUp, toHex } from "./relay_side.mjs";

const PORTAL = "ENJHhdjed6rBfPOxg9HE-w";
const { fromB64, toB64 } = sealed;

function equal(found, wanted) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`found ${a}, wanted ${b}`);
}

/** @param {string} code @param {() => unknown} act */
async function refuses(code, act) {
  let found = "nothing refused";
  try {
    await act();
  } catch (error) {
    found = error.code ?? `${error}`;
  }
  equal(found, code);
}

const SUITES = {
  pae: (vectors) => vectors.pae.map((v) => () => equal(toHex(sealed.pae(...v.i)), v.hex)),
  b64_refused: (vectors) => vectors.b64_refused.map((v) => () => refuses("format", () => fromB64(v))),
  login_name: (vectors) =>
    vectors.login_name.map((v) => () => (v.error ? refuses(v.error, () => sealed.normaliseLoginName(v.typed)) : equal(sealed.normaliseLoginName(v.typed), v.name))),
  secret: (vectors) => vectors.secret.map((v) => () => equal(new TextDecoder().decode(sealed.readSecret(v.form, v.typed, v.code)), v.utf8)),
  own_password: (vectors) => vectors.own_password.map((v) => () => equal(sealed.checkOwnPassword(v.typed, "anna@example.org") === null, v.ok)),
  stretch: (vectors, argon) => [vectors.stretch, vectors.stretch_reply].map((v) => () => checkStretch(v, argon)),
  seed: (vectors) => vectors.seed.map((v) => () => checkSeed(v)),
  cards: (vectors) => vectors.cards.check.map((v) => () => checkCards(vectors.cards.records, v)),
  capsule: (vectors) => vectors.capsule.map((v) => () => checkCapsule(vectors, v)),
  capsule_refused: (vectors) => vectors.capsule_refused.map((v) => () => refuses(v.error, () => openCapsule(v))),
  rekey: ({ rekey: v }) => [() => sealed.verifyRekey(v.previous_sign, fromB64(v.capsule), fromB64(v.sig)), () => checkRekeySign(v)],
  rekey_refused: ({ rekey, rekey_refused }) =>
    rekey_refused.map((v) => () => refuses(v.error, () => sealed.verifyRekey(rekey.previous_sign, fromB64(v.capsule), fromB64(v.sig)))),
  passkey: (vectors) => [() => checkPasskey(vectors)],
  tab: (vectors) => [() => checkTab(vectors)],
  parts: (vectors) => vectors.parts.parts.map((v) => () => checkPart(vectors, v)),
  parts_refused: (vectors) => vectors.parts_refused.map((v) => () => refuses(v.error, () => openOrder(vectors, v))),
  down: (vectors) => [() => checkDown(vectors)],
  down_refused: (vectors) => vectors.down_refused.map((v) => () => refuses(v.error, () => openDown(vectors, v))),
  up: (vectors) => [() => checkUp(vectors), () => checkSelf(vectors)],
  up_refused: (vectors) => vectors.up_refused.map((v) => () => refuses(v.error, async () => openUp(await replyKey(vectors), { ...v, portal: PORTAL, sign: vectors.up.sign }))),
  join: (vectors) => [() => checkJoin(vectors)],
  join_refused: (vectors) =>
    vectors.join_refused.map((v) => () => refuses(v.error, async () => openJoin(await replyKey(vectors), { ...v, portal: PORTAL, card: 2, secret: fromHex(vectors.join.secret) }))),
};

async function checkStretch(v, argon) {
  let salt = "";
  const run = (secret, given, parameters) => {
    salt = toHex(given);
    return argon(secret, given, parameters);
  };
  const stretched = await sealed.stretch(run, { portal: v.portal, who: v.who, kdf: v.kdf, secret: new TextEncoder().encode(v.secret) });
  equal([salt, toHex(stretched.auth), toHex(stretched.av)], [v.salt, v.auth, v.av]);
  equal(stretched.kek.extractable, false);
  // The kek itself cannot be had: what it opens must be what the vector's key sealed.
  const aad = new Uint8Array(3);
  const iv = new Uint8Array(12);
  const wrapped = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: aad }, await importAes(fromHex(v.kek)), aad);
  equal([...new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: aad }, stretched.kek, wrapped))], [0, 0, 0]);
  equal(await sealed.loginId(v.portal, v.who), v.login_id);
}

async function checkSeed(v) {
  const keys = await sealed.deriveSeedKeys(fromHex(v.seed), v.portal, v.box, v.gen);
  equal([keys.enc, keys.sign], [v.enc, v.sign]);
  for (const [mine, theirs] of [[keys.store, v.store], [keys.body, v.body]]) {
    const iv = new Uint8Array(12);
    const made = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await importAes(fromHex(theirs)), iv);
    equal(new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, mine, made)).length, 12);
  }
}

async function checkCards(records, v) {
  const check = () => sealed.checkCards(v.use.map((index) => records[index]), { portal: PORTAL, root: v.root, least: v.least });
  if (v.error) return refuses(v.error, check);
  const trusted = await check();
  equal([trusted.newest.serial, trusted.serials], [v.newest, v.trusted]);
}

async function openCapsule(v) {
  return sealed.openCapsule(fromB64(v.capsule), { portal: PORTAL, kind: "mailbox", kek: await importAes(fromHex(v.kek)) });
}

async function checkCapsule(vectors, v) {
  const { seed, body, capsule } = await openCapsule(v);
  equal(toHex(seed), v.seed);
  const { older, passkeys, ...rest } = body;
  const { v: version, portal, box, gen, older: wantedOlder, passkeys: wantedKeys, ...wanted } = v.body;
  equal(version, 1);
  equal([capsule.portal, capsule.box, capsule.gen], [portal, box, gen]);
  equal(rest, wanted);
  equal(older.map((entry) => ({ ...entry, seed: toB64(entry.seed) })), wantedOlder);
  equal(passkeys, wantedKeys);
  // What keyd gets out of the escrow record, and what GET /session gives.
  const whole = JSON.parse(new TextDecoder().decode(fromB64(v.capsule)));
  const pub = JSON.parse(new TextDecoder().decode(fromB64(vectors.cards.records[whole.escrow.card - 1].card))).escrow.pub;
  const key = await importReply(pub, vectors.cards.escrow_private[whole.escrow.card - 1]);
  equal(toHex(await openEscrow(key, whole)), v.seed);
  const { pw, av, escrow, ...stripped } = whole;
  equal((await sealed.openWithSeed(sealed.readStrippedCapsule(stripped, "mailbox"), fromHex(v.seed), PORTAL)).keys.gen, gen);
}

async function checkRekeySign(v) {
  const sig = await sealed.signRekey(await firstKeys(), fromB64(v.capsule));
  equal(toB64(sig), v.sig); // RFC 8032: deterministic
}

let remembered;
async function firstKeys() {
  return remembered[0];
}

async function checkPasskey({ passkey: v, seed: [{ box }] }) {
  const opened = await openPasskey({ prf: fromHex(v.prf), portal: PORTAL, box, gen: v.gen, id: v.id, sealed: v.sealed });
  equal([opened.pub, toHex(opened.seed)], [v.pub, v.seed]);
}

async function checkTab({ tab: v, seed: [{ box }] }) {
  const place = { server: fromHex(v.server), local: fromHex(v.local), portal: PORTAL, box, gen: v.gen };
  equal(toHex(await sealed.openTab(place, fromHex(v.blob))), v.seed);
  await refuses("auth", () => sealed.openTab({ ...place, gen: 1 }, fromHex(v.blob)));
}

async function openPart(vectors, i, size, chunks) {
  const key = await sealed.derivePartKey(fromHex(vectors.parts.key), vectors.parts.id, i);
  const opener = new sealed.PartOpener(key, size);
  const pieces = [];
  for (const chunk of chunks) pieces.push(await opener.open(chunk));
  opener.finish();
  return sealed.concat(...pieces);
}

async function checkPart(vectors, v) {
  const whole = await openPart(vectors, v.i, v.size, vectors.chunks[v.i].map((chunk) => fromB64(chunk)));
  equal(toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", whole))), v.plain_sha256);
}

async function openOrder(vectors, v) {
  return openPart(vectors, v.i, v.size, v.order.map(([i, n]) => fromB64(vectors.chunks[i][n])));
}

async function openDown(vectors, v) {
  const cards = await sealed.checkCards(vectors.cards.records.slice(0, 2), { portal: PORTAL, root: vectors.cards.check[0].root, least: 1 });
  const keys = new Map(remembered.map((one) => [one.gen, one]));
  return sealed.openDown(v.sealed, { portal: PORTAL, box: keys.get(2).box, gen: v.gen, id: v.id, no: v.no ?? 7 }, { keys, cards });
}

async function checkDown(vectors) {
  const { down } = vectors;
  const manifest = await openDown(vectors, down);
  const { v, dir, portal, box, enc, ...wanted } = down.manifest;
  const found = { ...manifest, key: toB64(manifest.key) };
  equal(Object.fromEntries(Object.keys(wanted).map((name) => [name, found[name]])), wanted);
  await refuses("binding", () => openDown(vectors, { ...down, no: 8 }));
}

async function replyKey(vectors) {
  const { reply } = JSON.parse(new TextDecoder().decode(fromB64(vectors.cards.records[1].card)));
  return importReply(reply.pub, vectors.cards.reply_private[1]);
}

async function checkUp(vectors) {
  const item = await openUp(await replyKey(vectors), { ...vectors.up, portal: PORTAL });
  equal(item, vectors.up.item);
  const opener = new sealed.PartOpener(await sealed.derivePartKey(fromB64(item.key), item.id, 0), item.parts[0].size);
  equal((await opener.open(fromHex(vectors.up.part0))).length, 12);
}

async function checkSelf({ up: v }) {
  const sent = await sealed.openSent(remembered[1], v.id, toB64(fromHex(v.self)));
  equal([sent.re, sent.subject, toB64(sent.key), sent.parts], [v.item.re, v.item.subject, v.item.key, v.item.parts]);
}

async function checkJoin(vectors) {
  const { join: v } = vectors;
  const link = sealed.readJoinLink(v.id, `#${v.fragment}`);
  equal(toHex(link.secret), v.secret);
  const cards = await sealed.checkCardsByPrint(vectors.cards.records.slice(0, 2), { portal: PORTAL, print: link.print });
  equal(cards.newest.root, v.root);
  equal(await openJoin(await replyKey(vectors), { ...v, portal: PORTAL, secret: link.secret }), v.join);
  await refuses("card", () => sealed.checkCardsByPrint(vectors.cards.records.slice(0, 2), { portal: PORTAL, print: new Uint8Array(16) }));
}

export async function runVectors(vectors, argon) {
  remembered = await Promise.all(vectors.seed.map((v) => sealed.deriveSeedKeys(fromHex(v.seed), v.portal, v.box, v.gen)));
  const results = [];
  for (const [suite, make] of Object.entries(SUITES)) {
    for (const [index, act] of make(vectors, argon).entries()) {
      let error = null;
      try {
        await act();
      } catch (failure) {
        error = `${failure.message}`;
      }
      results.push({ name: `${suite}[${index}]`, error });
    }
  }
  return results;
}
