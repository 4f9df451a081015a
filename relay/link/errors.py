"""Errors of the link. All are temporary: a fault of the DMZ or of the way to it delays mail and loses none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.core.errors import LetterlockError


class LinkError(LetterlockError):
    """The portal could not be asked, or did not answer as agreed. The mail waits."""

    status = "4.4.2"
    public = "The portal cannot be reached"


class LinkDownError(LinkError):
    """No connection, no TLS, no answer in time: nothing else would get through either."""

    status = "4.4.1"


class LinkBusyError(LinkDownError):
    """The portal answered that it cannot do this now (5xx, 429). It is there, and the one that it was."""


class LinkPinError(LinkDownError):
    """The peer shows another certificate than the pinned one. Nothing was sent to it."""

    status = "4.7.5"


class LinkRefusedError(LinkError):
    """The portal refuses this call: a fault of its set-up, of ours, or another version. Told to an operator."""

    status = "4.5.0"

    def __init__(self, reply_code: int, error: str) -> None:
        super().__init__(f"the portal refuses: {reply_code} {error}")
        self.reply_code = reply_code
        self.error = error


class LinkConflictError(LinkError):
    """409: what the portal holds does not fit. `answer` is its untrusted JSON object."""

    status = "4.5.0"

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__("the portal holds something else")
        self.untrusted_answer = answer


class LinkUnknownError(LinkError):
    """404: the portal does not know this box, message or chunk."""

    status = "4.5.0"
