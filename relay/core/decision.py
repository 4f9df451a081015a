"""What was decided for one recipient, and why. Stored before anything changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

OLD_CIPHER = "AES-128 is used for old readers; AES-256 is stronger."
"""The one warning that is no answer to a wish: it comes with a password, not with each mail."""


class Method(StrEnum):
    """How one recipient's copy leaves. The names are stored and shown; none is ever renamed."""

    PASS = "pass"  # noqa: S105 - a policy word, not a password
    PDF = "pdf"
    WEBMAIL = "webmail"
    SMIME = "smime"
    OPENPGP = "openpgp"
    HOLD = "hold"
    REJECT = "reject"
    DISCARD = "discard"
    FORWARD = "forward"
    COMMAND = "command"
    """Not for rules: no mail but an order to the gateway, by keyword; `options["command"]` is the keyword's meaning."""
    RETURN = "return"
    """Not for rules: an answer to a mail of ours at its return address, which the relay reads itself."""


class Reason(StrEnum):
    """The short word for why; the rules hit tell the rest."""

    RULE = "rule"
    KEYWORD = "keyword"
    HEADER = "header"
    SENSITIVITY = "sensitivity"
    ADDRESS_DEFAULT = "address-default"
    DOMAIN_DEFAULT = "domain-default"
    SHIPPED_DEFAULT = "shipped-default"
    INSIDE = "inside"
    FOREIGN_SENDER = "foreign-sender"
    NOT_YET_POSSIBLE = "not-yet-possible"
    TOO_LARGE = "too-large"
    SYSTEM = "system"
    OPERATOR = "operator"
    LOOP = "loop"
    SPECIAL_MAIL = "special-mail"
    """A switch for DSNs, read receipts, automatic answers, invitations, lists."""
    SENDER = "sender"
    """Who wrote it may not, or there is nobody of ours who could be told a password."""


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """Add (`value` given) or remove (`value` None) a header field."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """One recipient's decision.

    Decisions that compare equal, apart from the recipient, share one protected copy where the method allows it.
    """

    method: Method
    reason: Reason
    explanation: str
    """One sentence in plain English that names the rule or keyword; no subject, no mail text."""
    rules: tuple[str, ...] = ()
    """Ids of the rules hit, in order."""
    policy_version: int = 0
    confidential: bool = False
    """No subject in the clear."""
    cipher: str = "aes-256"
    """`aes-256` or `aes-128` for PDF."""
    password_mode: str = "pair"  # noqa: S105
    """`pair` or `message`."""
    show_password: bool = False
    """{password}: tell the sender the password again."""
    new_password: bool = False
    """{new_password}: rotate the pair password first."""
    headers: tuple[HeaderChange, ...] = ()
    forward_to: tuple[str, ...] = ()
    subject_strip: tuple[str, ...] = ()
    """Keywords found in the subject, to be stripped before sending."""
    subject_policy: str = "keep"
    """Subject of the carrier mail: `keep`, `generic`."""
    status: str = ""
    """Enhanced status for reject."""
    text: str = ""
    """Text for the sender on reject or hold."""
    warnings: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    """`bcc`: the recipient's own address where To and Cc do not name it, so that it shares no protected copy.
    `registration`: `on` lets the copy wait until the partner has chosen; `mailbox` or `pdf` is what he chose.
    `reply_secret`: `printed-code` where the PDF's password must not open its reply page."""
    sender: str = ""
    """Own address whose pair password protects the copy, and the only one that is told it; empty without protection."""

    @property
    def shows_subject(self) -> bool:
        """Tell whether the writer's subject may stand where others than the recipient read it."""
        return not self.confidential and self.subject_policy == "keep"
