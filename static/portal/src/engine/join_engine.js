/** Engine of the registration page. sealed-mailbox 12. */
import { CoreEngine } from "./core.js";
import { openJoin } from "./join.js";

/** @param {import("./core.js").EngineOptions} options @returns {JoinEngine} */
export function createEngine(options) {
  return new JoinEngine(options);
}

export class JoinEngine extends CoreEngine {
  /** @param {{id: string, fragment: string}} link fragment: location.hash @returns {Promise<import("./join.js").Invitation>} */
  async openJoin(link) {
    return openJoin(this.context, link);
  }
}
