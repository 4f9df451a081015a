/**
 * The engine under a test's command, in Node or in a page: named calls with JSON in and out.
 * @param {object} given portal, api, argon, storage: what createEngine takes; faults: what the fetch below obeys
 */
import { createEngine } from "../../../static/portal/src/engine/engine.js";
import { createEngine as createJoin } from "../../../static/portal/src/engine/join_engine.js";
import { createEngine as createReply } from "../../../static/portal/src/engine/reply_engine.js";
import { toB64 } from "../../../static/portal/sealed.js";

/**
 * A fetch that fails when told: `before` the request leaves, or `after` the portal has acted and the answer is lost.
 * @param {typeof fetch} real
 */
export function makeFaultyFetch(real) {
  const faults = [];
  const log = [];
  const faulty = async (url, options = {}) => {
    const path = new URL(url, "http://x").pathname;
    log.push({ method: options.method ?? "GET", path, body: typeof options.body === "string" ? options.body : "" });
    const index = faults.findIndex((one) => (options.method ?? "GET") === one.method && new RegExp(one.path).test(path));
    if (index < 0) return real(url, options);
    const fault = faults[index];
    fault.times -= 1;
    if (fault.times <= 0) faults.splice(index, 1);
    if (fault.when === "after") await real(url, options);
    if (fault.when === "change") {
      const answer = await real(url, options);
      const octets = new Uint8Array(await answer.arrayBuffer());
      octets[octets.length >> 1] ^= 1;
      return new Response(octets, { status: answer.status });
    }
    if (fault.when === "answer") {
      const answer = await real(url, options);
      return Response.json({ ...(await answer.json()), ...fault.body }, { status: answer.status });
    }
    throw new TypeError("the network is gone");
  };
  return { faults, log, fetch: faulty };
}

async function digest(blob) {
  return toB64(new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer())));
}

const plain = (value) => JSON.parse(JSON.stringify(value, (key, one) => (one instanceof Uint8Array ? undefined : one instanceof Map ? Object.fromEntries(one) : one)));

/** Octets that Python can make too. */
function makeFile({ name, size, factor = 251, type = "application/octet-stream" }) {
  if (!factor) return new File([new Uint8Array(size)], name, { type });
  return new File([Uint8Array.from({ length: size }, (_, at) => at % factor)], name, { type });
}

