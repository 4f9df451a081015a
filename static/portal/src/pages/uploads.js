// Files of a reply on the PDF page: chosen or dropped, sealed and stored one after another, each with its progress in words.
//
// It must not read a file itself: the engine seals it chunk by chunk.

import { h } from "../app/dom.js";
import { find } from "./shell.js";

/**
 * @param {{getTicket: () => import("../engine/reply.js").ReplyTicket, words: Object, t: (name: string, values?: Object) => string,
 *   limits: {message: number, parts: number}, fail: (fault: *) => void}} options
 */
export function makeUploads({ getTicket, words, t, limits, fail }) {
  /** @type {{file: File, state: "waiting"|"sending"|"done"|"failed", done: number, stop: AbortController, i: number|null, row: HTMLElement}[]} */
  const files = [];
  const list = find("files");
  const status = find("files-status");
  const input = /** @type {HTMLInputElement} */ (find("file-input"));
  const drop = find("drop");
  let queue = Promise.resolve();

  const whole = () => files.reduce((sum, one) => sum + one.file.size, 0);

  /** @param {File[]} chosen */
  function add(chosen) {
    const said = [];
    for (const file of chosen) {
      if (!file.size) said.push(t("file.empty", { name: file.name }));
      else if (files.length >= limits.parts - 1) said.push(t("file.too-many", { n: limits.parts - 1 }));
      else if (whole() + file.size > limits.message) said.push(t("file.too-large", { name: file.name, limit: words.size(limits.message) }));
      else {
        begin(file);
        said.push(t("file.added", { name: file.name }));
      }
    }
    find("drop-hint").setAttribute("role", "status");
    status.textContent = said.join(" ");
    const refused = said.filter((line) => !files.some((one) => line === t("file.added", { name: one.file.name })));
    if (refused.length) find("drop-hint").textContent = refused.join(" ");
  }

  /** @param {File} file */
  function begin(file) {
    const one = { file, state: /** @type {"waiting"} */ ("waiting"), done: 0, stop: new AbortController(), i: null, row: h("li.file", {}) };
    files.push(one);
    list.append(one.row);
    draw(one);
    enqueue(one, (options) => getTicket().attach(file, options));
  }

  /** One after another: each then has the whole line, and its progress means something. */
  function enqueue(one, store) {
    const { signal } = one.stop;
    queue = queue.then(async () => {
      if (signal.aborted) return;
      one.state = "sending";
      draw(one);
      try {
        const stored = await store({
          signal,
          onProgress: (done) => {
            one.done = done;
            draw(one);
          },
        });
        if (signal.aborted) return;
        one.i = stored.i;
        one.state = "done";
      } catch (error) {
        if (signal.aborted) return;
        one.state = "failed";
        one.i = getTicket().attachments.find((stored) => stored.name === one.file.name && stored.state === "failed")?.i ?? one.i;
        tell(one, error);
      }
      draw(one);
    });
  }

  function tell(one, error) {
    if (error?.code === "quota") status.textContent = t("file.quota");
    else if (error?.code === "too-large") status.textContent = t("file.too-large", { name: one.file.name, limit: words.size(limits.message) });
    else if (error?.code === "too-many") status.textContent = t("file.too-many", { n: limits.parts - 1 });
    else fail(error);
    if (["quota", "too-large", "too-many"].includes(error?.code)) find("drop-hint").textContent = status.textContent;
  }

  function draw(one) {
    const { file, row, state } = one;
    const said = {
      waiting: t("file.waiting"),
      sending: t("file.sending", { done: words.size(one.done), size: words.size(file.size) }),
      done: t("file.done", { size: words.size(file.size) }),
      failed: t("file.failed"),
    }[state];
    if (row.dataset.state === state) {
      // The same row goes on: whoever reads or touches it is not disturbed.
      row.querySelector(".file-meta").textContent = said;
      const bar = row.querySelector("progress");
      if (bar) bar.value = one.done;
      return;
    }
    row.dataset.state = state;
    const held = row.contains(document.activeElement);
    const button = (key, act) => h("button.button.second.compact", { type: "button", "aria-label": t(`${key}.label`, { name: file.name }), onclick: act }, t(key));
    const remove = button("file.remove", () => takeOut(one));
    row.replaceChildren(
      h("span.file-name", {}, file.name),
      h("span.file-meta", {}, said),
      ...(state === "failed" ? [button("file.retry", () => retry(one))] : []),
      remove,
      ...(state === "sending" ? [h("progress", { max: file.size, value: one.done, "aria-label": file.name })] : []),
    );
    if (held) remove.focus();
  }

  function retry(one) {
    one.state = "waiting";
    draw(one);
    enqueue(one, (options) => (one.i === null ? getTicket().attach(one.file, options) : getTicket().retry(one.i, options)));
  }

  function takeOut(one) {
    one.stop.abort();
    const stored = one.i ?? getTicket().attachments.find((row) => row.name === one.file.name && row.state !== "done")?.i;
    if (stored !== undefined) getTicket().detach(stored);
    const at = files.indexOf(one);
    files.splice(at, 1);
    one.row.remove();
    status.textContent = t("file.removed", { name: one.file.name });
    /** @type {HTMLElement} */ (files[at]?.row.querySelector("button") ?? find("add-files")).focus();
  }

  find("add-files").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    add([...(input.files ?? [])]);
    input.value = "";
  });
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop") add([.../** @type {DragEvent} */ (event).dataTransfer.files]);
    });
  }
  // A file dropped beside the box would else replace the page, and what was typed with it.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

  return {
    count: () => files.length,
    names: () => files.map((one) => one.file.name),
    isBusy: () => files.some((one) => one.state === "waiting" || one.state === "sending"),
    hasFailed: () => files.some((one) => one.state === "failed"),
    settle: () => queue,
    /** After the page was unlocked anew: what was stored belongs to the ticket before, so every file is stored again. */
    again() {
      for (const one of files) {
        one.stop.abort();
        Object.assign(one, { state: "waiting", done: 0, i: null, stop: new AbortController() });
        draw(one);
        enqueue(one, (options) => getTicket().attach(one.file, options));
      }
    },
  };
}
