"""The organisation's documents: read strictly, written back equal, errors that name the key and the fix."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from relay.core.decision import Method
from relay.core.documents.brands import BrandsDocument
from relay.core.documents.domains import DomainsDocument
from relay.core.documents.keywords import KeywordsDocument, Meaning
from relay.core.documents.limits import LimitsDocument
from relay.core.documents.listeners import ListenersDocument
from relay.core.documents.organisation import DOCUMENT_KINDS, Organisation, build_organisation, read_document
from relay.core.documents.policy import PolicyDocument
from relay.core.documents.reading import DocumentError
from relay.core.documents.routes import RoutesDocument
from relay.core.documents.sample import SamplePorts, sample_organisation
from relay.core.documents.shipped import shipped_organisation
from relay.core.errors import ConfigurationError
from relay.policy.ruleset import compile_ruleset

PNG = "iVBORw0KGgo="
PORTS = SamplePorts("127.0.0.1", 8025, 8026, 8031, 8040, 8041)


def both() -> list[Organisation]:
    return [shipped_organisation("bank.example", "Example Bank"), sample_organisation(PORTS)]


@pytest.mark.parametrize("where", both())
def test_documents_read_back_equal_and_are_plain_json(where: Organisation) -> None:
    where.check()
    compile_ruleset(where)
    for kind, document in where.documents().items():
        text = json.dumps(document.to_json())
        assert read_document(kind, json.loads(text)) == document


def test_every_kind_is_a_field_of_the_organisation() -> None:
    where = both()[0]
    assert list(where.documents()) == list(DOCUMENT_KINDS)
    for kind, document in where.documents().items():
        assert isinstance(document, DOCUMENT_KINDS[kind])


def test_build_takes_missing_kinds_as_shipped_and_checks_across() -> None:
    shipped, sample = both()
    built = build_organisation({"policy": sample.policy.to_json()}, {"policy": 3}, shipped)
    assert built.policy == sample.policy
    assert built.routes == shipped.routes
    assert built.policy_version == 3
    with pytest.raises(DocumentError, match="brand that does not exist"):
        build_organisation({"domains": {"domains": [{"name": "bank.example", "brand": "gone"}]}}, {}, shipped)
    with pytest.raises(DocumentError, match="not a kind of document"):
        build_organisation({"polcy": {}}, {}, shipped)


def route(**more: object) -> dict[str, Any]:
    return {"routes": [{"pattern": "*", "hop": "outside", "host": "mx.bank.example", **more}]}


def rule(*then: object, **more: object) -> dict[str, Any]:
    return {"rules": [{"id": "r1", "then": list(then), **more}]}


def listener(**more: object) -> dict[str, Any]:
    return {"listeners": [{"name": "a", "side": "outside", "host": "127.0.0.1", **more}]}


def brand(**more: object) -> dict[str, Any]:
    return {"brands": [{"name": "default", "organisation": "Example Bank", **more}]}


BAD: list[tuple[str, object, str]] = [
    ("domains", [], "domains"),
    ("domains", {}, "domains.domains"),
    ("domains", {"domains": []}, "domains.domains"),
    ("domains", {"domains": [{"name": "bank..example"}]}, "domains.domains[0].name"),
    ("domains", {"domains": [{"name": "bank.example", "colour": 1}]}, "domains.domains[0].colour"),
    ("domains", {"domains": [{"name": "a.example"}, {"name": "A.example."}]}, "domains.domains"),
    ("domains", {"domains": [{"name": "a.example", "methods": ["smime", "pass"]}]}, "domains.domains[0].methods"),
    ("domains", {"domains": [{"name": "a.example", "methods": ["smime", "openpgp"]}]}, "domains.domains[0].methods"),
    ("domains", {"domains": [{"name": "a.example", "methods": ["hold"]}]}, "domains.domains[0].methods[0]"),
    ("domains", {"domains": [{"name": "a.example", "methods": ["pdf", "pdf"]}]}, "domains.domains[0].methods"),
    ("domains", {"domains": [{"name": "a.example", "alert": "nobody"}]}, "domains.domains[0].alert"),
    ("domains", {"domains": [{"name": "a.example", "language": "fr"}]}, "domains.domains[0].language"),
    (
        "domains",
        {"domains": [{"name": "a.example"}], "delegations": [{"delegate": "x"}]},
        "domains.delegations[0].delegate",
    ),
    ("routes", route(port=0), "routes.routes[0].port"),
    ("routes", route(port="25"), "routes.routes[0].port"),
    ("routes", route(tls="always"), "routes.routes[0].tls"),
    ("routes", route(host="a b"), "routes.routes[0].host"),
    ("routes", route(tls="encrypt", tls_name="mx2.bank.example"), "routes.routes[0].tls_name"),
    ("routes", route(tls="verify", tls_name="a b"), "routes.routes[0].tls_name"),
    ("routes", route(ca="ca.pem"), "routes.routes[0].ca"),
    ("routes", route(tls="verify", ca="../ca.pem"), "routes.routes[0].ca"),
    ("routes", route(pattern="@"), "routes.routes[0].pattern"),
    ("routes", route(auth={"user": "u", "password": "p"}), "routes.routes[0].auth.secret"),
    ("routes", {"routes": route()["routes"] * 2}, "routes.routes"),
    ("brands", brand(accent="red"), "brands.brands[0].accent"),
    ("brands", brand(logo="!!!"), "brands.brands[0].logo"),
    ("brands", brand(logo="AAAA"), "brands.brands[0].logo"),
    ("brands", brand(texts={"fr": {}}), "brands.brands[0].texts.fr"),
    ("brands", brand(texts={"de": {"title": "x"}}), "brands.brands[0].texts.de.title"),
    ("brands", brand(name="house"), "brands.brands"),
    ("keywords", {"keywords": {"{pdf}": "pfd"}}, "keywords.keywords.{pdf}"),
    ("keywords", {"keywords": {"offer": "plain"}}, "keywords.keywords.offer"),
    ("keywords", {"keywords": {"{}": "pdf"}}, "keywords.keywords.{}"),
    ("keywords", {"keywords": {"{A}": "pdf", "{a}": "plain"}}, "keywords.keywords"),
    ("keywords", {"headers": {"method": "From"}}, "keywords.headers.method"),
    ("keywords", {"headers": {"method": "X-A", "password": "x-a"}}, "keywords.headers"),
    ("keywords", {"plain": {"senders": ["anna"]}}, "keywords.plain.senders[0]"),
    ("policy", {"rules": [{"id": "Rule 1", "then": []}]}, "policy.rules[0].id"),
    ("policy", rule(), "policy.rules[0].then"),
    ("policy", rule({"action": "encrypt"}), "policy.rules[0].then[0].action"),
    ("policy", rule({"action": "pass"}, {"action": "hold"}), "policy.rules[0].then"),
    ("policy", rule({"action": "pass"}, {"action": "add_header", "name": "X-A", "value": "1"}), "policy.rules[0].then"),
    ("policy", rule({"action": "pass", "cipher": "aes-256"}), "policy.rules[0].then[0].cipher"),
    ("policy", rule({"action": "protect", "methods": ["pass"]}), "policy.rules[0].then[0].methods"),
    ("policy", rule({"action": "protect", "methods": []}), "policy.rules[0].then[0].methods"),
    ("policy", rule({"action": "forward", "to": []}), "policy.rules[0].then[0].to"),
    ("policy", rule({"action": "forward", "to": ["*@a.example"]}), "policy.rules[0].then[0].to[0]"),
    ("policy", rule({"action": "reject", "status": "4.7.1"}), "policy.rules[0].then[0].status"),
    ("policy", rule({"action": "add_header", "name": "X-A", "value": "a\r\nBcc: x"}), "policy.rules[0].then[0].value"),
    ("policy", rule({"action": "add_header", "name": "X-A", "value": "a\nBcc: x"}), "policy.rules[0].then[0].value"),
    ("policy", rule({"action": "add_header", "name": "X A", "value": "a"}), "policy.rules[0].then[0].name"),
    ("policy", rule({"action": "remove_header", "name": "Content-Type"}), "policy.rules[0].then[0].name"),
    ("policy", rule({"action": "remove_header", "name": "received"}), "policy.rules[0].then[0].name"),
    ("policy", rule({"action": "pdf"}, when=[]), "policy.rules[0].when"),
    ("policy", rule({"action": "pdf"}, when={}), "policy.rules[0].when"),
    ("policy", {"rules": rule({"action": "pdf"})["rules"] * 2}, "policy.rules"),
    ("policy", {"defaults": [{"recipient": "partner.example", "methods": ["pdf"]}]}, "policy.defaults[0].recipient"),
    ("policy", {"switches": {"dsn": "maybe"}}, "policy.switches.dsn"),
    ("policy", {"switches": {"registration": True}}, "policy.switches.registration"),
    ("policy", {"switches": {"reply_secret": "code"}}, "policy.switches.reply_secret"),
    ("policy", {"switches": {"password_form": "words"}}, "policy.switches.password_form"),
    ("policy", {"switches": {"reply_files": False}}, "policy.switches.reply_files"),
    ("policy", {"switches": {"reply_link_days": 366}}, "policy.switches.reply_link_days"),
    ("policy", {"switches": {"join_days": "14"}}, "policy.switches.join_days"),
    ("policy", rule({"action": "pdf", "registration": "yes"}), "policy.rules[0].then[0].registration"),
    ("policy", rule({"action": "pass", "registration": "on"}), "policy.rules[0].then[0].registration"),
    ("policy", {"switches": {"dns": "pass"}}, "policy.switches.dns"),
    ("listeners", listener(side="inside"), "listeners.listeners[0].networks"),
    ("listeners", listener(side="inside", networks=[]), "listeners.listeners[0].networks"),
    ("listeners", listener(networks=["10.0.0.1/8"]), "listeners.listeners[0].networks[0]"),
    ("listeners", listener(side="submission", auth=False), "listeners.listeners[0].auth"),
    ("listeners", listener(auth=True), "listeners.listeners[0].auth"),
    ("listeners", listener(side="submission", tls="none"), "listeners.listeners[0].tls"),
    ("listeners", listener(host="0.0.0.0", auth_without_tls=True), "listeners.listeners[0].auth_without_tls"),
    ("listeners", listener(limits={"recipients": 5}), "listeners.listeners[0].limits.recipients"),
    ("listeners", listener(limits={"recipient": 500}), "listeners.listeners[0].limits.recipient"),
    ("limits", {"received_fields": 1}, "limits.received_fields"),
    ("limits", {"received_fields": 1}, "limits.received_fields"),
]


@pytest.mark.parametrize(("kind", "raw", "key"), BAD)
def test_bad_document_names_the_key_and_the_fix(kind: str, raw: object, key: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(kind, raw)
    assert caught.value.key == key
    assert caught.value.problem
    assert caught.value.fix
    assert isinstance(caught.value, ConfigurationError)


def test_two_listeners_on_one_port_are_refused_unless_the_port_is_free_to_choose() -> None:
    one = {"side": "outside", "host": "127.0.0.1", "port": 25}
    with pytest.raises(DocumentError, match=r"127\.0\.0\.1 port 25"):
        ListenersDocument.from_json({"listeners": [{**one, "name": "a"}, {**one, "name": "b"}]})
    free = {**one, "port": 0}
    assert (
        len(ListenersDocument.from_json({"listeners": [{**free, "name": "a"}, {**free, "name": "b"}]}).listeners) == 2
    )


def test_submission_listener_asks_for_login_without_being_told() -> None:
    read = ListenersDocument.from_json(listener(side="submission"))
    assert read.listeners[0].auth
    assert read.find("a") == read.listeners[0]
    assert read.find("b") is None


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("jonas@partner.example", "address.example"),
        ("eva@partner.example", "domain.example"),
        ("eva@sub.partner.example", "below.example"),
        ("eva@x.example", "rest.example"),
    ],
)
def test_most_particular_route_decides(address: str, host: str) -> None:
    table = [
        ("*", "rest.example"),
        ("*.partner.example", "below.example"),
        ("partner.example", "domain.example"),
        ("jonas@partner.example", "address.example"),
    ]
    for order in (table, table[::-1]):
        routes = RoutesDocument.from_json(
            {"routes": [{"pattern": pattern, "hop": "outside", "host": name} for pattern, name in order]}
        )
        found = routes.find(address)
        assert found is not None
        assert found.host == host


def test_no_route_is_none() -> None:
    assert RoutesDocument().find("a@b.example") is None


def test_own_domain_addresses() -> None:
    document = DomainsDocument.from_json(
        {"domains": [{"name": "Bänk.example", "recipients": ["anna@bänk.example", "info*@bänk.example"]}]}
    )
    own = document.domains[0]
    assert own.name == "xn--bnk-qla.example"
    assert own.postmaster_address() == own.alert_address() == "postmaster@xn--bnk-qla.example"
    assert document.is_accepted("anna@xn--bnk-qla.example")
    assert document.is_accepted("info-2@xn--bnk-qla.example")
    assert not document.is_accepted("ben@xn--bnk-qla.example")
    assert not document.is_accepted("anna@partner.example")


def test_brand_logo_and_fallback() -> None:
    brands = BrandsDocument.from_json(brand(logo=PNG, texts={"de": {"footer": "Fuß"}}))
    found = brands.find("unknown")
    assert found.name == "default"
    assert found.logo_type == "image/png"
    assert replace(found, logo=None).logo_type is None
    assert BrandsDocument.from_json(brands.to_json()) == brands


def test_keywords_are_folded_and_permission_asks_for_both_ends() -> None:
    words = KeywordsDocument.from_json(
        {
            "keywords": {"{PDF}": "pdf", "[GEHEIM]": "confidential"},
            "plain": {"senders": ["*@bank.example"], "recipients": ["*@news.example"]},
        }
    )
    assert words.keywords == {"{pdf}": Meaning.PDF, "[geheim]": Meaning.CONFIDENTIAL}
    assert words.tokens() == ("{pdf}", "[geheim]")
    assert words.is_plain_allowed("a@bank.example", "b@news.example")
    assert not words.is_plain_allowed("a@bank.example", "b@partner.example")
    assert not words.is_plain_allowed("a@x.example", "b@news.example")


def test_shipped_policy_protects_everything_and_allows_clear_text_to_nobody() -> None:
    where = both()[0]
    assert where.policy.rules == ()
    assert where.policy.methods == (Method.SMIME, Method.OPENPGP, Method.PDF)
    assert where.keywords.plain.senders == ()
    assert PolicyDocument.from_json({}) == where.policy
    assert LimitsDocument.from_json({}) == where.limits
    assert KeywordsDocument.from_json({}) == where.keywords
    assert KeywordsDocument.from_json({"keywords": {}}).tokens() == ()
    assert set(where.keywords.tokens()) == {
        "{pdf}",
        "{webmail}",
        "{plain}",
        "{confidential}",
        "{resend}",
        "{reset}",
        "{revoke}",
        "{password}",
        "{new_password}",
    }


def test_bad_condition_is_found_when_the_policy_is_compiled_even_in_a_disabled_rule() -> None:
    where = both()[0]
    policy = PolicyDocument.from_json(rule({"action": "pdf"}, when={"sendr": ["*"]}, enabled=False))
    with pytest.raises(DocumentError) as caught:
        compile_ruleset(replace(where, policy=policy))
    assert caught.value.key == "policy.rules[0].when.sendr"
