/**
 * What is asked of the browser's half of the formats, alike in Node, Chromium and Firefox. Each function takes JSON and
 * gives JSON: a list of {name, error} for checks, or files for other programs to read.
 */
import * as sealed from "../../../static/portal/sealed.js";
import { isCommonPassword } from "../../../static/portal/src/engine/common_passwords.js";
import { makeEml, safeFileName, zipFiles } from "../../../static/portal/src/engine/export.js";
import { Argon2 } from "../../../static/portal/src/sealed/argon2.js";
import { Hpke } from "../../../static/portal/src/sealed/hpke.js";
import { importPrivate, openHpke, sealHpke } from "../../../static/portal/src/sealed/primitives.js";
import { fromHex, importReply, makeRelayCapsule, openUp, sealDown, signCard, toHex } from "./relay_side.mjs";
import { runVectors } from "./vectors.mjs";

const PORTAL = "ENJHhdjed6rBfPOxg9HE-w";
const BOX = "pw0jWnSKhCJzHZZ8pLQpBg";
const { fromB64, toB64, toUtf8 } = sealed;

/** Seeded, so that a failure comes again. @param {number} seed */
function makeRandom(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

async function codeOf(act) {
  try {
    await act();
    return null;
  } catch (error) {
    return error.code ?? `${error.name}: ${error.message}`;
  }
}

async function list(checks) {
  const results = [];
  for (const [name, act] of Object.entries(checks)) {
    let error = null;
    try {
      await act();
    } catch (failure) {
      error = `${failure.message}`;
    }
    results.push({ name, error });
  }
  return results;
}

function demand(condition, words) {
  if (!condition) throw new Error(words);
}

// --- a small world: one organisation, one box of two generations, a message and a reply -------------------------------

async function pairOf(algorithm) {
  const pair = await crypto.subtle.generateKey(algorithm, true, algorithm.name === "ECDSA" ? ["sign", "verify"] : ["deriveBits"]);
  return { ...pair, pub: toB64(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey))) };
}

async function makeWorld() {
  const es256 = { name: "ECDSA", namedCurve: "P-256" };
  const ecdh = { name: "ECDH", namedCurve: "P-256" };
  const [root, sign, reply, escrow] = await Promise.all([pairOf(es256), pairOf(es256), pairOf(ecdh), pairOf(ecdh)]);
  const card = (serial, more = {}) => ({
    v: 1, type: "card", portal: PORTAL, serial, org: "Example Bank", root: root.pub, sign: { alg: "ES256", pub: sign.pub },
    reply: { suite: 2, pub: reply.pub }, escrow: { suite: 2, pub: escrow.pub }, mailbox_suite: 1, distrust: [], time: "2027-01-01T00:00:00Z", ...more,
  });
  const records = [await signCard(root.privateKey, root.pub, card(1)), await signCard(root.privateKey, root.pub, card(2))];
  const seed = sealed.randomBytes(32);
  const [kek, av] = [sealed.randomBytes(32), sealed.randomBytes(32)];
  const body = { name: "anna@partner.example", org: "Example Bank", root: root.pub, card: 1 };
  const capsule = await makeRelayCapsule({ kind: "mailbox", portal: PORTAL, box: BOX, gen: 1, seed, kek, av, body });
  const cards = await sealed.checkCards(records, { portal: PORTAL, root: root.pub, least: 1 });
  const id = sealed.newId();
  const manifest = {
    v: 1, dir: "down", kind: "mail", portal: PORTAL, box: BOX, gen: 1, id, no: 3, enc: capsule.keys.enc, card: 2, time: "2027-01-04T08:00:00Z",
    thread: sealed.newId(), from: { name: "Maria", addr: "maria@bank.example" }, to: [], cc: [], subject: "Your contract", snippet: "", expires: "2027-04-04T00:00:00Z",
    receipt: false, key: toB64(sealed.newMessageKey()), parts: [],
  };
  return { root, sign, reply, escrow, card, records, seed, kek, av, capsule, cards, manifest, sealedDown: await sealDown(sign.privateKey, manifest) };
}

function openManifest(world, text, listed = {}) {
  const place = { portal: PORTAL, box: BOX, gen: 1, id: world.manifest.id, no: 3, ...listed };
  return sealed.openDown(text, place, { keys: new Map([[1, world.capsule.keys]]), cards: world.cards });
}

