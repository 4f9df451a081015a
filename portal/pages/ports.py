"""What the pages ask of the rest of the portal: what stands behind a link. Reading alone; no page changes state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class ReplyLink:
    """What the page of a PDF reply link may know before a password is typed (sealed-mailbox.md section 12)."""

    box: str
    form: Literal["b32", "digits", "words"]
    state: Literal["open", "locked", "closed"]
    tries_left: int | None = None


JoinState = Literal["open", "done", "expired"]


class Links(Protocol):
    """Looks up the links that partners got by e-mail or in a PDF; the portal keeps only their hashes."""

    def find_reply(self, token: str) -> ReplyLink | None:
        """Return what stands behind `/r/TOKEN`, None for an unknown one. `token` is untrusted text."""

    def find_join(self, join_id: str) -> JoinState | None:
        """Return the state of `/join/ID`, None for an unknown one. `join_id` is untrusted text."""


@dataclass(frozen=True, slots=True)
class PagePolicy:
    """The organisation's policy and limits as far as a page speaks of them."""

    decrypt: Literal["browser", "browser-or-server", "server"] = "browser"
    mailbox_from_reply: bool = True
    """Whether "My reader cannot open this" on a PDF's reply page leads to the mailbox."""
    message_bytes: int = 50 * 1024 * 1024
    message_parts: int = 100
