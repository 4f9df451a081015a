/** Registration by an invitation's link. sealed-mailbox 12. Trust in the organisation comes with the link, not from the portal. */
import { checkCardsByPrint, makeCapsule, newId, normaliseLoginName, readJoinLink, readSecret, sealJoin, stretch, toB64, SealedDataError } from "../../sealed.js";
import { checkNewPassword } from "./common_passwords.js";

/**
 * @param {import("./session.js").Context} context @param {{id: string, fragment: string}} link
 * @returns {Promise<Invitation>} Rejects InputError link, ApiError 404|410 (unknown, used or expired), SealedDataError card
 */
export async function openJoin(context, { id, fragment }) {
  const link = readJoinLink(id, fragment);
  await context.api.getJoin(id);
  const { cards } = await context.api.getCards();
  if (!Array.isArray(cards)) throw new SealedDataError("format");
  return new Invitation(context, link, await checkCardsByPrint(cards, { portal: context.portal, print: link.print }));
}

export class Invitation {
  #context;
  #link;
  #card;
  /** Made once: after a lost answer the same octets are handed in again. @type {{print: string, body: {id: string, card: number, sealed: string}} | null} */
  #request = null;

  /** @param {import("./session.js").Context} context @param {{id: string, secret: Uint8Array}} link @param {import("../sealed/card.js").TrustedCards} cards */
  constructor(context, link, cards) {
    this.#context = context;
    this.#link = link;
    this.#card = cards.newest;
    this.org = cards.newest.org;
    /** Whether a reset keeps old mail. */
    this.recoverable = cards.newest.escrow !== null;
  }

  /** Makes the mailbox's keys here and hands them in. @param {{loginName: string, password: string}} typed rejects InputError name|short|long|common|login-name|first-form */
  async chooseMailbox({ loginName, password }) {
    const who = normaliseLoginName(loginName);
    checkNewPassword(password, who);
    await this.#handIn(JSON.stringify(["mailbox", who, password]), async () => {
      const { argon, portal } = this.#context;
      const stretched = await stretch(argon, { portal, who, kdf: 1, secret: readSecret("own", password) });
      const made = await makeCapsule({ kind: "mailbox", portal, box: newId(), gen: 1, name: who, stretched, card: this.#card, older: [] });
      made.seed.fill(0);
      return { want: "mailbox", capsule: toB64(made.octets) };
    });
  }

  /** A password for encrypted PDFs; the page has checked it by the readers' rules. @param {{password: string}} typed rejects InputError short|long|common|first-form */
  async choosePdf({ password }) {
    checkNewPassword(password, "");
    await this.#handIn(JSON.stringify(["pdf", password]), async () => ({ want: "pdf", password }));
  }

  /** @param {string} print @param {() => Promise<{want: "mailbox", capsule: string} | {want: "pdf", password: string}>} wish */
  async #handIn(print, wish) {
    const { id, secret } = this.#link;
    if (this.#request?.print !== print) {
      this.#request = { print, body: await sealJoin({ id, secret, portal: this.#context.portal }, this.#card, await wish()) };
    }
    await this.#context.api.join(this.#request.body);
    this.#request = null;
  }
}
