/** Files made in the browser: a stored ZIP (PKWARE APPNOTE 6.3) and a message for mail programs (RFC 5322, 2045-2047, 2231, 2387). */
import { toUtf8 } from "../../sealed.js";

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});
const PIECE = 2 ** 20;
const ZIP_LIMIT = 0xffff_ffff;

/** For a download: no path, no control, no mark that turns the direction of writing. @param {string} untrustedName @returns {string} */
export function safeFileName(untrustedName) {
  const name = untrustedName
    .replace(/[\u0000-\u001f\u007f-\u009f/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu, "_")
    .replace(/^[. ]+|[. ]+$/g, "");
  const reserved = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i.test(name);
  const [, stem, end] = /** @type {RegExpExecArray} */ (/^(.*?)(\.[^.]{1,12})?$/su.exec(name || "file"));
  return `${reserved ? "_" : ""}${[...stem].slice(0, 120).join("")}${end ?? ""}`;
}

/** Two equal names: the second gets (2). @param {string[]} names @returns {string[]} */
function makeDistinct(names) {
  const used = new Set();
  return names.map((untrusted) => {
    const name = safeFileName(untrusted);
    const [, stem, end] = /** @type {RegExpExecArray} */ (/^(.*?)(\.[^.]*)?$/su.exec(name));
    let free = name;
    for (let n = 2; used.has(free.toLowerCase()); n += 1) free = `${stem} (${n})${end ?? ""}`;
    used.add(free.toLowerCase());
    return free;
  });
}

/** A megabyte at a time. @param {Blob} blob @returns {Promise<number>} */
async function sumBlob(blob) {
  let sum = 0xffff_ffff;
  for (let at = 0; at < blob.size; at += PIECE) {
    for (const octet of new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer())) sum = CRC[(sum ^ octet) & 255] ^ (sum >>> 8);
  }
  return (sum ^ 0xffff_ffff) >>> 0;
}

