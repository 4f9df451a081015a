/**
 * @typedef {Object} Session
 * @property {string} portal @property {string} box @property {"mailbox"|"reply"} kind @property {"first"|"active"} state @property {number} gen
 * @property {boolean} mustChange a new password has to be chosen before any mail (first login, or the organisation asks)
 * @property {string} org name of the organisation, pinned by the capsule @property {string|null} name login name
 * @property {string} lang @property {{used: number, limit: number}} quota bytes @property {{message: number, parts: number}} limits @property {number} idleSeconds
 * @property {boolean} recoverable whether a reset keeps old mail (escrow)
 * @property {boolean} firstPassword opened by a first password that the sender knows
 */
export {};
