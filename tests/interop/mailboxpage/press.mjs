/** Finds what a reader would press: by its words, shown and enabled. */
import { until } from "./browser.mjs";

/** Clicks the button or link that is read out as `label`. */
export async function press(page, label) {
  const find = (words) =>
    [...document.querySelectorAll("main button, main a, #toast button, dialog[open] button, header a, header button, footer button")].find(
      (one) => one.getClientRects().length && (one.getAttribute("aria-label") ?? one.textContent).replace(/\s+/g, " ").trim() === words,
    ) ?? null;
  const element = await until(async () => (await page.evaluateHandle(find, label)).asElement(), `something to press called ${label}`);
  await element.click();
}

export const readTitle = (page) => page.$eval("#read h1", (element) => element.textContent).catch(() => "");
export const readRows = (page) => page.$$eval("#list a.mail", (all) => all.map((one) => one.textContent.replace(/\s+/g, " ").trim()));
