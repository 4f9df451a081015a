// The left pane: inbox (one row a conversation), sent, drafts; search; older pages.

import { button, fill, h } from "./dom.js";

const PAPER_CLIP = "M14.5 6.5 8 13a2.1 2.1 0 0 1-3-3l7-7a3.5 3.5 0 0 1 5 5l-7.5 7.5a5 5 0 0 1-7-7L9 2";

function drawClip(label) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 20 20", width: 16, height: 16, role: "img", "aria-label": label })) {
    picture.setAttribute(name, value);
  }
  const line = document.createElementNS(space, "path");
  for (const [name, value] of Object.entries({ d: PAPER_CLIP, fill: "none", stroke: "currentColor", "stroke-width": 1.6, "stroke-linecap": "round" })) {
    line.setAttribute(name, value);
  }
  picture.append(line);
  return picture;
}

/** Parts that the reader sees as attachments. */
export const findFiles = (parts) => (parts ?? []).filter((part) => part.role === "file");

/** One entry a conversation, the newest message first. @param {Object[]} messages newest first */
export function groupThreads(messages) {
  const threads = new Map();
  for (const message of messages) {
    const key = message.thread ?? message.id;
    if (threads.has(key)) threads.get(key).push(message);
    else threads.set(key, [message]);
  }
  return [...threads.values()];
}

function showRow(app, { href, unread, current, from, time, subject, snippet, files, extra }) {
  const { words } = app;
  return h("li", null,
    h(`a.mail${unread ? ".unread" : ""}`, { href, "aria-current": current && "true" },
      h("span.mail-dot", { "aria-hidden": "true" }),
      h("span.mail-from", null, unread && h("span.unseen", null, `${words.t("unread-one")} `), from),
      h("time.mail-time", { datetime: time }, files > 0 && drawClip(words.t("with-files", { n: files })), " ", words.short(time)),
      h("span.mail-subject", null, subject || words.t("no-subject")),
      h("span.mail-snippet", null, snippet),
      extra && h("span.mail-extra", null, extra),
    ),
  );
}

function showConversation(app, messages, currentId) {
  const { words } = app;
  const newest = messages[0];
  const unread = messages.filter((message) => !message.seen);
  const target = unread.at(-1) ?? newest;
  const current = messages.some((message) => message.id === currentId);
  if (newest.state === "damaged") {
    return h("li", null,
      h("a.mail", { href: `#/m/${newest.id}`, "aria-current": current && "true" },
        h("span.mail-dot", { "aria-hidden": "true" }),
        h("span.mail-from", null, words.t(newest.withdrawn ? "withdrawn" : "damaged-row")),
        h("span.mail-snippet", null, words.t("error.reference", { reference: newest.reference })),
      ),
    );
  }
  const answer = app.sent.find((item) => item.re && messages.some((message) => message.id === item.re));
  const answered = answer && answer.time > newest.time;
  const ends = messages.map((message) => message.expires).sort()[0];
  return showRow(app, {
    href: `#/m/${target.id}`,
    unread: unread.length > 0,
    current,
    from: `${newest.from.name || newest.from.addr}${messages.length > 1 ? ` (${messages.length})` : ""}`,
    time: answered ? answer.time : newest.time,
    subject: newest.subject,
    snippet: answered ? words.t("you-answered", { date: words.short(answer.time) }) : newest.snippet,
    files: findFiles(newest.parts).length,
    extra: words.daysUntil(ends) < 14 && h("span.pill.warn", null, words.t("until", { date: words.date(ends) })),
  });
}

/** The words and colours of what became of a reply. */
export function showSentState(app, item) {
  const kind = { arrived: "ok", refused: "error" }[item.state] ?? "plain";
  return h(`span.pill.${kind}`, null, app.words.t(`sent-${item.state}`));
}

function showSentRow(app, item, currentId) {
  const about = app.mailbox.find(item.re);
  return showRow(app, {
    href: `#/sent/${item.id}`,
    current: item.id === currentId,
    from: about ? app.words.t("to-name", { name: about.from.name || about.from.addr }) : app.session.org,
    time: item.time,
    subject: item.subject,
    files: findFiles(item.parts).length,
    extra: [showSentState(app, item), " ", item.until && app.words.daysUntil(item.until) < 14 && h("span.pill.warn", null, app.words.t("until", { date: app.words.date(item.until) }))],
  });
}

