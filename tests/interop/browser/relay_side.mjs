/** The other side of the formats, for tests alone: what relay and key store do with what the browser makes, and the reverse. */
import { concat, Fields, fromB64, pae, toB64, writeJson } from "../../../static/portal/src/sealed/encoding.js";
import { readParts } from "../../../static/portal/src/sealed/down.js";
import { SealedDataError } from "../../../static/portal/src/sealed/errors.js";
import { hkdf, importAes, importPrivate, openHpke, sealGcm, sealHpke, verifyEd25519 } from "../../../static/portal/src/sealed/primitives.js";
import { deriveSeedKeys } from "../../../static/portal/src/sealed/seed.js";

const P256 = { name: "ECDSA", namedCurve: "P-256" };

export function fromHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function toHex(octets) {
  return [...octets].map((octet) => octet.toString(16).padStart(2, "0")).join("");
}

/** @param {string} pub b64, 65 octets @param {string} privateHex */
function jwk(pub, privateHex) {
  const point = fromB64(pub, 65);
  return { kty: "EC", crv: "P-256", x: toB64(point.slice(1, 33)), y: toB64(point.slice(33)), d: toB64(fromHex(privateHex)) };
}

export async function importEs256(pub, privateHex) {
  return crypto.subtle.importKey("jwk", jwk(pub, privateHex), P256, false, ["sign"]);
}

export async function importReply(pub, privateHex) {
  const algorithm = { name: "ECDH", namedCurve: "P-256" };
  return {
    privateKey: await crypto.subtle.importKey("jwk", jwk(pub, privateHex), algorithm, false, ["deriveBits"]),
    pub: fromB64(pub),
  };
}

async function signEs256(key, label, octets) {
  return new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, pae(label, octets)));
}

export async function signCard(rootKey, root, card) {
  const octets = writeJson(card);
  return { card: toB64(octets), sigs: [{ root, sig: toB64(await signEs256(rootKey, "LL1/sign/card", octets)) }] };
}

export async function sealDown(signKey, manifest) {
  const octets = writeJson(manifest);
  const sig = await signEs256(signKey, "LL1/sign/down", octets);
  const info = pae("LL1/down", manifest.portal, manifest.box, manifest.gen, manifest.id);
  return toB64(await sealHpke(1, fromB64(manifest.enc, 32), info, concat(sig, octets)));
}

export async function openUp(replyKey, { portal, box, gen, id, card, sign, sealed }) {
  const opened = await openHpke(2, replyKey, pae("LL1/up", portal, box, gen, id, card), fromB64(sealed));
  const octets = opened.slice(64);
  await verifyEd25519(fromB64(sign, 32), "LL1/sign/up", octets, opened.slice(0, 64));
  const fields = Fields.read(octets, 64 * 1024);
  for (const [name, value] of Object.entries({ dir: "up", portal, box, gen, id, card })) {
    if (fields.get(name) !== value) throw new SealedDataError("binding");
  }
  if (fields.get("kind") === "reply") readParts(fields);
  return fields.values;
}

export async function openJoin(replyKey, { portal, id, card, secret, sealed }) {
  const opened = await openHpke(2, replyKey, pae("LL1/join", portal, id, card), fromB64(sealed));
  const hmac = await crypto.subtle.importKey("raw", await hkdf(secret, "LL1/join-key", portal, id), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  if (!(await crypto.subtle.verify("HMAC", hmac, opened.slice(0, 32), opened.slice(32)))) throw new SealedDataError("signature");
  const fields = Fields.read(opened.slice(32), 150 * 1024);
  for (const [name, value] of Object.entries({ dir: "join", portal, id, card })) {
    if (fields.get(name) !== value) throw new SealedDataError("binding");
  }
  return fields.values;
}

export async function openEscrow(escrowKey, { portal, box, gen, escrow }) {
  return openHpke(2, escrowKey, pae("LL1/escrow", portal, box, gen, escrow.card), fromB64(escrow.sealed));
}

export async function openPasskey({ prf, portal, box, gen, id, sealed }) {
  const key = await importPrivate("X25519", await hkdf(prf, "LL1/passkey-key", portal, box));
  return { pub: toB64(key.pub), seed: await openHpke(1, key, pae("LL1/passkey", portal, box, gen, id), fromB64(sealed)) };
}

/** A capsule as keyd makes it: by relay, with a seed and a kek given. */
export async function makeRelayCapsule({ kind, portal, box, gen, seed, kek, av, body, form }) {
  const keys = await deriveSeedKeys(seed, portal, box, gen);
  const kdf = kind === "mailbox" ? 1 : 2;
  const whole = { v: 1, portal, box, gen, older: [], passkeys: [], ...body };
  const octets = writeJson({
    v: 1, type: "capsule", kind, by: "relay", portal, box, gen, id: box, time: "2027-01-01T00:00:00Z", suite: 1, enc: keys.enc, sign: keys.sign, kdf,
    av: toB64(av),
    pw: toB64(await sealGcm(await importAes(kek), seed, pae("LL1/pw", portal, box, gen, kdf))),
    passkeys: [],
    body: toB64(await sealGcm(keys.body, writeJson(whole), pae("LL1/body", portal, box, gen))),
    escrow: null,
    ...(form ? { form } : {}),
  });
  return { octets, keys };
}
