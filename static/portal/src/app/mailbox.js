// The mailbox: takes the session that the sign-in opened on this page, or opens what it left in this tab, then draws what
// the address after # names.
//
// It must not store mail anywhere: what is opened lives in this tab's memory. Writes no HTML: see dom.js.

import { showAccount } from "./account.js";
import { button, fill, h } from "./dom.js";
import { explainError, isSignedOut } from "./errors.js";
import { watchIdle } from "./idle.js";
import { makeKeyboard } from "./keyboard.js";
import { rememberLanguage } from "./language.js";
import { makeList } from "./list.js";
import { showMessage, showSent } from "./message.js";
import { makeWords } from "./words.js";
import { showWriter } from "./write.js";

const REFRESH = 60000;
const SOON = 5000;
/** How long after the start of a visit, or after sending, an answer of the organisation is looked out for. */
const MINUTES = 10 * 60000;
const UNDO = 12000;
/** Until the inbox is painted. */
const SETTLED = 400;
const page = JSON.parse(document.getElementById("page").textContent);
const find = (id) => document.getElementById(id);

class App {
  page = page;
  words = makeWords(page.lang, page.texts);
  sent = [];
  moreSent = false;
  drafts = [];
  /** Ids of messages that are deleted as soon as nobody wants them back, each with what deletes it at once. */
  leaving = new Map();
  opened = performance.now();
  loaded = false;
  title = "";
  route = { view: "inbox", box: "inbox", id: "" };
  #page = null;
  #turn = 0;
  #urls = [];
  #listTop = 0;

  /** @param {import("../engine/engine.js").Engine} engine */
  constructor(engine) {
    this.engine = engine;
  }

  /** @param {import("../engine/session.js").Session} [session] opened on this page; else what the sign-in left in this tab */
  async start(session) {
    this.session = session ?? await this.engine.resume();
    if (!this.session || this.session.mustChange) return this.out();
    this.org = this.session.org || page.organisation;
    find("who").textContent = this.session.name ?? "";
    find("sign-out").addEventListener("click", () => this.signOut());
    find("keys").addEventListener("click", () => this.keyboard.help());
    this.list = makeList(this, find("list"));
    this.keyboard = makeKeyboard(this);
    this.idle = watchIdle(this, this.session.idleSeconds, { leave: (told) => this.signOut(told), touch: () => this.refresh() });
    addEventListener("hashchange", () => this.show());
    // Whoever closes the tab has decided; a phone ends pages that are out of sight without another word.
    addEventListener("pagehide", () => void this.finishLeaving());
    // Who comes back learns at once that another tab has opened another box meanwhile, before anything is typed.
    document.addEventListener("visibilitychange", () => void (document.visibilityState === "hidden" ? this.finishLeaving() : this.refresh()));
    rememberLanguage();
    // A file that is let go beside the composer must not take the place of the page.
    for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
    this.reopen();
  }

  /** Opens the mailbox of the present session: at the start, and after a new password. */
  async reopen() {
    this.mailbox = this.engine.openMailbox(this.session);
    this.mailbox.addEventListener("change", () => this.redraw());
    try {
      await this.mailbox.refresh();
      // The inbox is drawn before the other two lists are asked for; what hangs on them waits in show().
      const isInbox = !/^#\/?\w/.test(location.hash);
      this.others = new Promise((go) => setTimeout(go, isInbox ? SETTLED : 0)).then(() => this.#loadOthers());
      if (!isInbox) await this.others;
      this.opened = performance.now();
    } catch (error) {
      if (isSignedOut(error)) return this.out("signed-out");
      // Not "no messages": that is not known.
      return fill(find("wait"), h("p", null, this.explain(error)), button("button", this.words.t("try-again"), () => this.reopen()));
    }
    this.loaded = true;
    find("wait").hidden = true;
    await this.show();
    clearInterval(this.ticking);
    this.asked = performance.now();
    // Only while somebody is here: asking for mail must not keep a visit alive that nobody makes.
    this.ticking = setInterval(() => {
      const due = performance.now() - this.asked >= (this.isWaiting() ? 0 : REFRESH - SOON / 2);
      if (due && document.visibilityState === "visible" && this.idle.sinceActive() < 2 * REFRESH) this.refresh();
    }, SOON);
  }

  async #loadOthers() {
    try {
      [this.drafts] = await Promise.all([this.mailbox.listDrafts(), this.refreshSent()]);
      this.redraw();
    } catch (error) {
      if (!this.loaded) throw error;
      this.fail(error);
    }
  }

  // --- drawing

  redraw() {
    if (!this.loaded) return;
    this.showNotes();
    this.list.draw({ box: this.route.box, currentId: this.route.id, alone: this.route.view === this.route.box });
  }

