/** Every view in light and dark, at three widths and in both languages: axe, reflow, small targets; pictures if asked for. */
import path from "node:path";
import { enter, open, runAxe, until } from "./browser.mjs";
import { readTitle } from "./press.mjs";

const WIDTHS = [[320, 640], [390, 844], [1280, 870]];

const SPACING = "* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }";

export async function run({ page, input }) {
  const faults = [];
  await page.setViewport({ width: 1280, height: 870 });
  await enter(page, input.url, { ...input, suffix: `?lang=${input.lang}` });
  const titled = (words) => until(async () => (await readTitle(page)).includes(words), words);
  const views = {
    inbox: () => open(page, "#/"),
    html: async () => {
      await open(page, `#/m/${input.contract}`);
      await titled("Loan");
      await until(() => page.$eval("iframe.mail-frame", (one) => one.clientHeight > 150), "the body");
    },
    plain: async () => {
      await open(page, `#/m/${input.answer}`);
      await until(() => page.$("#read .mail-text a"), "the body");
    },
    damaged: () => open(page, `#/m/${input.damaged}`),
    withdrawn: () => open(page, `#/m/${input.withdrawn}`),
    compose: async () => {
      await open(page, `#/reply/${input.answer}`);
      await until(() => page.$("#text"), "the composer");
    },
    sent: () => open(page, "#/sent"),
    drafts: () => open(page, "#/drafts"),
    account: async () => {
      await open(page, "#/account");
      await until(() => page.$("#read .file"), "the sessions");
      await page.$$eval("#read details", (all) => all.forEach((one) => (one.open = true)));
    },
    closing: async () => {
      await page.$eval("#read .button.danger", (one) => one.click());
      await until(() => page.$("dialog[open]"), "the question");
    },
    keys: async () => {
      await page.$eval("dialog[open]", (one) => one.close());
      await open(page, "#/");
      await until(() => page.$("#split[data-view=list]"), "the list");
      await page.$eval("#keys", (one) => one.click());
      await until(() => page.$("dialog[open]"), "the dialog");
    },
  };
  for (const [name, show] of Object.entries(views)) {
    await show();
    await until(() => page.$eval("#read", (one) => !one.querySelector("[aria-busy]")), "quiet");
    for (const scheme of input.schemes) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      for (const [width, height] of WIDTHS) {
        await page.setViewport({ width, height });
        const place = `${name} ${input.lang} ${scheme} ${width}`;
        faults.push(...(await runAxe(page, { onlyColours: scheme === "dark" })).map((fault) => `${place}: ${fault}`));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) faults.push(`${place}: ${wide}px too wide`);
        const small = await page.evaluate(() =>
          [...document.querySelectorAll("main a, main button, main input, header a, header button")]
            .filter((one) => one.getClientRects().length && !one.closest("p, .quote, .mail-text"))
            .map((one) => [one.getBoundingClientRect(), one.textContent.trim()])
            .filter(([box]) => box.width < 24 || box.height < 24)
            .map(([box, words]) => `${words} ${Math.round(box.width)}x${Math.round(box.height)}`),
        );
        faults.push(...small.map((words) => `${place}: small target ${words}`));
        if (input.pictures) await page.screenshot({ path: path.join(input.pictures, `${name}-${input.lang}-${scheme}-${width}.png`), fullPage: width < 1000 });
      }
    }
    // WCAG 2.2, 1.4.4: a window of 1280 at 200 %, and text of twice the size.
    await page.setViewport({ width: 640, height: 435, deviceScaleFactor: 2 });
    const large = await page.evaluate(() => {
      const measure = () => document.documentElement.scrollWidth - innerWidth;
      const zoomed = measure();
      document.documentElement.style.fontSize = "200%";
      const wide = measure();
      document.documentElement.style.fontSize = "";
      return Math.max(zoomed, wide);
    });
    if (large > 0) faults.push(`${name} ${input.lang} at 200 %: ${large}px too wide`);
    // WCAG 2.2, 1.4.12: a reader's own spacing of text must not push anything out of the window.
    await page.setViewport({ width: 320, height: 640 });
    const spaced = await page.evaluate((css) => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(css);
      document.adoptedStyleSheets = [sheet];
      const wide = document.documentElement.scrollWidth - innerWidth;
      document.adoptedStyleSheets = [];
      return wide;
    }, SPACING);
    if (spaced > 0) faults.push(`${name} ${input.lang} spaced: ${spaced}px too wide`);
    await page.setViewport({ width: 1280, height: 870 });
  }
  return faults;
}