const importKek = (octets) => crypto.subtle.importKey("raw", octets, "AES-GCM", false, ["encrypt", "decrypt"]);

// --- properties ---------------------------------------------------------------------------------------------------------

function flip(octets, random) {
  const changed = octets.slice();
  changed[random(changed.length)] ^= 1 << random(8);
  return changed;
}

/** Property 1: any flipped bit is refused. */
async function checkFlips(world, random, rounds) {
  const kek = await importKek(world.kek);
  const self = await sealed.sealSelf(world.capsule.keys, "draft", BOX, toUtf8("text"));
  const place = { server: sealed.randomBytes(32), local: sealed.randomBytes(32), portal: PORTAL, box: BOX, gen: 1 };
  const tab = await sealed.sealTab(place, world.seed);
  const key = await sealed.derivePartKey(sealed.newMessageKey(), BOX, 0);
  const chunk = await new sealed.PartSealer(key, 40).seal(0, new Uint8Array(40));
  const sig = await sealed.signRekey(world.capsule.keys, world.capsule.octets);
  const down = fromB64(world.sealedDown);
  const record = fromB64(world.records[1].card);
  const recordSig = fromB64(world.records[1].sigs[0].sig);
  const checkCards = (card, cardSig) => sealed.checkCards([world.records[0], { card: toB64(card), sigs: [{ root: world.root.pub, sig: toB64(cardSig) }] }], { portal: PORTAL, root: world.root.pub, least: 1 });
  const tries = {
    manifest: () => openManifest(world, toB64(flip(down, random))),
    capsule: async () => {
      // Fields that only say how it was made may change without harm: the portal cannot gain by them.
      const changed = flip(world.capsule.octets, random);
      const opened = await sealed.openCapsule(changed, { portal: PORTAL, kind: "mailbox", kek });
      const harmless = ["id", "time", "by", "av"].some((name) => JSON.parse(new TextDecoder().decode(changed))[name] !== JSON.parse(new TextDecoder().decode(world.capsule.octets))[name]);
      const renamed = Object.keys(JSON.parse(new TextDecoder().decode(changed))).join() !== Object.keys(JSON.parse(new TextDecoder().decode(world.capsule.octets))).join();
      if ((harmless || renamed) && toHex(opened.seed) === toHex(world.seed)) throw Object.assign(new Error("harmless"), { code: "harmless" });
    },
    card: () => checkCards(flip(record, random), recordSig),
    cardSignature: () => checkCards(record, flip(recordSig, random)),
    rekeySignature: () => sealed.verifyRekey(world.capsule.keys.sign, world.capsule.octets, flip(sig, random)),
    rekeyCapsule: () => sealed.verifyRekey(world.capsule.keys.sign, flip(world.capsule.octets, random), sig),
    self: () => sealed.openSelf(world.capsule.keys, "draft", BOX, flip(self, random)),
    tab: () => sealed.openTab(place, flip(tab, random)),
    chunk: () => new sealed.PartOpener(key, 40).open(flip(chunk, random)),
  };
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, act] of Object.entries(tries)) {
      const code = await codeOf(act);
      demand(code !== null && !code.includes(":"), `${name}, round ${round}: ${code ?? "opened"}`);
    }
  }
}

/** Property 2: any chunk list but the true one is refused. */
async function checkChunkLists(random, rounds) {
  const key = await sealed.derivePartKey(sealed.newMessageKey(), BOX, 4);
  const size = 2 * sealed.CHUNK + 5;
  const sealer = new sealed.PartSealer(key, size);
  const chunks = [];
  for (let n = 0; n < 3; n += 1) chunks.push(await sealer.seal(n, new Uint8Array(n === 2 ? 5 : sealed.CHUNK)));
  const open = async (order, claimed) => {
    const opener = new sealed.PartOpener(key, claimed);
    for (const n of order) await opener.open(chunks[n]);
    opener.finish();
  };
  await open([0, 1, 2], size);
  for (let round = 0; round < rounds; round += 1) {
    const order = Array.from({ length: random(5) }, () => random(3));
    const claimed = [size, size - 1, size + 1, sealed.CHUNK, 2 * sealed.CHUNK, 5][random(6)];
    if (order.join() === "0,1,2" && claimed === size) continue;
    const code = await codeOf(() => open(order, claimed));
    demand(code === "size" || code === "auth", `${order} as ${claimed}: ${code}`);
  }
  demand((await codeOf(() => sealer.seal(1, new Uint8Array(sealed.CHUNK)))) !== null, "a chunk was sealed twice");
}

