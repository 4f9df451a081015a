/**
 * Account: sign-in, what a tab keeps, new passwords. sealed-mailbox 5, 6, 10, 11, 16.
 * Keeps no password; seeds exist as octets only while a generation is opened or made, else as non-extractable keys.
 */
import {
  checkCards, dropSeeds, fromB64, KDF_OF_KIND, loginId, makeCapsule, normaliseLoginName, openCapsule, openTab, openWithSeed,
  randomBytes, readSecret, readStrippedCapsule, deriveSeedKeys, sealTab, SealedDataError, signRekey, stretch, toB64, InputError,
} from "../../sealed.js";
import { checkNewPassword } from "./common_passwords.js";
import { ApiError, OfflineError } from "./errors.js";

const TAB = "letterlock-tab";
/**
 * New generations that were sent and not answered: the portal may have taken them. The same octets go again, never others.
 * @typedef {{request: {capsule: string, sig: string, auth: string}, place: {box: string, gen: number}, octets: Uint8Array, seed: Uint8Array, auth: string}} Unanswered
 *   auth: of the new password
 * @type {WeakMap<Session, Unanswered>}
 */
const unanswered = new WeakMap();
/** Highest suite of boxes that this script makes. */
const NEWEST_SUITE = 1;

/**
 * @typedef {Object} Context  what the engine hands to its parts
 * @property {import("./api.js").Api} api @property {import("../sealed/stretch.js").RunArgon} argon @property {Storage} storage @property {string} portal the page's
 */

/** One opened box. Values are for reading. */
export class Session {
  /**
   * @param {any} answer of POST /login or GET /session
   * @param {import("../sealed/capsule.js").OpenedCapsule} opened
   * @param {import("../sealed/card.js").TrustedCards} cards @param {Map<number, import("../sealed/seed.js").SeedKeys>} keys
   */
  constructor(answer, opened, cards, keys) {
    const { capsule, body } = opened;
    this.portal = capsule.portal;
    this.box = capsule.box;
    this.kind = capsule.kind;
    this.gen = capsule.gen;
    /** Who made this generation. */
    this.by = capsule.by;
    /** @type {"first" | "active"} */
    this.state = answer.state === "first" ? "first" : "active";
    this.firstPassword = this.kind === "mailbox" && capsule.by === "relay";
    /** Whatever the portal says: no mail under a password that somebody else was told. */
    this.mustChange = this.firstPassword || (this.kind === "mailbox" && (this.state === "first" || answer.must_change === true));
    this.org = body.org;
    this.name = body.name;
    this.root = body.root;
    this.lang = typeof answer.lang === "string" ? answer.lang : "";
    this.quota = { used: Number(answer.quota?.used ?? 0), limit: Number(answer.quota?.limit ?? 0) };
    this.limits = { message: Number(answer.limits?.message ?? 50e6), parts: Math.min(Number(answer.limits?.parts ?? 100), 100) };
    this.idleSeconds = Number(answer.idle_seconds ?? 900);
    this.ticket = typeof answer.ticket === "string" ? answer.ticket : null;
    this.cards = cards;
    this.keys = keys;
    /** Whether a reset keeps old mail. */
    this.recoverable = cards.newest.escrow !== null;
    /** auth of the password just typed, until it is changed; never stored. @type {string | null} */
    this.auth = null;
  }

  /** Keys of the newest generation. */
  get newest() {
    return /** @type {import("../sealed/seed.js").SeedKeys} */ (this.keys.get(this.gen));
  }
}

/** @param {import("../sealed/capsule.js").OpenedCapsule} opened @returns {Promise<Map<number, import("../sealed/seed.js").SeedKeys>>} by generation */
async function deriveAll(opened) {
  const keys = new Map([[opened.capsule.gen, opened.keys]]);
  const { portal, box } = opened.capsule;
  for (const { gen, seed } of opened.body.older) keys.set(gen, await deriveSeedKeys(seed, portal, box, gen));
  return keys;
}

/** @param {Context} context @param {import("../sealed/capsule.js").Body} body @param {Promise<{cards: unknown}>} [asked] */
async function loadCards(context, body, asked = context.api.getCards()) {
  const { cards } = await asked;
  if (!Array.isArray(cards)) throw new SealedDataError("format");
  return checkCards(cards, { portal: context.portal, root: body.root, least: body.card });
}

/** The tab's half and the seed under both halves. @param {Context} context @param {{box: string, gen: number}} place @param {string} half @param {Uint8Array} seed */
async function keepTab({ storage, portal }, { box, gen }, half, seed) {
  const local = randomBytes(32);
  const blob = await sealTab({ server: fromB64(half, 32), local, portal, box, gen }, seed);
  storage.setItem(TAB, JSON.stringify({ box, gen, local: toB64(local), blob: toB64(blob) }));
  local.fill(0);
}

