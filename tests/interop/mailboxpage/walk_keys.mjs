/** The whole way without a pointer: from the list to the message, the reply, and out. */
import { check, enter, text, until } from "./browser.mjs";
import { readTitle } from "./press.mjs";

export async function run({ page, input }) {
  await enter(page, input.url, input);
  const result = {};
  const press = (key) => page.keyboard.press(key);
  const focused = () => page.evaluate(() => {
    const one = document.activeElement;
    return (one?.getAttribute("aria-label") ?? one?.textContent ?? "").replace(/\s+/g, " ").trim().slice(0, 60);
  });
  const tabTo = async (words, most = 60) => {
    const seen = [];
    for (let k = 0; k < most; k++) {
      await press("Tab");
      seen.push(await focused());
      if (seen.at(-1).startsWith(words)) {
        // What has the focus can be seen, and nothing lies over it (WCAG 2.2, 2.4.11).
        const state = await page.evaluate(() => {
          const one = document.activeElement;
          const box = one.getBoundingClientRect();
          const over = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
          return { outline: getComputedStyle(one).outlineStyle, width: parseFloat(getComputedStyle(one).outlineWidth), free: one.contains(over) || over?.contains(one) };
        });
        check(state.outline !== "none" && state.width >= 2, `no outline on ${words}: ${JSON.stringify(state)}`);
        check(state.free, `something covers ${words}`);
        return seen;
      }
    }
    throw new Error(`no way by Tab to ${words}: ${seen.join(" | ")}`);
  };

  await page.evaluate(() => document.activeElement?.blur());
  await press("Tab");
  result.first = await focused();

  // j, k, Enter, Esc
  await press("j");
  result.j = await until(focused, "a row");
  await press("j");
  result.jj = await focused();
  await press("k");
  await press("Enter");
  await until(async () => (await readTitle(page)) === "Loan contract for signature", "the first message");
  await until(async () => (await focused()) === "Loan contract for signature", "the heading has the focus");
  await press("j");
  await until(async () => (await readTitle(page)) === "Your documents have arrived", "the next message");
  await press("k");
  await until(async () => (await readTitle(page)) === "Loan contract for signature", "the message before");

  // Keys reach the page from inside the mail's frame.
  const frame = await (await until(() => page.$("iframe.mail-frame"), "the frame")).contentFrame();
  await until(() => frame.evaluate(() => document.links.length), "the body");
  await frame.focus("a");
  await press("Escape");
  await until(() => page.$("#split[data-view=list]"), "the list");

  // / searches, Esc leaves the field
  await press("/");
  await until(() => page.evaluate(() => document.activeElement.type === "search"), "the search field");
  await page.keyboard.type("plan");
  await until(async () => (await page.$$("#list a.mail")).length === 1, "what was found");
  for (let k = 0; k < 4; k++) await press("Backspace");
  await press("Escape");

  // ? explains; the keys can be turned off
  await press("?");
  await until(() => page.$("dialog[open]"), "the help");
  result.help = await text(page, "dialog[open] h2");
  await press("Tab");
  await page.focus("#keys-on");
  await press("Space");
  await press("Escape");
  await until(async () => !(await page.$("dialog[open]")), "the help gone");
  await press("?");
  result.off = !(await page.$("dialog[open]"));
  await page.evaluate(() => localStorage.clear());

  // By Tab: open a message, answer it, send it
  await page.focus("#list h1");
  await tabTo("Maria Keller");
  await press("Enter");
  await until(async () => (await focused()) === "Loan contract for signature", "the heading");
  await tabTo("Reply");
  await press("Enter");
  await until(async () => (await focused()) === "Reply to Maria Keller", "the composer's heading");
  await press("Tab");
  await press("Tab");
  await page.keyboard.type("By keyboard");
  result.typed = await page.evaluate(() => document.activeElement.id);
  result.order = await tabTo("Send securely");
  await press("Enter");
  await until(async () => (await focused()) === "Your reply is on its way", "the heading after sending");
  await tabTo("To the inbox");
  await press("Enter");
  await until(() => page.$("#split[data-view=list]"), "the list");
  await page.evaluate(() => document.activeElement?.blur());
  await page.focus(".skip");
  await tabTo("Sign out");
  await press("Enter");
  await until(async () => new URL(page.url()).pathname === "/", "the sign-in page");
  return result;
}
