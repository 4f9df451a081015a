"""Document `policy`: ordered rules, the defaults behind them, and switches for special mail.

A rule's condition (`when`) is kept here as the JSON it was written in; relay.policy.ruleset compiles and checks it.
What each action and switch means is on docs/policy.md. Nothing here decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from relay.core.decision import Method
from relay.core.documents.domains import read_methods
from relay.core.documents.patterns import read_address_pattern
from relay.core.documents.reading import (
    DocumentError,
    Fields,
    Json,
    JsonObject,
    check_choice,
    copy_json,
    read_address,
    require_unique,
)

_EnumT = TypeVar("_EnumT", bound=StrEnum)
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 2.2: printable US-ASCII without colon
_STATUS = re.compile(r"5\.[0-9]{1,3}\.[0-9]{1,3}")  # RFC 3463 2, permanent
_UNTOUCHABLE = re.compile(
    r"received|return-path|from|to|cc|bcc|sender|date|message-id|subject|mime-version|content-.*|dkim-signature|"
    r"arc-.*|resent-.*|x-letterlock-.*",
    re.IGNORECASE,
)


class ActionKind(StrEnum):
    """What a rule does. The first eight end the search; the last three do not."""

    PASS = "pass"  # noqa: S105 - a policy word
    PDF = "pdf"
    WEBMAIL = "webmail"
    PROTECT = "protect"
    """By the ordered methods given."""
    HOLD = "hold"
    REJECT = "reject"
    DISCARD = "discard"
    FORWARD = "forward"
    """Instead of the recipient, to the addresses given; each of them is decided anew."""
    ADD_HEADER = "add_header"
    REMOVE_HEADER = "remove_header"
    SET = "set"
    """Set options for whatever protection is chosen."""


TERMINAL = frozenset(set(ActionKind) - {ActionKind.ADD_HEADER, ActionKind.REMOVE_HEADER, ActionKind.SET})
PROTECTING = frozenset({ActionKind.PDF, ActionKind.WEBMAIL, ActionKind.PROTECT})


class Cipher(StrEnum):
    """PDF encryption; AES-128 is for readers that cannot do better and brings a warning."""

    AES_256 = "aes-256"
    AES_128 = "aes-128"


class PasswordMode(StrEnum):
    """One password per sender and partner, or one per message."""

    PAIR = "pair"
    MESSAGE = "message"


class PasswordForm(StrEnum):
    """How passwords of PDFs are written that the gateway makes; both hold about 80 bits."""

    BASE32 = "base32"
    """Four groups of four letters and digits."""
    DIGITS = "digits"
    """Six groups of four digits, for whoever speaks them on the telephone across languages."""


class SubjectPolicy(StrEnum):
    """Subject of the carrier mail."""

    KEEP = "keep"
    GENERIC = "generic"


class SpecialMail(StrEnum):
    """What to do with a special kind of mail to the outside. `protect` means: as any other mail."""

    PASS = "pass"  # noqa: S105 - a policy word
    PROTECT = "protect"
    HOLD = "hold"
    DISCARD = "discard"


class PairOwner(StrEnum):
    """Whose password protects mail that one person writes for another (RFC 5322 3.6.2: Sender differs from From)."""

    AUTHOR = "author"
    SENDER = "sender"


class TooLarge(StrEnum):
    """What to do with a PDF mail that is over the partner's size limit."""

    WEBMAIL = "webmail"
    HOLD = "hold"


class Registration(StrEnum):
    """Whether a partner chooses mailbox or PDF, and the password, before the first mail leaves; until then it waits."""

    OFF = "off"
    ON = "on"


class ReplySecret(StrEnum):
    """What opens the reply page of a PDF: its password, or a code that its last page prints (sealed-mailbox 12)."""

    PASSWORD = "password"  # noqa: S105 - a policy word
    PRINTED_CODE = "printed-code"


class ReplyFiles(StrEnum):
    """Whether an answer on the reply page of a PDF may have files."""

    ON = "on"
    OFF = "off"


