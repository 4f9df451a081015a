"""What every holder of the organisation's mailbox keys promises. A subclass gives a `keys` fixture.

The browser's side is played with the same formats: relay.core.wire.sealed, which the vectors judge.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from relay.core.errors import GrantRefusedError, KeyStoreError
from relay.core.ports import Actor, Grant
from relay.core.ports_mailbox import CapsuleOrder, CardRequest, KeptGeneration, MadeCapsule, MailboxKeys
from relay.core.wire.pae import encode_pae
from relay.core.wire.sealed import (
    CapsuleBody,
    CapsuleFields,
    EscrowKey,
    Item,
    Join,
    MailboxDataError,
    MailHead,
    Manifest,
    OlderSeed,
    OpenedCapsule,
    Part,
    Person,
    TrustedCards,
    check_cards,
    make_capsule,
    make_id,
    new_message_key,
    open_capsule,
    open_down,
    open_join,
    open_up,
    read_capsule,
    read_card,
    seal_down,
    seal_join,
    seal_up,
)
from relay.core.wire.sealed.signing import SIGN_DOWN, verify_es256
from relay.core.wire.sealed.up import up_info

WORKER = Grant("protect", "copy-1", "process:worker")
LINK = Grant("mailbox", "box-1", "process:link")
OPERATOR = Grant("mailbox", "box-1", "operator:admin")
ADMIN = Actor("operator", "admin")
NAME = "anna@partner.example"
TIME = "2027-01-04T08:00:00Z"


@dataclass(frozen=True, slots=True)
class Keys:
    """One token as three roles see it; they may be the same object."""

    worker: MailboxKeys
    link: MailboxKeys
    operator: MailboxKeys


def order_of(portal: str, box: str, gen: int, kek: bytes) -> CapsuleOrder:
    """An order for a mailbox; `av` is not looked at by a key store."""
    return CapsuleOrder("mailbox", portal, box, gen, NAME, 1, kek, b"v" * 32)


def trust(keys: Keys, portal: str, root: bytes | None = None) -> TrustedCards:
    """All cards as the browser checks them, with the newest card's root pinned or another."""
    records = keys.link.list_cards(portal)
    pinned = root or read_card(records[-1].card).root
    return check_cards(records, portal=portal, root=pinned, least=1)


def open_made(made: MadeCapsule, kek: bytes, portal: str) -> OpenedCapsule:
    """Open a capsule as the browser does."""
    return open_capsule(read_capsule(made.capsule, kind="mailbox"), kek, portal=portal)


def rekey(before: OpenedCapsule, kek: bytes, escrow: EscrowKey | None) -> bytes:
    """The capsule of the next generation, as a browser makes it."""
    keys, body = before.keys, before.body
    older = (*body.older, OlderSeed(keys.gen, 1, keys.seed))
    fields = CapsuleFields("mailbox", "browser", keys.portal, keys.box, keys.gen + 1, TIME, 1, b"v" * 32)
    return make_capsule(fields, os.urandom(32), kek, replace(body, older=older), escrow)


def manifest_of(opened: OpenedCapsule, card: int, kind: str = "mail") -> Manifest:
    """A manifest to this generation."""
    head = MailHead(make_id(), Person("Maria", "maria@bank.example"), (), (), "s", "t", TIME, True, new_message_key())
    keys = opened.keys
    return Manifest(kind, keys.portal, keys.box, keys.gen, make_id(), 1, keys.enc, card, TIME, mail=head)


