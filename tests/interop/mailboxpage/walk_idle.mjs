/** Nobody is there: a warning that can be answered, then the sign-out; and an account that somebody else may hold. */
import { enter, open, runAxe, text, until } from "./browser.mjs";
import { press } from "./press.mjs";

export async function run({ page, input }) {
  const result = {};
  // The page's own clock: nothing here depends on how fast this machine is.
  await page.evaluateOnNewDocument(() => {
    const now = Date.now;
    let shift = 0;
    Date.now = () => now() + shift;
    globalThis.passMinutes = (minutes) => (shift += minutes * 60000);
  });
  const pass = (minutes) => page.evaluate((count) => globalThis.passMinutes(count), minutes);
  await enter(page, input.url, input);
  if (input.somebodyElse) {
    result.note = await until(() => text(page, "#notes .note.error"), "the warning");
    result.rows = await page.$$eval("#list a.mail", (all) => all.filter((one) => one.getClientRects().length).length);
    return result;
  }
  await pass(14.5);
  result.warning = await until(() => page.$("dialog[open]").then((one) => one && text(page, "dialog[open]")), "the warning");
  result.axe = await runAxe(page);
  await press(page, "Stay signed in");
  result.stayed = !(await page.$("dialog[open]"));
  // What was typed last is saved before the mailbox closes.
  await open(page, `#/reply/${input.message}`);
  await (await until(() => page.$("#text"), "the composer")).type("not lost");
  await pass(14.5);
  await until(() => page.$("dialog[open]"), "the second warning");
  await pass(1);
  await until(async () => new URL(page.url()).pathname === "/", "the sign-in page");
  return result;
}
