"""A portal that forges, replays, reorders and moves: nothing of it reaches the spool (sealed-mailbox 18, threat T3)."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from relay.core.clock import HOUR, MINUTE
from relay.core.ids import new_id
from relay.core.wire.sealed import SeedKeys, read_capsule, read_card, seal_up, sign_rekey
from relay.mailbox import incoming
from relay.mailbox.incoming_values import (
    BrokenEntry,
    Entry,
    ItemEntry,
    JoinEntry,
    PartCount,
    RekeyEntry,
    Result,
)
from tests.contract.link.world import ANNA, MARIA, Linked, Reader, password_in

OTHER = "other@partner.example"


def entry_of(linked: Linked, reader: Reader, **changes: object) -> tuple[ItemEntry, dict[tuple[int, int], bytes]]:
    """Return a good answer as the portal would hand it over, with its chunks."""
    (mail, *_) = reader.read_all()
    item, chunks = reader.make_reply(mail.manifest.id)
    card = read_card(linked.inside.cards[-1].card)
    item = replace(item, **changes)  # type: ignore[arg-type]
    counts = {i: n + 1 for i, n in sorted(chunks)}
    parts = tuple(PartCount(i, count) for i, count in counts.items())
    return ItemEntry(item.box, 1, item.id, item.gen, item.card, seal_up(item, reader.keys, card), parts), chunks


def take(linked: Linked, entry: Entry, chunks: dict[tuple[int, int], bytes] | None = None) -> Result:
    return linked.incoming.take(entry, lambda i, n: (chunks or {})[i, n])


def test_a_good_answer_is_taken_once_however_often_it_is_handed_over(linked: Linked) -> None:
    entry, chunks = entry_of(linked, linked.open_mailbox())
    assert [take(linked, entry, chunks) for _ in range(3)] == [Result.TAKEN] * 3
    # The same id over other octets is the same entry.
    assert take(linked, replace(entry, sealed=os.urandom(300)), chunks) is Result.TAKEN
    assert len(linked.arrived()) == 1
    assert linked.quarantined() == []


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("sealed", "auth"),
        ("id", "auth"),
        ("gen", "generation"),
        ("card", "card"),
        ("unknown-box", "unknown"),
        ("other-box", "auth"),
        ("chunk-count", "size"),
        ("part-number", "size"),
        ("another-reader", "signature"),
        ("server-mode", "unknown"),
        ("re-of-nobody", "binding"),
        ("broken", "format"),
        ("join", "unknown"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_code_and_kept(linked: Linked, what: str, code: str) -> None:
    reader = linked.open_mailbox()
    entry, chunks = entry_of(linked, reader)
    forged: Entry = entry
    forged_chunks = chunks
    if what == "sealed":
        forged = replace(entry, sealed=entry.sealed[:-1] + bytes([entry.sealed[-1] ^ 1]))
    elif what == "id":
        forged = replace(entry, id="A" * 22)
    elif what == "gen":
        forged = replace(entry, gen=1)
    elif what == "card":
        forged = replace(entry, card=7)
    elif what == "unknown-box":
        forged = replace(entry, box="A" * 22)
    elif what == "other-box":
        linked.send(to=OTHER)
        other = linked.sign_in(password_in(linked.inside.mails(MARIA)[-1]), address=OTHER)
        other.choose_password("winterregen72")
        linked.pull()
        forged = replace(entry, box=other.box)
    elif what == "chunk-count":
        forged = replace(entry, parts=(PartCount(0, 2),))
    elif what == "part-number":
        forged = replace(entry, parts=(PartCount(1, 1),))
    elif what == "another-reader":
        thief = SeedKeys.of(os.urandom(32), reader.keys.portal, reader.keys.box, reader.keys.gen)
        (mail,) = reader.read_all()
        item, _ = reader.make_reply(mail.manifest.id)
        card = read_card(linked.inside.cards[-1].card)
        forged = replace(entry, id=item.id, sealed=seal_up(item, thief, card))
    elif what == "server-mode":
        forged, forged_chunks = entry_of(linked, reader, mode="server")
    elif what == "re-of-nobody":
        forged, forged_chunks = entry_of(linked, reader, re="A" * 22)
    elif what == "broken":
        forged = BrokenEntry(reader.box, 9, "B" * 22)
    elif what == "join":
        forged = JoinEntry(9, "C" * 22, 1, b"x" * 200)
    assert take(linked, forged, forged_chunks) is Result.REFUSED
    assert linked.arrived() == []
    assert linked.quarantined() == [code]
    assert any(code in alert for alert in linked.alerts())
    # Refused again without another alarm; the good one is taken still.
    alerts = len(linked.alerts())
    assert take(linked, forged, forged_chunks) is Result.REFUSED
    assert len(linked.alerts()) == alerts
    if what not in ("sealed", "gen", "card", "chunk-count", "part-number"):
        assert take(linked, entry, chunks) is Result.TAKEN


def test_a_flood_of_refused_entries_fills_no_disk(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the portal invents is kept and told one by one up to a number; what a reader signed is answered still."""
    monkeypatch.setattr(incoming, "MOST_REFUSED_AN_HOUR", 3)
    reader = linked.open_mailbox()
    (account,) = reader.read_all("account")

    def rows() -> list[int]:
        with linked.inside.db.reading() as tx:
            tables = ("mailbox_quarantine", "mailbox_seen", "event")
            return [int(tx.fetch_all(f"SELECT count(*) FROM {table}")[0][0]) for table in tables]

    def invent(count: int) -> None:
        for _ in range(count):
            assert take(linked, BrokenEntry(reader.box, 9, new_id()), {}) is Result.REFUSED

    invent(3)
    before, alerts = rows(), len(linked.alerts())
    invent(5)
    assert [now - then for now, then in zip(rows(), before, strict=True)] == [0, 0, 1]
    assert len(linked.alerts()) == alerts + 1
    assert "entries an hour" in str(linked.alerts())
    linked.clock.advance(MINUTE)
    invent(2)
    assert len(linked.alerts()) == alerts + 2
    entry, chunks = entry_of(linked, reader, re=account.manifest.id)
    assert take(linked, entry, chunks) is Result.REFUSED
    assert "message" in [kind for kind, _ in linked.waiting()]
    assert take(linked, entry, chunks) is Result.REFUSED
    assert rows()[0] == before[0]
    linked.clock.advance(HOUR)
    invent(1)
    assert rows()[0] == before[0] + 1


