"""First passwords and codes: 12 Crockford characters, 60 bits, shown `K7QM-2XWP-9FTD` (sealed-mailbox 5).

Made inside and told to inside senders; a code goes to the recipient alone. Must not log or store one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from relay.core.clock import DAY
from relay.core.wire.sealed.forms import FIRST_LENGTH, OWN, read_secret
from relay.core.wire.sealed.stretch import KDF_MAILBOX, Stretched, stretch

FIRST_PASSWORD_MS = 7 * DAY
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUP = 4


def generate_first_password() -> str:
    """Return a new first password or code, as it is shown."""
    plain = "".join(secrets.choice(CROCKFORD) for _ in range(FIRST_LENGTH))
    return "-".join(plain[place : place + _GROUP] for place in range(0, FIRST_LENGTH, _GROUP))


@dataclass(frozen=True, slots=True)
class FirstSecret:
    """What opens a generation that the relay made: the password for the sender's ears, the code for the recipient."""

    password: str = field(repr=False)
    code: str = field(repr=False)
    """"" where no code is needed."""

    @classmethod
    def generate(cls, *, with_code: bool) -> FirstSecret:
        """Make new ones."""
        return cls(generate_first_password(), generate_first_password() if with_code else "")

    def stretch(self, portal: str, login_name: str) -> Stretched:
        """Compute the keys as the browser will (136 ms, 64 MiB)."""
        return stretch(portal, login_name, KDF_MAILBOX, read_secret(OWN, self.password, self.code))
