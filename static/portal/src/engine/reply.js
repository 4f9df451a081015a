/** Answering from a PDF. sealed-mailbox 12. */
export class ReplyTicket {
  /** @type {{name: string, addr: string}} */ from = { name: "", addr: "" };
  subject = ""; org = ""; time = "";
  /** May files be attached; quote: text of the PDF's mail for the answer, or null. */
  files = false;
  /** @type {string | null} */ quote = null;
  /** Attachments as in Composer; no drafts. @param {File} file @param {object} [options] */
  async attach(file, options) { throw new Error("not yet"); }
  /** @param {{text: string, to?: "sender"|"all", subject?: string}} typed @returns {Promise<{id: string}>} */
  async send(typed) { throw new Error("not yet"); }
}
