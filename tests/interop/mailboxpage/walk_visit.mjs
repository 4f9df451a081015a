/** One visit to the real portal: sign-in, a mail with files, a reply with a file, its way, a new password, sign-out. */
import { readFileSync, writeFileSync, existsSync } from "node:fs";
import path from "node:path";
import { allSaved, open, signIn, text, texts, until, watch } from "./browser.mjs";
import { press, readRows, readTitle } from "./press.mjs";

export async function run({ page, input, downloads }) {
  const seen = watch(page);
  const result = {};
  await signIn(page, input.url, input);
  result.rows = await until(async () => (await readRows(page)).length && readRows(page), "the inbox");
  await page.$eval("#list a.mail", (one) => one.click());
  const frame = await (await until(() => page.$("iframe.mail-frame"), "the frame")).contentFrame();
  await until(() => frame.evaluate(() => document.body.textContent.includes("Kind regards")), "the body");
  await until(() => frame.evaluate(() => document.images[0]?.naturalWidth === 1), "the picture");
  await press(page, "Download Contract.pdf");
  const saved = path.join(downloads, "Contract.pdf");
  result.contract = await until(() => existsSync(saved) && readFileSync(saved).toString("base64"), "the contract");

  await press(page, "Reply");
  await until(async () => (await readTitle(page)) === "Reply to Maria Keller", "the composer");
  await page.type("#text", "Signed. Grüße");
  const file = path.join(downloads, "signed.bin");
  writeFileSync(file, Buffer.alloc(2_500_000, 9));
  await (await page.$("#read input[type=file]")).uploadFile(file);
  await until(async () => (await texts(page, "#read .files li")).some((words) => words.includes("encrypted and uploaded")), "the file");
  // The draft outlives the page.
  await allSaved(page);
  await page.reload();
  await until(async () => (await page.$("#text")) && (await page.$eval("#text", (one) => one.value)) === "Signed. Grüße", "the draft after a reload");

  // --- another tab opens another box: whoever comes back learns of it, and nothing goes into that box
  await page.evaluate(async (body) => {
    await fetch("/api/login", { method: "POST", headers: { "Content-Type": "application/json", "X-Letterlock": "1" }, body: JSON.stringify(body) });
    document.dispatchEvent(new Event("visibilitychange"));
  }, input.other);
  await until(async () => new URL(page.url()).pathname === "/", "the sign-in page after another box was opened");
  result.why = await until(() => text(page, "#problem"), "why");
  await signIn(page, input.url, input);
  await open(page, "#/drafts");
  await until(async () => (await readRows(page)).length === 1, "the draft after a new sign-in");
  await page.$eval("#list a.mail", (one) => one.click());
  await until(async () => (await page.$("#text")) && (await page.$eval("#text", (one) => one.value)) === "Signed. Grüße", "its text");
  await press(page, "Send securely");
  await until(async () => (await readTitle(page)) === "Your reply is on its way", "the page after sending");
  await open(page, "#/sent");
  result.sent = await until(async () => (await readRows(page)).length && readRows(page), "the reply in Sent");
  await page.$eval("#list a.mail", (one) => one.click());
  await until(async () => (await text(page, "#read .mail-text")) === "Signed. Grüße", "the text in Sent");
  await open(page, "#/drafts");
  result.drafts = await until(() => text(page, "#list .empty"), "no drafts");

  await open(page, "#/account");
  result.sessions = await until(async () => (await texts(page, "#read .files li")).length && texts(page, "#read .files li"), "the sessions");
  await page.click("#read summary");
  for (const [id, words] of [["now", input.password], ["new", input.next], ["again", input.next]]) await page.type(`#password-${id}`, words);
  await press(page, "Save new password");
  await until(async () => (await text(page, "#toast")).startsWith("Your password was changed."), "the new password");
  await press(page, "Sign out");
  await until(async () => new URL(page.url()).pathname === "/", "the sign-in page");
  result.errors = seen.errors.filter((words) => !words.includes("401"));
  await signIn(page, input.url, { name: input.name, password: input.next });
  result.again = await until(async () => (await readRows(page)).length && readRows(page), "the inbox under the new password");
  return result;
}