/** Property 3: PAE is injective, b64 has one spelling. */
function checkEncodings(random, rounds) {
  const seen = new Map();
  for (let round = 0; round < rounds; round += 1) {
    const elements = Array.from({ length: 1 + random(4) }, () => "ab/1".slice(0, random(5)));
    const key = toHex(sealed.pae(...elements));
    const text = JSON.stringify(elements);
    demand(!seen.has(key) || seen.get(key) === text, `PAE of ${text} and ${seen.get(key)}`);
    seen.set(key, text);
    const octets = Uint8Array.from({ length: random(20) }, () => random(256));
    demand(toHex(fromB64(toB64(octets))) === toHex(octets), "b64 does not come back");
    const odd = Array.from({ length: random(9) }, () => "AZaz09-_+/= \n\u00e9"[random(14)]).join("");
    let read = null;
    try {
      read = fromB64(odd);
    } catch {
      continue;
    }
    demand(toB64(read) === odd, `b64 took ${JSON.stringify(odd)}`);
  }
}

const BAD_JSON = [
  "", "[]", "1", "null", '"a"', '{"a":1', '{"a":1}x', '{"a":1.0}', '{"a":1e2}', '{"a":-1}', '{"a":-0}', '{"a":9007199254740992}', '{"a":01}', '{"a":NaN}', '{"a":1,"a":2}',
  '{"a":1,"\\u0061":2}', '{"b":{"a":1,"a":1}}', '{"b":[{"a":1,"a":1}]}', '{"a":"\\ud800"}', '{"a":["\\ud800x"]}', '{"\\udc00":1}', "{'a':1}", '{"a":1,}', '\ufeff{"a":1}', '{"a":"\n"}',
  `{"a":${"[".repeat(200000)}`,
];
const GOOD_JSON = ['{"a":1}', ' {"a" : [1, {"a":2}, "a"], "b":{"a":"{\\"a\\":1}"}}\n', '{"a":"\\ud83d\\ude00 1e5 -1"}', '{"a":9007199254740991,"b":true,"c":null}', '{"a":{"b":1},"b":1}', "{}"];

function checkJson() {
  for (const text of BAD_JSON) demand(refusesJson(toUtf8(text)) === "format", `took ${text.slice(0, 60)}`);
  for (const text of GOOD_JSON) demand(refusesJson(toUtf8(text)) === null, `refused ${text}`);
  demand(refusesJson(fromHex("7b2261223a22ff227d")) === "format", "took broken UTF-8");
  demand(refusesJson(toUtf8(`{"a":"${"x".repeat(1 << 16)}"}`)) === "size", "took too much");
}

function refusesJson(octets) {
  try {
    sealed.readJson(octets, 1 << 16);
    return null;
  } catch (error) {
    return octets.length > 100000 && error.code === "size" ? "format" : error.code;
  }
}

/** Property 5: any outer field changed is refused; and signed content that contradicts its place. */
async function checkBindings(world) {
  const open = (listed) => codeOf(() => openManifest(world, world.sealedDown, listed));
  demand((await open({})) === null, "the true one is refused");
  demand((await open({ no: 4 })) === "binding", "another number");
  demand((await open({ id: BOX })) === "auth", "another id");
  demand((await open({ box: PORTAL })) === "auth", "another box");
  demand((await open({ portal: BOX })) === "auth", "another portal");
  demand((await open({ gen: 2 })) === "generation", "another generation");
  const wrong = { dir: "up", no: 9, gen: 2, enc: toB64(new Uint8Array(32)), id: BOX, box: PORTAL, portal: BOX };
  for (const [name, value] of Object.entries(wrong)) {
    const info = { ...world.manifest, [name]: value };
    // Sealed where it is listed, though it names another place inside.
    const code = await codeOf(async () => openManifest(world, await sealAt(world, info)));
    demand(code === "binding", `${name}: ${code}`);
  }
  const schema = { kind: "other", key: "AA", parts: [{ i: 1 }], time: "2027-02-30T00:00:00Z", from: null, receipt: 1, thread: "x", subject: 5, v: 2, card: 7 };
  const codes = { kind: "unknown", v: "version", card: "card" };
  for (const [name, value] of Object.entries(schema)) {
    const code = await codeOf(async () => openManifest(world, await sealAt(world, { ...world.manifest, [name]: value })));
    demand(code === (codes[name] ?? "format"), `${name}: ${code}`);
  }
  const twice = [1, 1].map((i) => ({ i, role: "file", name: "a", type: "a/b", size: 1 }));
  demand((await codeOf(async () => openManifest(world, await sealAt(world, { ...world.manifest, parts: twice })))) === "duplicate", "a part twice");
}

