// Shows the body of one message: plain text in the page itself, HTML in the sandboxed frame of an opaque origin.
//
// It must not parse HTML: that happens in the frame (frame.js), behind the frame's own Content-Security-Policy.

import { h, linkText } from "./dom.js";
import { guessLanguage } from "./words.js";

/**
 * @param {{html: string|null, text: string|null, inline: Map<string, Blob>}} body
 * @param {{title: string, words: Object, onText?: (text: string) => void, onKey?: (key: string) => void}} options
 * @returns {HTMLElement}
 */
export function showBody({ html, text, inline }, { title, words, onText, onKey }) {
  if (!html) {
    return h("div.mail-text", { lang: guessLanguage(text ?? "") }, ...linkText(text ?? ""));
  }
  const frame = h("iframe.mail-frame", {
    title,
    // No allow-same-origin: the mail's document has an origin of its own, with nothing in it.
    sandbox: "allow-scripts allow-popups allow-popups-to-escape-sandbox",
    src: "/frame",
    referrerpolicy: "no-referrer",
  });
  const note = h("p.quiet.small", { hidden: true });
  let loads = 0;
  frame.addEventListener("load", () => {
    if (++loads > 1) {
      // The mail led its frame elsewhere. That must not be possible; if it ever is, nothing is shown.
      frame.replaceWith(h("p.note.error", null, words.t("body-failed")));
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => {
      if (Number.isFinite(data.height)) frame.style.height = `${Math.min(Math.max(data.height, 64), 100000)}px`;
      if (typeof data.text === "string") onText?.(data.text);
      if (data.blocked > 0) {
        note.textContent = words.t("pictures-blocked", { n: Number(data.blocked) });
        note.hidden = false;
      }
      if (typeof data.key === "string") onKey?.(data.key);
    };
    const pictures = [...inline].map(([cid, blob]) => ({ cid, blob }));
    // "*": an opaque origin has no name. Only this frame's window gets it.
    frame.contentWindow.postMessage({ html, pictures, lang: guessLanguage(text ?? html.replace(/<[^>]*>/g, " ")) }, "*", [port2]);
  });
  return h("div.mail-body", null, frame, note);
}
