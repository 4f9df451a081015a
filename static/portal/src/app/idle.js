// Ends the visit after some time without a key or a touch, and says so before (WCAG 2.2, 2.2.1). Tabs of one browser
// share one session of one mailbox: what one of them sees, the others hear.

import { button, h } from "./dom.js";

const WARN = 60000;
const SEEN = ["keydown", "pointerdown", "wheel", "touchstart"];

/**
 * @param {Object} app @param {number} seconds idle time
 * @param {{leave: (told: boolean) => void, touch: () => void}} acts leave: sign out (told: another tab did); touch: let the portal know
 * @returns {{sinceActive: () => number, tell: () => void}} milliseconds since the reader did something; tell: other tabs, of a sign-out
 */
export function watchIdle(app, seconds, { leave, touch }) {
  const { words } = app;
  const limit = seconds * 1000;
  const warning = Math.min(WARN, limit / 3);
  const others = globalThis.BroadcastChannel && new BroadcastChannel(`letterlock ${app.session.box}`);
  let last = Date.now();
  let told = 0;
  let dialog = null;

  function mark(own) {
    last = Date.now();
    if (own && last - told > 5000) {
      told = last;
      others?.postMessage("active");
    }
    if (dialog && !own) dialog.close();
  }
  for (const name of SEEN) addEventListener(name, () => !dialog && mark(true), { passive: true, capture: true });
  if (others) others.onmessage = ({ data }) => (data === "out" ? leave(true) : mark(false));

  function warn() {
    const left = h("strong", { role: "timer" });
    dialog = h("dialog", { "aria-labelledby": "idle-title" },
      h("h2", { id: "idle-title" }, words.t("idle-title")),
      h("p", null, words.t("idle-text"), " ", left),
      h("div.actions", null,
        button("button", words.t("idle-stay"), () => dialog.close()),
        button("button.second", words.t("sign-out"), () => leave(false)),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      dialog = null;
      mark(true);
      touch();
    });
    document.body.append(dialog);
    dialog.showModal();
    return left;
  }

  let left = null;
  // Not one long timer: a computer that slept must not come back to an open mailbox.
  setInterval(() => {
    const idle = Date.now() - last;
    if (idle >= limit) leave(false);
    else if (idle >= limit - warning) {
      if (!dialog) left = warn();
      left.textContent = words.t("seconds", { n: Math.ceil((limit - idle) / 1000) });
    }
  }, 1000);
  return { sinceActive: () => Date.now() - last, tell: () => others?.postMessage("out") };
}
