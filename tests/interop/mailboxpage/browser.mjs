/**
 * Drives a real browser over the mailbox: sign-in, waiting, looking. Used by the walks beside it; each walk is a module
 * with `run({ browser, page, url, input })` that throws on what is wrong and returns what Python checks further.
 * Nothing here waits by the clock alone, and nothing is evaluated by the page's own eval: the policy forbids it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import puppeteer from "puppeteer-core";

export const ROOT = path.resolve(import.meta.dirname, "../../..");
const FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage";

const FIREFOX = (downloads) => ({
  "browser.download.folderList": 2,
  "browser.download.dir": downloads,
  // Else a saved PDF opens in a tab in front of ours, which then hardly gets to draw.
  "pdfjs.disabled": true,
  "browser.helperApps.neverAsk.saveToDisk": "application/pdf,application/zip,message/rfc822",
});

export async function launch(name) {
  const profile = mkdtempSync(path.join(tmpdir(), "mailboxpage-"));
  const downloads = path.join(profile, "downloads");
  mkdirSync(downloads);
  const browser = name === "firefox"
    ? await puppeteer.launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true, userDataDir: profile, extraPrefsFirefox: FIREFOX(downloads) })
    : await puppeteer.launch({ executablePath: "/usr/bin/chromium", args: FLAGS.split(" "), userDataDir: profile, downloadBehavior: { policy: "allow", downloadPath: downloads } });
  return {
    browser,
    downloads,
    async close() {
      await browser.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Waits until `look` gives something true. @template T @param {() => Promise<T>} look @param {string} what */
export async function until(look, what, ms = 20000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const found = await look();
      if (found) return found;
      last = found;
    } catch (error) {
      last = error; // the page may be changing under our hands
    }
    if (Date.now() > end) throw new Error(`waited in vain for ${what}; last: ${last}`);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}

export function check(truth, what) {
  if (!truth) throw new Error(what);
}

/** Collects what a page must never show: errors, dialogs. */
export function watch(page) {
  const seen = { errors: [], dialogs: [], navigations: [] };
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") seen.errors.push(message.text());
  });
  page.on("dialog", (dialog) => {
    seen.dialogs.push(dialog.message());
    dialog.dismiss().catch(() => {});
  });
  page.on("framenavigated", (frame) => seen.navigations.push(frame.url()));
  return seen;
}

export async function signIn(page, url, { name, password, suffix = "" }) {
  await page.goto(`${url}/${suffix}`, { waitUntil: "load" });
  await page.waitForSelector("#live:not([disabled])");
  await page.type("#login-name", name);
  await page.type("#password", password);
  await page.click("#open");
  await until(() => page.$("#list a.mail, #list .empty, #notes .note"), "the mailbox");
}

/** As if signed in before in this tab: no password, so no time for it. */
export async function enter(page, url, { cookie, tab, hash = "", suffix = "" }) {
  await page.goto(`${url}/imprint`);
  await page.setCookie({ name: "letterlock", value: cookie, url, httpOnly: true, sameSite: "Strict" });
  await page.evaluate((value) => sessionStorage.setItem("letterlock-tab", value), tab);
  await page.goto(`${url}/mailbox${suffix}${hash}`);
  await until(() => page.$("#list a.mail, #list .empty, #notes .note"), "the mailbox");
}

/** Waits until the page would go without a question: what was typed is saved. */
export const allSaved = (page) => until(() => page.evaluate(() => dispatchEvent(new Event("beforeunload", { cancelable: true }))), "nothing unsaved");

export const text = (page, selector) => page.$eval(selector, (element) => element.textContent.replace(/\s+/g, " ").trim());

export const texts = (page, selector) => page.$$eval(selector, (all) => all.map((element) => element.textContent.replace(/\s+/g, " ").trim()));

export async function open(page, hash) {
  await page.evaluate((to) => {
    location.hash = to;
  }, hash);
}

/** What axe finds, as short lines; the frame of a mail is judged too. Colours alone for what another scheme can change. */
export async function runAxe(page, { onlyColours = false } = {}) {
  const source = readFileSync(path.join(ROOT, "node_modules/axe-core/axe.min.js"), "utf8");
  // In a world of its own: the page's policy would refuse the script, and rightly.
  await page.evaluate(source);
  const found = await page.evaluate(async (onlyColours) => {
    const { violations, passes } = await globalThis.axe.run(document, {
      runOnly: onlyColours ? ["cat.color"] : ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
      rules: { "color-contrast-enhanced": { enabled: false } },
      iframes: false,
    });
    if (passes.length < (onlyColours ? 1 : 15)) return [`axe looked at nothing: ${passes.length} rules`];
    return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")} ${node.failureSummary}`));
  }, onlyColours);
  return found;
}
