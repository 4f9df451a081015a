// The one script of /frame: shows the body of one HTML mail inside a sandboxed frame of an opaque origin.
//
// It takes the mail once, by message from the page that holds the frame, and answers on the port that came with it:
// {height}, {text} (for quoting and searching), {blocked} (pictures of other hosts), {key} (keyboard commands).
// It must not load, store or send anything else; its Content-Security-Policy holds it to that (see frame.html).

import { buildBody, hideStyles } from "./allowlist.js";

// Without spaces: it goes to the reader as it stands here.
const LOOK = `:root{color-scheme:light;background:#fff}
body{margin:0;padding:12px;font:16px/1.55 Inter,system-ui,sans-serif;color:#15212b;overflow-wrap:anywhere;overflow-y:hidden}
img{max-width:100%}
img:not([height]){height:auto}
table{overflow-wrap:normal;max-width:100%}
pre{white-space:pre-wrap}
blockquote{margin:0 0 0 4px;padding-left:12px;border-left:2px solid #7b8894}
a{color:#0e5a63}
:focus-visible{outline:3px solid #0b57d0;outline-offset:2px}
body>:first-child{margin-top:0}
@media (prefers-color-scheme:light){body{padding:4px 0}}
@media print{body{padding:0}}`;
const MOST_HEIGHT = 100000;
const KEYS = ["j", "k", "r", "/", "?", "Escape"];

const policy = self.trustedTypes?.createPolicy("letterlock", {
  // Its one use is below: an inert document, in which nothing runs and nothing loads.
  createHTML: (untrusted) => untrusted,
});

function show({ html, pictures, lang }, port) {
  const quiet = hideStyles(html);
  const parsed = new DOMParser().parseFromString(policy ? policy.createHTML(quiet) : quiet, "text/html");
  const addresses = new Map(pictures.map(({ cid, blob }) => [cid, URL.createObjectURL(blob)]));
  const { body, blocked } = buildBody(parsed, (cid) => addresses.get(cid) ?? null, document);
  document.documentElement.lang = lang || "";
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(LOOK);
  document.adoptedStyleSheets = [sheet];
  document.body.replaceChildren(body);
  port.postMessage({ text: document.body.innerText.slice(0, 500000), blocked });
  const measure = () => {
    const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth + 1;
    // What scrolls must be reachable by keyboard.
    if (wide) document.body.tabIndex = 0;
    else document.body.removeAttribute("tabindex");
    const height = Math.ceil(document.body.getBoundingClientRect().height) + (wide ? 20 : 0);
    port.postMessage({ height: Math.min(height, MOST_HEIGHT) });
  };
  new ResizeObserver(measure).observe(document.body);
  measure();
  addEventListener("keydown", (event) => {
    if (KEYS.includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) port.postMessage({ key: event.key });
  });
}

addEventListener(
  "message",
  function take(event) {
    if (event.source !== parent || !event.ports[0]) return;
    removeEventListener("message", take);
    show(event.data, event.ports[0]);
  },
);
