/** Sign-in by the real page, then what happens to an account: confirmed or not, sessions, new password, idle, signed out. */
import { enter, open, runAxe, signIn, text, texts, until, watch } from "./browser.mjs";
import { press, readRows, readTitle } from "./press.mjs";

const tell = (input, what) => fetch(`${input.url}/test/${what}`, { method: "POST" });

export async function run({ browser, page, input }) {
  const seen = watch(page);
  const result = {};
  await signIn(page, input.url, { name: " Anna@Partner.Example ", password: input.password });
  result.notYet = await until(() => text(page, "#notes .note"), "the words for an account that is not confirmed");
  result.axe = await runAxe(page);
  await tell(input, "confirm");
  await page.reload();
  await until(async () => (await readRows(page)).length > 0 && !(await page.$("#notes .note")), "the confirmed mailbox");

  // --- own sessions
  await open(page, "#/account");
  result.sessions = await until(async () => (await texts(page, "#read .files li")).length === 3 && texts(page, "#read .files li"), "the sessions");
  await press(page, "Sign out: Safari on iPhone");
  await until(async () => (await texts(page, "#read .files li")).length === 2, "one session less");
  await press(page, "Sign out everywhere else");
  await until(async () => (await texts(page, "#read .files li")).length === 1, "this session alone");

  // --- a new password
  await page.click("#read summary");
  const change = async (now, next, again) => {
    for (const [id, words] of [["now", now], ["new", next], ["again", again]]) {
      await page.$eval(`#password-${id}`, (one) => (one.value = ""));
      await page.type(`#password-${id}`, words);
    }
    await page.$eval("#read form [role=alert]", (one) => (one.textContent = ""));
    await press(page, "Save new password");
    return until(async () => (await page.$("#read form button:not([disabled])")) && (await texts(page, "#read form [role=alert], #toast")).find(Boolean), "an answer");
  };
  result.short = await change(input.password, "elf Zeichen", "elf Zeichen");
  result.differ = await change(input.password, input.next, `${input.next}.`);
  result.name = await change(input.password, "anna@partner.example", "anna@partner.example");
  result.first = await change(input.password, "K7QM-2XWP-9FTD", "K7QM-2XWP-9FTD");
  result.wrong = await change(`${input.password}.`, input.next, input.next);
  result.changed = await change(input.password, input.next, input.next);
  result.values = await page.$$eval("#read form input[type=password]", (all) => all.map((one) => one.value));
  await open(page, "#/");
  await until(async () => (await readRows(page)).length > 0, "the mail under the new password");
  await page.click("#list a.mail");
  await until(async () => (await text(page, "#read .mail-text")).includes("Which papers"), "an old message under the new password");
  result.pending = await text(page, "#notes");

  // --- another tab signs out: this one leaves too, with nothing left on the screen
  const other = await browser.newPage();
  await signIn(other, input.url, { name: "anna@partner.example", password: input.next });
  await press(other, "Sign out");
  await until(async () => new URL(other.url()).pathname === "/", "the other tab's sign-in page");
  await until(async () => new URL(page.url()).pathname === "/", "this tab's sign-in page");
  result.why = await until(() => text(page, "#problem"), "why");
  await page.goBack().catch(() => {});
  result.back = await until(async () => new URL(page.url()).pathname === "/" || !(await readRows(page)).length, "nothing of the mail after going back");
  await other.close();
  result.errors = seen.errors.filter((words) => !/40[19]/.test(words));
  return result;
}
