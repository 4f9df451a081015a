/** Writing a reply: draft, files with pause and resume, refusals, sending, what became of it; and drafts of two windows. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { check, enter, open, text, texts, until, watch } from "./browser.mjs";
import { press, readRows, readTitle } from "./press.mjs";

const files = (page) => texts(page, "#read .files li");
const filesAre = (page, pattern) => until(async () => pattern.test((await files(page)).join(" | ")) && files(page), `files like ${pattern}`);
const saved = (page) => until(async () => (await texts(page, "#read [role=status]")).find((words) => words.startsWith("Draft saved")), "the saved draft");

export async function run({ browser, page, input, downloads }) {
  const seen = watch(page);
  await enter(page, input.url, input);
  const result = {};
  const file = (name, octets) => {
    const place = path.join(downloads, name);
    writeFileSync(place, octets);
    return place;
  };

  // --- a reply to several people
  await open(page, `#/m/${input.answer}`);
  await until(async () => (await readTitle(page)).includes("collateral"), "the message");
  await page.keyboard.press("r");
  await until(async () => (await readTitle(page)) === "Reply to Maria Keller", "the composer");
  result.to = await texts(page, "#read fieldset label");
  result.hint = await text(page, "#to-hint");
  result.subject = await page.$eval("#subject", (one) => one.value);
  await page.click("#read summary");
  result.original = await until(async () => (await text(page, "#read .quote")).includes("land register") && text(page, "#read .quote"), "the original");

  // Nothing written yet: said beside the field.
  await press(page, "Send securely");
  result.empty = await until(() => page.$eval("#text-problem", (one) => !one.hidden && one.textContent), "the words for an empty reply");
  result.invalid = await page.$eval("#text", (one) => [one.getAttribute("aria-invalid"), document.activeElement === one]);

  await page.type("#text", "Thank you, here is the extract. Grüße");
  result.saved = await saved(page);
  await page.$$eval("#read input[type=radio]", (all) => all[1].click());

  // --- files: chosen, dropped, paused, resumed, removed
  const picker = await page.$("#read input[type=file]");
  await picker.uploadFile(file("extract.txt", "the extract"));
  await filesAre(page, /extract\.txt.*encrypted and uploaded/);
  result.hold = await fetch(`${input.url}/test/hold`, { method: "POST" }).then((answer) => answer.status);
  await picker.uploadFile(file("large.bin", Buffer.alloc(3_000_000, 7)));
  await filesAre(page, /large\.bin.*of 3 MB/);
  await press(page, "Pause large.bin");
  await filesAre(page, /large\.bin.*stopped, not complete/);
  await press(page, "Send securely");
  result.unfinished = await until(async () => (await text(page, "#toast")).includes("not complete") && text(page, "#toast"), "the words for unfinished files");
  await fetch(`${input.url}/test/release`, { method: "POST" });
  await press(page, "Resume large.bin");
  result.files = await filesAre(page, /large\.bin.*encrypted and uploaded/);
  await page.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File(["dropped"], "dropped.txt", { type: "text/plain" }));
    document.querySelector("#read .drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
  });
  await filesAre(page, /dropped\.txt.*encrypted and uploaded/);
  await press(page, "Remove dropped.txt");
  await until(async () => (await files(page)).length === 2, "one file less");

  // --- a reload: the draft is there, with its files
  await until(async () => (await fetch(`${input.url}/test/saves`).then((answer) => answer.json())).removed, "the draft without the file that was removed");
  await open(page, "#/drafts");
  await page.reload();
  await until(async () => (await readRows(page)).length === 1, "the draft in its list");
  result.drafts = await readRows(page);
  await page.click("#list a.mail");
  await until(async () => (await page.$("#text")) && (await page.$eval("#text", (one) => one.value)).includes("extract"), "the text again");
  result.again = { files: await files(page), to: await page.$eval("#read input[type=radio]:checked", (one) => one.value), text: await page.$eval("#text", (one) => one.value) };

  // --- another window saves the same draft
  const other = await browser.newPage();
  await enter(other, input.url, { ...input, hash: new URL(page.url()).hash });
  await until(() => other.$("#text"), "the other window");
  await other.type("#text", "OTHER ");
  await saved(other);
  await page.bringToFront();
  await page.type("#text", "MINE ");
  await until(() => page.$eval("#read .note.warn", (one) => !one.hidden && one.textContent), "the conflict");
  await press(page, "Keep what is here");
  await saved(page);
  await other.close();

  // --- sent
  await page.$eval("#text", (one) => {
    one.value = "Thank you, here is the extract. Grüße";
    one.dispatchEvent(new Event("input"));
  });
  await press(page, "Send securely");
  await until(async () => (await readTitle(page)) === "Your reply is on its way", "the page after sending");
  result.done = await texts(page, "#read p");
  await press(page, "To sent messages");
  await until(async () => (await readRows(page)).length === 1, "the reply in Sent");
  result.sent = await readRows(page);
  await page.click("#list a.mail");
  await until(async () => (await text(page, "#read .mail-text")).includes("Grüße"), "the sent text");
  result.item = await text(page, "#read");
  await fetch(`${input.url}/test/receipt`, { method: "POST" });
  await page.reload();
  result.arrived = await until(async () => (await text(page, "#read")).includes("Arrived") && text(page, "#read"), "the receipt");

  // --- the portal says no: nothing is lost
  await open(page, `#/reply/${input.question}`);
  await until(async () => (await readTitle(page)) === "Reply to Maria Keller", "the composer");
  await page.type("#text", "one more");
  await saved(page);
  await fetch(`${input.url}/test/refuse`, { method: "POST" });
  await press(page, "Send securely");
  result.refused = await until(async () => (await text(page, "#toast")) && text(page, "#toast"), "the refusal");
  result.kept = await page.$eval("#text", (one) => one.value);

  // --- the session is over while somebody types: said at once, and the text stays for who does not leave it
  await fetch(`${input.url}/test/end`, { method: "POST" });
  await page.type("#text", " and more");
  result.over = await until(async () => seen.dialogs.length && (await text(page, "#toast")).includes("signed out") && text(page, "#toast"), "the words for an ended session");
  result.stays = await page.$eval("#text", (one) => one.value);
  seen.dialogs.length = 0;
  await fetch(`${input.url}/test/accept`, { method: "POST" });
  await press(page, "Discard");
  await until(() => page.$("dialog[open]"), "the question");
  await page.$$eval("dialog[open] button", (all) => all[0].click());
  await until(async () => !(await readTitle(page)).startsWith("Reply"), "the message again");

  // --- whatever a session that is over was asked for: the sign-in page comes
  await fetch(`${input.url}/test/shut`, { method: "POST" });
  await open(page, `#/m/${input.contract}`);
  await until(async () => new URL(page.url()).pathname === "/", "the sign-in page in place of a message");
  result.shut = await until(() => text(page, "#problem"), "why");
  await fetch(`${input.url}/test/accept`, { method: "POST" });
  await enter(page, input.url, input);

  // --- the account: how much room is taken now, and the end of the mailbox, asked for twice
  await open(page, "#/account");
  await until(async () => (await text(page, "#room-text")).startsWith("42 MB"), "the room as it is now");
  result.room = await text(page, "#room-text");
  await page.$$eval("#read summary", (all) => all.at(-1).click());
  result.asked = [];
  const answer = async (label, next) => {
    await press(page, label);
    await until(async () => (await page.$("dialog[open]")) && (await text(page, "dialog[open]")).includes(next), `the question that ends in ${next}`);
    result.asked.push(await text(page, "dialog[open]"));
  };
  await answer("Close my mailbox", "Go on");
  await press(page, "Cancel");
  await until(async () => !(await page.$("dialog[open]")), "no question");
  result.asked = [];
  await answer("Close my mailbox", "Go on");
  await answer("Go on", "Close for good");
  await press(page, "Close for good");
  await until(async () => new URL(page.url()).pathname === "/", "the sign-in page");
  result.closed = await until(() => text(page, "#problem"), "what happened");
  check(!seen.dialogs.length, `dialogs: ${seen.dialogs}`);
  result.errors = seen.errors.filter((words) => !/40[19]|Failed to load resource/.test(words));
  return result;
}
