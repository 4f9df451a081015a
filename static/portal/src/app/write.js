// The composer: a reply to one message, saved as it grows, with files that are sealed and stored while one writes.

import { showBody } from "./body.js";
import { button, fill, h } from "./dom.js";

const nameOf = (person) => person.name || person.addr;

/**
 * Draws #/reply/ID (re) or #/draft/ID (draft).
 * @returns {Promise<{close: () => Promise<void>|null|void}>} close: when the reader leaves the page; saves what is not saved yet
 */
export async function showWriter(app, pane, { re, draft }) {
  const { words, mailbox } = app;
  const known = re && app.drafts.find((one) => one.re === re);
  const message = mailbox.find(re ?? app.drafts.find((one) => one.id === draft)?.re);
  if (re && !message) {
    fill(pane, h("h1", { tabindex: -1 }, words.t("gone")), h("p", null, words.t("gone-why")));
    return { close() {} };
  }
  const composer = draft || known
    ? await mailbox.openDraft(draft ?? known.id)
    : mailbox.compose({ re, subject: /^(re|aw)\s*:/i.test(message.subject) ? message.subject : `Re: ${message.subject}` });
  const name = message ? nameOf(message.from) : app.session.org;
  const back = message ? `#/m/${message.id}` : "#/";
  app.title = words.t("reply-to", { name });

  // --- fields
  const subject = h("input", { id: "subject", value: composer.subject, maxlength: 500, autocomplete: "off" });
  const text = h("textarea", { id: "text", rows: 10 });
  text.value = composer.text;
  const problem = h("p.field-error", { id: "text-problem", hidden: true });
  subject.addEventListener("input", () => composer.edit({ subject: subject.value }));
  text.addEventListener("input", () => {
    setProblem("");
    try {
      composer.edit({ text: text.value });
    } catch (error) {
      setProblem(error.code === "too-large" ? words.t("text-long") : app.explain(error));
    }
  });
  function setProblem(words_) {
    problem.textContent = words_;
    problem.hidden = !words_;
    if (words_) {
      text.setAttribute("aria-invalid", "true");
      text.setAttribute("aria-describedby", problem.id);
    } else {
      text.removeAttribute("aria-invalid");
      text.removeAttribute("aria-describedby");
    }
  }

  // --- files
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
    drawFiles();
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
    const running = start({ signal: stop.signal, onProgress: () => drawFiles() });
    // The engine gives the number at once; the row is there as soon as it took the file.
    const number = findNumber();
    runs.set(number, stop);
    drawFiles();
    try {
      await running;
      said.textContent = words.t("file-added", { name: name_ });
    } catch (error) {
      if (!stop.signal.aborted) app.fail(error);
    } finally {
      if (runs.get(number) === stop) runs.delete(number);
      drawFiles();
    }
  }

  function drawFiles() {
    const focused = document.activeElement?.dataset?.file;
    fill(files, composer.attachments.map(showFile), queue.map(showWaiting));
    if (focused) files.querySelector(`[data-file="${focused}"]`)?.focus();
  }

  const showWaiting = (file) => h("li.file", null,
    h("span.file-name", null, file.name),
    h("span.file-meta", null, `${words.size(file.size)}, ${words.t("file-waiting")}`),
    button("button.second.compact", words.t("remove"), () => {
      queue.splice(queue.indexOf(file), 1);
      drawFiles();
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
        drawFiles();
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

  // --- to whom
  const rest = message ? [...message.to, ...message.cc].filter((person) => person.addr.toLowerCase() !== app.session.name) : [];
  const everyone = [name, ...rest.map(nameOf)].join(", ");
  const choice = (value, label) => h("label.check", null,
    h("input", { type: "radio", name: "to", value, checked: composer.to === value, onchange: () => composer.edit({ to: value }) }), h("span", null, label));
  const to = rest.length
    ? h("fieldset", null, h("legend.label", null, words.t("to")), choice("sender", words.t("only-sender", { name })), choice("all", words.t("everyone", { names: everyone })))
    : h("div.field", null, h("p.label", null, words.t("to")), h("p", null, name, ", ", app.session.org));

  // --- the original, folded
  const original = message && h("details", null, h("summary", null, words.t("show-original")));
  original?.addEventListener("toggle", async () => {
    if (!original.open || original.childElementCount > 1) return;
    const quote = h("div.quote", null, words.t("unlock.working"));
    original.append(quote);
    try {
      const body = await mailbox.openBody(message.id);
      quote.replaceChildren(showBody(body.text ? { ...body, html: null } : body, { title: words.t("show-original"), words }));
    } catch (error) {
      quote.textContent = app.explain(error);
    }
  });

  // --- saving, sending
  const saved = h("p.quiet.small", { role: "status" });
  const conflict = h("div.note.warn", { hidden: true, role: "alert" },
    h("p", null, words.t("draft-conflict")),
    h("div.actions", null,
      button("button.second.compact", words.t("draft-mine"), () => app.attempt(() => composer.keepMine())),
      button("button.second.compact", words.t("draft-theirs"), () => app.attempt(async () => {
        await composer.takeTheirs();
        subject.value = composer.subject;
        text.value = composer.text;
        drawFiles();
      })),
    ),
  );
  composer.addEventListener("change", () => {
    conflict.hidden = composer.state !== "conflict";
    drawFiles();
  });
  composer.addEventListener("saved", () => {
    saved.textContent = words.t("draft-saved", { time: words.clock(words.now()) });
    app.keepDraft(composer);
  });
  composer.addEventListener("conflict", () => {
    conflict.hidden = false;
  });

  let sending = false;
  const send = button("button", words.t("send"), async () => {
    if (!composer.text.trim() && !composer.attachments.length) {
      setProblem(words.t("error-empty"));
      text.focus();
      return;
    }
    if (queue.length || composer.attachments.some((one) => one.state !== "done")) {
      app.say(words.t("files-unfinished"));
      return;
    }
    sending = true;
    send.textContent = words.t("sending");
    try {
      await composer.send();
      app.drafts = app.drafts.filter((one) => one.id !== composer.id);
      app.attempt(() => app.refreshSent());
      showDone(app, pane, { name, message, files: composer.attachments.length });
    } catch (error) {
      app.fail(error);
      send.textContent = words.t("send");
    }
    sending = false;
  });
  const discard = button("button.second", words.t("discard"), async () => {
    const empty = !composer.text.trim() && !composer.attachments.length;
    if (!empty && !(await app.ask(words.t("discard-ask"), words.t("discard")))) return;
    await app.attempt(async () => {
      await composer.discard();
      app.drafts = app.drafts.filter((one) => one.id !== composer.id);
      app.go(back);
    });
  });

  fill(pane, takeDrops(h("div.write", null,
    h("a.back", { href: back }, words.t("back-message")),
    h("h1", { tabindex: -1 }, app.title),
    mailbox.cardsBehind && h("p.note.warn", null, words.t("error-cards-behind", { organisation: app.org })),
    conflict,
    h("form", { novalidate: true, onsubmit: (event) => event.preventDefault() },
      to,
      h("div.field", null, h("label", { for: "subject" }, words.t("subject")), subject),
      h("div.field", null, h("label", { for: "text" }, words.t("your-reply")), text, problem),
      drop,
      files,
      said,
      original,
      saved,
      h("div.actions", null, send, discard),
    ),
  )));
  drawFiles();

  const warn = (event) => {
    if (composer.state === "dirty" || composer.state === "saving" || runs.size || sending) event.preventDefault();
  };
  addEventListener("beforeunload", warn);
  return {
    close() {
      removeEventListener("beforeunload", warn);
      queue.length = 0;
      for (const stop of runs.values()) stop.abort();
      const saving = composer.state === "dirty" ? composer.save().catch((error) => app.fail(error)) : null;
      composer.close();
      return saving;
    },
  };
}

function showDone(app, pane, { name, message, files }) {
  const { words } = app;
  app.title = words.t("done-title");
  const title = h("h1", { tabindex: -1 }, app.title);
  fill(pane,
    h("div.note.ok", null, title, h("p", null, words.t("done-what", { name })), files > 0 && h("p", null, words.t("done-files", { n: files }))),
    h("p", null, words.t("done-next", { org: app.session.org })),
    h("div.actions", null,
      h("a.button", { href: "#/" }, words.t("to-inbox")),
      h("a.button.second", { href: "#/sent" }, words.t("to-sent")),
      message && h("a", { href: `#/m/${message.id}` }, words.t("back-message")),
    ),
  );
  title.focus();
}
