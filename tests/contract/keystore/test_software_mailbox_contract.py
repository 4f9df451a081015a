"""The software token keeps the contract of the mailbox keys; and what only its files show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.core.clock import ManualClock
from relay.core.errors import KeyDestroyedError, KeyStoreError
from relay.core.ports_mailbox import CardRequest, KeptGeneration
from relay.core.wire.sealed import Item, MailboxDataError, make_id, open_up, read_card, seal_up
from relay.keystore import mailbox as mailbox_module
from relay.keystore.mailbox_folder import PortalFolder
from relay.keystore.software import SoftwareToken, token_backup_files
from tests.contract.mailbox_keys_contract import (
    ADMIN,
    LINK,
    TIME,
    WORKER,
    Keys,
    MailboxKeysContract,
    manifest_of,
    open_made,
    order_of,
    trust,
)

PIN = b"a pin for the tests"
DAY_MS = 86_400_000
REQUEST = CardRequest(make_id(), "Example Bank")
PORTAL = REQUEST.portal


class TestSoftwareToken(MailboxKeysContract):
    @pytest.fixture
    def keys(self, tmp_path: Path) -> Iterator[Keys]:
        with SoftwareToken.create(tmp_path / "keys", PIN, ManualClock(), pin_memory_kib=64) as token:
            yield Keys(token, token, token)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def token(tmp_path: Path, clock: ManualClock) -> Iterator[SoftwareToken]:
    with SoftwareToken.create(tmp_path / "keys", PIN, clock, pin_memory_kib=64) as token:
        token.create_card(REQUEST, ADMIN)
        yield token


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "keys/mailbox" / PORTAL).iterdir()}


def reopen(token: SoftwareToken, tmp_path: Path, clock: ManualClock) -> SoftwareToken:
    token.close()
    return SoftwareToken.load(tmp_path / "keys", PIN, clock)


def test_everything_is_there_after_a_restart(token: SoftwareToken, tmp_path: Path, clock: ManualClock) -> None:
    box, kek = make_id(), bytes(32)
    made = token.mailbox_new(order_of(PORTAL, box, 1, kek), WORKER)
    cards = token.list_cards(PORTAL)
    with reopen(token, tmp_path, clock) as again:
        assert again.list_cards(PORTAL) == cards
        assert again.check_escrow(made.capsule, LINK)
        opened = open_made(made, kek, PORTAL)
        again.sign_manifest(1, manifest_of(opened, 1).encode(), WORKER)
        kept = [KeptGeneration(made.capsule)]
        following = again.mailbox_next(order_of(PORTAL, box, 2, kek), kept, WORKER)
        assert open_made(following, kek, PORTAL).seed_keys(1) == opened.keys


def test_a_back_up_holds_the_mailbox_keys_and_opens(token: SoftwareToken, tmp_path: Path, clock: ManualClock) -> None:
    made = token.mailbox_new(order_of(PORTAL, make_id(), 1, bytes(32)), WORKER)
    copy = tmp_path / "copy"
    for path in token_backup_files(tmp_path / "keys"):
        target = copy / path.relative_to(tmp_path / "keys")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        target.chmod(0o600)
    assert not (copy / "epochs").exists()
    with SoftwareToken.load(copy, PIN, clock) as restored:
        assert restored.check_escrow(made.capsule, LINK)


def test_the_files_are_sealed_and_closed_to_others(token: SoftwareToken, tmp_path: Path) -> None:
    assert names(tmp_path) == {"root-1.key", "sign-1.key", "reply-1.key", "escrow-1.key", "card-1.json"}
    folder = tmp_path / "keys/mailbox" / PORTAL
    private = token._mailbox._folder(PORTAL).read_key("sign", 1)
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert private not in path.read_bytes()
        assert private.hex().encode() not in path.read_bytes()


def test_a_key_file_in_another_place_does_not_open(token: SoftwareToken, tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "keys/mailbox" / PORTAL
    (folder / "sign-1.key").write_bytes((folder / "root-1.key").read_bytes())
    with pytest.raises(KeyStoreError):
        reopen(token, tmp_path, clock)


@pytest.mark.parametrize("name", ["card-1.json", "sign-1.key"])
def test_a_damaged_file_stops_the_start_in_words(
    token: SoftwareToken, tmp_path: Path, clock: ManualClock, name: str
) -> None:
    path = tmp_path / "keys/mailbox" / PORTAL / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(KeyStoreError, match="damaged"):
        reopen(token, tmp_path, clock)


def test_a_new_card_destroys_the_sign_key_before_it_at_once(token: SoftwareToken, tmp_path: Path) -> None:
    token.create_card(REQUEST, ADMIN)
    assert "sign-1.key" not in names(tmp_path)
    assert {"sign-2.key", "reply-1.key", "escrow-1.key"} <= names(tmp_path)


def test_a_reply_key_ends_90_days_after_its_successor(token: SoftwareToken, tmp_path: Path, clock: ManualClock) -> None:
    box = make_id()
    opened = open_made(token.mailbox_new(order_of(PORTAL, box, 1, bytes(32)), WORKER), bytes(32), PORTAL)
    card = read_card(token.list_cards(PORTAL)[0].card)
    item = Item("read", PORTAL, box, 1, make_id(), 1, TIME, "browser", make_id())
    sealed = seal_up(item, opened.keys, card)
    place = {"sign": opened.keys.sign, "portal": PORTAL, "box": box, "gen": 1, "id_": item.id, "card": 1}

    def open_info(info: bytes, what: bytes) -> bytes:
        return token.open_item(1, info, what, LINK)

    clock.advance(200 * DAY_MS)
    token.create_card(REQUEST, ADMIN)
    clock.advance(90 * DAY_MS)
    assert open_up(sealed, open_info, **place) == item
    clock.advance(2000)
    with pytest.raises(KeyDestroyedError):
        open_up(sealed, open_info, **place)
    with reopen(token, tmp_path, clock):
        assert "reply-1.key" not in names(tmp_path)
        assert "escrow-1.key" in names(tmp_path)


@pytest.mark.parametrize("step", ["add_key", "write_card", "destroy_key"])
def test_a_ceremony_cut_off_anywhere_is_done_or_not_done(
    token: SoftwareToken, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real = getattr(PortalFolder, step)
    for calls in range(6):
        left = [calls]

        def cut(self: PortalFolder, *arguments: object, left: list[int] = left) -> object:
            if not left[0]:
                raise KeyStoreError("power cut")
            left[0] -= 1
            return real(self, *arguments)

        before = [read_card(record.card).serial for record in token.list_cards(PORTAL)]
        monkeypatch.setattr(PortalFolder, step, cut)
        try:
            token.create_card(replace(REQUEST, new_root=True), ADMIN)
            is_done = True
        except KeyStoreError:
            is_done = False
        monkeypatch.undo()
        token = reopen(token, tmp_path, clock)
        after = [read_card(record.card).serial for record in token.list_cards(PORTAL)]
        is_there = after == [*before, before[-1] + 1]
        assert is_there or (not is_done and after == before)
        keys = Keys(token, token, token)
        for root in {read_card(record.card).root for record in token.list_cards(PORTAL)}:
            assert trust(keys, PORTAL, root).newest.serial == after[-1]
        made = token.mailbox_new(order_of(PORTAL, make_id(), 1, bytes(32)), WORKER)
        token.sign_manifest(after[-1], manifest_of(open_made(made, bytes(32), PORTAL), after[-1]).encode(), WORKER)
        if len({read_card(record.card).root for record in token.list_cards(PORTAL)}) > 4:
            token.create_card(replace(REQUEST, drop_roots=True), ADMIN)
            break
    token.close()


@pytest.mark.parametrize("step", ["write_card", "destroy_key"])
def test_dropping_roots_cut_off_anywhere_leaves_cards_that_the_newest_root_signed(
    token: SoftwareToken, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real = getattr(PortalFolder, step)
    drop = replace(REQUEST, new_root=True, drop_roots=True)
    is_done = False
    for calls in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55):
        left = [calls]
        before = len(token.list_cards(PORTAL))

        def cut(self: PortalFolder, *arguments: object, left: list[int] = left) -> object:
            if not left[0]:
                raise KeyStoreError("power cut")
            left[0] -= 1
            return real(self, *arguments)

        monkeypatch.setattr(PortalFolder, step, cut)
        try:
            token.create_card(drop, ADMIN)
            is_done = True
        except KeyStoreError:
            pass
        monkeypatch.undo()
        token = reopen(token, tmp_path, clock)
        assert trust(Keys(token, token, token), PORTAL).newest.serial == len(token.list_cards(PORTAL))
        if len(token.list_cards(PORTAL)) > before:
            # There is no second card to end the old roots: the one that is there has ended them.
            assert {len(record.sigs) for record in token.list_cards(PORTAL)} == {1}
            assert len([name for name in names(tmp_path) if name.startswith("root")]) == 1
        if is_done:
            break
    assert is_done
    assert {len(record.sigs) for record in token.list_cards(PORTAL)} == {1}
    assert len([name for name in names(tmp_path) if name.startswith("root")]) == 1
    token.close()


def test_roots_do_not_grow_without_end(token: SoftwareToken) -> None:
    for _ in range(7):
        token.create_card(replace(REQUEST, new_root=True), ADMIN)
    with pytest.raises(KeyStoreError, match="Drop"):
        token.create_card(replace(REQUEST, new_root=True), ADMIN)
    token.create_card(replace(REQUEST, drop_roots=True), ADMIN)
    token.create_card(replace(REQUEST, new_root=True, drop_roots=True), ADMIN)
    assert all(len(record.sigs) == 1 for record in token.list_cards(PORTAL))


def test_a_closed_token_gives_nothing(token: SoftwareToken) -> None:
    token.close()
    with pytest.raises(KeyStoreError):
        token.create_card(REQUEST, ADMIN)
    with pytest.raises(KeyStoreError):
        token.mailbox_new(order_of(PORTAL, make_id(), 1, bytes(32)), WORKER)
    assert token.list_cards(PORTAL) == ()


def test_seeds_and_keys_stand_in_no_words(token: SoftwareToken, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = b"S" * 32
    monkeypatch.setattr(mailbox_module.os, "urandom", lambda length: seed[:length])
    made = token.mailbox_new(order_of(PORTAL, make_id(), 1, bytes(32)), WORKER)
    opened = open_made(made, bytes(32), PORTAL)
    assert opened.keys.seed == seed
    for value in (made, opened, opened.keys, order_of(PORTAL, PORTAL, 1, seed), token._mailbox._portals[PORTAL]):
        assert repr(seed)[2:-1] not in repr(value)
        assert repr(opened.keys.enc_private)[2:-1] not in repr(value)


def test_what_is_refused_says_a_code(token: SoftwareToken) -> None:
    with pytest.raises(MailboxDataError) as caught:
        token.sign_manifest(1, b"{}", WORKER)
    assert caught.value.code == "version"
