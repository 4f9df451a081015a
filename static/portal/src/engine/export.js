/**
 * Files for keeping: a ZIP archive (PKWARE APPNOTE 6.3, stored) and one message as an .eml (RFC 5322, RFC 2045-2047, RFC
 * 2231, RFC 2387), made in the browser of what was opened there. No ZIP64: a message holds less than 2 GB. The relay's
 * signature over the manifest is not carried over: an .eml proves nothing, and claims nothing in any header.
 */

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

async function sumBlob(blob) {
  let sum = -1;
  // Piece by piece: the whole of a large file need not lie in memory twice.
  for (let at = 0; at < blob.size; at += 1 << 20) {
    for (const octet of new Uint8Array(await blob.slice(at, at + (1 << 20)).arrayBuffer())) {
      sum = TABLE[(sum ^ octet) & 255] ^ (sum >>> 8);
    }
  }
  return ~sum >>> 0;
}

/**
 * Safe name for a download: no path, no name that a system reads in its own way. @param {string} untrusted @returns {string}
 */
export function safeFileName(untrusted) {
  // Also controls and the marks that turn the direction of writing ("cod.exe" shown as "exe.doc").
  const plain = untrusted.replace(/[\p{Cc}\p{Cs}/\\:*?"<>|\u202a-\u202e\u2066-\u2069\u200e\u200f]/gu, "_").replace(/^[. ]+|[. ]+$/g, "");
  const [, stem, end] = /^(.*?)(\.[^.]{1,20})?$/s.exec(plain);
  const short = [...stem].slice(0, 120).join("") + (end ?? "");
  return /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(short) ? `_${short}` : short || "file";
}

/** None of them twice. @param {string[]} names @returns {string[]} */
function makeNames(names) {
  const used = new Set();
  return names.map((name) => {
    const plain = safeFileName(name);
    const [, stem, end] = /^(.*?)(\.[^.]*)?$/s.exec(plain);
    let free = plain;
    for (let n = 2; used.has(free.toLowerCase()); n++) free = `${stem} (${n})${end ?? ""}`;
    used.add(free.toLowerCase());
    return free;
  });
}

/** @param {{name: string, blob: Blob, time?: string}[]} files store-only zip; equal names get (2), (3) @returns {Promise<Blob>} */
export async function zipFiles(files) {
  const names = makeNames(files.map((file) => file.name));
  const body = [];
  const directory = [];
  let at = 0;
  for (const [k, { blob, time }] of files.entries()) {
    const stamp = writeStamp(time ? new Date(time) : new Date());
    const name = new TextEncoder().encode(names[k]);
    const sum = await sumBlob(blob);
    // version 2.0; flag 11: names in UTF-8; method 0: stored
    const common = pack([20, 2], [0x800, 2], [0, 2], [stamp[0], 2], [stamp[1], 2], [sum, 4], [blob.size, 4], [blob.size, 4], [name.length, 2], [0, 2]);
    const head = [pack([0x04034b50, 4]), common, name];
    body.push(...head, blob);
    directory.push(pack([0x02014b50, 4], [20, 2]), common, pack([0, 2], [0, 2], [0, 2], [0, 4], [at, 4]), name);
    at += 30 + name.length + blob.size;
  }
  const size = directory.reduce((sum, piece) => sum + piece.length, 0);
  const end = pack([0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [at, 4], [0, 2]);
  return new Blob([...body, ...directory, end], { type: "application/zip" });
}

/** Local time, as the format wants it. @param {Date} time @returns {[number, number]} */
function writeStamp(time) {
  const year = Math.min(Math.max(time.getFullYear(), 1980), 2107) - 1980;
  return [(time.getHours() << 11) | (time.getMinutes() << 5) | (time.getSeconds() >> 1), (year << 9) | ((time.getMonth() + 1) << 5) | time.getDate()];
}

function pack(...fields) {
  const made = new Uint8Array(fields.reduce((sum, [, width]) => sum + width, 0));
  let at = 0;
  for (let [value, width] of fields) {
    while (width--) {
      made[at++] = value & 255;
      value = Math.floor(value / 256);
    }
  }
  return made;
}

const utf8 = new TextEncoder();

async function encodeBase64(blob) {
  const lines = [];
  // 57 octets are a line of 76; 57 * 4096 at a time keep memory low.
  for (let at = 0; at < blob.size; at += 57 * 4096) {
    const octets = new Uint8Array(await blob.slice(at, at + 57 * 4096).arrayBuffer());
    for (let k = 0; k < octets.length; k += 57) lines.push(btoa(String.fromCharCode(...octets.subarray(k, k + 57))), "\r\n");
  }
  return lines.join("");
}

/** RFC 2047 words of at most 45 octets each, folded. */
function encodeWords(untrusted) {
  const text = untrusted.replace(/[\u0000-\u001f\u007f]+/g, " ").trim();
  if (/^[ -~]*$/.test(text) && !text.includes("=?") && text.length < 60) return text;
  const words = [];
  let piece = "";
  const flush = () => {
    if (piece) words.push(`=?utf-8?B?${btoa(String.fromCharCode(...utf8.encode(piece)))}?=`);
    piece = "";
  };
  for (const letter of text) {
    if (utf8.encode(piece + letter).length > 45) flush();
    piece += letter;
  }
  flush();
  return words.join("\r\n ");
}

function writeAddress({ name, addr }) {
  const plain = addr.replace(/[\s<>,;"\u0000-\u001f\u007f]/g, "");
  if (!name) return plain;
  const words = encodeWords(name);
  // A phrase of plain letters needs no quotes; anything else plain gets them.
  const phrase = words.startsWith("=?") || /^[\w !#$%&'*+/=?^`{|}~-]+$/.test(words) ? words : `"${words.replace(/["\\]/g, "\\$&")}"`;
  return `${phrase} <${plain}>`;
}

function writeName(parameter, untrusted) {
  const name = untrusted.replace(/[\u0000-\u001f\u007f]/g, "_");
  if (/^[\w. ()+-]*$/.test(name) && name.length < 60) return `;\r\n ${parameter}="${name}"`;
  return `;\r\n ${parameter}*=utf-8''${encodeURIComponent(name).replace(/['()*!~]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`)}`;
}

const writeType = (untrusted) => (/^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/.test(untrusted) ? untrusted : "application/octet-stream");

/**
 * RFC 5322 message for saving. @param {import("./mailbox.js").Message} message
 * @param {{html: string|null, text: string|null, inline: Map<string, Blob>}} body
 * @param {{name: string, type: string, blob: Blob}[]} files @returns {Promise<Blob>}
 */
export async function makeEml(message, body, files) {
  const zone = (time) => new Date(time).toUTCString().replace("GMT", "+0000");
  const list = (people) => people.map(writeAddress).join(",\r\n ");
  const head = [
    `Date: ${zone(message.time)}`,
    `From: ${writeAddress(message.from)}`,
    message.to?.length && `To: ${list(message.to)}`,
    message.cc?.length && `Cc: ${list(message.cc)}`,
    `Subject: ${encodeWords(message.subject)}`,
    `Message-ID: <${message.id}@letterlock.invalid>`,
    "MIME-Version: 1.0",
  ].filter(Boolean);
  const leaf = async (type, blob, name = "", disposition = "") => {
    const lines = [`Content-Type: ${type}`, "Content-Transfer-Encoding: base64"];
    if (disposition) lines.push(`Content-Disposition: ${disposition}${name ? writeName("filename", name) : ""}`);
    if (disposition === "inline") lines.push(`Content-ID: <${name.replace(/[^\w.@+$%-]/g, "_")}>`);
    return [`${lines.join("\r\n")}\r\n\r\n`, await encodeBase64(blob)];
  };
  let boundary = 0;
  const group = (kind, entities) => {
    if (entities.length === 1) return entities[0];
    const mark = `=_${message.id}.${boundary++}`;
    const type = `Content-Type: multipart/${kind};${kind === "related" ? ' type="text/html";' : ""}\r\n boundary="${mark}"\r\n\r\n`;
    return [type, ...entities.flatMap((entity) => [`--${mark}\r\n`, ...entity, "\r\n"]), `--${mark}--\r\n`];
  };
  const bodies = [];
  if (body.text !== null || body.html === null) bodies.push(await leaf("text/plain; charset=utf-8", new Blob([body.text ?? ""])));
  if (body.html !== null) {
    const related = [await leaf("text/html; charset=utf-8", new Blob([body.html]))];
    for (const [name, blob] of body.inline) related.push(await leaf(writeType(blob.type), blob, name, "inline"));
    bodies.push(group("related", related));
  }
  const all = [group("alternative", bodies)];
  for (const { type, blob, name } of files) all.push(await leaf(writeType(type), blob, name, "attachment"));
  const whole = group("mixed", all);
  return new Blob([`${head.join("\r\n")}\r\n`, ...whole], { type: "message/rfc822" });
}
