"""The last pass over the cleaned tree: links that show where they lead, pictures or a visible stand-in, directions.

Every href and src is set here or removed; class attributes exist only because this pass writes them, so a mail cannot
imitate the gateway's own marks by class. Source: docs/pdf.md; RFC 2392; HTML Living Standard 3.2.6.4 (dir=auto).
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement

from pdfmail.html.colours import measure_contrast, measure_lightness, parse_colour
from pdfmail.html.names import name_set
from pdfmail.html.pictures import PictureBook
from pdfmail.html.style import PAGE_WIDTH_PX
from pdfmail.html.symbols import find_symbol_table
from pdfmail.html.targets import LinkTarget, is_text_misleading, is_text_the_target, parse_target
from pdfmail.html.text import clean_text, find_direction, has_rtl, split_words
from pdfmail.html.texts import BodyTexts

MAX_PICTURES = 200
MAX_LISTED_LINKS = 100
SHOWN_URL = 400  # characters of a target in the list
ALT_CHARS = 200
WHOLE_ROW_CHARS = 600
PIXEL = 3  # a picture of at most this many pixels a side is a counter or a spacer
Changes = dict[Element, list[Element]]
_BLOCKS = name_set("p div td th li h1 h2 h3 h4 h5 h6 pre blockquote ul ol dd dt table center")


def adapt_tree(root: Element, book: PictureBook, texts: BodyTexts) -> None:
    """Change the tree in place."""
    _splice(root, _adapt_pictures(root, book, texts))
    _splice(root, _adapt_links(root, texts))
    _adapt_symbols(root)
    _adapt_body_colours(root)
    _adapt_columns(root)
    _keep_rows_whole(root)
    if has_rtl("".join(root.itertext())):
        _set_directions(root)
    _rescue_contrast(root)


def _adapt_symbols(root: Element) -> None:
    """Write the signs that a symbol font would have drawn; an element inside with a font of its own is left alone."""
    stack: list[tuple[Element, dict[int, str] | None]] = [(root, None)]
    while stack:
        element, table = stack.pop()
        families = _read_styles(element).get("font-family") or element.get("face")
        if families:
            table = find_symbol_table(families)
        if table is not None and element.text:
            element.text = element.text.translate(table)
        for child in element:
            if table is not None and child.tail:
                child.tail = child.tail.translate(table)
            stack.append((child, table))


def _adapt_columns(root: Element) -> None:
    """Let tables with align=left or right and a width stand side by side without floating (newsletters' columns)."""
    for table in root.iter("table"):
        if table.get("align") in {"left", "right"}:
            del table.attrib["align"]
            if table.get("width", "").isdigit() and "display:" not in table.get("style", ""):
                table.set("style", f"display:inline-table;vertical-align:top;{table.get('style', '')}".rstrip(";"))


def _keep_rows_whole(root: Element) -> None:
    """Mark rows that should not be cut by a page's end: short ones that hold no table themselves."""
    holds_table: set[Element] = set()
    open_rows: list[tuple[Element, list[Element]]] = [(root, [])]
    while open_rows:
        element, rows = open_rows.pop()
        if element.tag == "table":
            holds_table.update(rows[-1:])
        inner = [*rows, element] if element.tag == "tr" else rows
        open_rows.extend((child, inner) for child in element)
    for row in root.iter("tr"):
        if row not in holds_table and sum(map(len, row.itertext())) <= WHOLE_ROW_CHARS:
            row.set("class", "ll-row")


def _adapt_body_colours(root: Element) -> None:
    """Turn the colour attributes of what was the body element into style (HTML 15.3.2)."""
    for element in root.iter("div"):
        for name, property_name in (("bgcolor", "background-color"), ("text", "color")):
            colour = parse_colour(element.attrib.pop(name, ""))
            if colour is not None:
                element.set("style", f"{property_name}:{colour};{element.get('style', '')}".rstrip(";"))


def _adapt_pictures(root: Element, book: PictureBook, texts: BodyTexts) -> Changes:
    changes: Changes = {}
    shown = 0
    for image in list(root.iter("img")):
        source = image.get("src", "").strip()
        found = book.find(source[4:]) if source.lower().startswith("cid:") and shown < MAX_PICTURES else None
        alt = image.get("alt")
        if found is not None:
            key, picture = found
            shown += 1
            image.set("src", f"cid:{key}")
            image.set("alt", (alt or texts.image)[:ALT_CHARS])
            _fit(image, picture.width)
        elif _is_invisible(image) or (alt is not None and not alt.strip()):
            changes[image] = []  # counters, spacers and decoration need no stand-in
        else:
            stand_in = Element("span", {"class": "ll-image"})
            stand_in.text = _describe(alt, texts)
            if "display:block" in image.get("style", ""):
                line = Element("div")
                line.append(stand_in)
                stand_in = line
            changes[image] = [stand_in]
    return changes


def _describe(alt: str | None, texts: BodyTexts) -> str:
    label = split_words((alt or "").strip()[:ALT_CHARS])
    return f"{texts.image}: {label}" if label else texts.image_left_out


def _is_invisible(image: Element) -> bool:
    sizes = [image.get(name, "") for name in ("width", "height")]
    style = image.get("style", "")
    return any(size.isdigit() and int(size) <= PIXEL for size in sizes) or "display:none" in style


def _fit(image: Element, width: int) -> None:
    """Drop sizes that are no numbers the layout needs; a lone attribute keeps the picture's own ratio."""
    for name in ("width", "height"):
        value = image.get(name)
        if value is not None and (value == "0" or not value.rstrip("%").isdigit()):
            del image.attrib[name]
    if image.get("width", "").isdigit() and int(image.get("width", "")) > PAGE_WIDTH_PX:
        image.set("width", f"{PAGE_WIDTH_PX:g}")
        image.attrib.pop("height", None)
    if width > 1400 and "width" not in image.attrib and "width" not in image.get("style", ""):
        image.set("width", f"{PAGE_WIDTH_PX:g}")  # a photograph without a size is as wide as the page
        image.attrib.pop("height", None)


def _splice(root: Element, changes: Changes) -> None:
    """Put the new elements in the place of the old ones, in time linear in the tree; the text between stays."""
    if not changes:
        return
    for parent in list(root.iter()):
        children = list(parent)
        if not any(child in changes for child in children):
            continue
        del parent[:]
        for child in children:
            tail, child.tail = child.tail, None
            parent.extend(changes.get(child, [child]))
            if tail and len(parent):
                parent[-1].tail = (parent[-1].tail or "") + tail
            elif tail:
                parent.text = (parent.text or "") + tail


def _adapt_links(root: Element, texts: BodyTexts) -> Changes:
    """Number each link whose text is not its target, and list the targets at the end.

    Readers like Firefox switch links off in a PDF with a password, and a link on paper is dead: so the target is
    printed. A text that names another host than the target gets a warning on the spot.
    """
    changes: Changes = {}
    numbers: dict[str, int] = {}
    listed: list[LinkTarget] = []
    for link in list(root.iter("a")):
        untrusted = link.attrib.pop("href", None)
        target = parse_target(untrusted) if untrusted else None
        if target is None:
            continue
        text = "".join(link.itertext())
        has_picture = next(link.iter("img"), None) is not None
        if not text.strip() and not has_picture:
            continue
        link.set("href", target.url)
        if is_text_the_target(text, target):
            continue
        marks: list[Element] = []
        if is_text_misleading(text, target):
            warning = Element("span", {"class": "ll-warning"})
            warning.text = split_words(f" [{texts.link_goes_to}: {target.host}]")
            marks.append(warning)
        if target.url not in numbers and len(listed) < MAX_LISTED_LINKS:
            listed.append(target)
            numbers[target.url] = len(listed)
        if number := numbers.get(target.url):
            mark = Element("span", {"class": "ll-mark"})
            mark.text = f"\u00a0[{number}]"
            marks.append(mark)
        if marks:
            changes[link] = [link, *marks]
    if listed:
        _list_links(root, listed, texts)
    return changes


def _list_links(root: Element, listed: list[LinkTarget], texts: BodyTexts) -> None:
    section = SubElement(root, "div", {"class": "ll-links", "lang": texts.language, "dir": "ltr"})
    SubElement(section, "p", {"class": "ll-links-title"}).text = texts.links
    for number, target in enumerate(listed, 1):
        line = SubElement(section, "p", {"class": "ll-link-line"})
        line.text = f"[{number}] "
        link = SubElement(line, "a", {"href": target.url})
        shown = target.shown
        before, host, after = shown.partition(target.host)
        link.text = before
        strong = SubElement(link, "b")
        strong.text = host
        rest = after if len(after) <= SHOWN_URL else after[:SHOWN_URL] + " \u2026"
        strong.tail = split_words("" if rest == "/" else rest)


def _set_directions(root: Element) -> None:
    """Give each outermost block without a direction the one of its first strong letter (dir=auto for everybody)."""
    for element in _walk_undirected(root):
        direction = find_direction("".join(element.itertext()))
        if direction == "rtl":
            element.set("dir", "rtl")


def _walk_undirected(root: Element) -> Iterator[Element]:
    """Yield innermost-first blocks that hold text of their own and stand below no dir attribute."""
    stack = list(root)
    while stack:
        element = stack.pop()
        if element.get("dir") in {"ltr", "rtl"} or "direction:" in element.get("style", ""):
            continue
        is_list = element.tag in {"ul", "ol"}  # bullets stand on the side where the text begins
        if is_list or (element.tag in _BLOCKS and not _holds_block(element)):
            yield element
        else:
            stack.extend(element)


def _holds_block(element: Element) -> bool:
    return any(child.tag in _BLOCKS for child in element.iter() if child is not element)


def _rescue_contrast(root: Element) -> None:
    """Take the colour from text that could not be read because its background picture is not shown."""
    stack = [(root, 1.0)]
    while stack:
        element, background = stack.pop()
        styles = _read_styles(element)
        own = styles.get("background-color") or parse_colour(element.get("bgcolor", "") or "-")
        if own is not None and own != "transparent":
            lightness = measure_lightness(own)
            background = lightness if lightness is not None else background
        colour = styles.get("color") or parse_colour(element.get("color", "") or "-")
        lightness = measure_lightness(colour) if colour else None
        if lightness is not None and measure_contrast(lightness, background) < 1.25:
            styles.pop("color", None)
            element.attrib.pop("color", None)
            styles["color"] = "#15212b" if background > 0.18 else "#ffffff"
            element.set("style", ";".join(f"{name}:{value}" for name, value in styles.items()))
        stack.extend((child, background) for child in element)


def _read_styles(element: Element) -> dict[str, str]:
    style = element.get("style")
    if not style:
        return {}
    return dict(part.split(":", 1) for part in clean_text(style).split(";") if ":" in part)
