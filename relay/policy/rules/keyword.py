"""What did the writer ask for in the subject? `keyword`: a meaning (`confidential`) or a token (`{archive}`) (B7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.documents.keywords import Meaning
from relay.core.documents.patterns import fold_text
from relay.core.documents.reading import DocumentError, check_items, read_line
from relay.policy.facts import Facts, RecipientFacts
from relay.policy.rules.condition import list_words


@dataclass(frozen=True, slots=True)
class KeywordFound:
    """One of the tokens stands in the subject."""

    words: tuple[str, ...]
    tokens: frozenset[str]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer from the tokens found."""
        return bool(facts.keywords) and not self.tokens.isdisjoint(facts.keywords)

    def describe(self) -> str:
        """Return the words."""
        return f"the subject asks for {list_words(self.words)}"


def read_keyword(untrusted_value: object, path: str, table: Mapping[str, Meaning]) -> KeywordFound:
    """Read `{"keyword": ["confidential", "{archive}"]}` with the organisation's table of keywords.

    Raises DocumentError for a word that is neither a meaning nor a token of the table.
    """
    words = check_items(untrusted_value, path, read_line)
    if not words:
        raise DocumentError(path, "is empty", "Name at least one keyword")
    tokens: set[str] = set()
    for index, word in enumerate(words):
        folded = fold_text(word)
        found = {folded} if folded in table else {token for token, meaning in table.items() if meaning.value == folded}
        if not found and folded not in {meaning.value for meaning in Meaning}:
            known = ", ".join(sorted(table))
            raise DocumentError(f"{path}[{index}]", "is not a keyword", f"Use a meaning or one of: {known}")
        tokens |= found
    return KeywordFound(tuple(words), frozenset(tokens))