function showDraftRow(app, draft, currentId) {
  const about = app.mailbox.find(draft.re);
  return showRow(app, {
    href: `#/draft/${draft.id}`,
    current: draft.id === currentId,
    from: about ? app.words.t("to-name", { name: about.from.name || about.from.addr }) : app.session.org,
    time: draft.time,
    subject: draft.subject,
    snippet: draft.damaged ? app.words.t("draft-damaged") : draft.text?.slice(0, 120),
    files: draft.attachments,
  });
}

/**
 * Draws the list into its pane and keeps the search field as it is.
 * @param {Object} app @param {{box: "inbox"|"sent"|"drafts", currentId?: string, alone: boolean}} where alone: no message beside it
 */
export function makeList(app, pane) {
  const { words } = app;
  let query = "";
  let where = { box: "inbox" };
  const search = h("input", { type: "search", "aria-label": words.t("search"), placeholder: words.t("search"), autocomplete: "off", enterkeyhint: "search" });
  const searchBox = h("div.search", { role: "search" }, search);
  const head = h("div.pane-head");
  const rows = h("ul.rows");
  const foot = h("div.list-foot");
  const said = h("p.unseen", { role: "status" });
  fill(pane, head, searchBox, said, rows, foot);
  search.addEventListener("input", () => {
    query = search.value.trim();
    draw(where);
    if (query) said.textContent = words.t("found", { n: rows.querySelectorAll("a").length });
  });

  const tab = (box, label, count) =>
    h("a", { href: box === "inbox" ? "#/" : `#/${box}`, "aria-current": where.box === box && "page" }, label, count ? ` (${count})` : "");

  function draw(next) {
    where = next;
    const { box, currentId, alone } = where;
    const unread = app.mailbox.messages.filter((message) => !message.seen && message.state === "mail" && !app.leaving.has(message.id)).length;
    const name = words.t(box);
    fill(head,
      h(alone ? "h1" : "h2", { tabindex: -1 }, name),
      unread > 0 && box === "inbox" && h("span.pill", null, words.t("unread", { n: unread })),
      h("nav.tabs", { "aria-label": words.t("folders") }, tab("inbox", words.t("inbox"), 0), tab("sent", words.t("sent")), tab("drafts", words.t("drafts"), app.drafts.length)),
    );
    document.title = `${unread ? `(${unread}) ` : ""}${app.title || name} · ${app.org}`;
    searchBox.hidden = box !== "inbox";
    const focused = document.activeElement?.getAttribute?.("href");
    rows.replaceChildren(...makeRows(box, currentId));
    if (focused && !document.contains(document.activeElement?.closest?.("a"))) {
      [...rows.querySelectorAll("a")].find((row) => row.getAttribute("href") === focused)?.focus();
    }
    rows.hidden = !rows.childElementCount;
    foot.replaceChildren(...makeFoot(box));
  }

  function makeRows(box, currentId) {
    if (box === "sent") return app.sent.map((item) => showSentRow(app, item, currentId));
    if (box === "drafts") return app.drafts.map((draft) => showDraftRow(app, draft, currentId));
    const shown = (query ? app.mailbox.search(query) : app.mailbox.messages).filter((message) => !app.leaving.has(message.id));
    return groupThreads(shown).map((messages) => showConversation(app, messages, currentId));
  }

  function makeFoot(box) {
    const parts = [];
    if (rows.hidden && app.loaded) {
      parts.push(h("p.empty", null, words.t(box !== "inbox" ? `empty-${box}` : query ? "empty-search" : "empty-inbox", { query })));
    }
    const more = box === "inbox" ? app.mailbox.more : box === "sent" && app.moreSent;
    if (more && app.loaded) {
      if (query) parts.push(h("p.quiet.small", null, words.t("search-older")));
      parts.push(button("button.second.compact", words.t("older"), () => app.attempt(() => app.loadOlder(box))));
    }
    return parts;
  }

  return {
    draw,
    search,
    /** The rows' links, for the keys j and k. */
    links: () => [...rows.querySelectorAll("a.mail")],
  };
}
