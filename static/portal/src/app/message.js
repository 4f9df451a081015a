// The reading pane: one message with its body, files and conversation; one sent reply.

import { showBody } from "./body.js";
import { button, fill, h } from "./dom.js";
import { makeEml, safeFileName, zipFiles } from "../engine/export.js";
import { findFiles, showSentState } from "./list.js";
import { nameOf } from "./people.js";
import { saveButton } from "./saving.js";
import { guessLanguage } from "./words.js";

const findInitials = (name) =>
  name.replace(/[^\p{L}\p{N} ]/gu, "").split(/\s+/).filter(Boolean).map((word) => [...word][0].toUpperCase()).filter((_, k, all) => k === 0 || k === all.length - 1).join("");

function backLink(app, box) {
  return h("a.back.narrow-only", { href: box === "inbox" ? "#/" : `#/${box}` }, app.words.t(`back-${box}`));
}

function showPeople(app, message) {
  const own = app.session.name;
  const name = (person) => (person.addr.toLowerCase() === own ? app.words.t("you") : nameOf(person));
  const list = (people) => people.map(name).join(", ");
  return [
    app.words.t("to-names", { name: list(message.to) || app.words.t("you") }),
    message.cc.length > 0 && app.words.t("copy-to", { name: list(message.cc) }),
  ].filter(Boolean).join(", ");
}

function showFiles(app, files, fetch, all) {
  const { words } = app;
  if (!files.length) return null;
  const total = files.reduce((sum, part) => sum + part.size, 0);
  return h("section", { "aria-labelledby": "files-title" },
    h("h2", { id: "files-title" }, words.t("files", { n: files.length })),
    h("ul.files.inline", null, ...files.map((part) =>
      h("li.file", null,
        h("span.file-name", null, part.name || words.t("file")),
        h("span.file-meta", null, `${words.fileKind(part.name, part.type)}, ${words.size(part.size)}`),
        saveButton(app, {
          label: words.t("download"),
          describe: words.t("download-name", { name: part.name || words.t("file") }),
          name: safeFileName(part.name || words.t("file")),
          type: part.type,
          fetch: (options) => fetch(part, options),
        }),
      ))),
    all && files.length > 1 && h("p", null, saveButton(app, {
      label: words.t("download-all", { size: words.size(total) }),
      name: safeFileName(`${all.subject || words.t("files", { n: files.length })}.zip`),
      type: "application/zip",
      fetch: async ({ signal, onProgress }) => {
        const got = [];
        let before = 0;
        for (const part of files) {
          const done = before;
          got.push({ name: part.name || words.t("file"), time: all.time, blob: await fetch(part, { signal, onProgress: (now) => onProgress(done + now, total) }) });
          before += part.size;
        }
        return zipFiles(got);
      },
    })),
  );
}

function showConversation(words, others, id) {
  return h("nav", { "aria-labelledby": "thread-title" },
    h("h2", { id: "thread-title" }, words.t("conversation", { n: others.length })),
    h("ol.rows.thread", null, ...others.map((other) =>
      h("li", null, h("a.mail", { href: other.from ? `#/m/${other.id}` : `#/sent/${other.id}`, "aria-current": other.id === id && "true" },
        h("span.mail-from", null, other.from ? nameOf(other.from) : words.t("own-name")),
        h("time.mail-time", { datetime: other.time }, words.short(other.time)),
        h("span.mail-snippet", null, other.snippet ?? other.subject))))));
}