class Approval(StrEnum):
    """How many other operators have to agree before something that cannot be taken back is done."""

    NONE = "none"
    ONE = "one"
    TWO = "two"

    @property
    def people(self) -> int:
        """Return how many."""
        return {Approval.NONE: 0, Approval.ONE: 1, Approval.TWO: 2}[self]


@dataclass(frozen=True, slots=True)
class Action:
    """One action; which fields count depends on `kind`. Empty or None means not given."""

    kind: ActionKind
    methods: tuple[Method, ...] = ()
    """Ordered, for protect."""
    cipher: Cipher | None = None
    password: PasswordMode | None = None
    subject: SubjectPolicy | None = None
    registration: Registration | None = None
    confidential: bool = False
    locked: bool = False
    """The writer's wish cannot choose another protection."""
    name: str = ""
    """Header field."""
    value: str = ""
    text: str = ""
    """For the sender of what is held or rejected."""
    status: str = ""
    """Enhanced status for reject (RFC 3463)."""
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `when` None fits every mail. Comments are for people and never shown to a sender."""

    id: str
    when: JsonObject | None
    then: tuple[Action, ...]
    comment: str = ""
    enabled: bool = True

    @property
    def terminal(self) -> Action | None:
        """The action that ends the search, if the rule has one."""
        return next((action for action in self.then if action.kind in TERMINAL), None)


@dataclass(frozen=True, slots=True)
class RecipientDefault:
    """Methods for recipients that a pattern fits, where no rule decides. The most particular pattern wins."""

    recipient: str
    methods: tuple[Method, ...]


@dataclass(frozen=True, slots=True)
class Switches:
    """Handling of special mail from the inside to the outside, and options of protection. As shipped."""

    foreign_senders: SpecialMail = SpecialMail.PASS
    """Mail that comes by an inside listener and whose senders are all of foreign domains (A10)."""
    dsn: SpecialMail = SpecialMail.PASS
    """Delivery status notifications with a null reverse-path (RFC 3464)."""
    mdn: SpecialMail = SpecialMail.PASS
    """Read receipts with a null reverse-path (RFC 8098)."""
    auto_replies: SpecialMail = SpecialMail.PASS
    """Short automatic answers without attachments (RFC 3834)."""
    invitations: SpecialMail = SpecialMail.PROTECT
    lists: SpecialMail = SpecialMail.PROTECT
    encrypted: SpecialMail = SpecialMail.PROTECT
    """Mail that the client has encrypted already."""
    too_large: TooLarge = TooLarge.WEBMAIL
    pair_owner: PairOwner = PairOwner.AUTHOR
    password: PasswordMode = PasswordMode.PAIR
    password_form: PasswordForm = PasswordForm.BASE32
    cipher: Cipher = Cipher.AES_256
    subject: SubjectPolicy = SubjectPolicy.KEEP
    registration: Registration = Registration.OFF
    reply_secret: ReplySecret = ReplySecret.PASSWORD
    reply_files: ReplyFiles = ReplyFiles.ON
    reply_link_days: int = 90
    """How long the link of a PDF leads to its reply page."""
    keep_message_days: int = 90
    """How long a message lies in a mailbox."""
    join_days: int = 14
    """How long a registration link works, and mail waits for it."""
    reset_approval: Approval = Approval.NONE
    """Before a mailbox in use gets a new password."""
    ceremony_approval: Approval = Approval.NONE
    """Before the root signs a card."""


_SWITCH_KINDS: Mapping[str, type[StrEnum]] = {
    "foreign_senders": SpecialMail,
    "dsn": SpecialMail,
    "mdn": SpecialMail,
    "auto_replies": SpecialMail,
    "invitations": SpecialMail,
    "lists": SpecialMail,
    "encrypted": SpecialMail,
    "too_large": TooLarge,
    "pair_owner": PairOwner,
    "password": PasswordMode,
    "password_form": PasswordForm,
    "cipher": Cipher,
    "subject": SubjectPolicy,
    "registration": Registration,
    "reply_secret": ReplySecret,
    "reset_approval": Approval,
    "ceremony_approval": Approval,
    "reply_files": ReplyFiles,
}
_SWITCH_DAYS: Mapping[str, tuple[int, int]] = {
    # Above, the portal has forgotten a reply page's wrong tries; below, there is no time for a reminder.
    "reply_link_days": (1, 365),
    "keep_message_days": (1, 3650),
    "join_days": (2, 90),
}


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """The whole policy. `methods` is the default for every recipient outside."""

    KIND: ClassVar[str] = "policy"

    rules: tuple[Rule, ...] = ()
    defaults: tuple[RecipientDefault, ...] = ()
    methods: tuple[Method, ...] = (Method.SMIME, Method.OPENPGP, Method.PDF)
    switches: Switches = field(default_factory=Switches)

    @classmethod
    def from_json(cls, untrusted_value: object) -> PolicyDocument:
        """Read and check all but the conditions. Raises DocumentError that names the key and the fix."""
        fields = Fields(untrusted_value, cls.KIND)
        policy = cls(
            rules=fields.items("rules", _read_rule, ()),
            defaults=fields.items("defaults", _read_default, ()),
            methods=read_methods(fields.raw("methods", ["smime", "openpgp", "pdf"]), fields.at("methods"), empty=False),
            switches=_read_switches(fields.raw("switches", {}), fields.at("switches")),
        )
        fields.finish()
        require_unique([rule.id for rule in policy.rules], "policy.rules", "rule")
        require_unique([default.recipient for default in policy.defaults], "policy.defaults", "recipient")
        return policy

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        return {
            "rules": [_write_rule(rule) for rule in self.rules],
            "defaults": [
                {"recipient": default.recipient, "methods": [method.value for method in default.methods]}
                for default in self.defaults
            ],
            "methods": [method.value for method in self.methods],
            "switches": {
                **{key: str(getattr(self.switches, key)) for key in _SWITCH_KINDS},
                **{key: int(getattr(self.switches, key)) for key in _SWITCH_DAYS},
            },
        }


def _read_switches(untrusted_value: object, path: str) -> Switches:
    fields = Fields(untrusted_value, path)
    shipped = Switches()
    values: dict[str, Any] = {
        key: fields.choice(key, kind, getattr(shipped, key)) for key, kind in _SWITCH_KINDS.items()
    }
    values |= {key: fields.number(key, getattr(shipped, key), *bounds) for key, bounds in _SWITCH_DAYS.items()}
    fields.finish()
    return Switches(**values)


def _read_default(untrusted_value: object, path: str) -> RecipientDefault:
    fields = Fields(untrusted_value, path)
    default = RecipientDefault(
        read_address_pattern(fields.raw("recipient"), fields.at("recipient")),
        read_methods(fields.raw("methods"), fields.at("methods"), empty=False),
    )
    fields.finish()
    return default


def _read_rule(untrusted_value: object, path: str) -> Rule:
    fields = Fields(untrusted_value, path)
    when: JsonObject | None = None
    if fields.raw("when", None) is not None:
        copied = copy_json(fields.raw("when"), fields.at("when"))
        if not isinstance(copied, dict) or not copied:
            raise DocumentError(fields.at("when"), "must be a condition", "Leave it out to fit every mail")
        when = copied
    rule = Rule(
        id=fields.name("id"),
        when=when,
        then=fields.items("then", _read_action),
        comment=fields.text("comment", "", longest=1000),
        enabled=fields.flag("enabled", True),
    )
    fields.finish()
    if not rule.then:
        raise DocumentError(fields.at("then"), "is empty", "Name at least one action")
    ending = [index for index, action in enumerate(rule.then) if action.kind in TERMINAL]
    if ending and ending != [len(rule.then) - 1]:
        raise DocumentError(fields.at("then"), "goes on after an action that ends the search", "Put that action last")
    return rule


def _read_action(untrusted_value: object, path: str) -> Action:
    fields = Fields(untrusted_value, path)
    kind = fields.choice("action", ActionKind)
    if kind in PROTECTING or kind is ActionKind.SET:
        action = _read_protection(fields, kind)
    elif kind in (ActionKind.HOLD, ActionKind.REJECT):
        action = _read_refusal(fields, kind)
    elif kind is ActionKind.FORWARD:
        action = Action(kind, to=fields.items("to", read_address))
        if not action.to or len(action.to) > 20:
            raise DocumentError(fields.at("to"), "has no or too many addresses", "Name 1 to 20 addresses")
        require_unique(action.to, fields.at("to"), "address")
    elif kind is ActionKind.ADD_HEADER:
        action = Action(kind, name=_read_field_name(fields), value=_read_field_value(fields))
    elif kind is ActionKind.REMOVE_HEADER:
        action = Action(kind, name=_read_field_name(fields))
    else:
        action = Action(kind)
    fields.finish()
    return action


def _read_protection(fields: Fields, kind: ActionKind) -> Action:
    methods: tuple[Method, ...] = ()
    if kind is ActionKind.PROTECT:
        methods = read_methods(fields.raw("methods"), fields.at("methods"), empty=False)
        if Method.PASS in methods:
            raise DocumentError(fields.at("methods"), "does not protect", 'Use {"action": "pass"}')
    return Action(
        kind,
        methods=methods,
        cipher=_optional(fields, "cipher", Cipher),
        password=_optional(fields, "password", PasswordMode),
        subject=_optional(fields, "subject", SubjectPolicy),
        registration=_optional(fields, "registration", Registration),
        confidential=fields.flag("confidential", False),
        locked=fields.flag("locked", False) if kind is not ActionKind.SET else False,
    )


def _optional(fields: Fields, key: str, kind: type[_EnumT]) -> _EnumT | None:
    value = fields.raw(key, None)
    return None if value is None else check_choice(value, fields.at(key), kind)


def _read_refusal(fields: Fields, kind: ActionKind) -> Action:
    text = fields.line("text", "", longest=400)
    status = fields.line("status", "5.7.1") if kind is ActionKind.REJECT else ""
    if status and not _STATUS.fullmatch(status):
        raise DocumentError(fields.at("status"), "is not a permanent enhanced status", "Write it like 5.7.1")
    return Action(kind, text=text, status=status)


def _read_field_name(fields: Fields) -> str:
    name = fields.line("name", longest=76)
    if not _FIELD_NAME.fullmatch(name):
        raise DocumentError(fields.at("name"), "is not a field name", "Use letters, digits and dashes")
    if _UNTOUCHABLE.fullmatch(name):
        raise DocumentError(fields.at("name"), "is a field that rules may not change", "Use a field of your own, X-...")
    return name


def _read_field_value(fields: Fields) -> str:
    value = fields.line("value", longest=900)
    if value != value.strip() or "\t" in value:
        raise DocumentError(fields.at("value"), "begins or ends with space, or holds a tab", "Remove it")
    return value


def _write_rule(rule: Rule) -> Json:
    return {
        "id": rule.id,
        "when": None if rule.when is None else copy_json(rule.when, "when"),
        "then": [_write_action(action) for action in rule.then],
        "comment": rule.comment,
        "enabled": rule.enabled,
    }


def _write_action(action: Action) -> Json:
    written: JsonObject = {"action": action.kind.value}
    if action.kind is ActionKind.PROTECT:
        written["methods"] = [method.value for method in action.methods]
    for key in ("cipher", "password", "subject", "registration"):
        value = getattr(action, key)
        if value is not None:
            written[key] = str(value)
    for key in ("confidential", "locked"):
        if getattr(action, key):
            written[key] = True
    for key in ("name", "text", "status"):
        if getattr(action, key):
            written[key] = getattr(action, key)
    if action.kind is ActionKind.ADD_HEADER:
        written["value"] = action.value
    if action.to:
        written["to"] = list(action.to)
    return written
