/** @param {{name: string, blob: Blob, time?: string}[]} files store-only zip; equal names get (2), (3) @returns {Promise<Blob>} */
export async function zipFiles(files) { throw new Error("not yet"); }
/** RFC 5322 message for saving. @param {import("./mailbox.js").Message} message @param {{html: string|null, text: string|null, inline: Map<string, Blob>}} body @param {{name: string, type: string, blob: Blob}[]} files @returns {Promise<Blob>} */
export async function makeEml(message, body, files) { throw new Error("not yet"); }
/** Safe name for a download. @param {string} name @returns {string} */
export function safeFileName(name) { throw new Error("not yet"); }
