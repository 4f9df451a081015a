"""What files does it carry? `attachments`: count, octets together, names, extensions, media types (B1).

File names are what the writer's client says; they are compared case-folded and appear in no explanation.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.documents.patterns import PatternSet, fold_text, read_text_pattern
from relay.core.documents.reading import DocumentError, Fields
from relay.policy.facts import Facts, RecipientFacts
from relay.policy.rules.condition import judge, list_words
from relay.policy.rules.size import describe_bounds, is_within, read_bounds

Bounds = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class AttachmentsAre:
    """Every question given must fit; names and types fit when one file does (strict: every file)."""

    count: Bounds | None
    total: Bounds | None
    names: PatternSet | None
    types: PatternSet | None

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the message's files."""
        if self.count is not None and not is_within(len(facts.attachments), *self.count):
            return False
        if self.total is not None and not is_within(facts.attachments_size, *self.total):
            return False
        if self.names is not None and not judge((fold_text(a.name) for a in facts.attachments), self.names, strict):
            return False
        return self.types is None or judge((fold_text(a.media_type) for a in facts.attachments), self.types, strict)

    def describe(self) -> str:
        """Return the words."""
        words = []
        if self.count is not None:
            words.append("their number is " + describe_bounds(*self.count))
        if self.total is not None:
            words.append("their octets are " + describe_bounds(*self.total))
        if self.names is not None:
            words.append("a name is " + list_words(self.names.patterns))
        if self.types is not None:
            words.append("a type is " + list_words(self.types.patterns))
        return "attachments: " + " and ".join(words)


def _read_bounds(fields: Fields, key: str) -> Bounds | None:
    if not fields.has(key):
        return None
    inner = Fields(fields.raw(key), fields.at(key))
    bounds = read_bounds(inner)
    inner.finish()
    return bounds


def _read_patterns(fields: Fields, key: str, before: str = "") -> tuple[str, ...]:
    return tuple(before + pattern for pattern in fields.items(key, read_text_pattern, ()))


def read_attachments(untrusted_value: object, path: str) -> AttachmentsAre:
    """Read `{"attachments": {"count": {"over": 0}, "extensions": ["exe"]}}`; also `total`, `names`, `types`.

    Raises DocumentError when no question is asked.
    """
    fields = Fields(untrusted_value, path)
    names = _read_patterns(fields, "names")
    for extension in fields.items("extensions", read_text_pattern, ()):
        names += (f"*.{extension.removeprefix('*').removeprefix('.')}",)
    types = _read_patterns(fields, "types")
    condition = AttachmentsAre(
        _read_bounds(fields, "count"),
        _read_bounds(fields, "total"),
        PatternSet(names) if names else None,
        PatternSet(types) if types else None,
    )
    fields.finish()
    if (condition.count, condition.total, condition.names, condition.types) == (None, None, None, None):
        raise DocumentError(path, "asks nothing", 'Write for instance {"count": {"over": 0}}')
    return condition
