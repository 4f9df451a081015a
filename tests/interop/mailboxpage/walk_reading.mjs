/** Inbox, message, files, search, conversation, deletion with undo, states, sign-out: what a reader does, in Chromium or Firefox. */
import { readdirSync, readFileSync } from "node:fs";
import { enter, open, text, texts, until, watch } from "./browser.mjs";
import { press, readRows, readTitle } from "./press.mjs";

export async function run({ browser, page, input, downloads }) {
  const seen = watch(page);
  await enter(page, input.url, input);
  const result = {};

  // --- inbox
  result.title = await page.title();
  result.rows = await readRows(page);
  result.unread = await texts(page, "#list a.mail.unread .mail-subject");
  result.clips = await page.$$eval("#list a.mail svg", (all) => all.map((one) => one.getAttribute("aria-label")));

  // --- a message in HTML
  await page.click("#list a.mail");
  await until(async () => (await readTitle(page)) === "Loan contract for signature", "the contract");
  const handle = await until(() => page.$("iframe.mail-frame"), "the frame");
  const frame = await until(() => handle.contentFrame(), "the frame's document");
  await until(() => frame.evaluate(() => document.body.textContent.includes("Kind regards")), "the body");
  result.body = await frame.evaluate(() => ({
    text: document.body.innerText,
    picture: document.images[0]?.naturalWidth,
    alt: document.images[0]?.alt,
    cell: getComputedStyle(document.querySelector("td")).backgroundColor,
    link: [document.links[0].href, document.links[0].target, document.links[0].rel],
    lang: document.documentElement.lang,
    origin: self.origin,
  }));
  result.height = await until(() => page.$eval("iframe.mail-frame", (one) => (one.clientHeight > 150 ? one.clientHeight : 0)), "the frame's height");
  result.head = await text(page, "#read .mail-head");
  result.files = await texts(page, "#read .file-name, #read .file-meta");
  result.foot = await text(page, "#read article > p.small");
  await until(async () => (await page.title()).startsWith("(2)"), "one unread less");

  // --- files
  await press(page, "Download Contract.pdf");
  await press(page, "Download as PDF");
  await press(page, "Save as e-mail file");
  await press(page, "Download all as ZIP (410 kB)");
  const names = ["Contract.pdf", "Loan contract for signature.pdf", "Loan contract for signature.eml", "Loan contract for signature.zip"];
  result.downloads = await until(() => {
    const found = readdirSync(downloads);
    const whole = names.every((name) => found.includes(name)) && !found.some((name) => /\.(crdownload|part)$/.test(name));
    return whole && Object.fromEntries(names.map((name) => [name, readFileSync(`${downloads}/${name}`).toString("base64")]));
  }, "the downloads");
  await page.bringToFront();
  await until(async () => (await page.$$("#read .save a[download]")).length === 4, "links to save again");

  // --- a conversation in plain text
  await open(page, "#/");
  await page.$$eval("#list a.mail", (all) => all.find((one) => one.textContent.includes("collateral")).click());
  await until(async () => (await readTitle(page)).includes("collateral"), "the question");
  await until(() => page.$("#read .thread"), "the conversation");
  result.thread = await texts(page, "#read .thread a");
  await page.$$eval("#read .thread a", (all) => all.at(-1).click());
  await until(async () => (await text(page, "#read .mail-text")).includes("land register"), "the answer");
  result.plain = await page.$eval("#read .mail-text", (one) => ({ space: getComputedStyle(one).whiteSpaceCollapse ?? getComputedStyle(one).whiteSpace, links: [...one.querySelectorAll("a")].map((link) => [link.href, link.rel]) }));
  result.people = await text(page, "#read .mail-head p.quiet");

  // --- the reader's language is not the mail's
  await page.$$eval("#list a.mail", (all) => all.find((one) => one.textContent.includes("Termin")).click());
  await until(async () => (await readTitle(page)) === "Termin am 9. November", "the German mail");
  result.lang = await page.$eval("#read h1", (one) => one.lang);

  // --- damaged
  await page.$$eval("#list a.mail", (all) => all.find((one) => one.textContent.includes("could not be verified")).click());
  await until(async () => (await readTitle(page)).includes("could not be verified"), "the damaged one");
  result.damaged = await text(page, "#read");
  await page.$$eval("#list a.mail", (all) => all.find((one) => one.textContent.includes("Signature withdrawn")).click());
  await until(async () => (await readTitle(page)) === "Signature withdrawn", "the one that was withdrawn");
  result.withdrawn = await text(page, "#read");

  // --- search, also in bodies that were opened
  await open(page, "#/");
  await page.type("#list input[type=search]", "LAND register");
  await until(async () => (await readRows(page)).length === 1, "what was searched for");
  result.found = await readRows(page);
  await page.$eval("#list input[type=search]", (one) => {
    one.value = "nothing has this";
    one.dispatchEvent(new Event("input"));
  });
  result.nothing = await until(() => text(page, "#list .empty"), "the empty search");
  await page.$eval("#list input[type=search]", (one) => {
    one.value = "";
    one.dispatchEvent(new Event("input"));
  });

  // --- delete, think again, delete
  await open(page, `#/m/${input.documents}`);
  await until(async () => (await readTitle(page)).includes("documents"), "the documents");
  await press(page, "Delete");
  await until(async () => !(await readRows(page)).some((row) => row.includes("documents")), "one row less");
  await press(page, "Undo");
  await until(async () => (await readTitle(page)).includes("documents"), "the documents again");
  result.afterUndo = (await readRows(page)).length;
  await press(page, "Delete");
  await until(async () => !(await readRows(page)).some((row) => row.includes("documents")), "one row less");

  // --- deleted, and the tab closed at once
  const other = await browser.newPage();
  await enter(other, input.url, { ...input, hash: `#/m/${input.german}` });
  await until(async () => (await readTitle(other)) === "Termin am 9. November", "the German mail");
  await press(other, "Delete");
  await until(() => other.$("#toast button"), "the way back");
  await other.close();
  await page.bringToFront();

  // --- gone
  await open(page, "#/m/AAAAAAAAAAAAAAAAAAAAAA");
  result.gone = await until(async () => (await readTitle(page)) === "This message is not here" && text(page, "#read"), "the words for a message that is gone");

  result.seen = { errors: [...seen.errors], dialogs: seen.dialogs };

  // --- sign out: what was to be deleted is deleted before
  await page.click("#sign-out");
  await until(async () => new URL(page.url()).pathname === "/", "the sign-in page");
  result.left = await page.evaluate(() => Object.keys(sessionStorage));
  return result;
}
