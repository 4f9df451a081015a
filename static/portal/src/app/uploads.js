// The files of a reply: chosen, dropped or pasted; sealed and stored one after another, with pause, resume and removal.

import { button, fill, h } from "./dom.js";

/**
 * @param {Object} app @param {import("../engine/compose.js").Composer} composer
 * @returns {{nodes: Node[], takeDrops: (area: HTMLElement) => HTMLElement, draw: () => void, isBusy: () => boolean, isWhole: () => boolean, stop: () => void}}
 *   nodes: the field itself; isBusy: an upload runs; isWhole: every file is stored; stop: the reader leaves
 */
export function makeUploads(app, composer) {
  const { words } = app;
  const picker = h("input", { type: "file", multiple: true, hidden: true, tabindex: -1 });
  const files = h("ul.files");
  const said = h("p.quiet.small", { role: "status" });
  const drop = h("div.drop", null,
    button("button.second", words.t("add-files"), () => picker.click()),
    picker,
    h("p.quiet.small", null, words.t("drop-files", { size: words.size(Math.floor(app.session.limits.message / 2 ** 20) * 1e6) })),
  );
  const runs = new Map(); // part number -> AbortController of the upload that runs
  const queue = []; // files that wait for their turn
  let busy = false;
  picker.addEventListener("change", () => {
    add(picker.files);
    picker.value = "";
  });

  /** One after another: each then gets the whole line, and its progress means something. @param {Iterable<File>} chosen */
  async function add(chosen) {
    queue.push(...chosen);
    draw();
    if (busy) return;
    busy = true;
    while (queue.length) {
      const file = queue.shift();
      await upload(file.name, (options) => composer.attach(file, options), () => composer.attachments.at(-1)?.i);
    }
    busy = false;
  }

  async function upload(name_, start, findNumber) {
    const stop = new AbortController();
    const running = start({ signal: stop.signal, onProgress: () => draw() });
    // The engine gives the number at once; the row is there as soon as it took the file.
    const number = findNumber();
    runs.set(number, stop);
    draw();
    try {
      await running;
      said.textContent = words.t("file-added", { name: name_ });
    } catch (error) {
      if (!stop.signal.aborted) app.fail(error);
    } finally {
      if (runs.get(number) === stop) runs.delete(number);
      draw();
    }
  }

  function draw() {
    const focused = document.activeElement?.dataset?.file;
    fill(files, composer.attachments.map(showFile), queue.map(showWaiting));
    if (focused) files.querySelector(`[data-file="${focused}"]`)?.focus();
  }

  const showWaiting = (file) => h("li.file", null,
    h("span.file-name", null, file.name),
    h("span.file-meta", null, `${words.size(file.size)}, ${words.t("file-waiting")}`),
    button("button.second.compact", words.t("remove"), () => {
      queue.splice(queue.indexOf(file), 1);
      draw();
    }, { "aria-label": words.t("remove-name", { name: file.name }) }),
  );

  function showFile(one) {
    const act = (label, run, key) => {
      const made = button("button.second.compact", words.t(label), run, { "aria-label": words.t(`${label}-name`, { name: one.name }) });
      made.dataset.file = `${key}${one.i}`;
      return made;
    };
    const state = one.state === "sending"
      ? words.t("file-sending", { done: words.size(one.done), size: words.size(one.size) })
      : `${words.size(one.size)}, ${words.t(`file-${one.state}`)}`;
    return h("li.file", null,
      h("span.file-name", null, one.name),
      h("span.file-meta", null, state),
      one.state === "sending" && runs.has(one.i) && act("pause", () => runs.get(one.i)?.abort(), "p"),
      one.state === "failed" && act("resume", () => void upload(one.name, (options) => composer.retry(one.i, options), () => one.i), "p"),
      act("remove", () => {
        runs.get(one.i)?.abort();
        composer.detach(one.i);
        said.textContent = words.t("file-removed", { name: one.name });
        draw();
        drop.querySelector("button").focus();
      }, "r"),
      one.state === "sending" && h("progress", { max: one.size || 1, value: one.done, "aria-label": one.name }),
    );
  }

  /** Files may be let go anywhere beside the text; words that are dragged stay the browser's business. */
  function takeDrops(area) {
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    for (const [kind, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
      area.addEventListener(kind, (event) => {
        if (!holdsFiles(event)) return;
        event.preventDefault();
        drop.classList.toggle("over", over);
        if (kind === "drop") add(event.dataTransfer.files);
      });
    }
    area.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      add(event.clipboardData.files);
    });
    return area;
  }

  draw();
  return {
    nodes: [drop, files, said],
    takeDrops,
    draw,
    isBusy: () => runs.size > 0,
    isWhole: () => !queue.length && composer.attachments.every((one) => one.state === "done"),
    stop() {
      queue.length = 0;
      for (const one of runs.values()) one.abort();
    },
  };
}
