/**
 * Drives one browser for a Python test: a JSON object a line on stdin, one answer a line on stdout. See driver.py.
 *
 * Waits poll with page.evaluate: puppeteer's waitForFunction compiles text in the page, which our Content-Security-Policy
 * and Trusted Types refuse. The policy is never switched off.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const POLL = 50;
const CHROMIUM = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--disable-dev-shm-usage",
];
const FIREFOX = {
  "app.update.enabled": false, "browser.shell.checkDefaultBrowser": false, "datareporting.policy.dataSubmissionEnabled": false,
  "network.captive-portal-service.enabled": false, "network.connectivity-service.enabled": false, "browser.safebrowsing.update.enabled": false,
  "services.settings.server": "", "extensions.update.enabled": false,
};

let browser;
let kind;
let downloads;
const contexts = new Map();
/** @type {Map<string, {page: import("puppeteer-core").Page, problems: string[], requests: object[], dialogs: string[]}>} */
const pages = new Map();

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function entry(name = "main") {
  const found = pages.get(name);
  if (!found) throw new Error(`no page ${name}`);
  return found;
}

/** Polls until `look` gives something true. A page that navigates meanwhile is asked again. */
async function poll(what, timeout, look) {
  const end = Date.now() + timeout;
  let last = "";
  for (;;) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = ` (${error.message})`;
    }
    if (Date.now() > end) throw new Error(`timeout after ${timeout} ms: ${what}${last}`);
    await sleep(POLL);
  }
}

/** Firefox's protocol does not give bodies. */
function readBody(request) {
  try {
    return request.postData() ?? "";
  } catch {
    return "";
  }
}

const isShown = (selector) => {
  const element = document.querySelector(selector);
  return Boolean(element?.checkVisibility({ visibilityProperty: true }));
};

const textOf = (selector) => document.querySelector(selector)?.innerText ?? "";

const locate = async (page, selector, timeout) => {
  await poll(`${selector} to be shown`, timeout, () => page.evaluate(isShown, selector));
  return page.$(selector);
};

// Keys that reach a field before its page has come alive are lost: a person waits, too.
const isEnabled = (selector) => !document.querySelector(selector)?.matches(":disabled");
const locateEnabled = async (page, selector, timeout) => {
  const element = await locate(page, selector, timeout);
  await poll(`${selector} to be enabled`, timeout, () => page.evaluate(isEnabled, selector));
  return element;
};

// What still moves, because something above it has just come, is not hit by a click at where it was.
const place = (element) => {
  const box = element.getBoundingClientRect();
  return element.isConnected ? [box.x, box.y, box.width, box.height].join() : "";
};
const isAtRest = async (element) => {
  const before = await element.evaluate(place).catch(() => "");
  await new Promise((resolve) => setTimeout(resolve, 50));
  return before !== "" && before === (await element.evaluate(place).catch(() => ""));
};

