// Makes elements. Text goes in as text only: nothing here reads HTML, so Trusted Types have nothing to refuse.

/**
 * @param {string} tag - name, with classes behind dots: "p.quiet"
 * @param {Object<string, *>} [properties] - on...: listener; true/false: attribute set or left out; else the attribute
 * @param {...(Node|string|number|null|false|undefined|Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  put(made, children);
  return made;
}

/** Puts these children in place of all others; null and false leave a gap out, as in h. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  put(parent, children);
}

function put(parent, children) {
  for (const child of children) {
    if (Array.isArray(child)) put(parent, child);
    else if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
}

/** Plain text with its web addresses as links. @param {string} untrusted @returns {Node[]} */
export function linkText(untrusted) {
  const nodes = [];
  let end = 0;
  for (const found of untrusted.matchAll(/https?:\/\/[^\s<>"'`{}|\\^]+[^\s<>"'`{}|\\^.,;:!?)\]]/gi)) {
    if (!URL.canParse(found[0])) continue;
    nodes.push(untrusted.slice(end, found.index));
    nodes.push(h("a", { href: found[0], target: "_blank", rel: "noopener noreferrer nofollow" }, found[0]));
    end = found.index + found[0].length;
  }
  nodes.push(untrusted.slice(end));
  return nodes;
}

/** A button that says so while it works and cannot be pressed twice. */
export function button(kind, label, act, properties) {
  const made = h(`button.${kind}`, { type: "button", ...properties }, label);
  made.addEventListener("click", async () => {
    if (made.getAttribute("aria-disabled")) return;
    made.setAttribute("aria-disabled", "true");
    try {
      await act(made);
    } finally {
      made.removeAttribute("aria-disabled");
    }
  });
  return made;
}
