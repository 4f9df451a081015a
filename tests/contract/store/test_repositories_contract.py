"""Partners, passwords, documents, logins, jobs, decisions: on both databases."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.decision import Decision, HeaderChange, Method, Reason
from relay.core.errors import LeaseLostError
from relay.core.ports import Actor, SealedBlob
from relay.store.base import Database
from relay.store.errors import ConflictError, DocumentStateError, NotFoundError
from relay.store.repositories import configuration, jobs, logins, partners, passwords, tenants
from relay.store.repositories.decisions import decode_decision, encode_decision
from relay.store.repositories.events import recent_events, verify
from tests.contract.store.databases import SteppedClock

ACTOR = Actor("operator", "lena")
SENDER = "anna@bank.example"
MANY = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
)


def _kinds(db: Database) -> list[str]:
    with db.reading() as tx:
        return sorted(event.kind for event in recent_events(tx, "default"))


# --- partners and passwords -------------------------------------------------------------------------------------------


def test_one_partner_for_each_address_and_tenant(db: Database) -> None:
    with db.transaction() as tx:
        first = partners.find_or_create(tx, "default", "eva@partner.example", ACTOR)
        assert partners.find_or_create(tx, "default", "eva@partner.example", ACTOR) == first
        other = partners.find_or_create(tx, "second", "eva@partner.example", ACTOR)
    assert other.id != first.id
    assert _kinds(db) == ["partner.created"]
    with db.reading() as tx:
        assert partners.list_partners(tx, "default") == [first]
        assert partners.list_partners(tx, "default", after="eva@partner.example") == []
        with pytest.raises(NotFoundError):
            partners.get_partner(tx, "second", first.id)


def test_two_writers_at_once_get_the_same_partner(db: Database) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def run() -> None:
        start.wait()
        with db.transaction() as tx:
            found.append(partners.find_or_create(tx, "default", "eva@partner.example", ACTOR).id)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert _kinds(db) == ["partner.created"]


def test_partner_settings_change_one_by_one(db: Database) -> None:
    with db.transaction() as tx:
        partner = partners.find_or_create(tx, "default", "eva@partner.example", ACTOR)
        partners.change_partner(tx, "default", partner.id, ACTOR, language="de", size_limit=10_000_000)
        changed = partners.change_partner(tx, "default", partner.id, ACTOR, pdf_cipher="aes-128")
        assert (changed.language, changed.pdf_cipher, changed.size_limit) == ("de", "aes-128", 10_000_000)
        assert partners.change_partner(tx, "default", partner.id, ACTOR, size_limit=0).size_limit is None


def _blob(data: bytes) -> SealedBlob:
    return SealedBlob("key-1", "AES-256-GCM/HKDF-SHA256", 1, data)


def test_passwords_have_versions_and_the_newest_is_in_use(db: Database) -> None:
    with db.transaction() as tx:
        partner = partners.find_or_create(tx, "default", "eva@partner.example", ACTOR).id
        assert passwords.current_pair_password(tx, "default", SENDER, partner) is None
        assert passwords.next_version(tx, "default", SENDER, partner) == 1
        first = passwords.add_password(tx, "default", SENDER, partner, version=1, blob=_blob(b"\0one"), actor=ACTOR)
        assert first is not None
        again = passwords.add_password(tx, "default", SENDER, partner, version=1, blob=_blob(b"x"), actor=ACTOR)
        assert again is None
        passwords.mark_told(tx, "default", first.id, ACTOR)
        current = passwords.current_pair_password(tx, "default", SENDER, partner)
        assert current is not None
        assert (current.blob, current.told_at is not None) == (_blob(b"\0one"), True)
        second = passwords.add_password(tx, "default", SENDER, partner, version=2, blob=_blob(b"two"), actor=ACTOR)
        assert passwords.current_pair_password(tx, "default", SENDER, partner) == second
        assert passwords.get_password(tx, "default", first.id).retired_at is not None
        assert [p.version for p in passwords.passwords_of_pair(tx, "default", SENDER, partner)] == [2, 1]
        assert passwords.current_pair_password(tx, "default", "other@bank.example", partner) is None
        assert passwords.retire_pair(tx, "default", SENDER, partner, ACTOR) == 1
        assert passwords.retire_pair(tx, "default", SENDER, partner, ACTOR) == 0
        assert passwords.current_pair_password(tx, "default", SENDER, partner) is None
        assert passwords.next_version(tx, "default", SENDER, partner) == 3
    kinds = _kinds(db)
    assert kinds == ["partner.created", "password.created", "password.created", "password.retired", "password.told"]


def test_a_password_for_one_mail_leaves_the_pair_alone(db: Database) -> None:
    message_id = "M" * 22
    with db.transaction() as tx:
        partner = partners.find_or_create(tx, "default", "eva@partner.example", ACTOR).id
        pair = passwords.add_password(tx, "default", SENDER, partner, version=1, blob=_blob(b"p"), actor=ACTOR)
        own = passwords.add_password(
            tx, "default", SENDER, partner, version=2, blob=_blob(b"m"), actor=ACTOR, message_id=message_id
        )
        assert own is not None
        assert own.kind == "message"
        assert passwords.current_pair_password(tx, "default", SENDER, partner) == pair
        assert passwords.message_password(tx, "default", message_id, partner) == own
        assert passwords.message_password(tx, "default", "N" * 22, partner) is None


def test_a_password_needs_its_partner(db: Database) -> None:
    with pytest.raises(ConflictError), db.transaction() as tx:
        passwords.add_password(tx, "default", SENDER, "P" * 22, version=1, blob=_blob(b"x"), actor=ACTOR)


# --- documents --------------------------------------------------------------------------------------------------------


def test_documents_go_from_draft_to_active_and_back(db: Database, clock: SteppedClock) -> None:
    with db.transaction() as tx:
        one = configuration.add_draft(tx, "default", "policy", '{"rules":[]}', ACTOR)
        assert (one.version, one.state, one.author) == (1, configuration.DocumentState.DRAFT, "operator:lena")
        assert configuration.active_document(tx, "default", "policy") is None
        configuration.activate(tx, "default", "policy", 1, ACTOR)
    clock.advance(1000)
    with db.transaction() as tx:
        configuration.put_active(tx, "default", "policy", '{"rules":[1]}', ACTOR)
        configuration.put_active(tx, "default", "brands", "{}", ACTOR)
        assert configuration.active_versions(tx, "default") == {"policy": 2, "brands": 1}
        with pytest.raises(DocumentStateError):
            configuration.activate(tx, "default", "policy", 2, ACTOR)
        with pytest.raises(NotFoundError):
            configuration.activate(tx, "default", "policy", 3, ACTOR)
        back = configuration.roll_back(tx, "default", "policy", ACTOR)
        assert (back.version, back.content) == (1, '{"rules":[]}')
        assert set(configuration.active_documents(tx, "default")) == {"policy", "brands"}
        assert [d.version for d in configuration.list_documents(tx, "default", "policy")] == [2, 1]
        with pytest.raises(NotFoundError):
            configuration.roll_back(tx, "default", "brands", ACTOR)
    assert _kinds(db).count("configuration.activated") == 4
    assert verify(db) == []


def test_two_documents_are_never_active_at_once(db: Database) -> None:
    with db.transaction() as tx:
        configuration.put_active(tx, "default", "policy", "{}", ACTOR)
        configuration.add_draft(tx, "default", "policy", "{}", ACTOR)
    with pytest.raises(ConflictError), db.transaction() as tx:
        tx.run("UPDATE configuration SET state = 'active' WHERE version = 2")


# --- logins, tenants, jobs --------------------------------------------------------------------------------------------


def test_logins(db: Database) -> None:
    login = logins.StoredLogin("default", "erp", "$argon2id$v=19$...", ("erp@bank.example", SENDER), True)
    with db.transaction() as tx:
        assert logins.find_login(tx, "default", "erp") is None
        logins.put_login(tx, login, ACTOR)
        assert logins.find_login(tx, "default", "erp") == login
        assert logins.find_login(tx, "second", "erp") is None
        logins.enable_login(tx, "default", "erp", ACTOR, enabled=False)
        (found,) = logins.list_logins(tx, "default")
        assert not found.enabled
        logins.put_login(tx, login, ACTOR)
        assert logins.list_logins(tx, "default") == [login]
        with pytest.raises(NotFoundError):
            logins.enable_login(tx, "default", "none", ACTOR, enabled=True)
    with db.reading() as tx:
        assert not any("argon2" in event.detail for event in recent_events(tx, "default"))


def test_tenants(db: Database) -> None:
    with db.transaction() as tx:
        first = tenants.ensure_tenant(tx, "default", "Example Bank", ACTOR)
        assert tenants.ensure_tenant(tx, "default", "Other Name", ACTOR) == first
        assert tenants.list_tenants(tx) == [first]


def test_a_job_runs_in_one_place_at_a_time_and_again_after_its_interval(db: Database, clock: SteppedClock) -> None:
    with db.transaction() as tx:
        jobs.ensure_job(tx, "default", "sweep", 60_000)
        lease = jobs.claim_job(tx, "one", 30_000)
        assert lease is not None
        assert jobs.claim_job(tx, "two", 30_000) is None
    clock.advance(20_000)
    with db.transaction() as tx:
        jobs.extend_job(tx, lease, 30_000)
    clock.advance(20_000)
    with db.transaction() as tx:
        assert jobs.claim_job(tx, "two", 30_000) is None
        jobs.finish_job(tx, lease, "ok")
        jobs.ensure_job(tx, "default", "sweep", 60_000)
        assert jobs.claim_job(tx, "two", 30_000) is None
    clock.advance(61_000)
    with db.transaction() as tx:
        assert jobs.claim_job(tx, "two", 30_000, ("other",)) is None
        late = jobs.claim_job(tx, "two", 30_000, ("sweep", "other"))
        assert late is not None
    clock.advance(31_000)
    with db.transaction() as tx:
        taken_over = jobs.claim_job(tx, "three", 30_000)
        assert taken_over is not None
        with pytest.raises(LeaseLostError):
            jobs.finish_job(tx, late, "late")
        with pytest.raises(LeaseLostError):
            jobs.extend_job(tx, late, 1)
        jobs.finish_job(tx, taken_over, "ok", next_at=5)
        assert jobs.list_jobs(tx) == [("default", "sweep", 5, "ok")]


# --- decisions --------------------------------------------------------------------------------------------------------

_TEXT = st.text(max_size=20)
_TEXTS = st.lists(_TEXT, max_size=3).map(tuple)
DECISIONS = st.builds(
    Decision,
    method=st.sampled_from(Method),
    reason=st.sampled_from(Reason),
    explanation=_TEXT,
    rules=_TEXTS,
    policy_version=st.integers(0, 1000),
    confidential=st.booleans(),
    headers=st.lists(st.builds(HeaderChange, _TEXT, st.none() | _TEXT), max_size=3).map(tuple),
    forward_to=_TEXTS,
    subject_strip=_TEXTS,
    warnings=_TEXTS,
    options=st.dictionaries(_TEXT, _TEXT, max_size=2),
)


@MANY
@given(DECISIONS)
def test_decisions_come_back_exactly(decision: Decision) -> None:
    assert decode_decision(encode_decision(decision)) == decision


def test_a_decision_of_an_older_or_newer_program_is_readable() -> None:
    old = '{"method":"pdf","reason":"rule","explanation":"x","not_known_yet":1}'
    assert decode_decision(old) == Decision(Method.PDF, Reason.RULE, "x")