const METHODS = {
  async launch({ browser: name, executable, profile, downloads: folder }) {
    kind = name;
    downloads = folder;
    const preferences = { ...FIREFOX, "browser.download.folderList": 2, "browser.download.dir": folder, "browser.download.useDownloadDir": true, "browser.download.always_ask_before_handling_new_types": false };
    const own = name === "chromium" ? { args: CHROMIUM, userDataDir: profile } : { extraPrefsFirefox: preferences, userDataDir: profile };
    browser = await puppeteer.launch({ browser: name === "chromium" ? "chrome" : "firefox", executablePath: executable, headless: true, acceptInsecureCerts: true, ...own });
    return browser.version();
  },
  async newPage({ page: name = "main", context = "main", language }) {
    if (!contexts.has(context)) contexts.set(context, await browser.createBrowserContext());
    const page = await contexts.get(context).newPage();
    const kept = { page, problems: [], requests: [], dialogs: [] };
    pages.set(name, kept);
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) kept.problems.push(`${message.type()}: ${message.text()} ${message.location()?.url ?? ""}`.trim());
    });
    page.on("pageerror", (error) => kept.problems.push(`uncaught: ${error?.stack ?? error}`));
    page.on("request", (request) => kept.requests.push({ method: request.method(), url: request.url(), body: readBody(request) }));
    page.on("dialog", (dialog) => {
      kept.dialogs.push(dialog.message());
      void dialog.accept().catch(() => {});
    });
    if (language) await page.setExtraHTTPHeaders({ "Accept-Language": language });
    if (kind === "chromium" && downloads) {
      const session = await page.createCDPSession();
      await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: downloads, browserContextId: contexts.get(context).id });
    }
  },
  async closePage({ page: name = "main" }) {
    await entry(name).page.close();
    pages.delete(name);
  },
  async closeContext({ context = "main" }) {
    await contexts.get(context)?.close();
    contexts.delete(context);
    for (const [name, { page }] of pages) if (page.isClosed()) pages.delete(name);
  },
  goto: async ({ page, url, timeout }) => (await entry(page).page.goto(url, { timeout, waitUntil: "load" }))?.status() ?? 0,
  reload: async ({ page, timeout }) => void (await entry(page).page.reload({ timeout, waitUntil: "load" })),
  back: async ({ page, timeout }) => void (await entry(page).page.goBack({ timeout, waitUntil: "load" })),
  url: async ({ page }) => entry(page).page.url(),
  title: async ({ page }) => entry(page).page.title(),
  html: async ({ page }) => entry(page).page.evaluate(() => document.documentElement.outerHTML),
  async click({ page, selector, timeout }) {
    const element = await poll(`${selector} to be at rest`, timeout, async () => {
      const found = await locate(entry(page).page, selector, timeout);
      return (await isAtRest(found)) && found;
    });
    await element.click();
  },
  async clickText({ page, text, selector, timeout }) {
    const find = (wanted, within) =>
      [...document.querySelectorAll(within)].find((one) => one.checkVisibility() && !one.disabled && (one.innerText.trim() === wanted || one.getAttribute("aria-label") === wanted)) ?? null;
    const handle = await poll(`"${text}" to click`, timeout, async () => {
      const found = (await entry(page).page.evaluateHandle(find, text, selector)).asElement();
      return found && (await isAtRest(found)) && found;
    });
    await handle.click();
  },
  async type({ page, selector, text, timeout }) {
    const element = await locateEnabled(entry(page).page, selector, timeout);
    await element.focus();
    // By keys, as a person does; what stood there goes.
    await entry(page).page.evaluate((one) => one.select?.(), element);
    if (!text) await entry(page).page.keyboard.press("Backspace");
    else if (text.length > 200) await entry(page).page.keyboard.sendCharacter(text);
    else await element.type(text);
  },
  async fill({ page, selector, text, timeout }) {
    const element = await locate(entry(page).page, selector, timeout);
    await entry(page).page.evaluate((one, value) => {
      one.value = value;
      one.dispatchEvent(new Event("input", { bubbles: true }));
      one.dispatchEvent(new Event("change", { bubbles: true }));
    }, element, text);
  },
  press: async ({ page, key }) => void (await entry(page).page.keyboard.press(key)),
  async upload({ page, selector, files }) {
    const element = await entry(page).page.$(selector);
    if (!element) throw new Error(`no ${selector}`);
    await element.uploadFile(...files);
  },
  select: async ({ page, selector, value }) => void (await entry(page).page.select(selector, value)),
  focus: async ({ page, selector }) => void (await entry(page).page.focus(selector)),
  focused: async ({ page }) => entry(page).page.evaluate(() => {
    const one = document.activeElement;
    return { tag: one?.tagName.toLowerCase() ?? "", id: one?.id ?? "", text: (one?.innerText || one?.getAttribute("aria-label") || "").trim() };
  }),
  waitForSelector: async ({ page, selector, hidden, timeout }) =>
    void (await poll(`${selector} to be ${hidden ? "gone" : "shown"}`, timeout, async () => (await entry(page).page.evaluate(isShown, selector)) !== Boolean(hidden))),
  async waitForText({ page, text, selector, gone, timeout }) {
    const { page: one } = entry(page);
    await poll(`"${text}" ${gone ? "to go from" : "in"} ${selector}`, timeout, async () => (await one.evaluate(textOf, selector)).includes(text) !== Boolean(gone)).catch(async (error) => {
      throw new Error(`${error.message}; there is: ${(await one.evaluate(textOf, selector).catch(() => "?")).slice(0, 1500)}`);
    });
  },
  waitForUrl: async ({ page, pattern, timeout }) =>
    poll(`address ${pattern}`, timeout, () => (new RegExp(pattern).test(entry(page).page.url()) ? entry(page).page.url() : null)),
  text: async ({ page, selector }) => entry(page).page.evaluate(textOf, selector),
  attribute: async ({ page, selector, name }) => entry(page).page.evaluate((one, what) => document.querySelector(one)?.getAttribute(what) ?? null, selector, name),
  value: async ({ page, selector }) => entry(page).page.evaluate((one) => document.querySelector(one)?.value ?? null, selector),
  count: async ({ page, selector }) => entry(page).page.evaluate((one) => document.querySelectorAll(one).length, selector),
  isVisible: async ({ page, selector }) => entry(page).page.evaluate(isShown, selector),
  /** `script` is a function's source; it and `args` go through the debugging protocol, not through the page's eval. */
  evaluate: async ({ page, script, args = [], timeout }) => {
    const act = entry(page).page.evaluate((0, eval)(`(${script})`), ...args);
    return Promise.race([act, sleep(timeout).then(() => Promise.reject(new Error(`timeout after ${timeout} ms: evaluate`)))]);
  },
  /** Text in a frame of the page, by the frame's address. */
  async frameText({ page, pattern, timeout }) {
    return poll(`frame ${pattern}`, timeout, async () => {
      const frame = entry(page).page.frames().find((one) => new RegExp(pattern).test(one.url()));
      return (await frame?.evaluate(() => document.body.innerText)) || null;
    });
  },
  viewport: async ({ page, width, height }) => void (await entry(page).page.setViewport({ width, height })),
  media: async ({ page, features }) => void (await entry(page).page.emulateMediaFeatures(features)),
  javascript: async ({ page, enabled }) => void (await entry(page).page.setJavaScriptEnabled(enabled)),
  offline: async ({ page, offline }) => void (await entry(page).page.setOfflineMode(offline)),
  screenshot: async ({ page, path, full = true }) => void (await entry(page).page.screenshot({ path, fullPage: full })),
  problems: async ({ page }) => entry(page).problems.splice(0),
  requests: async ({ page }) => entry(page).requests.splice(0),
  dialogs: async ({ page }) => entry(page).dialogs.splice(0),
  /** WCAG 2.2 AA and best practice; only what is violated. */
  async axe({ page, tags, disable = [] }) {
    const { page: one } = entry(page);
    // Through the debugging protocol, as the page's policy lets no foreign script in.
    await one.evaluate(readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8"));
    return one.evaluate(async (runTags, off) => {
      const rules = Object.fromEntries(off.map((id) => [id, { enabled: false }]));
      const { violations } = await globalThis.axe.run(document, { runOnly: { type: "tag", values: runTags }, rules, resultTypes: ["violations"], iframes: false });
      return violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ target, failureSummary }) => `${target.join(" ")}: ${failureSummary}`) }));
    }, tags, disable);
  },
  async close() {
    await browser?.close();
    browser = null;
  },
};

async function answer(line) {
  const { id, method, args } = JSON.parse(line);
  try {
    const result = await METHODS[method](args);
    process.stdout.write(`${JSON.stringify({ id, result: result ?? null })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ id, error: `${error?.message ?? error}` })}\n`);
  }
}

// An event of a page that just went must not end the driver; what a test waits for tells.
process.on("unhandledRejection", (error) => console.error("unhandled", error));
process.on("uncaughtException", (error) => console.error("uncaught", error));
for await (const line of createInterface({ input: process.stdin })) await answer(line);
await browser?.close().catch(() => {});
process.exit(0);
