/**
 * The one object a page makes: API client, Argon2 worker, tab storage and the portal's id, and what stands on them.
 * Touches no document. sealed-mailbox 10, 11, 12, 14.
 */

/**
 * @param {{portal: string, base?: string, storage?: Storage, fetch?: typeof fetch, argon?: import("./argon.js").Argon}} options
 *   portal: the portal's id from the page's data; base: prefix of /api (tests).
 * @returns {Engine}
 */
export function createEngine(options) {
  return new Engine(options);
}

export class Engine {
  /** @param {Parameters<typeof createEngine>[0]} options */
  constructor(options) {
    this.options = options;
  }
  /** True when this browser can do all that is needed (X25519, Ed25519, P-256, AES-GCM, wasm); the sign-in button waits for it. @returns {Promise<boolean>} */
  async checkSupport() { throw new Error("not yet"); }
  /** @param {{loginName: string, password: string, code?: string}} typed @returns {Promise<import("./session.js").Session>} rejects InputError (nothing sent), ApiError wrong|locked|wait, SealedDataError */
  async signIn(typed) { throw new Error("not yet"); }
  /** After a reload or a change of page, from the tab's storage. @returns {Promise<import("./session.js").Session | null>} null: sign in again */
  async resume() { throw new Error("not yet"); }
  /** New password = new generation. Right after signIn `password` (the old one) is not asked again; after resume it is.
   * @param {import("./session.js").Session} session @param {{newPassword: string, password?: string, code?: string}} typed
   * @returns {Promise<import("./session.js").Session>} the session of the new generation */
  async changePassword(session, typed) { throw new Error("not yet"); }
  /** Same answer whether the name exists or not. @param {string} loginName @returns {Promise<void>} */
  async forgot(loginName) { throw new Error("not yet"); }
  /** @param {import("./session.js").Session | null} session @returns {Promise<void>} ends the tab even when the portal does not answer */
  async signOut(session) { throw new Error("not yet"); }
  /** @returns {Promise<{id: string, current: boolean, browser: string, since: string, seen: string}[]>} */
  async listSessions() { throw new Error("not yet"); }
  /** @param {string} id "all" ends every other one too @returns {Promise<void>} */
  async endSession(id) { throw new Error("not yet"); }
  /** @param {import("./session.js").Session} session @returns {import("./mailbox.js").Mailbox} */
  openMailbox(session) { throw new Error("not yet"); }
  /** PDF reply page. @param {{token: string, box: string, form: "b32"|"digits"|"words", secret: string, code?: string}} typed @returns {Promise<import("./reply.js").ReplyTicket>} */
  async openReply(typed) { throw new Error("not yet"); }
  /** Registration link. @param {{id: string, fragment: string}} link fragment: location.hash @returns {Promise<import("./join.js").Invitation>} */
  async openJoin(link) { throw new Error("not yet"); }
}
