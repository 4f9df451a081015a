/** The engine in Node, with a cookie jar instead of a browser's: a JSON object a line in, one a line out. */
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { Api } from "../../../static/portal/src/engine/api.js";
import { makeFaultyFetch, makeRemote } from "./remote_engine.mjs";

const [base, portal] = process.argv.slice(2);

class Storage {
  #values = new Map();
  get length() { return this.#values.size; }
  key(at) { return [...this.#values.keys()][at] ?? null; }
  getItem(name) { return this.#values.get(name) ?? null; }
  setItem(name, value) { this.#values.set(name, `${value}`); }
  removeItem(name) { this.#values.delete(name); }
}

const cookies = new Map();
async function fetchWithCookies(url, { credentials, referrerPolicy, cache, ...options } = {}) {
  const headers = { ...options.headers, Origin: base, Cookie: [...cookies].map((pair) => pair.join("=")).join("; ") };
  const answer = await fetch(url, { ...options, headers });
  for (const line of answer.headers.getSetCookie()) {
    const [name, ...value] = line.split(";")[0].split("=");
    cookies.set(name, value.join("="));
  }
  return answer;
}

/** Stand-in for Argon2id, as stretch_fast in world.py; the true one runs in the browsers' tests. */
const argon = async (secret, salt, { memory }) =>
  new Uint8Array(createHash("sha256").update(salt).update(secret).update(Uint8Array.of(memory === 65536 ? 1 : 2)).digest());
const net = makeFaultyFetch(fetchWithCookies);
const makeApi = () => new Api({ base, fetch: net.fetch });
const call = makeRemote({ portal, api: makeApi(), makeApi, argon, storage: new Storage(), net });
for await (const line of createInterface({ input: process.stdin })) {
  const { name, argument } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(await call(name, argument))}\n`);
}