class MailboxKeysContract:
    """The tests. Every one has a portal of its own."""

    @pytest.fixture
    def portal(self) -> str:
        return make_id()

    @pytest.fixture
    def ready(self, keys: Keys, portal: str) -> str:
        """A portal with its first card."""
        keys.operator.create_card(CardRequest(portal, "Example Bank"), ADMIN)
        return portal

    # --- cards --------------------------------------------------------------------------------------------------------

    def test_before_the_ceremony_nothing_is_made(self, keys: Keys, portal: str) -> None:
        assert keys.worker.list_cards(portal) == ()
        with pytest.raises(KeyStoreError) as caught:
            keys.worker.mailbox_new(order_of(portal, make_id(), 1, bytes(32)), WORKER)
        assert caught.value.temporary

    def test_the_first_card(self, keys: Keys, portal: str) -> None:
        record = keys.operator.create_card(CardRequest(portal, "Example Bank"), ADMIN)
        assert keys.worker.list_cards(portal) == (record,)
        card = trust(keys, portal).newest
        assert (card.serial, card.org, card.portal, card.distrust) == (1, "Example Bank", portal, ())
        assert len({card.root, card.sign, card.reply, card.escrow}) == 4
        assert [entry.root for entry in record.sigs] == [card.root]

    def test_a_card_of_nobody_is_refused(self, keys: Keys, portal: str) -> None:
        for request in (CardRequest("../escape", "Example Bank"), CardRequest(portal, " ")):
            with pytest.raises(MailboxDataError, match="format"):
                keys.operator.create_card(request, ADMIN)
        with pytest.raises(MailboxDataError, match="card"):
            keys.operator.create_card(CardRequest(portal, "Example Bank", distrust=(1,)), ADMIN)
        assert keys.worker.list_cards(portal) == ()

    def test_a_new_card_has_new_keys_and_the_same_root(self, keys: Keys, ready: str) -> None:
        first = trust(keys, ready).newest
        keys.operator.create_card(CardRequest(ready, "Example Bank", distrust=(1,), after=6), ADMIN)
        cards = trust(keys, ready, first.root)
        assert (cards.newest.serial, cards.newest.root) == (7, first.root)
        assert not {first.sign, first.reply, first.escrow} & {
            *(cards.newest.sign, cards.newest.reply, cards.newest.escrow)
        }
        assert sorted(cards.by_serial) == [7]
        keys.operator.create_card(CardRequest(ready, "Example Bank"), ADMIN)
        assert trust(keys, ready).newest.distrust == (1,)

    def test_one_wish_makes_one_card_however_often_it_is_handed_in(self, keys: Keys, portal: str) -> None:
        for newest in (0, 1):
            request = CardRequest(portal, "Example Bank", newest=newest)
            keys.operator.create_card(request, ADMIN)
            for other in (request, replace(request, newest=newest + 2)):
                with pytest.raises(MailboxDataError, match="card"):
                    keys.operator.create_card(other, ADMIN)
            assert trust(keys, portal).newest.serial == newest + 1
        assert len(keys.worker.list_cards(portal)) == 2

    def test_a_new_root_signs_all_cards_beside_the_old_one(self, keys: Keys, ready: str) -> None:
        old = trust(keys, ready).newest.root
        keys.operator.create_card(CardRequest(ready, "Example Bank", new_root=True), ADMIN)
        new = trust(keys, ready, old).newest.root
        assert new != old
        assert sorted(trust(keys, ready, new).by_serial) == sorted(trust(keys, ready, old).by_serial) == [1, 2]
        keys.operator.create_card(CardRequest(ready, "Example Bank"), ADMIN)
        assert trust(keys, ready, old).newest.root == new
        keys.operator.create_card(CardRequest(ready, "Example Bank", drop_roots=True), ADMIN)
        assert sorted(trust(keys, ready, new).by_serial) == [1, 2, 3, 4]
        with pytest.raises(MailboxDataError, match="signature"):
            trust(keys, ready, old)

    # --- generations --------------------------------------------------------------------------------------------------

    def test_a_new_mailbox_opens_with_its_password_alone(self, keys: Keys, ready: str) -> None:
        box, kek = make_id(), os.urandom(32)
        made = keys.worker.mailbox_new(order_of(ready, box, 1, kek), WORKER)
        opened = open_made(made, kek, ready)
        card = trust(keys, ready).newest
        assert opened.body == CapsuleBody(NAME, "Example Bank", card.root, 1)
        assert (opened.capsule.by, opened.capsule.box, opened.capsule.gen) == ("relay", box, 1)
        assert opened.capsule.av == b"v" * 32
        assert (made.seed_blob, made.missing) == (None, ())
        assert keys.link.check_escrow(made.capsule, LINK)
        with pytest.raises(MailboxDataError, match="auth"):
            open_made(made, os.urandom(32), ready)

    def test_no_two_generations_share_a_seed(self, keys: Keys, ready: str) -> None:
        kek = os.urandom(32)
        made = [keys.worker.mailbox_new(order_of(ready, make_id(), 1, kek), WORKER) for _ in range(3)]
        assert len({open_made(one, kek, ready).keys.seed for one in made}) == 3

    def test_a_reply_box(self, keys: Keys, ready: str) -> None:
        box, kek = make_id(), os.urandom(32)
        order = CapsuleOrder("reply", ready, box, 1, None, 2, kek, b"v" * 32, "digits")
        made = keys.worker.mailbox_new(order, WORKER)
        capsule = read_capsule(made.capsule, kind="reply")
        assert (capsule.form, capsule.escrow, made.seed_blob) == ("digits", None, None)
        assert open_capsule(capsule, kek, portal=ready).body.name is None
        with pytest.raises(MailboxDataError, match="generation"):
            keys.worker.mailbox_next(replace(order, gen=2), [KeptGeneration(made.capsule)], WORKER)

    @pytest.mark.parametrize(
        "change",
        [
            {"kind": "else"},
            {"kdf": 2},
            {"form": "b32"},
            {"name": None},
            {"kek": b"short"},
            {"av": b""},
            {"box": "no id"},
        ],
    )
    def test_an_order_that_does_not_go_together_is_refused(
        self, keys: Keys, ready: str, change: dict[str, object]
    ) -> None:
        order = replace(order_of(ready, make_id(), 1, bytes(32)), **change)  # type: ignore[arg-type]
        with pytest.raises(MailboxDataError, match="format"):
            keys.worker.mailbox_new(order, WORKER)

    def test_generation_numbers_that_cannot_be(self, keys: Keys, ready: str) -> None:
        with pytest.raises(MailboxDataError, match="generation"):
            keys.worker.mailbox_new(order_of(ready, make_id(), 2, bytes(32)), WORKER)
        with pytest.raises(MailboxDataError, match="generation"):
            keys.worker.mailbox_next(order_of(ready, make_id(), 1, bytes(32)), [], WORKER)

    def test_a_reset_keeps_every_older_seed(self, keys: Keys, ready: str) -> None:
        box, kek = make_id(), os.urandom(32)
        first = keys.worker.mailbox_new(order_of(ready, box, 1, kek), WORKER)
        generations = [open_made(first, kek, ready)]
        capsules = [first.capsule]
        for _ in range(3):
            capsules.append(rekey(generations[-1], kek, trust(keys, ready).newest.escrow_key))
            generations.append(open_capsule(read_capsule(capsules[-1]), kek, portal=ready))
            # A new card between: the old escrow keys open what names them.
            keys.operator.create_card(CardRequest(ready, "Example Bank"), ADMIN)
        new_kek = os.urandom(32)
        kept = [KeptGeneration(capsule) for capsule in reversed(capsules)]
        for store, grant in ((keys.operator, OPERATOR), (keys.link, LINK), (keys.worker, WORKER)):
            made = store.mailbox_next(order_of(ready, box, 5, new_kek), kept, grant)
            opened = open_made(made, new_kek, ready)
            assert made.missing == ()
            for before in generations:
                assert opened.seed_keys(before.keys.gen) == before.keys
            assert opened.keys.seed not in {before.keys.seed for before in generations}
            assert opened.body.card == trust(keys, ready).newest.serial
            assert keys.link.check_escrow(made.capsule, LINK)

    def test_a_newest_generation_without_escrow_loses_its_own_seed_alone(self, keys: Keys, ready: str) -> None:
        box, kek = make_id(), os.urandom(32)
        first = keys.worker.mailbox_new(order_of(ready, box, 1, kek), WORKER)
        opened = open_made(first, kek, ready)
        wrong = EscrowKey(1, 2, trust(keys, ready).newest.reply)
        for escrow in (None, wrong):
            capsule = rekey(opened, kek, escrow)
            assert not keys.link.check_escrow(capsule, LINK)
            kept = [KeptGeneration(capsule), KeptGeneration(first.capsule)]
            made = keys.worker.mailbox_next(order_of(ready, box, 3, kek), kept, WORKER)
            assert made.missing == (2,)
            assert open_made(made, kek, ready).seed_keys(1) == opened.keys

    def test_without_escrow_the_seed_comes_back_as_a_sealed_blob(self, keys: Keys, portal: str) -> None:
        keys.operator.create_card(CardRequest(portal, "Example Bank", escrow=False), ADMIN)
        box, kek = make_id(), os.urandom(32)
        first = keys.worker.mailbox_new(order_of(portal, box, 1, kek), WORKER)
        opened = open_made(first, kek, portal)
        assert opened.capsule.escrow is None
        assert first.seed_blob is not None
        assert opened.keys.seed not in first.seed_blob
        assert not keys.link.check_escrow(first.capsule, LINK)
        second = keys.worker.mailbox_next(
            order_of(portal, box, 2, kek), [KeptGeneration(first.capsule, first.seed_blob)], WORKER
        )
        assert open_made(second, kek, portal).seed_keys(1) == opened.keys
        assert second.missing == ()
        lost = keys.worker.mailbox_next(order_of(portal, box, 2, kek), [KeptGeneration(first.capsule)], WORKER)
        assert (lost.missing, open_made(lost, kek, portal).body.older) == ((1,), ())

    def test_a_blob_or_capsule_of_another_box_is_refused(self, keys: Keys, portal: str) -> None:
        keys.operator.create_card(CardRequest(portal, "Example Bank", escrow=False), ADMIN)
        kek = os.urandom(32)
        boxes = [make_id(), make_id()]
        made = [keys.worker.mailbox_new(order_of(portal, box, 1, kek), WORKER) for box in boxes]
        kept = [KeptGeneration(made[0].capsule, made[1].seed_blob)]
        with pytest.raises(MailboxDataError, match="binding"):
            keys.worker.mailbox_next(order_of(portal, boxes[1], 2, kek), kept, WORKER)
        # A seed that is no seed of this box shuts its mail and stops no reset.
        for one in (kept[0], replace(kept[0], seed_blob=b"x")):
            lost = keys.worker.mailbox_next(order_of(portal, boxes[0], 2, kek), [one], WORKER)
            assert lost.missing == (1,)
            assert open_made(lost, kek, portal).body.older == ()

    def test_more_kept_generations_than_fit_in_a_frame(self, keys: Keys, ready: str) -> None:
        box, kek = make_id(), os.urandom(32)
        opened = open_made(keys.worker.mailbox_new(order_of(ready, box, 1, kek), WORKER), kek, ready)
        many = tuple(OlderSeed(gen, 1, os.urandom(32)) for gen in range(1, 499))
        fields = CapsuleFields("mailbox", "browser", ready, box, 499, TIME, 1, b"v" * 32)
        body = replace(opened.body, older=many)
        capsule = make_capsule(fields, os.urandom(32), kek, body, trust(keys, ready).newest.escrow_key)
        assert len(capsule) > 40_000
        unopened = make_capsule(fields, os.urandom(32), kek, body, None)
        order = replace(order_of(ready, box, 500, kek), needed=(3, 7, 498))
        made = keys.worker.mailbox_next(order, [KeptGeneration(capsule)] * 20, WORKER)
        assert made.missing == ()
        # Too many: those that kept mail needs, and the newest, so that as many again have room (sealed-mailbox 17).
        older = open_made(made, kek, ready).body.older
        assert [one.gen for one in older] == [3, 7, *range(252, 500)]
        assert {one.gen: one.seed for one in many}.items() > {one.gen: one.seed for one in older[:-1]}.items()
        lost = [*[KeptGeneration(unopened)] * 20, KeptGeneration(capsule)]
        made = keys.worker.mailbox_next(order, lost, WORKER)
        assert made.missing == (3, 7, 498)

    def test_numbers_go_on_behind_the_seeds_that_a_capsule_holds(self, keys: Keys, ready: str) -> None:
        box, kek = make_id(), os.urandom(32)
        opened = open_made(keys.worker.mailbox_new(order_of(ready, box, 1, kek), WORKER), kek, ready)
        fields = CapsuleFields("mailbox", "browser", ready, box, 700, TIME, 1, b"v" * 32)
        body = replace(opened.body, older=tuple(OlderSeed(gen, 1, os.urandom(32)) for gen in range(201, 700)))
        capsule = make_capsule(fields, os.urandom(32), kek, body, trust(keys, ready).newest.escrow_key)
        made = keys.worker.mailbox_next(order_of(ready, box, 701, kek), [KeptGeneration(capsule)], WORKER)
        assert made.missing == ()
        assert [one.gen for one in open_made(made, kek, ready).body.older] == list(range(451, 701))

    def test_check_escrow_for_a_login_name(self, keys: Keys, ready: str) -> None:
        """A browser's capsule for another name could never be signed in to."""
        box, kek = make_id(), os.urandom(32)
        made = keys.worker.mailbox_new(order_of(ready, box, 1, kek), WORKER)
        name = open_made(made, kek, ready).body.name
        assert name is not None
        assert keys.link.check_escrow(made.capsule, LINK, name)
        with pytest.raises(MailboxDataError, match="name"):
            keys.link.check_escrow(made.capsule, LINK, f"x{name}")
        assert not keys.link.check_escrow(b"no capsule", LINK, name)

    def test_check_escrow_of_nonsense_is_no(self, keys: Keys, ready: str) -> None:
        assert not keys.link.check_escrow(b"no capsule", LINK)

    # --- manifests ----------------------------------------------------------------------------------------------------

    def test_a_signed_manifest_is_good_under_its_card(self, keys: Keys, ready: str) -> None:
        kek = os.urandom(32)
        opened = open_made(keys.worker.mailbox_new(order_of(ready, make_id(), 1, kek), WORKER), kek, ready)
        manifest = manifest_of(opened, 1)
        for store, grant in ((keys.worker, WORKER), (keys.link, LINK)):
            sealed = seal_down(manifest, lambda octets: store.sign_manifest(1, octets, grant))  # noqa: B023
            assert open_down(sealed, opened.keys, trust(keys, ready), id_=manifest.id, no=1) == manifest
        signature = keys.worker.sign_manifest(1, manifest.encode(), WORKER)
        verify_es256(trust(keys, ready).newest.sign, SIGN_DOWN, manifest.encode(), signature)

    def test_only_manifests_of_the_newest_card_are_signed(self, keys: Keys, ready: str) -> None:
        kek = os.urandom(32)
        opened = open_made(keys.worker.mailbox_new(order_of(ready, make_id(), 1, kek), WORKER), kek, ready)
        octets = manifest_of(opened, 1).encode()
        item = Item("read", ready, make_id(), 1, make_id(), 1, TIME, "browser", make_id())
        for card, what in ((2, octets), (1, item.encode()), (1, b"{}"), (1, b"x" * 70_000)):
            with pytest.raises(MailboxDataError):
                keys.worker.sign_manifest(card, what, WORKER)
        keys.operator.create_card(CardRequest(ready, "Example Bank"), ADMIN)
        for card in (1, 3):
            with pytest.raises(KeyStoreError) as caught:
                keys.worker.sign_manifest(card, manifest_of(opened, card).encode(), WORKER)
            assert caught.value.temporary

    # --- items --------------------------------------------------------------------------------------------------------

    def test_an_item_opens_under_its_card_and_in_its_place(self, keys: Keys, ready: str) -> None:
        kek, box = os.urandom(32), make_id()
        opened = open_made(keys.worker.mailbox_new(order_of(ready, box, 1, kek), WORKER), kek, ready)
        cards = trust(keys, ready)
        item = Item(
            *("reply", ready, box, 1, make_id(), 1, TIME, "browser", make_id(), "all", "Re: s", new_message_key()),
            parts=(Part(0, "text", "", "text/plain", 3),),
        )
        sealed = seal_up(item, opened.keys, cards.newest)
        place = {"sign": opened.keys.sign, "portal": ready, "box": box, "gen": 1, "id_": item.id, "card": 1}

        def open_info(info: bytes, what: bytes) -> bytes:
            return keys.link.open_item(1, info, what, LINK)

        assert open_up(sealed, open_info, **place) == item
        keys.operator.create_card(CardRequest(ready, "Example Bank"), ADMIN)
        assert open_up(sealed, open_info, **place) == item, "the card before opens for 90 days more"
        for change in ({"box": make_id()}, {"id_": make_id()}, {"gen": 2}):
            with pytest.raises(MailboxDataError, match="auth"):
                open_up(sealed, open_info, **{**place, **change})
        with pytest.raises(MailboxDataError, match="auth"):
            keys.link.open_item(2, up_info(ready, box, 1, item.id, 2), sealed, LINK)
        with pytest.raises(MailboxDataError, match="binding"):
            keys.link.open_item(2, up_info(ready, box, 1, item.id, 1), sealed, LINK)
        with pytest.raises(KeyStoreError):
            keys.link.open_item(9, up_info(ready, box, 1, item.id, 9), sealed, LINK)

    def test_a_registration_opens(self, keys: Keys, ready: str) -> None:
        card = trust(keys, ready).newest
        join = Join(ready, make_id(), 1, "pdf", TIME, password="a password of mine")
        sealed = seal_join(join, b"T" * 16, card)

        def open_info(info: bytes, what: bytes) -> bytes:
            return keys.link.open_item(1, info, what, LINK)

        assert open_join(sealed, open_info, secret=b"T" * 16, portal=ready, id_=join.id, card=1) == join
        with pytest.raises(MailboxDataError, match="size"):
            keys.link.open_item(1, up_info(ready, make_id(), 1, make_id(), 1), bytes(150_001), LINK)

    def test_a_reply_key_opens_no_escrow_record_and_no_other_context(self, keys: Keys, ready: str) -> None:
        made = keys.worker.mailbox_new(order_of(ready, make_id(), 1, os.urandom(32)), WORKER)
        capsule = read_capsule(made.capsule)
        assert capsule.escrow is not None
        contexts: Sequence[tuple[bytes, str]] = [
            (encode_pae("LL1/escrow", ready, capsule.box, 1, 1), "binding"),
            (encode_pae("LL1/down", ready, capsule.box, 1, make_id()), "binding"),
            (encode_pae("LL1/up", ready, 1), "binding"),
            (b"\xff", "format"),
            (b"", "binding"),
        ]
        for context, code in contexts:
            with pytest.raises(MailboxDataError, match=code):
                keys.link.open_item(1, context, capsule.escrow.sealed, LINK)

    # --- grants -------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("change", [{"purpose": ""}, {"subject": ""}, {"actor": ""}])
    def test_a_grant_without_a_word_is_refused(self, keys: Keys, ready: str, change: dict[str, str]) -> None:
        order = order_of(ready, make_id(), 1, bytes(32))
        grant = replace(WORKER, **change)
        link = replace(LINK, **change)
        with pytest.raises(GrantRefusedError):
            keys.worker.mailbox_new(order, grant)
        with pytest.raises(GrantRefusedError):
            keys.worker.mailbox_next(replace(order, gen=2), [], grant)
        with pytest.raises(GrantRefusedError):
            keys.worker.sign_manifest(1, b"{}", grant)
        with pytest.raises(GrantRefusedError):
            keys.link.open_item(1, b"", b"", link)
        with pytest.raises(GrantRefusedError):
            keys.link.check_escrow(b"", link)