async function sealAt(world, manifest) {
  const { sealHpke, octets, info, sig } = await rawDown(world, manifest);
  return toB64(await sealHpke(1, fromB64(world.capsule.keys.enc), info, sealed.concat(sig, octets)));
}

async function rawDown(world, manifest) {
  const { sealHpke } = await import("../../../static/portal/src/sealed/primitives.js");
  const octets = sealed.writeJson(manifest);
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const sig = new Uint8Array(await crypto.subtle.sign(algorithm, world.sign.privateKey, sealed.pae("LL1/sign/down", octets)));
  return { sealHpke, octets, sig, info: sealed.pae("LL1/down", PORTAL, BOX, 1, world.manifest.id) };
}

/** A distrusted card verifies nothing; a newer card that is withheld is noticed. */
async function checkCardRules(world) {
  const third = await signCard(world.root.privateKey, world.root.pub, world.card(3, { distrust: [2] }));
  const cards = await sealed.checkCards([...world.records, third], { portal: PORTAL, root: world.root.pub, least: 1 });
  const own = { keys: new Map([[1, world.capsule.keys]]), cards };
  const place = { portal: PORTAL, box: BOX, gen: 1, id: world.manifest.id };
  const error = await sealed.openDown(world.sealedDown, place, own).catch((failure) => failure);
  demand(error.code === "card" && error.withdrawn === true, "a withdrawn card verified");
  const newer = await sealAt(world, { ...world.manifest, card: 9 });
  const named = await openManifest(world, newer).catch((failure) => failure);
  demand(named.code === "card" && named.untrustedCard === 9, "the newer card's number is lost");
}

/** What the browser makes opens on the other side, with the capsule and without what must not be in it. */
async function checkRekey(world) {
  const stretched = { kek: await importKek(world.kek), av: world.av, auth: world.av };
  const made = await sealed.makeCapsule({
    kind: "mailbox", portal: PORTAL, box: BOX, gen: 2, name: "anna@partner.example", stretched, card: world.cards.newest, older: [{ gen: 1, suite: 1, seed: world.seed }],
  });
  await sealed.verifyRekey(world.capsule.keys.sign, made.octets, await sealed.signRekey(world.capsule.keys, made.octets));
  const opened = await sealed.openCapsule(made.octets, { portal: PORTAL, kind: "mailbox", kek: stretched.kek });
  demand(toHex(opened.body.older[0].seed) === toHex(world.seed), "the older seed is lost");
  demand(toHex(opened.seed) !== toHex(world.seed), "the seed is the old one");
  sealed.dropSeeds(opened);
  demand(opened.seed.every((octet) => octet === 0) && opened.body.older[0].seed.every((octet) => octet === 0), "seeds stay");
  const item = await sealed.sealUp(made.keys, world.cards.newest, { kind: "read", re: world.manifest.id });
  const read = await openUp({ privateKey: world.reply.privateKey, pub: fromB64(world.reply.pub) }, { ...item, portal: PORTAL, box: BOX, sign: made.keys.sign });
  demand(read.kind === "read" && read.mode === "browser" && item.self === null, "the item is another");
}

