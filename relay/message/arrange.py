"""Which parts of a message are shown, in which order, and which are files (RFC 2046 5.1, RFC 2387, RFC 2183).

Nothing is lost: what is not shown is an attachment. Left out on purpose: detached signatures (they sign octets that no
longer exist), AMP and watch alternatives, the resource fork of multipart/appledouble.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.message.limits import ParseLimits
from relay.message.structure import Part

_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"})
_ONLY_ALTERNATIVES = frozenset({"text/x-amp-html", "text/watch-html"})
_SHOWN = frozenset({"text/plain", "text/html"})


@dataclass(slots=True)
class Segment:
    """One stretch of the body: how to show it as plain text and how with HTML. Either may be empty, not both."""

    plain: list[Part] = field(default_factory=list)
    rich: list[Part] = field(default_factory=list)

    @property
    def best(self) -> list[Part]:
        """The HTML variant where there is one."""
        return self.rich or self.plain


@dataclass(slots=True)
class Arrangement:
    """Segments in order and the parts that are files, in mail order."""

    segments: list[Segment] = field(default_factory=list)
    files: list[Part] = field(default_factory=list)

    @property
    def has_html(self) -> bool:
        """Tell whether any segment can be shown as HTML."""
        return any(segment.rich for segment in self.segments)


def _is_shown(part: Part, *, is_first: bool) -> bool:
    if part.media_type not in _SHOWN or part.is_attachment:
        return False
    # A named text is a file that the sender attached, unless it says inline and opens the mail.
    return not part.filename or (is_first and part.disposition is not None)


class _Arranger:
    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._shown = 0

    def arrange(self, part: Part, *, is_root: bool = False) -> Arrangement:
        """Depth is bounded by the walker, so recursion is."""
        if not part.is_multipart:
            return self._arrange_leaf(part, is_root=is_root)
        kind = part.media_type.removeprefix("multipart/")
        if kind == "alternative":
            return self._arrange_alternative(part)
        if kind == "related":
            return self._arrange_related(part)
        if kind in ("signed", "report"):
            return self._arrange_first(part)
        if kind == "encrypted":
            return Arrangement(files=[leaf for leaf in part.walk() if not leaf.is_multipart])
        if kind == "appledouble":
            data = [child for child in part.children if child.media_type != "application/applefile"]
            return self._arrange_all(data)
        return self._arrange_all(part.children)

    def _arrange_leaf(self, part: Part, *, is_root: bool) -> Arrangement:
        is_first = self._shown == 0
        if not (
            _is_shown(part, is_first=is_first) or (is_root and part.media_type in _SHOWN and not part.is_attachment)
        ):
            return Arrangement(files=[part])
        self._shown += 1
        if self._shown > self._limits.shown_parts:
            return Arrangement(files=[part])
        segment = Segment(rich=[part]) if part.media_type == "text/html" else Segment(plain=[part])
        too_long = part.encoded_size > self._limits.text_octets
        if too_long and part.media_type == "text/html":
            # Half an HTML document is worse than none; the whole one is a file.
            return Arrangement(files=[part])
        return Arrangement(segments=[segment], files=[part] if too_long else [])

    def _arrange_all(self, children: list[Part]) -> Arrangement:
        whole = Arrangement()
        for child in children:
            one = self.arrange(child)
            whole.segments += one.segments
            whole.files += one.files
        return whole

    def _arrange_first(self, part: Part) -> Arrangement:
        """multipart/signed (RFC 1847 2.1) and multipart/report (RFC 6522 3): the first part speaks to people."""
        whole = self.arrange(part.children[0])
        for child in part.children[1:]:
            if part.media_type == "multipart/signed" and child.media_type in _SIGNATURES:
                continue
            whole.files += [leaf for leaf in child.walk() if not leaf.is_multipart]
        return whole

    def _arrange_related(self, part: Part) -> Arrangement:
        """RFC 2387 3.2: `start` names the root, else it is the first part."""
        start = part.parameters.get("start", "").strip().strip("<>")
        root = next((child for child in part.children if start and child.content_id == start), part.children[0])
        whole = self.arrange(root)
        for child in part.children:
            if child is not root:
                whole.files += [leaf for leaf in child.walk() if not leaf.is_multipart]
        return whole

    def _arrange_alternative(self, part: Part) -> Arrangement:
        """RFC 2046 5.1.4: the last variant that can be shown is the best one."""
        before = self._shown
        segment = Segment()
        whole = Arrangement()
        for child in part.children:
            if child.media_type in _ONLY_ALTERNATIVES:
                continue
            self._shown = before
            one = self.arrange(child)
            whole.files += one.files
            if one.has_html:
                segment.rich = [leaf for each in one.segments for leaf in each.best]
            elif one.segments:
                segment.plain = [leaf for each in one.segments for leaf in each.plain]
        if segment.plain or segment.rich:
            self._shown = before + 1
            whole.segments.append(segment)
        return whole


def arrange_parts(root: Part, limits: ParseLimits) -> Arrangement:
    """Return what to show and what to hand out as files."""
    return _Arranger(limits).arrange(root, is_root=True)
