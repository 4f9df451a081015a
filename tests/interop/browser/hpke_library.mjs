/** Our HPKE and @hpke/core's open each other's boxes, in both suites; "ok" on stdout. The library stands in no bundle. */
import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { Hpke } from "../../../static/portal/src/sealed/hpke.js";

const { subtle } = crypto;
const suites = [
  [new Hpke(0x20, { name: "X25519" }, 32), { name: "X25519" }, new DhkemX25519HkdfSha256()],
  [new Hpke(0x10, { name: "ECDH", namedCurve: "P-256" }, 65), { name: "ECDH", namedCurve: "P-256" }, new DhkemP256HkdfSha256()],
];

function demand(condition, words) {
  if (!condition) throw new Error(words);
}

const same = (a, b) => Buffer.from(a).equals(Buffer.from(b));

for (const [own, algorithm, kem] of suites) {
  const library = new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const pair = await subtle.generateKey(algorithm, true, ["deriveBits"]);
  const pub = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  for (const size of [0, 1, 100, 70000]) {
    const [info, text] = [crypto.getRandomValues(new Uint8Array(size % 300)), new Uint8Array(size).fill(7)];
    const ours = await own.seal(pub, info, text);
    const enc = ours.slice(0, own.length);
    demand(same(await library.open({ recipientKey: pair, enc, info }, ours.slice(own.length)), text), "the library does not open ours");
    const theirs = await library.seal({ recipientPublicKey: pair.publicKey, info }, text);
    const whole = Buffer.concat([Buffer.from(theirs.enc), Buffer.from(theirs.ct)]);
    demand(same(await own.open(pair.privateKey, pub, info, new Uint8Array(whole)), text), "we do not open the library's");
  }
}
process.stdout.write("ok");