/** No key can be exported, whatever asks. */
async function checkNotExtractable(world) {
  const keys = world.capsule.keys;
  const opened = await sealed.deriveSeedKeys(world.seed, PORTAL, BOX, 1);
  const partKey = await sealed.derivePartKey(sealed.newMessageKey(), BOX, 0);
  for (const key of [keys.encKey.privateKey, keys.signKey, keys.store, keys.body, opened.encKey.privateKey, opened.signKey, opened.store, opened.body, partKey]) {
    demand(key.extractable === false, "a key is extractable");
    for (const format of ["raw", "pkcs8", "jwk"]) {
      const failure = await crypto.subtle.exportKey(format, key).then(() => null, (error) => error);
      demand(failure !== null, `exported as ${format}`);
    }
  }
  demand(!Object.values(opened).some((value) => value instanceof Uint8Array), "octets of a key are kept");
}

/** No nonce and no part number twice; sealing the same thing twice gives different octets. */
async function checkFresh(world, rounds) {
  const nonces = new Set();
  for (let round = 0; round < rounds; round += 1) {
    const octets = await sealed.sealSelf(world.capsule.keys, "sent", BOX, toUtf8("x"));
    nonces.add(toHex(octets.slice(0, 12)));
    nonces.add(sealed.newId());
  }
  demand(nonces.size === 2 * rounds, "a nonce or an id twice");
}

async function checkFiles() {
  const names = { "../../etc/passwd": "_.._etc_passwd", "CON.txt": "_CON.txt", "a\u202egpj.exe": "a_gpj.exe", "": "file", "  .hidden ": "hidden", "a/b\\c:d": "a_b_c_d", "Gr\u00fc\u00dfe.pdf": "Gr\u00fc\u00dfe.pdf" };
  for (const [name, wanted] of Object.entries(names)) demand(safeFileName(name) === wanted, `${JSON.stringify(name)} became ${JSON.stringify(safeFileName(name))}`);
  demand([...safeFileName(`${"\u{1f600}".repeat(300)}.pdf`)].length < 140, "a long name stays long");
}

function checkCommon() {
  for (const weak of ["passwort1234", "password2024!", "qwertzuiop12", "123456789012", "iloveyou1234", "aaaaaaaaaaaaa", "abcabcabcabc", "passwortpasswort", "hallo-hallo-1", "letmein123456", "1q2w3e4r5t6z"]) {
    demand(isCommonPassword(weak), `${weak} passes`);
  }
  for (const good of ["sommerregen am see", "grune tinte 7 boote", "korrekt pferd batterie", "vierzehn kleine igel", "x9!kq-2mvb_77tz"]) demand(!isCommonPassword(good), `${good} is refused`);
}

/** @param {{seed: number, rounds: number}} options */
async function properties({ seed, rounds }) {
  const random = makeRandom(seed);
  const world = await makeWorld();
  return list({
    "flipped bits": () => checkFlips(world, random, rounds),
    "chunk lists": () => checkChunkLists(random, rounds),
    encodings: () => checkEncodings(random, rounds * 20),
    "strict JSON": checkJson,
    bindings: () => checkBindings(world),
    cards: () => checkCardRules(world),
    rekey: () => checkRekey(world),
    "keys cannot be exported": () => checkNotExtractable(world),
    "fresh nonces": () => checkFresh(world, rounds),
    "file names": checkFiles,
    "common passwords": checkCommon,
    "this browser is good enough": async () => demand(typeof Worker === "undefined" || (await sealed.checkSupport()), "not supported"),
  });
}

/** The corpus that Python wrote: the same forms, octet by octet. */
async function forms(corpus) {
  const checks = {};
  const compare = (name, entry, act) => {
    checks[`${name} ${JSON.stringify(entry)}`] = async () => {
      let found;
      try {
        found = act();
      } catch (error) {
        found = { error: error.code };
      }
      const [key] = Object.keys(entry).filter((one) => ["name", "utf8", "why", "error", "refused"].includes(one) && !(name === "own_password" && one === "name"));
      if (key === "refused") return; // the inside is the stricter one here and gives no such name
      const isRefused = key === "error" && "error" in found;
      demand(isRefused || JSON.stringify(found[key]) === JSON.stringify(entry[key]), `found ${JSON.stringify(found)}`);
    };
  };
  for (const entry of corpus.login_name) compare("login_name", entry, () => ({ name: sealed.normaliseLoginName(entry.typed) }));
  for (const entry of corpus.secret) compare("secret", entry, () => ({ utf8: new TextDecoder().decode(sealed.readSecret(entry.form, entry.typed, entry.code)) }));
  for (const entry of corpus.own_password) compare("own_password", entry, () => ({ why: sealed.checkOwnPassword(entry.typed, entry.name) }));
  return list(checks);
}

