/** Registration. sealed-mailbox 12. */
export class Invitation {
  /** Name of the organisation on the verified card. */ org = "";
  /** Makes the mailbox keys here and hands them in. @param {{loginName: string, password: string}} typed @returns {Promise<void>} */
  async chooseMailbox(typed) { throw new Error("not yet"); }
  /** Password for encrypted PDFs. @param {{password: string}} typed @returns {Promise<void>} */
  async choosePdf(typed) { throw new Error("not yet"); }
}
