// Keeps the list fresh: asks for the number of mails, and fetches the page again when it has changed.
const PAUSE = 2000;
const list = document.getElementById("mails");

async function refresh() {
  try {
    const state = await (await fetch("/state")).json();
    if (String(state.total) !== list.dataset.total) {
      const text = await (await fetch(location.href)).text();
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("mails");
      fresh.querySelector("[role=status]")?.remove();
      const focused = document.activeElement?.getAttribute("href");
      list.replaceChildren(...fresh.childNodes);
      list.dataset.total = fresh.dataset.total;
      if (focused) {
        list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
      }
    }
  } catch {
    // The demo was stopped or is starting: the next round finds out.
  }
  setTimeout(refresh, document.hidden ? 5 * PAUSE : PAUSE);
}

setTimeout(refresh, PAUSE);