def test_an_answer_from_before_a_rekey_is_good_before_it_and_refused_after(linked: Linked) -> None:
    reader = linked.open_mailbox()
    early, chunks = entry_of(linked, reader)
    late, late_chunks = entry_of(linked, reader)
    assert take(linked, early, chunks) is Result.TAKEN
    reader.choose_password("winterregen72")
    linked.go()
    assert take(linked, late, late_chunks) is Result.REFUSED
    assert linked.quarantined() == ["generation"]
    assert take(linked, early, chunks) is Result.TAKEN
    assert len(linked.arrived()) == 1


def test_an_answer_to_a_ticket_or_receipt_of_another_box_is_refused(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (account,) = reader.read_all("account")
    entry, chunks = entry_of(linked, reader, re=account.manifest.id)
    assert take(linked, entry, chunks) is Result.REFUSED
    assert linked.quarantined() == ["binding"]


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("signature", "signature"),
        ("altered", "signature"),
        ("by-relay", "binding"),
        ("gen", "generation"),
        ("other-box", "binding"),
        ("garbage", "version"),
        ("old-keys", "duplicate"),
        ("expired", "expired"),
    ],
)
def test_a_forged_rekey_is_refused(linked: Linked, what: str, code: str) -> None:
    linked.send()
    (told,) = linked.inside.mails(MARIA)
    reader = linked.sign_in(password_in(told))
    capsule, sig = reader.browser.choose_password("sommerregen72", linked.clock.now_ms())
    box = reader.box
    good = RekeyEntry(box, 1, "A" * 22, 2, capsule, sig)
    forged = good
    if what == "signature":
        thief = SeedKeys.of(os.urandom(32), reader.keys.portal, box, 1)
        forged = replace(good, sig=sign_rekey(thief, capsule))
    elif what == "altered":
        forged = replace(good, capsule=capsule.replace(b'"time":"20', b'"time":"21'))
    elif what == "by-relay":
        altered = capsule.replace(b'"by":"browser"', b'"by":"relay"')
        forged = replace(good, capsule=altered, sig=sign_rekey(reader.keys, altered))
    elif what == "gen":
        altered = capsule.replace(b'"gen":2', b'"gen":3')
        forged = replace(good, gen=3, capsule=altered, sig=sign_rekey(reader.keys, altered))
    elif what == "other-box":
        linked.send(to=OTHER)
        forged = replace(good, box=linked.inside.box(OTHER).id)
    elif what == "garbage":
        forged = replace(good, capsule=b"{}")
    elif what == "old-keys":
        first = read_capsule(reader.browser.opened.capsule.octets)
        new = read_capsule(capsule)
        from relay.core.wire.pae import encode_b64

        altered = capsule.replace(encode_b64(new.enc).encode(), encode_b64(first.enc).encode())
        forged = replace(good, capsule=altered, sig=sign_rekey(reader.keys, altered))
    elif what == "expired":
        linked.clock.advance(8 * 86_400_000)
        linked.keeper.run_once()
        linked.go()
    assert take(linked, forged) is Result.REFUSED
    assert linked.quarantined() == [code]
    state = linked.inside.box()
    assert (state.state, state.gen) == ("expired" if what == "expired" else "first", 1)
    if what != "expired":
        assert [take(linked, good) for _ in range(2)] == [Result.TAKEN] * 2
        assert linked.inside.box().gen == 2


