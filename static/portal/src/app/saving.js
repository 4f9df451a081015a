// Hands files to the reader: saves, shows progress, stops. Works on phones: a link stays when the save was not noticed.

import { h } from "./dom.js";

// Types that a browser or a phone may open by itself. All others, above all HTML, SVG and XML, go as octets: a blob's
// address belongs to this page's origin.
const OPENED = /^(application\/pdf|image\/(png|jpeg|gif|webp)|text\/plain|audio\/\w+|video\/\w+|application\/(zip|msword|vnd\.[\w.+-]*)|message\/rfc822)$/;

/** @param {Blob} blob @param {string} type @returns {Blob} the same octets under a type that runs nothing here */
export function makeHarmless(blob, type) {
  const safe = OPENED.test(type) && !/xml$/.test(type) ? type : "application/octet-stream";
  return blob.slice(0, blob.size, safe);
}

/**
 * A button that fetches a file, shows how far it is, and turns into a link to save it again.
 * @param {Object} app
 * @param {{label: string, name: string, type: string, kind?: string, describe?: string, fetch: (options: {signal: AbortSignal, onProgress: Function}) => Promise<Blob>}} file
 * @returns {HTMLElement}
 */
export function saveButton(app, { label, name, type, kind = "button second compact", describe, fetch }) {
  const { words } = app;
  let running = null;
  const act = h("button", { type: "button", class: kind, "aria-label": describe }, label);
  const bar = h("progress", { max: 1, value: 0, "aria-label": words.t("loading-file", { name }), hidden: true });
  const place = h("span.save", null, act, bar);
  act.addEventListener("click", async () => {
    if (running) {
      running.abort();
      return;
    }
    running = new AbortController();
    act.textContent = words.t("cancel");
    bar.hidden = false;
    try {
      const got = await fetch({
        signal: running.signal,
        onProgress: (done, size) => {
          bar.value = size ? done / size : 1;
        },
      });
      const link = h("a", { class: kind, href: app.keepUrl(makeHarmless(got, type)), download: name, "aria-label": describe }, label);
      const focused = document.activeElement === act;
      place.replaceChildren(link);
      if (focused) link.focus();
      link.click();
      app.say(words.t("file-saved", { name }));
    } catch (error) {
      if (!running.signal.aborted) app.fail(error);
      act.textContent = label;
      bar.hidden = true;
    }
    running = null;
  });
  return place;
}
