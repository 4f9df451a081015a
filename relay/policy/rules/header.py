"""What does a header field say? `header`: a name, and patterns for its decoded value, or only that it is there (B1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.core.documents.patterns import PatternSet, fold_text, read_text_pattern
from relay.core.documents.reading import DocumentError, Fields
from relay.policy.facts import Facts, RecipientFacts
from relay.policy.rules.condition import judge, list_words

_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 2.2
_LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class HeaderIs:
    """A field of that name is there and, where patterns are given, its value fits. Case makes no difference."""

    name: str
    patterns: PatternSet | None

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the fields of that name."""
        values = facts.headers.get(self.name)
        if not values:
            return False
        if self.patterns is None:
            return True
        folded = []
        for value in values:
            if len(value) > _LONGEST:
                # A cut value could be made to fit; an endless one is searched by nobody.
                return not strict
            folded.append(fold_text(value).strip())
        return judge(folded, self.patterns, strict)

    def describe(self) -> str:
        """Return the words."""
        if self.patterns is None:
            return f"there is a field {self.name}"
        return f"the field {self.name} is {list_words(self.patterns.patterns)}"


def read_header(untrusted_value: object, path: str) -> HeaderIs:
    """Read `{"header": {"name": "X-Class", "is": ["internal*"]}}`; without `is` the field need only be there."""
    fields = Fields(untrusted_value, path)
    name = fields.line("name")
    if not _FIELD_NAME.fullmatch(name):
        raise DocumentError(fields.at("name"), "is not a field name", "Write it like X-Class, without the colon")
    patterns: PatternSet | None = None
    if fields.has("is"):
        read = fields.items("is", read_text_pattern)
        if not read:
            raise DocumentError(fields.at("is"), "is empty", "Leave it out, or name a pattern")
        patterns = PatternSet(read)
    fields.finish()
    return HeaderIs(name.lower(), patterns)
