/**
 * Engine of sign-in and mailbox: account and mail. The other pages have smaller ones: reply_engine, join_engine.
 * Touches no document. sealed-mailbox 10, 11, 14.
 */
import { EntryEngine } from "./entry_engine.js";
import { Mailbox } from "./mailbox.js";

/** @param {import("./core.js").EngineOptions} options @returns {Engine} */
export function createEngine(options) {
  return new Engine(options);
}

export class Engine extends EntryEngine {
  /** @returns {Promise<{id: string, current: boolean, browser: string, since: string, seen: string}[]>} */
  async listSessions() {
    return (await this.context.api.listSessions()).sessions;
  }

  /** @param {string} id "all": every one but this */
  async endSession(id) {
    const ids = id === "all" ? (await this.listSessions()).filter(({ current }) => !current).map((one) => one.id) : [id];
    for (const one of ids) await this.context.api.endSession(one);
  }

  /** @param {import("./session.js").Session} session @returns {Mailbox} */
  openMailbox(session) {
    return new Mailbox(this.context, session);
  }
}
