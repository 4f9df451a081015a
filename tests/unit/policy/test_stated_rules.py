"""One test for each stated rule of docs/policy.md: senders, special mail, Bcc, directions."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.decision import HeaderChange, Method, Reason
from relay.core.envelope import Side
from relay.core.errors import AddressError
from relay.policy.facts import Facts
from tests.unit.policy.cases import (
    ANNA,
    BEN,
    JONAS,
    STRANGER,
    AttachmentFacts,
    Box,
    File,
    Mail,
    decided,
    facts,
    organisation,
    recipient,
    session,
)

BOSS = "boss@bank.example"


def boxes(*addresses: str) -> tuple[Box, ...]:
    return tuple(Box(address) for address in addresses)


# --- who is the sender ------------------------------------------------------------------------------------------------


def owner(mail: Mail, reverse_path: str = ANNA, **parts: Any) -> str:
    return facts(mail, reverse_path, organisation(**parts)).pair_owner


def test_author_is_the_sender_not_the_reverse_path() -> None:
    given = facts(Mail(authors=boxes(ANNA)), reverse_path=BEN)
    assert given.policy_senders == (ANNA,)
    assert given.pair_owner == ANNA


def test_addresses_are_compared_in_normal_form() -> None:
    assert owner(Mail(authors=boxes("ANNA@Bank.EXAMPLE"))) == ANNA


def test_reverse_path_is_the_sender_only_without_a_readable_author() -> None:
    given = facts(Mail(authors=()), reverse_path=BEN)
    assert given.policy_senders == (BEN,)
    assert given.pair_owner == BEN
    assert owner(Mail(authors=boxes("not an address")), reverse_path=BEN) == BEN


def test_delegate_writes_with_the_authors_pair_as_shipped() -> None:
    mail = Mail(authors=boxes(BOSS), sender=Box(ANNA))
    assert owner(mail) == BOSS
    assert owner(mail, switches={"pair_owner": "sender"}) == ANNA


def test_nobody_is_told_the_password_of_another_persons_pair() -> None:
    # Whatever the header claims, pair and notice are one and the same address.
    for mail in (Mail(authors=boxes(BOSS), sender=Box(ANNA)), Mail(authors=boxes(BOSS, ANNA)), Mail(authors=())):
        decision = decided(mail, facts_={"keywords": ("{password}",)})
        assert decision.sender in {BOSS, ANNA}
        assert decision.sender == facts(mail).pair_owner


def test_several_authors() -> None:
    assert owner(Mail(authors=boxes(STRANGER, BEN, ANNA))) == BEN
    assert owner(Mail(authors=boxes(BEN, ANNA), sender=Box(ANNA))) == ANNA
    rules = [{"id": "p", "when": {"sender": [ANNA]}, "then": [{"action": "pass"}]}]
    assert decided(Mail(authors=boxes(ANNA)), rules=rules).method is Method.PASS
    assert decided(Mail(authors=boxes(ANNA, BEN)), rules=rules).method is Method.PDF
    rules = [{"id": "h", "when": {"sender": [ANNA]}, "then": [{"action": "hold"}]}]
    assert decided(Mail(authors=boxes(BEN, ANNA)), rules=rules).method is Method.HOLD


def test_mail_without_an_own_sender_cannot_be_protected_and_is_held() -> None:
    decision = decided(Mail(authors=boxes("robot@host.bank.example")), reverse_path="robot@host.bank.example")
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.SENDER)


# --- logins -----------------------------------------------------------------------------------------------------------


def submitted(mail: Mail, addresses: tuple[str, ...] = (ANNA,), **parts: Any) -> Any:
    return decided(mail, facts_={"session": session(Side.SUBMISSION, "anna"), "login_addresses": addresses}, **parts)


def test_login_may_use_only_its_own_addresses_in_from_and_sender() -> None:
    assert submitted(Mail()).method is Method.PDF
    assert submitted(Mail(), ("*@bank.example",)).method is Method.PDF
    for mail in (
        Mail(authors=boxes(BOSS)),
        Mail(authors=boxes(ANNA, BOSS), sender=Box(ANNA)),
        Mail(authors=boxes(STRANGER)),
        Mail(sender=Box(BOSS)),
        Mail(authors=()),
    ):
        decision = submitted(mail)
        assert (decision.method, decision.reason, decision.status) == (Method.REJECT, Reason.SENDER, "5.7.1")
    assert submitted(Mail(), ()).method is Method.REJECT


def test_login_applies_to_inside_recipients_too() -> None:
    assert submitted(Mail(authors=boxes(BOSS)), to=BEN).method is Method.REJECT


def test_delegation_lets_a_login_write_for_others() -> None:
    domains = {
        "domains": [{"name": "bank.example"}],
        "delegations": [{"delegate": ANNA, "authors": [BOSS]}],
    }
    mail = Mail(authors=boxes(BOSS), sender=Box(ANNA))
    decision = submitted(mail, domains=domains)
    assert (decision.method, decision.sender) == (Method.PDF, BOSS)
    assert submitted(mail, (BEN,), domains=domains).method is Method.REJECT


def test_login_is_never_foreign() -> None:
    given = facts(Mail(authors=boxes(STRANGER)), reverse_path=STRANGER, session=session(Side.SUBMISSION, "erp"))
    assert not given.is_foreign


def test_sender_outside_the_domains_list_is_held() -> None:
    domains = {"domains": [{"name": "bank.example", "senders": [BEN]}]}
    assert decided(domains=domains).method is Method.HOLD
    assert decided(Mail(authors=boxes(BEN)), domains=domains).method is Method.PDF
    assert decided(to=BEN, domains=domains).method is Method.PASS, "inside mail is not the list's business"


# --- directions -------------------------------------------------------------------------------------------------------


def test_inside_to_inside_passes_untouched_whatever_protection_a_rule_asks_for() -> None:
    rules = [{"id": "all", "then": [{"action": "pdf"}]}]
    decision = decided(to=BEN, rules=rules, facts_={"keywords": ("{pdf}", "{confidential}")})
    assert (decision.method, decision.reason) == (Method.PASS, Reason.INSIDE)
    assert (decision.headers, decision.subject_strip) == ((), ())


def test_outside_to_inside_passes_untouched() -> None:
    mail = Mail(authors=boxes(JONAS), to=boxes(ANNA))
    decision = decided(mail, to=ANNA, reverse_path=JONAS, facts_={"session": session(Side.OUTSIDE)})
    assert (decision.method, decision.reason, decision.headers) == (Method.PASS, Reason.FOREIGN_SENDER, ())


def test_outside_to_outside_is_never_relayed() -> None:
    for author in (ANNA, STRANGER):
        mail = Mail(authors=boxes(author))
        more = {"session": session(Side.OUTSIDE)}
        rules = [{"id": "all", "then": [{"action": "pass"}]}]
        assert decided(mail, reverse_path=author, facts_=more, rules=rules).method is Method.HOLD


def test_other_senders_domains_pass_untouched() -> None:
    mail = Mail(authors=boxes(STRANGER))
    decision = decided(mail, reverse_path=STRANGER, facts_={"keywords": ("{pdf}",)})
    assert (decision.method, decision.reason) == (Method.PASS, Reason.FOREIGN_SENDER)
    assert (decision.headers, decision.subject_strip, decision.rules) == ((), (), ("switch:foreign_senders",))
    assert decided(mail, reverse_path=STRANGER, switches={"foreign_senders": "hold"}).method is Method.HOLD
    assert decided(mail, reverse_path=STRANGER, switches={"foreign_senders": "protect"}).method is Method.HOLD


@pytest.mark.parametrize(
    ("mail", "reverse_path"),
    [
        (Mail(authors=boxes(STRANGER)), ANNA),
        (Mail(authors=boxes(STRANGER), sender=Box(ANNA)), STRANGER),
        (Mail(authors=boxes(STRANGER, ANNA)), STRANGER),
        (Mail(authors=()), STRANGER),
        (Mail(authors=boxes("junk")), STRANGER),
        (Mail(authors=boxes(STRANGER), sender=Box("junk")), STRANGER),
        (Mail(authors=boxes(STRANGER), headers={"resent-from": ("Anna <ANNA@bank.example>",)}), STRANGER),
        (Mail(authors=boxes(STRANGER), headers={"from": ("x@elsewhere.example, anna@bank.example (",)}), STRANGER),
        (Mail(authors=boxes("root@localhost")), "root@localhost"),
        (Mail(authors=boxes("cron@db1.bank.example")), STRANGER),
        (Mail(authors=boxes("cron@db1.local")), "cron@db1.local"),
        (Mail(authors=boxes("x@[10.0.0.1]")), STRANGER),
    ],
)
def test_one_own_or_doubtful_name_makes_it_ours(mail: Mail, reverse_path: str) -> None:
    assert not facts(mail, reverse_path).is_foreign
    assert decided(mail, reverse_path=reverse_path).method is not Method.PASS


def test_rule_that_protects_foreign_mail_holds_it() -> None:
    rules = [{"id": "all", "then": [{"action": "pdf"}]}]
    decision = decided(Mail(authors=boxes(STRANGER)), reverse_path=STRANGER, rules=rules)
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.SENDER)


# --- special mail to the outside --------------------------------------------------------------------------------------

ROBOT = boxes("postmaster@bank.example")
SPECIAL: list[tuple[str, Mail, str, Method]] = [
    ("dsn", Mail(authors=ROBOT, is_dsn=True), "", Method.PASS),
    ("mdn", Mail(is_mdn=True), "", Method.PASS),
    ("auto_replies", Mail(auto_submitted="auto-replied"), ANNA, Method.PASS),
    ("auto_replies", Mail(auto_submitted="auto-generated"), "", Method.PASS),
    ("invitations", Mail(is_invitation=True), ANNA, Method.PDF),
    ("lists", Mail(is_list=True), ANNA, Method.PDF),
    ("encrypted", Mail(is_encrypted=True), ANNA, Method.PDF),
]


@pytest.mark.parametrize(("switch", "mail", "reverse_path", "shipped"), SPECIAL)
def test_special_mail_follows_its_switch(switch: str, mail: Mail, reverse_path: str, shipped: Method) -> None:
    decision = decided(mail, reverse_path=reverse_path)
    assert decision.method is shipped
    if shipped is Method.PASS:
        assert (decision.reason, decision.rules) == (Reason.SPECIAL_MAIL, (f"switch:{switch}",))
    for word, method in [
        ("pass", Method.PASS),
        ("protect", Method.PDF),
        ("hold", Method.HOLD),
        ("discard", Method.DISCARD),
    ]:
        assert decided(mail, reverse_path=reverse_path, switches={switch: word}).method is method


@pytest.mark.parametrize(
    ("mail", "reverse_path"),
    [
        (Mail(is_dsn=True), ANNA),
        (Mail(is_mdn=True), ANNA),
        (Mail(auto_submitted="auto-generated"), ANNA),
        (Mail(auto_submitted="auto-replied", files=(File("a.pdf", "application/pdf", 10),)), ANNA),
        (Mail(auto_submitted="auto-replied", size=70_000), ANNA),
        (Mail(), ""),
    ],
)
def test_what_only_looks_special_is_protected(mail: Mail, reverse_path: str) -> None:
    assert decided(mail, reverse_path=reverse_path).method is Method.PDF


def test_null_reverse_path_is_never_rejected() -> None:
    rules = [{"id": "no", "then": [{"action": "reject"}]}]
    assert decided(reverse_path="", rules=rules).method is Method.HOLD


def test_rule_decides_special_mail_before_its_switch() -> None:
    rules = [{"id": "r", "when": {"kind": ["auto-reply"]}, "then": [{"action": "pdf"}]}]
    assert decided(Mail(auto_submitted="auto-replied"), rules=rules).method is Method.PDF


def test_robot_that_repeats_a_strangers_subject_grants_no_clear_text_and_no_password() -> None:
    allow = {"plain": {"senders": [ANNA], "recipients": ["*"]}}
    more = {"keywords": ("{plain}", "{password}", "{new_password}")}
    decision = decided(
        Mail(auto_submitted="auto-replied"), facts_=more, keywords=allow, switches={"auto_replies": "protect"}
    )
    assert (decision.method, decision.show_password, decision.new_password) == (Method.PDF, False, False)


def test_list_mail_of_a_stranger_is_held_because_nobody_can_be_told() -> None:
    mail = Mail(authors=boxes(STRANGER), is_list=True)
    assert decided(mail, reverse_path="list-bounces@bank.example").method is Method.HOLD


# --- Bcc, postmaster, loops, our own mails ----------------------------------------------------------------------------


def test_bcc_recipient_shares_no_protected_copy() -> None:
    mail = Mail(to=boxes(JONAS), cc=boxes("Eva@Partner.example"))
    named = [decided(mail, to=to) for to in (JONAS, "eva@partner.example")]
    hidden = [decided(mail, to=to) for to in ("max@partner.example", "moritz@partner.example")]
    assert named[0] == named[1]
    assert hidden[0] != hidden[1]
    assert hidden[0].options == {"bcc": "max@partner.example"}
    assert all(one != named[0] for one in hidden)
    assert decided(mail, to=BEN).options == {}


def test_postmaster_without_domain_is_ours() -> None:
    to = recipient("PostMaster")
    assert (to.address, to.is_inside) == ("postmaster@bank.example", True)
    with pytest.raises(AddressError):
        recipient("root")


def test_loop_is_returned_or_held() -> None:
    returned = decided(facts_={"is_loop": True})
    assert (returned.method, returned.reason, returned.status) == (Method.REJECT, Reason.LOOP, "5.4.6")
    assert decided(facts_={"received_count": 51}).method is Method.REJECT
    assert decided(facts_={"received_count": 50}).method is Method.PDF
    assert decided(reverse_path="", facts_={"is_loop": True}).method is Method.HOLD


def test_own_notices_never_go_outside() -> None:
    own = {"is_system": True}
    assert decided(to=ANNA, facts_=own).method is Method.PASS
    assert decided(to=JONAS, facts_=own, rules=[{"id": "p", "then": [{"action": "pass"}]}]).method is Method.HOLD
    status = decided(Mail(is_dsn=True), to=JONAS, reverse_path="", facts_=own)
    assert (status.method, status.reason) == (Method.PASS, Reason.SYSTEM)


def test_facts_keep_no_message() -> None:
    given = facts(Mail(files=(File("a.txt", "text/plain", 5),)))
    assert isinstance(given, Facts)
    assert given.attachments == (AttachmentFacts("a.txt", "text/plain", 5),)
    assert given.attachments_size == 5


def test_bcc_field_of_our_own_clients_is_removed_from_every_copy() -> None:
    left = HeaderChange("Bcc", None)
    ours = Mail(headers={"bcc": ("max@partner.example",)})
    assert left in decided(ours).headers
    assert left in decided(ours, to=BEN).headers
    assert left in decided(ours, rules=[{"id": "p", "then": [{"action": "pass"}]}]).headers
    theirs = Mail(authors=boxes(STRANGER), headers=ours.headers)
    assert decided(theirs, reverse_path=STRANGER).headers == ()
    inbound = decided(theirs, to=ANNA, reverse_path=STRANGER, facts_={"session": session(Side.OUTSIDE)})
    assert inbound.headers == ()