/** Draws #/m/ID. @param {Object} app @param {HTMLElement} pane @param {string} id */
export async function showMessage(app, pane, id) {
  const { words, mailbox } = app;
  const message = mailbox.find(id);
  if (!message || app.leaving.has(id)) {
    fill(pane, backLink(app, "inbox"), h("h1", { tabindex: -1 }, words.t("gone")), h("p", null, words.t("gone-why")));
    return;
  }
  if (message.state === "damaged") {
    // A withdrawn signature is no damage: the organisation knows, and its reader is told the true reason.
    const { withdrawn } = message;
    const reference = words.t("error.reference", { reference: message.reference });
    const call = words.t("error.unverified.do", { organisation: app.org, phone: app.page.phone });
    fill(pane,
      backLink(app, "inbox"),
      h("h1", { tabindex: -1 }, words.t(withdrawn ? "withdrawn" : "damaged-row")),
      h(`p.note.${withdrawn ? "warn" : "error"}`, null, `${words.t(withdrawn ? "withdrawn-why" : "error.unverified", { organisation: app.org })} ${call} ${reference}`),
      h("p.quiet", null, words.t(withdrawn ? "withdrawn-rest" : "damaged-rest", { organisation: app.org })),
    );
    return;
  }
  app.title = message.subject || words.t("no-subject");
  const place = h("div", { "aria-busy": "true" }, h("p.quiet", { role: "status" }, words.t("unlock.working")));
  const files = findFiles(message.parts);
  const pdf = message.parts.find((part) => part.role === "preview" && part.type === "application/pdf");
  const stem = message.subject || words.t("message");
  const fetch = (part, options) => mailbox.download(id, part.i, options);
  const conversation = h("div");
  const drawConversation = () => {
    const others = [
      ...mailbox.thread(message.thread).filter((other) => !app.leaving.has(other.id)),
      ...app.sent.filter((item) => mailbox.find(item.re)?.thread === message.thread),
    ].sort((one, other) => (one.time < other.time ? -1 : 1));
    fill(conversation, others.length > 1 && showConversation(words, others, id));
  };
  drawConversation();
  // Own replies may still be on their way: the message itself does not wait for them.
  void app.others?.then(drawConversation);
  fill(pane,
    backLink(app, "inbox"),
    h("article", null,
      h("h1", { tabindex: -1, lang: message.lang ?? guessLanguage(`${message.subject} ${message.snippet}`) }, message.subject || words.t("no-subject")),
      h("div.mail-head", null,
        h("span.avatar", { "aria-hidden": "true" }, findInitials(nameOf(message.from))),
        h("div", null,
          h("p", null, h("strong", null, nameOf(message.from)), " ",
            h("span.pill.ok", null, app.session.org, h("span.unseen", null, `, ${words.t("verified")}`))),
          h("p.quiet.small", null, `${message.from.addr} ${showPeople(app, message)}, `, h("time", { datetime: message.time }, words.full(message.time))),
        ),
      ),
      place,
      showFiles(app, files, fetch, message),
      h("div.actions", null,
        h("a.button", { href: `#/reply/${id}` }, words.t("reply")),
        pdf && saveButton(app, { kind: "button second", label: words.t("download-pdf"), name: safeFileName(`${stem}.pdf`), type: "application/pdf", fetch: (options) => fetch(pdf, options) }),
        saveButton(app, {
          kind: "button second",
          label: words.t("download-eml"),
          name: safeFileName(`${stem}.eml`),
          type: "message/rfc822",
          fetch: async ({ signal, onProgress }) => {
            const body = await mailbox.openBody(id);
            const got = [];
            for (const part of files) got.push({ name: part.name, type: part.type, blob: await fetch(part, { signal, onProgress }) });
            return makeEml(message, body, got);
          },
        }),
        button("button.danger", words.t("delete"), () => app.leave(message)),
      ),
      h("p.quiet.small", null, words.t("available", { date: words.date(message.expires) }), message.receipt ? ` ${words.t("receipt", { name: nameOf(message.from) })}` : ""),
      conversation,
    ),
  );
  try {
    const body = await mailbox.openBody(id);
    place.replaceChildren(showBody(body, { title: words.t("body-of", { subject: app.title }), words, onKey: (key) => app.keyboard.press(key) }));
    mailbox.markRead(id).catch((error) => app.quiet(error));
  } catch (error) {
    place.replaceChildren(h("p.note.error", null, app.explain(error)));
    app.quiet(error);
  } finally {
    place.removeAttribute("aria-busy");
  }
}

/** Draws #/sent/ID. */
export async function showSent(app, pane, id) {
  const { words, mailbox } = app;
  const item = app.sent.find((one) => one.id === id);
  if (!item) {
    fill(pane, backLink(app, "sent"), h("h1", { tabindex: -1 }, words.t("gone")), h("p", null, words.t("gone-why")));
    return;
  }
  app.title = item.subject || words.t("no-subject");
  const about = mailbox.find(item.re);
  const place = h("div.mail-text", { "aria-busy": "true" });
  fill(pane,
    backLink(app, "sent"),
    h("h1", { tabindex: -1 }, app.title),
    h("p.quiet.small", null, words.t("to-name", { name: about ? nameOf(about.from) : app.session.org }), ", ", h("time", { datetime: item.time }, words.full(item.time))),
    h("p", null, showSentState(app, item), " ", words.t(`sent-${item.state}-why`, { org: app.session.org, phone: app.page.phone })),
    place,
    showFiles(app, findFiles(item.parts), (part, options) => mailbox.downloadSent(item, part.i, options)),
    about && h("p", null, h("a", { href: `#/m/${about.id}` }, words.t("show-answered"))),
    item.until && h("p.quiet.small", null, words.t("sent-until", { date: words.date(item.until) })),
  );
  try {
    const part = item.parts.find((one) => one.role === "text");
    const text = item.text || (part ? await (await mailbox.downloadSent(item, part.i)).text() : "");
    place.textContent = text;
    place.lang = guessLanguage(text);
  } catch (error) {
    place.replaceChildren(h("p.note.error", null, app.explain(error)));
    app.quiet(error);
  } finally {
    place.removeAttribute("aria-busy");
  }
}