/** @param {Storage} storage @returns {{box: string, gen: number, local: string, blob: string} | null} */
function readTab(storage) {
  try {
    return JSON.parse(storage.getItem(TAB) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Storage} storage */
export function dropTab(storage) {
  storage.removeItem(TAB);
}

/**
 * Login of either kind of box, up to verified cards. The caller drops the seeds.
 * @param {Context} context @param {{kind: "mailbox" | "reply", who: string, secret: Uint8Array, identity: {login_id: string} | {token: string}}} what
 */
export async function logIn(context, { kind, who, secret, identity }) {
  const { api, argon, portal } = context;
  const kdf = /** @type {1 | 2} */ (KDF_OF_KIND[kind]);
  // Public, and asked for while Argon2id runs.
  const cardsAsked = api.getCards();
  cardsAsked.catch(() => {});
  const stretched = await stretch(argon, { portal, who, kdf, secret });
  const auth = toB64(stretched.auth);
  stretched.auth.fill(0);
  const answer = await api.login({ ...identity, kdf, auth });
  const opened = await openCapsule(fromB64(answer.capsule), { portal, kind, kek: stretched.kek });
  if (kind === "reply" && opened.capsule.box !== who) throw new SealedDataError("binding");
  api.box = opened.capsule.box;
  const cards = await loadCards(context, opened.body, cardsAsked);
  const session = new Session(answer, opened, cards, await deriveAll(opened));
  return { answer, opened, session, stretched, auth };
}

/**
 * @param {Context} context @param {{loginName: string, password: string, code?: string}} typed @returns {Promise<Session>}
 * Rejects InputError name|secret|code (nothing sent), ApiError wrong|locked|wait, SealedDataError, OfflineError.
 */
export async function signIn(context, { loginName, password, code = "" }) {
  const who = normaliseLoginName(loginName);
  const secret = readSecret("own", password, code);
  const identity = { login_id: await loginId(context.portal, who) };
  const { answer, opened, session, stretched, auth } = await logIn(context, { kind: "mailbox", who, secret, identity });
  try {
    await keepTab(context, session, answer.half, opened.seed);
    if (session.mustChange) {
      session.auth = auth;
      return session;
    }
    return needsRekey(opened, session.cards) ? await rekeySilently(context, session, opened, stretched, auth) : session;
  } finally {
    dropSeeds(opened);
  }
}

/** Section 11: another root, another escrow key, or a higher suite. @param {import("../sealed/capsule.js").OpenedCapsule} opened @param {import("../sealed/card.js").TrustedCards} cards */
function needsRekey({ capsule, body }, cards) {
  const { newest } = cards;
  const sealedTo = capsule.escrow ? cards.all.get(capsule.escrow.card)?.escrow : null;
  const print = (/** @type {Uint8Array | null | undefined} */ key) => (key ? toB64(key) : "");
  return newest.root !== body.root || print(newest.escrow) !== print(sealedTo) || (newest.mailboxSuite > 1 && newest.mailboxSuite <= NEWEST_SUITE);
}

/**
 * Same password, new seed. A failure changes nothing for the reader: the next login tries again.
 * @param {Context} context @param {Session} session @param {import("../sealed/capsule.js").OpenedCapsule} opened
 * @param {import("../sealed/stretch.js").Stretched} stretched @param {string} auth
 */
async function rekeySilently(context, session, opened, stretched, auth) {
  try {
    return await rekey(context, session, opened, stretched, auth, auth);
  } catch {
    return session;
  }
}

/**
 * @param {Context} context @param {Session} session @param {import("../sealed/capsule.js").OpenedCapsule} opened with its seeds
 * @param {import("../sealed/stretch.js").Stretched} stretched of the new password @param {string} auth of the present one
 * @param {string} newAuth the same, of the new one
 * @returns {Promise<Session>} of the new generation
 */
async function rekey(context, session, opened, stretched, auth, newAuth) {
  const { body, capsule } = opened;
  const older = [...body.older, { gen: capsule.gen, suite: 1, seed: opened.seed }];
  const { portal, box } = capsule;
  const place = { kind: /** @type {const} */ ("mailbox"), portal, box, gen: capsule.gen + 1, name: /** @type {string} */ (body.name) };
  const made = await makeCapsule({ ...place, stretched, card: session.cards.newest, older, passkeys: body.passkeys });
  const sig = await signRekey(session.newest, made.octets);
  const request = { capsule: toB64(made.octets), sig: toB64(sig), auth };
  return sendRekey(context, session, { request, place, octets: made.octets, seed: made.seed, auth: newAuth });
}

/** @param {Context} context @param {Session} session @param {Unanswered} made @returns {Promise<Session>} of the new generation. Rejects ApiError counts: it is taken, and only a new login opens it */
async function sendRekey(context, session, made) {
  const { octets, seed, place } = made;
  let done;
  try {
    done = await context.api.rekey(made.request);
  } catch (error) {
    if (error instanceof OfflineError || (error instanceof ApiError && error.status >= 500)) unanswered.set(session, made);
    else unanswered.delete(session);
    throw error;
  }
  unanswered.delete(session);
  // Asked so late that the portal gives no session for it any more.
  if (typeof done.half !== "string") throw new ApiError(401, { error: "counts" });
  await keepTab(context, place, done.half, seed);
  const reopened = await openWithSeed(readStrippedCapsule(JSON.parse(new TextDecoder().decode(octets)), "mailbox"), seed, context.portal);
  const next = new Session({}, reopened, session.cards, await deriveAll(reopened));
  dropSeeds(reopened);
  const { lang, quota, limits, idleSeconds } = session;
  return Object.assign(next, { lang, quota, limits, idleSeconds });
}

/** The box as the tab and the session row open it, with seeds. @param {Context} context @returns {Promise<{answer: any, opened: import("../sealed/capsule.js").OpenedCapsule} | null>} null: signed out */
async function openFromTab(context) {
  const tab = readTab(context.storage);
  if (!tab) return null;
  context.api.box = tab.box;
  try {
    const answer = await context.api.getSession();
    const capsule = readStrippedCapsule(answer.capsule, "mailbox");
    const place = { server: fromB64(answer.half, 32), local: fromB64(tab.local, 32), portal: context.portal, box: tab.box, gen: tab.gen };
    if (capsule.box !== tab.box || capsule.gen !== tab.gen) throw new SealedDataError("generation");
    const seed = await openTab(place, fromB64(tab.blob));
    return { answer, opened: await openWithSeed(capsule, seed, context.portal) };
  } catch (error) {
    // Another session than the one this tab began with: only a password opens it.
    if (!(error instanceof SealedDataError) && !(error instanceof ApiError && error.status === 401)) throw error;
    dropTab(context.storage);
    return null;
  }
}

/** After a reload, or on the same page in another language. @param {Context} context @returns {Promise<Session | null>} null: sign in again */
export async function resume(context) {
  const found = await openFromTab(context);
  if (!found) return null;
  const { answer, opened } = found;
  try {
    return new Session(answer, opened, await loadCards(context, opened.body), await deriveAll(opened));
  } finally {
    dropSeeds(opened);
  }
}

/**
 * @param {Context} context @param {Session} session @param {{newPassword: string, password?: string, code?: string}} typed
 * @returns {Promise<Session>} Rejects InputError short|long|common|login-name|first-form|same, ApiError wrong|changed|counts|wait|signed-out.
 *   After OfflineError the same call with the same session ends well whether or not the portal had taken it.
 */
export async function changePassword(context, session, { newPassword, password = "", code = "" }) {
  const who = /** @type {string} */ (session.name);
  checkNewPassword(newPassword, who);
  const { argon, portal } = context;
  const auth = password ? await stretchAuth(context, who, readSecret("own", password, code)) : session.auth;
  if (!auth) throw new InputError("secret");
  const stretched = await stretch(argon, { portal, who, kdf: 1, secret: readSecret("own", newPassword) });
  const newAuth = toB64(stretched.auth);
  stretched.auth.fill(0);
  if (newAuth === auth) throw new InputError("same");
  const sent = unanswered.get(session);
  if (sent) {
    const next = await sendRekey(context, session, sent);
    if (sent.auth === newAuth) return next;
    // Another one by now, on top of the first.
    next.auth = sent.auth;
    return changePassword(context, next, { newPassword });
  }
  const found = await openFromTab(context);
  if (!found) throw new ApiError(401, { error: "signed-out" });
  try {
    if (found.opened.capsule.gen !== session.gen) throw new ApiError(409, { error: "changed" });
    return await rekey(context, session, found.opened, stretched, auth, newAuth);
  } finally {
    dropSeeds(found.opened);
  }
}

/** @param {Context} context @param {string} who @param {Uint8Array} secret @returns {Promise<string>} b64 */
async function stretchAuth({ argon, portal }, who, secret) {
  const { auth } = await stretch(argon, { portal, who, kdf: 1, secret });
  return toB64(auth);
}
