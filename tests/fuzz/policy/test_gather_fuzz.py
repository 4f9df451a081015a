"""Facts from any header: gathering never raises, and no junk around our own name makes a mail foreign."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.core.decision import Method
from relay.core.envelope import Side
from relay.core.errors import AddressError
from relay.policy.decide import decide
from relay.policy.facts import gather_recipient
from relay.policy.ruleset import compile_ruleset
from tests.unit.policy.cases import JONAS, Box, File, Mail, facts, organisation, recipient, session

WHERE = organisation()
RULESET = compile_ruleset(WHERE)
ODD = ["anna@bank.example", "x@elsewhere.example", "a@xn--", "a@\u2488example", '"a\\"@b.example', "@", "a@[::]"]
FIELDS = ["from", "sender", "resent-from", "x"]
junk = st.one_of(
    st.text(max_size=20),
    st.builds(lambda a, b: f"{a}@{b}", st.text(max_size=8), st.text(max_size=12)),
    st.sampled_from(
        ["anna@bank.example", "x@elsewhere.example", "a@xn--", "a@\u2488example", '"a\\"@b.example', "@", "a@[::]"]
    ),
)
boxes = st.lists(junk.map(Box), max_size=4).map(tuple)
mails = st.builds(
    Mail,
    authors=boxes,
    sender=st.one_of(st.none(), junk.map(Box)),
    to=boxes,
    cc=boxes,
    headers=st.dictionaries(st.sampled_from(FIELDS), st.lists(junk, max_size=2).map(tuple)),
    size=st.integers(0, 1 << 40),
    auto_submitted=st.one_of(st.none(), junk),
    sensitivity=st.one_of(st.none(), junk),
    importance=junk,
    files=st.lists(st.builds(File, junk, junk, st.integers(0, 1 << 40)), max_size=2).map(tuple),
)


@settings(max_examples=400, deadline=None)
@given(mails, junk, st.sampled_from(list(Side)), st.one_of(st.none(), junk))
@example(Mail(authors=(Box("a@" + "\u0378" * 70),)), "", Side.INSIDE, None)
def test_gathering_never_raises_and_the_facts_can_be_decided(
    mail: Mail, reverse_path: str, side: Side, login: str | None
) -> None:
    given_facts = facts(mail, reverse_path, WHERE, session=session(side, login))
    decision = decide(given_facts, recipient(where=WHERE), RULESET)
    if decision.method is Method.PASS:
        assert decision.rules[-1] == "switch:foreign_senders" or decision.rules[-1].startswith("switch:auto_replies")
    if given_facts.pair_owner:
        assert given_facts.pair_owner.endswith("@bank.example")


@settings(max_examples=300, deadline=None)
@given(mails, junk, st.sampled_from(["authors", "sender", "reverse", "field"]))
def test_our_own_name_anywhere_makes_a_mail_ours(mail: Mail, reverse_path: str, where: str) -> None:
    own: dict[str, Any] = {name: getattr(mail, name) for name in Mail.__slots__}
    if where == "authors":
        own["authors"] = (*mail.authors, Box("Anna@BANK.example"))
    elif where == "sender":
        own["sender"] = Box("anna@bank.example")
    elif where == "field":
        own["headers"] = {**mail.headers, "from": ("<x@elsewhere.example>, Anna <anna@Bank.Example",)}
    else:
        reverse_path = "anna@bank.example"
    assert not facts(Mail(**own), reverse_path, WHERE).is_foreign


@settings(max_examples=300, deadline=None)
@given(junk)
def test_any_forward_path_is_gathered_or_refused_as_an_address(forward_path: str) -> None:
    try:
        to = gather_recipient(forward_path, organisation=WHERE)
    except AddressError:
        return
    assert "@" in to.address
    assert to.is_inside is (to.domain == "bank.example")


def test_many_recipients_in_the_header_are_all_known() -> None:
    mail = Mail(to=tuple(Box(f"a{n}@partner.example") for n in range(5000)))
    assert len(facts(mail, where=WHERE).named) == 5000
    assert JONAS not in facts(mail, where=WHERE).named
