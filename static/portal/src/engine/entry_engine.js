/** The half of the engine that knows the account and nothing of mail. sealed-mailbox 11. */
import { loginId, normaliseLoginName } from "../../sealed.js";
import { CoreEngine } from "./core.js";
import { changePassword, dropTab, resume, signIn } from "./session.js";

export class EntryEngine extends CoreEngine {
  /** @param {{loginName: string, password: string, code?: string}} typed @returns {Promise<import("./session.js").Session>} see session.js */
  async signIn(typed) {
    const session = await signIn(this.context, typed);
    if (!session.mustChange) this.endWorker();
    return session;
  }

  /** After a reload, or on the same page in another language. @returns {Promise<import("./session.js").Session | null>} null: sign in again */
  async resume() {
    return resume(this.context);
  }

  /**
   * New password = new generation. Right after signIn with mustChange the old one is not asked again, else `password` is it.
   * @param {import("./session.js").Session} session @param {{newPassword: string, password?: string, code?: string}} typed
   * @returns {Promise<import("./session.js").Session>} to be used from now on
   */
  async changePassword(session, typed) {
    const changed = await changePassword(this.context, session, typed);
    this.endWorker();
    return changed;
  }

  /** The same answer whether the name exists or not. @param {string} loginName */
  async forgot(loginName) {
    await this.context.api.forgot(await loginId(this.context.portal, normaliseLoginName(loginName)));
  }

  /** Ends the tab even when the portal does not answer. @param {import("./session.js").Session | null} [session] */
  async signOut(session) {
    dropTab(this.context.storage);
    if (session) session.auth = null;
    await this.context.api.logout();
  }
}
