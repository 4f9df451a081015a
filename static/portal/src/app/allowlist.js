// Builds the body of an HTML mail from an allow-list of elements, attributes and CSS properties (portal.md 3, item 5).
//
// The mail is parsed into an inert document and rebuilt node by node with createElement: nothing is written out as HTML
// and read again, so there is no second parse that could see other elements than the first ("mutation XSS"), which a
// sanitiser that returns a string must fight. That is why neither DOMPurify nor setHTML() is used: this is smaller,
// works in every browser alike, and Trusted Types need no trust in its output.
// It must not load anything: no URL but data:image/..., and blob URLs of pictures that came with the mail.

const XHTML = "http://www.w3.org/1999/xhtml";
const MOST_NODES = 60000;
const MOST_DEPTH = 400;

const words = (text) => new Set(text.split(" "));

const KEPT = words(
  "a abbr acronym address b bdi bdo big blockquote br caption center cite code col colgroup dd del details dfn div dl" +
    " dt em font h1 h2 h3 h4 h5 h6 hr i img ins kbd li main mark ol p pre q s samp section article aside header" +
    " footer small span strike strong sub summary sup table tbody td tfoot th thead tr tt u ul var wbr figure figcaption",
);
// Dropped with all they hold; whatever is in neither list is dropped, and what it holds is kept.
const DROPPED = words(
  "script style template noscript noembed noframes iframe frame frameset object embed applet param head title meta" +
    " link base svg math audio video source track canvas map area textarea select option input dialog portal" +
    " xmp plaintext listing slot fencedframe",
);
const ATTRIBUTES = words("title dir lang align valign width height bgcolor color face size start colspan rowspan cellpadding cellspacing border alt scope nowrap open");
const STYLES =
  /^(background-color|color|direction|display|float|clear|font(-family|-size|-style|-variant|-variant-caps|-weight)?|letter-spacing|line-height|list-style-(type|position)|(min-|max-)?(width|height)|(margin|padding)(-(top|right|bottom|left))?|border(-(top|right|bottom|left))?(-(width|style|color))?|border-(collapse|spacing|(top|bottom)-(left|right)-radius)|caption-side|empty-cells|table-layout|text-(align|decoration|decoration-line|decoration-style|decoration-color|indent|transform)|vertical-align|white-space|white-space-collapse|text-wrap-mode|word-break|word-spacing|overflow-wrap|unicode-bidi|box-sizing)$/;
// No functions but colours and sums (so no url(), image-set(), var()), and no units of the frame's own height: a body
// that grows with its frame would never stop.
const VALUE_REFUSED = /[\\@<]|\b(?!(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch|calc)\()[\w-]+\(|\d(?:[sld]?v(?:h|w|min|max|i|b)|cq\w+)\b/i;
const DISPLAYS = /^(none|block|inline|inline-block|list-item|table|table-row|table-cell|inline-table|table-(row|header|footer)-group)$/;

// A form's properties can be covered by its fields' names, a document's by names of pictures ("DOM clobbering"): what is
// read of the mail's own nodes is read through the prototypes.
const getter = (type, name) => {
  const { get } = Object.getOwnPropertyDescriptor(type.prototype, name);
  return (object) => get.call(object);
};
const readChildren = getter(Node, "childNodes");
const readType = getter(Node, "nodeType");
const readTag = getter(Element, "localName");
const readSpace = getter(Element, "namespaceURI");
const readBody = getter(Document, "body");

// The parser asks the policy about each style attribute even in an inert document, and tells the console of each.
const HIDDEN_STYLE = "data-style";

/**
 * Style attributes under another name, which buildBody reads; values stay as they are: one may be an address with
 * "/style=" in it. What this misses or takes for one changes nothing but looks: the outcome is parsed and judged as any
 * mail is. A tag is read in pieces, and not more than so many: by the character a tag of megabytes overflows the stack.
 * @param {string} untrusted HTML @returns {string}
 */
export function hideStyles(untrusted) {
  return untrusted.replace(/<[a-z](?:[^<>=]+|=\s*(["']).*?\1|=){0,9999}/gis, (tag) =>
    tag.replace(/=\s*(?:(["']).*?\1|\S*)|([\s/])style(?=\s*=)/gis, (all, quote, gap) => (gap ? gap + HIDDEN_STYLE : all)));
}

/** @param {string} untrusted @returns {string|null} the address of a link that may be followed, or null */
export function readLink(untrusted) {
  let url;
  try {
    url = new URL(untrusted.trim());
  } catch {
    return null;
  }
  return ["https:", "http:", "mailto:", "tel:"].includes(url.protocol) ? url.href : null;
}

/**
 * @param {Document} parsed - the inert document of the mail
 * @param {(cid: string) => string|null} findPicture - blob URL of a picture that came with the mail
 * @param {Document} document - where the body is to be shown
 * @returns {{body: DocumentFragment, blocked: number}} blocked: pictures of other hosts, not shown
 */
export function buildBody(parsed, findPicture, document) {
  const body = document.createDocumentFragment();
  const scratch = document.createElement("div");
  let blocked = 0;
  let nodes = 0;
  // A stack of our own: a mail nested 100,000 deep must not end in an overflow.
  const stack = [[readBody(parsed), body, 0]];
  while (stack.length) {
    const [from, to, depth] = stack.pop();
    const children = [];
    for (const node of readChildren(from)) {
      if (++nodes > MOST_NODES) break;
      const type = readType(node);
      if (type === 3) {
        to.append(document.createTextNode(node.data));
        continue;
      }
      if (type !== 1 || readSpace(node) !== XHTML) continue;
      const tag = readTag(node);
      if (DROPPED.has(tag)) continue;
      let made;
      if (tag === "img") {
        made = makePicture(node);
      } else if (KEPT.has(tag) && depth < MOST_DEPTH) {
        made = document.createElement(tag);
        copyAttributes(node, made);
      } else {
        // A place holder keeps the order of what stands inside an element that is itself left out.
        made = document.createElement("span");
      }
      to.append(made);
      if (tag !== "img") children.push([node, made, depth + 1]);
    }
    stack.push(...children.reverse());
  }
  return { body, blocked };

  function copyAttributes(node, made) {
    for (const { name, value } of node.attributes) {
      if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
    }
    for (const name of [HIDDEN_STYLE, "style"]) if (node.hasAttribute(name)) copyStyle(node.getAttribute(name), made);
    if (made.localName === "a" && node.hasAttribute("href")) {
      const href = readLink(node.getAttribute("href"));
      if (href) {
        made.href = href;
        made.target = "_blank";
        made.rel = "noopener noreferrer nofollow";
      }
    }
  }

  function copyStyle(text, made) {
    scratch.style.cssText = text;
    const { style } = scratch;
    for (let k = 0; k < style.length; k++) {
      const name = style[k];
      const value = style.getPropertyValue(name);
      if (!STYLES.test(name) || VALUE_REFUSED.test(value)) continue;
      if (name === "display" && !DISPLAYS.test(value)) continue;
      made.style.setProperty(name, value);
    }
  }

  function makePicture(node) {
    const source = (node.getAttribute("src") || "").trim();
    const address = /^cid:/i.test(source)
      ? findPicture(decodeCid(source.slice(4)))
      : /^data:image\/(png|jpeg|gif|webp);base64,[\w+/=\s]*$/i.test(source) && source;
    if (address) {
      const made = document.createElement("img");
      made.alt = "";
      copyAttributes(node, made);
      made.src = address;
      return made;
    }
    if (source) blocked++;
    const made = document.createElement("span");
    made.textContent = node.getAttribute("alt") || "";
    return made;
  }
}

function decodeCid(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
