// The account page: own sessions, password, room, language.

import { button, fill, h } from "./dom.js";

/** Draws #/account. */
export async function showAccount(app, pane) {
  const { words, session } = app;
  app.title = words.t("account");
  const room = h("p", { id: "room-text" });
  const meter = h("meter", { min: 0, max: 1, low: 0.8, high: 0.95, optimum: 0, "aria-labelledby": "room-text" });
  const showRoom = ({ used, limit }) => {
    room.textContent = words.t("room-used", { used: words.size(used), limit: words.size(limit) });
    meter.value = limit ? used / limit : 0;
  };
  showRoom(session.quota);
  const sessions = h("ul.files", { "aria-busy": "true" });
  fill(pane, h("div.account-page", null,
    h("a.back", { href: "#/" }, words.t("back-inbox")),
    h("h1", { tabindex: -1 }, app.title),
    h("dl.facts", null,
      h("dt", null, words.t("user-name")), h("dd", null, session.name),
      h("dt", null, words.t("organisation")), h("dd", null, session.org),
    ),
    h("section", { "aria-labelledby": "room" },
      h("h2", { id: "room" }, words.t("room")),
      room,
      meter,
    ),
    makePasswordForm(app),
    h("section", { "aria-labelledby": "sessions" },
      h("h2", { id: "sessions" }, words.t("sessions")),
      h("p.quiet", null, words.t("sessions-why")),
      sessions,
      h("div.actions", null, button("button.second", words.t("sign-out-others"), async () => {
        await app.attempt(async () => {
          await app.engine.endSession("all");
          app.say(words.t("signed-out-others"));
        });
        await list();
      })),
    ),
    h("section", { "aria-labelledby": "language" },
      h("h2", { id: "language" }, words.t("language")),
      h("p.tabs", null, ...[["de", "Deutsch"], ["en", "English"]].map(([code, label]) =>
        h("a", { href: `?lang=${code}#/account`, lang: code, hreflang: code, "aria-current": words.lang === code && "true" }, label))),
    ),
    makeEnd(app),
  ));

  async function list() {
    await app.attempt(async () => {
      const found = await app.engine.listSessions();
      sessions.replaceChildren(...found.map((one) => h("li.file", null,
        h("span.file-name", null, one.browser || words.t("browser-unknown"), one.current && " ", one.current && h("span.pill", null, words.t("this-browser"))),
        h("span.file-meta", null, words.t("session-times", { since: words.full(one.since), seen: words.full(one.seen) })),
        !one.current && button("button.second.compact", words.t("sign-out"), () => app.attempt(async () => {
          await app.engine.endSession(one.id);
          await list();
        }), { "aria-label": words.t("sign-out-browser", { name: one.browser || words.t("browser-unknown") }) }),
      )));
    });
    sessions.removeAttribute("aria-busy");
  }
  await Promise.all([list(), app.attempt(async () => showRoom(await app.mailbox.loadQuota()))]);
}

/** Closing one's mailbox: folded away, says what is lost, asks twice. */
function makeEnd(app) {
  const { words } = app;
  const org = { org: app.session.org };
  const ask = async () => {
    if (!(await app.ask(words.t("close-ask"), words.t("close-next"), words.t("close-ask-why", org)))) return;
    if (!(await app.ask(words.t("close-sure"), words.t("close-now"), words.t("close-sure-why", org), "button.danger"))) return;
    await app.attempt(() => app.endBox());
  };
  return h("section", { "aria-labelledby": "end-title" },
    h("details", null, h("summary", null, h("h2", { id: "end-title" }, words.t("close-box"))),
      h("p", null, words.t("close-why", org)),
      h("div.actions", null, button("button.danger", words.t("close-box"), ask))));
}

function makePasswordForm(app) {
  const { words, session } = app;
  const field = (id, label, autocomplete, hint) => {
    const input = h("input", { id, type: "password", autocomplete, required: true, "aria-describedby": hint ? `${id}-hint` : null });
    return [input, h("div.field", null, h("label", { for: id }, words.t(label)), hint && h("p.hint", { id: `${id}-hint` }, words.t(hint)), input)];
  };
  const [now, nowField] = field("password-now", "password-now", "current-password");
  const [next, nextField] = field("password-new", "password-new", "new-password", "password-rule");
  const [again, againField] = field("password-again", "password-again", "new-password");
  const problem = h("p.field-error", { role: "alert" });
  const save = h("button.button.second", null, words.t("password-save"));
  const refuse = (text, input) => {
    problem.textContent = text;
    for (const one of [now, next, again]) one.removeAttribute("aria-invalid");
    input?.setAttribute("aria-invalid", "true");
    input?.focus();
  };
  async function submit(event) {
    event.preventDefault();
    if (save.disabled) return;
    refuse("");
    const missing = [...next.value.normalize("NFC")].length;
    if (!now.value) return refuse(words.t("input.password.empty"), now);
    if (missing < 12) return refuse(words.t("password.short", { n: 12 - missing }), next);
    if (next.value !== again.value) return refuse(words.t("password.differ"), again);
    save.disabled = true;
    save.textContent = words.t("password-saving");
    try {
      // Sealed by the generation that ends now.
      await app.finishLeaving();
      app.session = await app.engine.changePassword(session, { newPassword: next.value, password: now.value });
      form.reset();
      await app.reopen();
      app.say(words.t("password-saved"), 12000);
    } catch (error) {
      refuse(app.explain(error), error.code === "wrong" ? now : next);
    } finally {
      save.disabled = false;
      save.textContent = words.t("password-save");
    }
  }
  const form = h("form", { novalidate: true, onsubmit: submit },
    // For password managers: whose password it is.
    h("input", { type: "text", autocomplete: "username", value: session.name, hidden: true, readonly: true }),
    nowField, nextField, againField, problem,
    h("p.note.warn", null, words.t(session.recoverable ? "password-lost" : "password-lost-all", { org: session.org })),
    h("div.actions", null, save));
  return h("section", { "aria-labelledby": "password-title" },
    h("details", null, h("summary", null, h("h2", { id: "password-title" }, words.t("password-change"))), form));
}