/** Little-endian. @param {...[number, 2 | 4]} fields value and width @returns {Uint8Array} */
function pack(...fields) {
  const octets = new Uint8Array(fields.reduce((sum, [, width]) => sum + width, 0));
  const view = new DataView(octets.buffer);
  let at = 0;
  for (const [value, width] of fields) {
    if (width === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += width;
  }
  return octets;
}

/** MS-DOS date and time, UTC; before 1980 there is none. @param {string | undefined} time @returns {[number, number]} time, date */
function dosTime(time) {
  const at = new Date(time ?? Date.now());
  const year = at.getUTCFullYear() - 1980;
  if (!(year >= 0 && year < 128)) return [0, 33];
  return [(at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1), (year << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate()];
}

/**
 * Stored, not compressed. @param {{name: string, blob: Blob, time?: string}[]} files together less than 4 GB @returns {Promise<Blob>}
 */
export async function zipFiles(files) {
  const names = makeDistinct(files.map(({ name }) => name)).map(toUtf8);
  /** @type {BlobPart[]} */
  const body = [];
  const directory = [];
  let offset = 0;
  for (const [index, { blob, time }] of files.entries()) {
    const [clock, date] = dosTime(time);
    // Version 2.0, names in UTF-8 (bit 11), stored, time, date, CRC-32, sizes, length of the name, no extra field.
    const head = pack([20, 2], [0x0800, 2], [0, 2], [clock, 2], [date, 2], [await sumBlob(blob), 4], [blob.size, 4], [blob.size, 4], [names[index].length, 2], [0, 2]);
    body.push(pack([0x04034b50, 4]), head, names[index], blob);
    directory.push(pack([0x02014b50, 4], [20, 2]), head, pack([0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), names[index]);
    offset += 4 + head.length + names[index].length + blob.size;
    if (offset > ZIP_LIMIT) throw new RangeError("more than a ZIP without extensions holds");
  }
  const size = directory.reduce((sum, piece) => sum + piece.length, 0);
  const end = pack([0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]);
  return new Blob([...body, ...directory, end], { type: "application/zip" });
}

/** @param {Uint8Array} octets @returns {string} */
function base64(octets) {
  let text = "";
  for (let at = 0; at < octets.length; at += 3 * 8192) text += btoa(String.fromCharCode(...octets.subarray(at, at + 3 * 8192)));
  return text;
}

/** Base64 in lines of 76. @param {Blob} blob @returns {Promise<string[]>} */
async function encodeBlob(blob) {
  const pieces = [];
  const step = 57 * 8192;
  for (let at = 0; at < blob.size; at += step) {
    pieces.push(base64(new Uint8Array(await blob.slice(at, at + step).arrayBuffer())).replace(/.{1,76}/g, "$&\r\n"));
  }
  return pieces;
}

/** Header text, RFC 2047, folded; nothing in it ends a line. @param {string} untrustedText @returns {string} */
function encodeText(untrustedText) {
  const text = untrustedText.replace(/[\u0000-\u001f\u007f]+/g, " ").trim();
  if (/^[ -~]*$/.test(text) && !text.includes("=?") && text.length <= 60) return text;
  const words = [];
  let piece = "";
  for (const character of text) {
    if (toUtf8(piece + character).length > 45) {
      words.push(piece);
      piece = "";
    }
    piece += character;
  }
  return [...words, piece].map((word) => `=?utf-8?B?${base64(toUtf8(word))}?=`).join("\r\n ");
}

/** @param {{name: string, addr: string}[]} people */
function encodePeople(people) {
  return people.map(({ name, addr }) => {
    const address = `<${addr.replace(/[\u0000-\u0020\u007f<>]/g, "")}>`;
    if (!name) return address;
    const plain = /^[A-Za-z0-9 ]{1,60}$/.test(name) ? `"${name}"` : encodeText(name).startsWith("=?") ? encodeText(name) : `=?utf-8?B?${base64(toUtf8(encodeText(name)))}?=`;
    return `${plain} ${address}`;
  }).join(",\r\n ");
}

/** @param {string} untrustedType @returns {string} */
function checkType(untrustedType) {
  return /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/i.test(untrustedType) && !/^(multipart|message)\//i.test(untrustedType) ? untrustedType : "application/octet-stream";
}

/** @param {string} name @returns {string} RFC 2231 */
function encodeFileName(name) {
  const safe = safeFileName(name);
  if (/^[A-Za-z0-9 ._()-]{1,60}$/.test(safe)) return `filename="${safe}"`;
  return `filename*=utf-8''${encodeURIComponent(safe).replace(/['()*!]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)}`;
}

/** @typedef {{head: string[], body: BlobPart[]}} Entity */

/** @param {string} kind @param {Entity[]} parts @returns {Entity} */
function multipart(kind, parts) {
  const boundary = `=_${crypto.randomUUID()}`;
  const body = parts.flatMap(({ head, body: inner }) => [`--${boundary}\r\n${head.join("\r\n")}\r\n\r\n`, ...inner, "\r\n"]);
  return { head: [`Content-Type: multipart/${kind}; boundary="${boundary}"`], body: [...body, `--${boundary}--\r\n`] };
}

/** @param {Blob} blob @param {string[]} head @returns {Promise<Entity>} */
async function leaf(blob, head) {
  return { head: [...head, "Content-Transfer-Encoding: base64"], body: await encodeBlob(blob) };
}

/**
 * A message for saving. It carries no signature of ours: as a file it proves nothing.
 * @param {import("./mailbox.js").Message} message @param {import("./mailbox.js").Body} body @param {{name: string, type: string, blob: Blob}[]} files @returns {Promise<Blob>}
 */
export async function makeEml(message, body, files) {
  const texts = [];
  if (body.text !== null) texts.push(await leaf(new Blob([body.text]), ["Content-Type: text/plain; charset=utf-8"]));
  if (body.html !== null) texts.push(await addInline(await leaf(new Blob([body.html]), ["Content-Type: text/html; charset=utf-8"]), body.inline));
  if (!texts.length) texts.push(await leaf(new Blob([""]), ["Content-Type: text/plain; charset=utf-8"]));
  const text = texts.length > 1 ? multipart("alternative", texts) : texts[0];
  const attached = [];
  for (const { name, type, blob } of files) attached.push(await leaf(blob, [`Content-Type: ${checkType(type)}`, `Content-Disposition: attachment; ${encodeFileName(name)}`]));
  const whole = attached.length ? multipart("mixed", [text, ...attached]) : text;
  const head = [
    `Date: ${new Date(message.time).toUTCString().replace("GMT", "+0000")}`,
    `From: ${encodePeople([message.from])}`,
    ...(message.to.length ? [`To: ${encodePeople(message.to)}`] : []),
    ...(message.cc.length ? [`Cc: ${encodePeople(message.cc)}`] : []),
    `Subject: ${encodeText(message.subject)}`,
    "MIME-Version: 1.0",
    ...whole.head,
  ];
  return new Blob([head.join("\r\n"), "\r\n\r\n", ...whole.body], { type: "message/rfc822" });
}

/** @param {Entity} html @param {Map<string, Blob>} inline by content id @returns {Promise<Entity>} */
async function addInline(html, inline) {
  if (!inline.size) return html;
  const parts = [html];
  for (const [id, blob] of inline) {
    parts.push(await leaf(blob, [`Content-Type: ${checkType(blob.type)}`, `Content-ID: <${id.replace(/[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]/g, "_")}>`, "Content-Disposition: inline"]));
  }
  return multipart("related", parts);
}