/** Files for other programs to read. */
async function makeFiles() {
  const blob = new Blob([new Uint8Array(70000).fill(7)]);
  const zip = await zipFiles([
    { name: "a.txt", blob: new Blob(["one"]), time: "2027-01-04T08:00:00Z" }, { name: "A.txt", blob: new Blob(["two"]) }, { name: "../Gr\u00fc\u00dfe \u{1f600}.bin", blob }, { name: "empty", blob: new Blob([]) },
  ]);
  const message = {
    time: "2027-01-04T08:00:00Z", from: { name: "M\u00fcller, Maria", addr: "maria@bank.example" }, to: [{ name: "Anna", addr: "anna@partner.example" }], cc: [{ name: "", addr: "team@partner.example" }],
    subject: `Vertr\u00e4ge ${"lang und mehr ".repeat(12)}\r\nBcc: evil@example.org`,
  };
  const body = { text: "Gr\u00fc\u00dfe\n.\nFrom here", html: '<p>Gr\u00fc\u00dfe <img src="cid:logo@x">', inline: new Map([["logo@x", new Blob([new Uint8Array(99)], { type: "image/png" })]]) };
  const eml = await makeEml(message, body, [{ name: "Gr\u00fc\u00dfe\r\nX: y.pdf", type: "application/pdf", blob }, { name: "page.html", type: "text/html\r\nX: y", blob: new Blob(["x"]) }]);
  return { zip: toB64(new Uint8Array(await zip.arrayBuffer())), eml: toB64(new Uint8Array(await eml.arrayBuffer())) };
}

/** Tags and hashes in hex; one instance for all, so that what a run left lies under the next. */
async function argon2({ runs, hashes }) {
  const own = new Argon2();
  return {
    tags: runs.map(({ secret, salt, memory, passes }) => toHex(own.run(fromHex(secret), fromHex(salt), { memory, passes }))),
    hashes: hashes.map(({ length, input }) => toHex(own.hash(length, fromHex(input)))),
  };
}

/** @param {{suite: number, private: string, pub: string}} given @returns {Promise<{privateKey: CryptoKey, pub: Uint8Array}>} */
const importRecipient = ({ suite, private: octets, pub }) =>
  suite === 1 ? importPrivate("X25519", fromHex(octets)) : importReply(toB64(fromHex(pub)), octets);

/** opened: plaintexts in hex, or the code of the refusal; sealed: what the other side has to open. */
async function hpke({ rfc, open, seal }) {
  const opened = [];
  for (const one of open) {
    const attempt = async () => toHex(await openHpke(one.suite, await importRecipient(one), fromHex(one.info), fromHex(one.sealed)));
    opened.push(await attempt().catch((error) => error.code ?? `${error}`));
  }
  const sealedBoxes = [];
  for (const one of seal) {
    const attempt = async () => toHex(await sealHpke(one.suite, fromHex(one.pub), fromHex(one.info), fromHex(one.plaintext)));
    sealedBoxes.push(await attempt().catch((error) => error.code ?? `${error}`));
  }
  return { rfc: await Promise.all(rfc.map(openOfRfc)), opened, sealed: sealedBoxes };
}

/** The RFC's vectors have AES-128 and an AAD. */
async function openOfRfc(one) {
  const { privateKey, pub } = await importRecipient(one);
  const algorithm = one.suite === 1 ? { name: "X25519" } : { name: "ECDH", namedCurve: "P-256" };
  const suite = new Hpke(one.suite === 1 ? 0x20 : 0x10, algorithm, pub.length, [1, 16]);
  const enc = fromHex(one.enc);
  const { key, iv } = await suite.schedule(privateKey, enc, enc, pub, fromHex(one.info));
  return toHex(new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: fromHex(one.aad) }, key, fromHex(one.ct))));
}

/** @param {string} name @param {any} data @param {any} argon */
export async function run(name, data, argon) {
  const suites = { vectors: (given) => runVectors(given, argon), forms, properties, makeFiles, argon2, hpke };
  return suites[name](data);
}
