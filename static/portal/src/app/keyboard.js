// Keys of the mailbox: j k (next, previous), Enter (browser's own), r, /, ?, Esc; and the dialog that lists them.
// They can be turned off (WCAG 2.2, 2.1.4); the choice is kept in this browser.

import { button, h } from "./dom.js";

const SETTING = "letterlock-keys";
const store = () => {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined; // refused by the browser's settings: then the keys are simply on
  }
};

/** @param {Object} app @returns {{press: (key: string) => boolean, help: () => void}} */
export function makeKeyboard(app) {
  const { words } = app;
  const isOn = () => store()?.getItem(SETTING) !== "off";

  function step(by) {
    const links = app.list.links();
    const at = links.findIndex((link) => link === document.activeElement || link.getAttribute("aria-current"));
    const next = links[Math.min(Math.max(at + by, 0), links.length - 1)];
    if (!next) return;
    if (app.route.view === "message") location.hash = next.getAttribute("href");
    else next.focus();
  }

  function help() {
    const choice = h("input", { type: "checkbox", id: "keys-on", checked: isOn() });
    choice.addEventListener("change", () => store()?.setItem(SETTING, choice.checked ? "on" : "off"));
    const keys = [["j", "key-next"], ["k", "key-previous"], ["Enter", "key-open"], ["r", "key-reply"], ["/", "key-search"], ["?", "key-help"], ["Esc", "key-back"]];
    const dialog = h("dialog", { "aria-labelledby": "keys-title" },
      h("h2", { id: "keys-title" }, words.t("keys")),
      h("dl.facts", null, ...keys.flatMap(([key, text]) => [h("dt", null, h("kbd", null, key)), h("dd", null, words.t(text))])),
      h("p.check", null, choice, h("label", { for: "keys-on" }, words.t("keys-on"))),
      button("button", words.t("close"), () => dialog.close()),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  const acts = {
    j: () => step(1),
    k: () => step(-1),
    r: () => app.route.view === "message" && app.go(`#/reply/${app.route.id}`),
    "/": () => {
      if (app.route.view !== "inbox") app.go("#/");
      app.list.search.focus();
    },
    "?": help,
    Escape: () => app.route.view !== "inbox" && app.route.view !== "compose" && app.go(app.route.box === "inbox" ? "#/" : `#/${app.route.box}`),
  };

  function press(key) {
    if (!acts[key] || (!isOn() && key !== "Escape") || document.querySelector("dialog[open]")) return false;
    acts[key]();
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.matches?.("input, textarea, select, [contenteditable]")) {
      if (event.key === "Escape" && event.target === app.list.search) event.target.blur();
      return;
    }
    if (press(event.key)) event.preventDefault();
  });
  return { press, help };
}
