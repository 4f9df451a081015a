// The composer: a reply to one message, saved as it grows, with files that are sealed and stored while one writes.

import { showBody } from "./body.js";
import { button, fill, h } from "./dom.js";
import { findOthers, nameOf } from "./people.js";
import { makeUploads } from "./uploads.js";

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

  // --- files, saving, sending
  const uploads = makeUploads(app, composer);
  const saved = h("p.quiet.small", { role: "status" });
  const conflict = makeConflict(app, composer, () => {
    subject.value = composer.subject;
    text.value = composer.text;
    const to = pane.querySelector(`[name=to][value=${composer.to}]`);
    if (to) to.checked = true;
  });
  composer.addEventListener("change", () => {
    conflict.hidden = composer.state !== "conflict";
    uploads.draw();
  });
  composer.addEventListener("unsaved", ({ detail }) => app.quiet(detail));
  composer.addEventListener("saved", () => {
    saved.textContent = words.t("draft-saved", { time: words.clock(words.now()) });
    app.keepDraft(composer);
  });

  let sending = false;
  const send = button("button", words.t("send"), async () => {
    if (!composer.text.trim() && !composer.attachments.length) {
      setProblem(words.t("error-empty"));
      text.focus();
      return;
    }
    if (!uploads.isWhole()) {
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

  fill(pane, uploads.takeDrops(h("div.write", null,
    h("a.back", { href: back }, words.t("back-message")),
    h("h1", { tabindex: -1 }, app.title),
    mailbox.cardsBehind && h("p.note.warn", null, words.t("error-cards-behind", { organisation: app.org })),
    conflict,
    h("form", { novalidate: true, onsubmit: (event) => event.preventDefault() },
      showRecipients(app, composer, message, name),
      h("div.field", null, h("label", { for: "subject" }, words.t("subject")), subject),
      h("div.field", null, h("label", { for: "text" }, words.t("your-reply")), text, problem),
      uploads.nodes,
      message && showOriginal(app, message),
      saved,
      h("div.actions", null, send, discard),
    ),
  )));

  const isUnsaved = () => composer.state === "dirty" || composer.state === "saving" || uploads.isBusy() || sending;
  const warn = (event) => isUnsaved() && event.preventDefault();
  addEventListener("beforeunload", warn);
  return {
    isUnsaved,
    close() {
      removeEventListener("beforeunload", warn);
      uploads.stop();
      const saving = composer.state === "dirty" ? composer.save().catch((error) => app.fail(error)) : null;
      composer.close();
      return saving;
    },
  };
}

/** Recipients are fixed by the message that is answered; the relay resolves their addresses. */
function showRecipients(app, composer, message, name) {
  const { words } = app;
  const { org } = app.session;
  const { reached, left, isCertain } = message ? findOthers(message, app.session.name) : { reached: [], left: [], isCertain: true };
  const names = left.map(nameOf).join(", ");
  const hint = left.length > 0 && h("p.hint", { id: "to-hint" }, words.t(isCertain ? "everyone-but" : "everyone-perhaps", { org, names }));
  if (!reached.length && isCertain) return h("div.field", null, h("p.label", null, words.t("to")), h("p", null, name, ", ", org), hint);
  const choice = (value, label) => h("label.check", null,
    h("input", { type: "radio", name: "to", value, checked: composer.to === value, "aria-describedby": hint && value === "all" ? "to-hint" : null, onchange: () => composer.edit({ to: value }) }), h("span", null, label));
  return h("fieldset", null, h("legend.label", null, words.t("to")),
    choice("sender", words.t("only-sender", { name })),
    choice("all", words.t("everyone", { org, names: [name, ...reached.map(nameOf)].join(", ") })),
    hint);
}

/** The message that is answered, folded; opened when somebody looks. */
function showOriginal(app, message) {
  const { words } = app;
  const original = h("details", null, h("summary", null, words.t("show-original")));
  original.addEventListener("toggle", async () => {
    if (!original.open || original.childElementCount > 1) return;
    const quote = h("div.quote", null, words.t("unlock.working"));
    original.append(quote);
    try {
      const body = await app.mailbox.openBody(message.id);
      fill(quote, showBody(body.text ? { ...body, html: null } : body, { title: words.t("show-original"), words }));
    } catch (error) {
      quote.textContent = app.explain(error);
    }
  });
  return original;
}

/** Shown when the draft was changed elsewhere: one of the two has to go. */
function makeConflict(app, composer, take) {
  const { words } = app;
  return h("div.note.warn", { hidden: true, role: "alert" },
    h("p", null, words.t("draft-conflict")),
    h("div.actions", null,
      button("button.second.compact", words.t("draft-mine"), () => app.attempt(() => composer.keepMine())),
      button("button.second.compact", words.t("draft-theirs"), () => app.attempt(async () => {
        await composer.takeTheirs();
        take();
      })),
    ),
  );
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
