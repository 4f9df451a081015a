/** Opens every hostile mail and presses what can be pressed; see test_hostile_mail.py for what is checked outside. */
import { check, enter, open, until, watch } from "./browser.mjs";

export async function run({ browser, page, input }) {
  const seen = watch(page);
  await enter(page, input.url, input);
  const mailbox = page.url();
  const shown = [];
  for (const { id, name } of input.mails) {
    await open(page, `#/m/${id}`);
    const frame = await until(async () => {
      const handle = await page.$("iframe.mail-frame");
      const inner = handle && (await page.$eval(".split-read [aria-busy]", () => true).catch(() => false)) === false && (await handle.contentFrame());
      return inner && (await inner.evaluate(() => document.body.textContent.includes("END-OF-MAIL"))) && inner;
    }, `the body of ${name}`);
    // Everything a reader might touch: keys, focus, pointer. Links that leave are not followed; script links are.
    const found = await frame.evaluate(() => {
      for (const element of [...document.querySelectorAll("body *")].slice(0, 200)) {
        for (const kind of ["click", "mouseover", "mouseenter", "focus", "focusin", "toggle", "error", "load", "animationstart", "transitionend", "pointerdown", "wheel", "copy", "paste"]) {
          if (kind === "click" && element.closest("a[href]")) continue;
          element.dispatchEvent(new Event(kind, { bubbles: true }));
        }
        element.focus?.();
      }
      const all = [...document.querySelectorAll("body *")];
      return {
        tags: [...new Set(all.map((element) => element.localName))],
        attributes: [...new Set(all.flatMap((element) => [...element.attributes].map(({ name }) => name)))],
        links: [...document.links].map((link) => [link.getAttribute("href"), link.target, link.rel]),
        sources: all.flatMap((element) => element.getAttribute("src") ?? []),
        styles: all.map((element) => element.getAttribute("style") ?? "").filter((style) => /url|image|expression|@|\\|var\(/i.test(style)),
        origin: self.origin,
        reached: (() => {
          try {
            return parent.document.title;
          } catch {
            return "";
          }
        })(),
      };
    });
    const namespaces = found.attributes.filter((attribute) => /^on|id|name|srcdoc|action|background|ping|srcset/.test(attribute));
    check(!namespaces.length, `${name}: attributes ${namespaces}`);
    check(found.origin === "null" && !found.reached, `${name}: the frame has an origin`);
    check(!found.styles.length, `${name}: styles ${found.styles}`);
    for (const source of found.sources) check(/^(blob:null|data:image\/(png|jpeg|gif|webp))/.test(source), `${name}: loads ${source}`);
    for (const [href, target, rel] of found.links) {
      check(/^(https?|mailto|tel):/.test(href) && target === "_blank" && rel.includes("noopener"), `${name}: link ${href} ${target} ${rel}`);
    }
    shown.push({ name, tags: found.tags, links: found.links.map(([href]) => href) });
    check(page.url().startsWith(mailbox.split("#")[0]), `${name}: the page went to ${page.url()}`);
  }
  check(!seen.dialogs.length, `dialogs: ${seen.dialogs}`);
  const windows = (await browser.pages()).map((one) => one.url());
  check(windows.length === 1, `windows: ${windows}`);
  return { shown, navigations: seen.navigations, errors: seen.errors, alive: await page.$eval("#who", (element) => element.textContent) };
}
