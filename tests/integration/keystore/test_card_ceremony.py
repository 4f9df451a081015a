"""`letterlock portal card` against keyd and a database: cards made, stored, queued for the portal, and mended."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.cli import mailbox_approvals, portal_card_requests, portal_ceremony
from relay.cli.installation import HostChoices, create_installation
from relay.cli.main import main
from relay.core.clock import SystemClock
from relay.core.documents.shipped import shipped_organisation
from relay.core.ports import Actor
from relay.core.ports_mailbox import CardRequest
from relay.core.wire.sealed import check_cards, decode_record, make_id, read_card
from relay.keystore.audit import AuditLog
from relay.keystore.daemon import Keyd
from relay.keystore.grants import Role
from relay.keystore.pin import read_pin_file
from relay.keystore.software import SoftwareToken
from relay.settings import Settings, load_settings
from relay.store.chain import StoredEvent
from relay.store.errors import StorageError
from relay.store.repositories.configuration import activate, add_draft
from relay.store.repositories.events import recent_events
from relay.store.repositories.mailbox_cards import list_cards
from relay.wiring import open_database, open_keystore
from relay.wiring.keyd import make_keyd_config
from tests.integration.keystore.keyd_process import short_directory

PORTAL = make_id()
PUSHES = "SELECT kind, box, ref, state FROM portal_push ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Inside:
    """An installation with a running keyd."""

    settings: Settings

    def run(self, *words: str) -> int:
        return main(["--config", str(self.settings.path), "portal", "card", *words])

    def records(self) -> list[str]:
        with closing(open_database(self.settings, "test")) as database, database.reading() as tx:
            return [row.record for row in list_cards(tx, self.settings.host.tenant)]

    def made(self) -> list[str]:
        """Return the cards that keyd has."""
        with open_keystore(self.settings, "operator") as keys:
            return [record.encode().decode() for record in keys.list_cards(PORTAL)]

    def want_approval(self) -> None:
        """Set the policy that one other person agrees to a card."""
        eva, tenant = Actor("operator", "eva"), self.settings.host.tenant
        with closing(open_database(self.settings, "test")) as database, database.transaction() as tx:
            draft = add_draft(tx, tenant, "policy", '{"switches": {"ceremony_approval": "one"}}', eva)
            activate(tx, tenant, "policy", draft.version, eva)

    def events(self, kind: str) -> list[StoredEvent]:
        with closing(open_database(self.settings, "test")) as database, database.reading() as tx:
            return recent_events(tx, self.settings.host.tenant, kinds=(kind,))

    def pushes(self) -> list[tuple[object, ...]]:
        with closing(open_database(self.settings, "test")) as database, database.reading() as tx:
            return [tuple(row) for row in tx.fetch_all(PUSHES)]


def install(folder: Path, portal_url: str | None = None) -> Settings:
    organisation = shipped_organisation("bank.example", "Example Bank")
    host = HostChoices("gateway.bank.example", portal_url=portal_url)
    settings = create_installation(folder, host, organisation, Actor("operator", "test"))
    if portal_url is not None:
        text = settings.path.read_text()
        assert "\n[portal]\n" in text
        settings.path.write_text(text.replace("\n[portal]\n", f'\n[portal]\nid = "{PORTAL}"\n'))
    return load_settings(settings.path)


@pytest.fixture
def inside() -> Iterator[Inside]:
    with short_directory() as base:
        settings = install(base / "inside", "https://portal.bank.example")
        config = make_keyd_config(settings)
        pin = read_pin_file(config.pin_file)
        with SoftwareToken.load(config.token_dir, pin, SystemClock(), config.public_file) as token:
            with closing(AuditLog(config.audit_dir, SystemClock())) as audit:
                keyd = Keyd(token, audit, config)
                keyd.start()
                try:
                    yield Inside(settings)
                finally:
                    keyd.stop()


def test_the_life_of_cards(inside: Inside, capsys: pytest.CaptureFixture[str]) -> None:
    assert inside.run("list") == 0
    assert "There is no card yet" in capsys.readouterr().out
    assert inside.run("rotate") == 65
    assert "portal card new" in capsys.readouterr().err
    assert inside.run("new") == 0
    said = re.search(r"Print of its root: ([0-9a-f ]+)\n", capsys.readouterr().out)
    assert said is not None
    assert inside.run("new") == 65
    assert inside.pushes() == [("card", "", "1", "waiting")]

    assert inside.run("rotate") == 0
    assert inside.pushes()[1:] == [("card", "", "2", "waiting")]
    assert inside.run("rotate", "--new-root") == 0
    # Every card got a second signature, and the portal has to hear of it.
    assert [ref for _, _, ref, _ in inside.pushes()[2:]] == ["1", "2", "3"]
    assert inside.run("distrust", "2") == 0
    assert inside.run("distrust", "9") == 65
    capsys.readouterr()

    assert inside.run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in rows] == ["superseded", "distrusted", "superseded", "in use"]
    assert {row["organisation"] for row in rows} == {"Example Bank"}
    assert rows[0]["root"] == said.group(1)
    assert [row["root"] == rows[0]["root"] for row in rows] == [True, True, False, False]
    records = [decode_record(record.encode()) for record in inside.records()]
    for pinned in (read_card(records[0].card).root, read_card(records[-1].card).root):
        assert sorted(check_cards(records, portal=PORTAL, root=pinned, least=1).by_serial) == [1, 3, 4]


def test_escrow_stays_as_it_was_unless_said(inside: Inside, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("new", "--no-escrow"), ("rotate",), ("rotate", "--escrow"), ("rotate",)):
        assert inside.run(*words) == 0
    capsys.readouterr()
    assert inside.run("list", "--json") == 0
    assert [row["escrow"] for row in json.loads(capsys.readouterr().out)] == [False, False, True, True]


def test_a_second_person_agrees_before_keys_end(
    inside: Inside, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = "eva"
    monkeypatch.setattr(mailbox_approvals, "approving_actor", lambda: Actor("operator", who))
    assert inside.run("new") == 0
    inside.want_approval()
    capsys.readouterr()
    assert inside.run("rotate", "--new-root", "--no-escrow") == 0
    request = capsys.readouterr().out.split()[-1]
    assert len(inside.records()) == 1
    assert inside.run("rotate") == 65  # one at a time
    assert inside.run("approve", request) == 65
    assert "Ask somebody else" in capsys.readouterr().err
    who = "ivo"
    assert inside.run("requests") == 0
    assert "NO ESCROW, new root" in capsys.readouterr().out
    assert inside.run("approve", request) == 0
    assert "Card 2 is made" in capsys.readouterr().out
    cards = [read_card(decode_record(record.encode()).card) for record in inside.records()]
    assert (len(cards), cards[1].escrow, cards[0].root == cards[1].root) == (2, None, False)
    assert inside.run("approve", request) == 65
    assert inside.run("list", "--boxes") == 0
    assert [line.split("  ")[1:] for line in capsys.readouterr().out.splitlines()] == [
        ["mailboxes 0", "old: letterlock mailbox list --old-root"],
        ["mailboxes 0", "in use"],
    ]
    assert inside.run("rotate") == 0
    assert inside.run("refuse", capsys.readouterr().out.split()[-1]) == 0
    assert len(inside.records()) == 2


def test_one_request_makes_one_card_wherever_it_is_cut_off(
    inside: Inside, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = "eva"
    monkeypatch.setattr(mailbox_approvals, "approving_actor", lambda: Actor("operator", who))
    assert inside.run("new") == 0
    inside.want_approval()

    def ask(*words: str) -> str:
        nonlocal who
        who = "eva"
        capsys.readouterr()
        assert inside.run(*words) == 0
        who = "ivo"
        return capsys.readouterr().out.split()[-1]

    def break_off(request: str) -> None:
        """The last word is given, keyd makes the card, and the database is gone."""

        def fail(*_: object, **__: object) -> int:
            raise StorageError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(portal_ceremony, "store_cards", fail)
            assert inside.run("approve", request) == 75

    # Whoever comes next ends what is left, who asked as well, and gets no card of his own by that.
    request = ask("rotate", "--new-root", "--no-escrow")
    break_off(request)
    assert (len(inside.made()), len(inside.records())) == (2, 1)
    assert inside.run("refuse", request) == 65
    who = "eva"
    assert inside.run("approve", request) == 0
    assert "Card 2 is made" in capsys.readouterr().out
    assert inside.run("approve", request) == 65
    assert inside.made() == inside.records()
    assert (len(inside.made()), len(inside.events("card.created"))) == (2, 2)

    # Who looked before the other's card was there is stopped by keyd itself. Publishing ends the request too.
    request = ask("rotate")
    break_off(request)
    with monkeypatch.context() as blind:
        blind.setattr(portal_card_requests, "find_made", lambda *_: None)
        assert inside.run("approve", request) == 65
    assert len(inside.made()) == 3
    assert inside.run("publish") == 0
    assert inside.run("approve", request) == 65
    assert "done already" in capsys.readouterr().err
    assert (inside.made(), len(inside.events("card.created"))) == (inside.records(), 3)

    # Another card came between: nobody agreed to one that goes on from that.
    request = ask("rotate", "--drop-roots")
    with open_keystore(inside.settings, "operator") as keys:
        keys.create_card(CardRequest(PORTAL, "Example Bank", distrust=(1,)), Actor("operator", "test"))
    assert inside.run("approve", request) == 65
    assert "Another card was made" in capsys.readouterr().err
    assert inside.run("refuse", request) == 0
    assert len(inside.made()) == 4


def test_publish_mends_what_a_break_after_keyd_left(inside: Inside) -> None:
    assert inside.run("new") == 0
    with open_keystore(inside.settings, "operator") as keys:
        keys.create_card(CardRequest(PORTAL, "Example Bank", new_root=True), Actor("operator", "test"))
    assert len(inside.records()) == 1
    assert inside.run("publish") == 0
    assert len(inside.records()) == 2
    assert [ref for _, _, ref, _ in inside.pushes()] == ["1", "1", "2"]
    with open_keystore(inside.settings, Role.LINK) as keys:
        assert [record.encode().decode() for record in keys.list_cards(PORTAL)] == inside.records()


def test_without_a_portal_there_is_no_ceremony(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = install(tmp_path / "inside")
    assert Inside(settings).run("new") == 78
    assert "portal.id" in capsys.readouterr().err