  showNotes() {
    const { words, mailbox, org } = this;
    const notes = find("notes");
    const blocked = mailbox.account === "somebody-else";
    find("split").hidden = blocked;
    const text = blocked ? "somebody-else" : mailbox.account === "not-yet" ? "not-yet" : "";
    if (notes.dataset.text === text) return;
    notes.dataset.text = text;
    fill(notes, text && h(`p.note.${blocked ? "error" : "warn"}`, { role: blocked && "alert" }, words.t(text, { org, phone: page.phone, organisation: org })));
  }

  async show() {
    const turn = ++this.#turn;
    if (this.route.view === this.route.box) this.#listTop = scrollY;
    this.#page?.close?.();
    this.#page = null;
    for (const url of this.#urls.splice(0)) setTimeout(() => URL.revokeObjectURL(url), REFRESH);
    const [, first = "", id = ""] = /^#\/?(\w*)\/?([\w-]*)/.exec(location.hash) ?? [];
    const view = { m: "message", reply: "compose", draft: "compose", sent: id ? "item" : "sent", drafts: "drafts", account: "account" }[first] ?? "inbox";
    const box = first === "sent" ? "sent" : first === "drafts" || first === "draft" ? "drafts" : "inbox";
    this.route = { view, box, id };
    this.title = "";
    if (view === "message" || first === "reply") await this.attempt(() => this.#reach(id));
    // A reply goes on with its draft. A message does not wait: see its conversation.
    if (view !== "inbox" && view !== "message") await this.others;
    if (box === "sent") await this.attempt(() => this.mailbox.findReceipts());
    if (turn !== this.#turn) return;
    const alone = view === box;
    find("split").dataset.view = alone ? "list" : "read";
    const pane = find("read");
    pane.scrollTop = 0;
    this.redraw();
    // On a narrow screen the page itself scrolls: a message begins at its top, the list stays where it was.
    scrollTo(0, alone ? this.#listTop : 0);
    let made = null;
    try {
      if (view === "message") made = showMessage(this, pane, id);
      else if (view === "item") made = showSent(this, pane, id);
      else if (view === "account") made = showAccount(this, pane);
      else if (view === "compose") made = await showWriter(this, pane, first === "reply" ? { re: id } : { draft: id });
      else fill(pane, h("p.empty", null, this.words.t("choose")));
    } catch (error) {
      fill(pane, h("h1", { tabindex: -1 }, this.words.t("gone")), h("p.note.error", null, this.explain(error)));
    }
    if (turn !== this.#turn) {
      made?.close?.();
      return;
    }
    this.#page = view === "compose" ? made : null;
    this.redraw();
    // The heading of what was asked for is where reading starts, also by ear; a page that just opened starts at its top.
    if (turn > 1) (alone ? find("list") : pane).querySelector("h1")?.focus({ preventScroll: alone });
    made?.then?.(() => turn === this.#turn && this.redraw(), (error) => this.fail(error));
  }

  /** Loads older pages until a message that an address names is here. */
  async #reach(id) {
    while (!this.mailbox.find(id) && this.mailbox.more) await this.mailbox.loadMore();
  }

  // --- data

  /** Tells whether the organisation's answer, seconds away as a rule, is what the reader looks out for. */
  isWaiting() {
    const isFresh = performance.now() - this.opened < MINUTES;
    return (this.mailbox.account === "not-yet" && isFresh) || this.#open.some(({ time }) => this.words.now() - new Date(time) < MINUTES);
  }

  /** Replies whose fate is not known yet. */
  get #open() {
    return this.sent.filter(({ state }) => state === "handed-over");
  }

  async refresh() {
    this.asked = performance.now();
    try {
      await this.mailbox.refresh();
      if (this.#open.length && (this.isWaiting() || this.asked - this.askedSent > MINUTES)) await this.refreshSent();
    } catch (error) {
      this.quiet(error);
    }
  }

  async refreshSent() {
    this.askedSent = performance.now();
    const { sent, more } = await this.mailbox.listSent();
    const known = new Set(sent.map((item) => item.id));
    this.sent = [...sent, ...this.sent.filter((item) => !known.has(item.id))];
    this.moreSent ||= more;
    this.redraw();
  }

  /** What was just saved, without asking for all of them again. */
  keepDraft({ id, re, to, subject, text, attachments }) {
    const time = this.words.now().toISOString();
    this.drafts = [{ id, re, to, subject, text, time, attachments: attachments.length }, ...this.drafts.filter((one) => one.id !== id)];
    this.redraw();
  }

  async loadOlder(box) {
    if (box === "sent") {
      const { sent, more } = await this.mailbox.listSent({ before: this.sent.at(-1).seq });
      this.sent.push(...sent);
      this.moreSent = more;
      await this.mailbox.findReceipts();
    } else await this.mailbox.loadMore();
    this.redraw();
  }

  // --- deleting, with a way back

  leave(message) {
    const { id } = message;
    let remove = () => this.mailbox.remove(id);
    // Sealed already, so that it leaves even in the moment in which the page ends.
    const ready = this.mailbox.prepareRemoval(id).then((sealed) => {
      remove = sealed;
    }, () => {});
    const end = async () => {
      clearTimeout(timer);
      if (!this.leaving.delete(id)) return;
      const removing = this.attempt(remove);
      this.redraw();
      await removing;
    };
    const timer = setTimeout(() => ready.then(end), UNDO);
    this.leaving.set(id, end);
    this.go("#/");
    this.redraw();
    this.say(this.words.t("deleted"), UNDO, this.words.t("undo"), () => {
      clearTimeout(timer);
      if (!this.leaving.delete(id)) return;
      this.redraw();
      this.go(`#/m/${id}`);
    });
  }

  /** Deletes now what somebody could still want back. */
  async finishLeaving() {
    if (!this.leaving.size) return;
    const ends = [...this.leaving.values()].map((end) => end());
    // There is nothing to undo any more.
    this.say(this.words.t("deleted"));
    await Promise.allSettled(ends);
  }

  // --- saying things

  /** A short message at the foot of the page, read aloud; with a button if there is something to do about it. */
  say(text, time = 6000, label = "", act = null) {
    clearTimeout(this.saying);
    const toast = find("toast");
    const hide = () => toast.replaceChildren();
    const box = h("div.toast", null, h("span", null, text), label && button("link", label, () => {
      hide();
      act();
    }));
    toast.replaceChildren(box);
    this.saying = setTimeout(hide, time);
  }

  /** In words; where the session is over, the sign-in page has them, whatever was asked for. */
  explain(error) {
    this.quiet(error);
    return explainError(error, { ...this.words, t: (name, values) => this.words.t(name, { org: this.org, organisation: this.org, phone: page.phone, ...values }) });
  }

  fail(error) {
    if (isSignedOut(error)) return this.out("signed-out");
    this.say(this.explain(error), 15000);
  }

  /** For what happens by itself: only a lost session matters. */
  quiet(error) {
    if (isSignedOut(error)) this.out("signed-out");
  }

  async attempt(act) {
    try {
      await act();
    } catch (error) {
      this.fail(error);
    }
  }

  /** @param {string} text @param {string} label of the button that goes on @param {string} [why] @returns {Promise<boolean>} */
  ask(text, label, why = "", kind = "button") {
    return new Promise((resolve) => {
      const dialog = h("dialog", { "aria-labelledby": "ask-title", "aria-describedby": why ? "ask-why" : null },
        h("h2", { id: "ask-title" }, text),
        why && h("p", { id: "ask-why" }, why),
        h("div.actions", null, button(kind, label, () => dialog.close("yes")), button("button.second", this.words.t("cancel"), () => dialog.close(), { autofocus: why !== "" })),
      );
      dialog.addEventListener("close", () => {
        dialog.remove();
        resolve(dialog.returnValue === "yes");
      });
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  /** An address of a blob, given back when the reader goes on. */
  keepUrl(blob) {
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    return url;
  }

  go(hash) {
    location.hash = hash;
  }

  // --- leaving

  async signOut(told = false) {
    if (this.ending) return;
    this.ending = true;
    const saving = this.#page?.close?.();
    this.#page = null;
    this.idle?.tell();
    if (!told) {
      await saving;
      await this.finishLeaving();
      await this.engine.signOut(this.session).catch(() => {});
    }
    this.out(told ? "signed-out" : "");
  }

  /** Closes the mailbox for good; the portal drops it once the organisation has heard. */
  async endBox() {
    await this.mailbox.closeBox();
    await this.engine.signOut(this.session).catch(() => {});
    this.idle?.tell();
    this.out("closed");
  }

  out(why = "") {
    clearInterval(this.ticking);
    // Nothing of the mail stays on the screen, nor comes back by the browser's back button. Text that was not saved stays
    // for as long as the browser asks about it, and for who stays to copy it.
    const clear = () => {
      // What is still being drawn has no place any more.
      this.loaded = false;
      this.#turn++;
      document.querySelector("main").replaceChildren();
    };
    addEventListener("pagehide", clear);
    if (this.#page?.isUnsaved?.()) this.say(this.words.t(why), MINUTES);
    else clear();
    location.replace(`/${page.suffix ?? ""}${why && `#${why}`}`);
  }
}

/** @param {import("../engine/engine.js").Engine} engine @param {import("../engine/session.js").Session} [session] opened on this page */
export function startMailbox(engine, session) {
  const app = new App(engine);
  app.start(session).catch((error) => {
    if (isSignedOut(error)) app.out("signed-out");
    else find("wait").textContent = app.explain(error);
  });
}
