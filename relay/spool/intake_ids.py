"""Ids of mail as it comes in: unguessable like core.ids, and near each other when made in the same moment.

Rows of one commit then share the leaves of the indexes by id, and a commit writes two fifths less. The first character
tells the moment, in 63 steps of 17 ms that come round each second; 122 random bits follow (as many as in a version 4
UUID of RFC 9562). Form and alphabet are those of core.ids: nothing may be read out of an id, and nothing is.
"""

from __future__ import annotations

import base64
import os
import time

_FIRST = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
"""No hyphen, as in core.ids."""
_STEP_BITS = 24
"""A step is 2^24 ns."""


def new_arrival_id() -> str:
    """Return a new id of 22 characters for a message or a copy that comes in now."""
    first = _FIRST[(time.monotonic_ns() >> _STEP_BITS) % len(_FIRST)]
    return first + base64.urlsafe_b64encode(os.urandom(16))[1:22].decode("ascii")