def test_only_one_successor_of_a_first_password_is_taken(linked: Linked) -> None:
    linked.send()
    (told,) = linked.inside.mails(MARIA)
    reader, thief = (linked.sign_in(password_in(told)) for _ in range(2))
    first = reader.browser.choose_password("sommerregen72", linked.clock.now_ms())
    second = thief.browser.choose_password("winterregen72", linked.clock.now_ms())
    assert take(linked, RekeyEntry(reader.box, 1, "A" * 22, 2, *first)) is Result.TAKEN
    assert take(linked, RekeyEntry(reader.box, 2, "B" * 22, 2, *second)) is Result.REFUSED
    assert linked.quarantined() == ["generation"]
    # Both sides were told by mail.
    assert len(linked.inside.mails(MARIA)) == 1
    assert len(linked.inside.mails(ANNA)) >= 1


def test_without_a_fitting_escrow_part_a_rekey_is_accepted_and_said(linked: Linked) -> None:
    linked.send()
    (told,) = linked.inside.mails(MARIA)
    reader = linked.sign_in(password_in(told))
    capsule, _ = reader.browser.choose_password("sommerregen72", linked.clock.now_ms())
    at = capsule.index(b'"escrow":{"card":1,"sealed":"') + len(b'"escrow":{"card":1,"sealed":"') + 120
    broken = capsule[:at] + (b"A" if capsule[at : at + 1] != b"A" else b"B") + capsule[at + 1 :]
    assert take(linked, RekeyEntry(reader.box, 1, "A" * 22, 2, broken, sign_rekey(reader.keys, broken))) is Result.TAKEN
    assert linked.inside.box().gen == 2
    assert any("no escrow" in alert for alert in linked.alerts())
    with linked.inside.db.reading() as tx:
        assert tx.fetch_one("SELECT escrow_card FROM mailbox_generation WHERE gen = 2") == (None,)
