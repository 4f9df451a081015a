"""`letterlock-portal`: the console script of the DMZ host."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code."""
    del arguments
    return 64


def run() -> None:
    """Entry of the console script."""
    sys.exit(main())
