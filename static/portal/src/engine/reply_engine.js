/** Engine of the PDF reply page. sealed-mailbox 12. */
import { CoreEngine } from "./core.js";
import { openReply } from "./reply.js";

/** @param {import("./core.js").EngineOptions} options @returns {ReplyEngine} */
export function createEngine(options) {
  return new ReplyEngine(options);
}

export class ReplyEngine extends CoreEngine {
  /** @param {{token: string, box: string, form: "b32" | "digits" | "words", secret: string, code?: string}} typed @returns {Promise<import("./reply.js").ReplyTicket>} */
  async openReply(typed) {
    return openReply(this.context, typed);
  }
}