/** makeApi: for each reply page, which is one more page of the same browser. */
export function makeRemote({ portal, api, makeApi = () => api, argon, storage, assets, net }) {
  let engine = createEngine({ portal, api, argon, storage, assets });
  let session = null;
  let mailbox = null;
  let composer = null;
  const tickets = [];
  let invitation = null;
  const events = [];
  const describe = () => plain({ ...session, keys: [...session.keys.keys()], cards: session.cards.serials, auth: undefined });
  const showComposer = () => plain({ id: composer.id, re: composer.re, to: composer.to, subject: composer.subject, text: composer.text, state: composer.state, attachments: composer.attachments.map((one) => ({ ...one, error: one.error?.code ?? one.error?.name })) });
  const watch = (made) => {
    composer = made;
    for (const name of ["saved", "conflict"]) composer.addEventListener(name, () => events.push(name));
    return showComposer();
  };
  const stopAfter = (count, signal) => (count === undefined ? undefined : () => (count -= 1) <= 0 && signal.abort());

  const calls = {
    checkSupport: () => engine.checkSupport(),
    signIn: async (typed) => ((session = await engine.signIn(typed)), describe()),
    resume: async () => ((session = await engine.resume()), session && describe()),
    /** As a reload does: all that is left is the storage. */
    forgetAll: () => {
      engine = createEngine({ portal, api, argon, storage, assets });
      session = mailbox = composer = null;
    },
    changePassword: async (typed) => ((session = await engine.changePassword(session, typed)), describe()),
    forgot: (name) => engine.forgot(name),
    signOut: () => engine.signOut(session),
    listSessions: () => engine.listSessions(),
    endSession: (id) => engine.endSession(id),
    stored: () => Object.fromEntries(Array.from({ length: storage.length }, (_, at) => [storage.key(at), storage.getItem(storage.key(at))])),
    open: async () => {
      mailbox = engine.openMailbox(session);
      await mailbox.refresh();
      return calls.show();
    },
    refresh: async () => (await mailbox.refresh(), calls.show()),
    loadMore: async () => (await mailbox.loadMore(), calls.show()),
    show: () => plain({ messages: mailbox.messages, more: mailbox.more, account: mailbox.account, cardsBehind: mailbox.cardsBehind, receipts: mailbox.receipts }),
    openBody: async (id) => {
      const { html, text, inline } = await mailbox.openBody(id);
      return { html, text, inline: Object.fromEntries(await Promise.all([...inline].map(async ([name, blob]) => [name, { type: blob.type, size: blob.size }]))) };
    },
    download: async ({ id, i }) => {
      const progress = [];
      const blob = await mailbox.download(id, i, { onProgress: (done) => progress.push(done) });
      return { size: blob.size, type: blob.type, sha256: await digest(blob), progress };
    },
    markRead: (id) => mailbox.markRead(id),
    remove: (id) => mailbox.remove(id),
    closeBox: () => mailbox.closeBox(),
    search: (query) => mailbox.search(query).map(({ id }) => id),
    thread: (id) => mailbox.thread(id).map((one) => one.id),
    listSent: async () => {
      const { sent } = await mailbox.listSent();
      return Promise.all(sent.map(async (item) => {
        const text = item.parts.find(({ role }) => role === "text");
        return { ...plain(item), text: text ? await (await mailbox.downloadSent(item, text.i)).text() : null };
      }));
    },
    listDrafts: async () => plain(await mailbox.listDrafts()),
    compose: (start) => watch(mailbox.compose(start)),
    openDraft: async (id) => watch(await mailbox.openDraft(id)),
    composer: () => showComposer(),
    edit: (fields) => (composer.edit(fields), showComposer()),
    save: async () => (await composer.save(), showComposer()),
    keepMine: async () => (await composer.keepMine(), showComposer()),
    takeTheirs: async () => (await composer.takeTheirs(), showComposer()),
    attach: async ({ stopAfter: count, ...file }) => {
      const stop = new AbortController();
      await composer.attach(makeFile(file), { signal: stop.signal, onProgress: stopAfter(count, stop) });
      return showComposer();
    },
    retry: async (i) => (await composer.retry(i), showComposer()),
    detach: (i) => (composer.detach(i), showComposer()),
    send: async () => (await composer.send(), showComposer()),
    discard: async () => (await composer.discard(), showComposer()),
    events: () => events.splice(0),
    openReply: async (typed) => {
      const ticket = await createReply({ portal, api: makeApi(), argon, storage, assets }).openReply(typed);
      tickets.push(ticket);
      const { org, from, subject, time, files, quote } = ticket;
      return { org, from, subject, time, files, quote };
    },
    attachToReply: async (file) => plain(await tickets.at(-1).attach(makeFile(file))),
    sendReply: ({ page = -1, ...typed }) => tickets.at(page).send(typed),
    openJoin: async (link) => ((invitation = await createJoin({ portal, api, argon, storage, assets }).openJoin(link)), { org: invitation.org, recoverable: invitation.recoverable }),
    chooseMailbox: (typed) => invitation.chooseMailbox(typed),
    choosePdf: (typed) => invitation.choosePdf(typed),
    fault: (fault) => void net.faults.push({ times: 1, when: "before", ...fault }),
    log: () => net.log.splice(0),
  };
  return async (name, argument) => {
    try {
      return { result: (await calls[name](argument)) ?? null };
    } catch (error) {
      return { error: { name: error.name, code: error.code ?? "", status: error.status ?? 0, message: error.message, stack: error.stack, body: error.body ?? null } };
    }
  };
}
