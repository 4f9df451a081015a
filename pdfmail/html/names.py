"""Sets of names written as one readable line."""

from __future__ import annotations


def name_set(names: str) -> frozenset[str]:
    """Return the set of the names that `names` lists with blanks between them."""
    return frozenset(names.split())
