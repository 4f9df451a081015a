"""The organisation's mailbox keys inside the software token: cards, seeds, manifests, items, escrow.

Implements relay.core.ports_mailbox.MailboxKeys behind the token (sealed-mailbox 2, 6, 8, 11, 16). Seeds of generations
that the inside makes are born here and leave in a capsule or under the token's key; no call returns a key. Roots are
read from disk for a ceremony and held no longer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from relay.core.clock import Clock
from relay.core.errors import KeyDestroyedError, KeyStoreError
from relay.core.ports import SealedBlob
from relay.core.ports_mailbox import REPLY_KEY_DAYS, CapsuleOrder, CardRequest, KeptGeneration, MadeCapsule
from relay.core.wire.errors import EncodingError, SealedDataError
from relay.core.wire.hpke import SUITE_P256, Opener
from relay.core.wire.pae import decode_pae, encode_pae
from relay.core.wire.sealed import (
    KDF_OF_KIND,
    MAX_HEAD,
    MAX_SEALED_JOIN,
    Capsule,
    CapsuleBody,
    CapsuleFields,
    Card,
    CardRecord,
    MailboxDataError,
    OlderSeed,
    check_record,
    format_time,
    is_id,
    make_capsule,
    open_with_seed,
    parse_time,
    read_capsule,
)
from relay.core.wire.sealed.capsule import MAX_GENERATIONS, SUITES, escrow_info
from relay.core.wire.sealed.forms import FORMS
from relay.core.wire.sealed.jsontext import Fields
from relay.core.wire.sealed.seed import SEED_LENGTH, SeedKeys
from relay.core.wire.sealed.signing import SIGN_DOWN, sign_es256
from relay.keystore.mailbox_ceremony import finish_ceremony, hold_ceremony, load_signer
from relay.keystore.mailbox_folder import CARD_KEYS, ESCROW, REPLY, SIGN, Open, PortalFolder, Seal, list_portals

MAX_KEPT = 400 * 1024
"""Octets of earlier generations that are looked at for a new one; one frame of keyd holds them."""

MANY_SEEDS = MAX_GENERATIONS // 2
"""Older seeds above which a new generation of ours leaves out what no kept mail needs: room for as many rekeys."""

_SEED_LABEL = "letterlock/mailbox-seed"
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class _Portal:
    """A portal's cards and keys in use; replaced whole, never changed, so that readers need no lock."""

    folder: PortalFolder
    records: tuple[CardRecord, ...]
    cards: tuple[Card, ...]
    sign: ec.EllipticCurvePrivateKey = field(repr=False)
    replies: dict[int, Opener] = field(repr=False)
    escrows: dict[int, Opener] = field(repr=False)

    @property
    def newest(self) -> Card:
        return self.cards[-1]


def limit_kept(kept: Sequence[KeptGeneration]) -> list[KeptGeneration]:
    """Return the first generations that fit in MAX_KEPT."""
    fitting: list[KeptGeneration] = []
    room = MAX_KEPT
    for one in kept:
        room -= len(one.capsule) + len(one.seed_blob or b"")
        if room < 0:
            break
        fitting.append(one)
    return fitting


class MailboxToken:
    """Cards and keys of all portals of one token. All methods may be called from any thread."""

    def __init__(self, directory: Path, clock: Clock, seal: Seal, open_blob: Open) -> None:
        """`seal` and `open_blob` are the token's own, for any context."""
        self._directory = directory
        self._clock = clock
        self._seal = seal
        self._open = open_blob
        self._change = threading.Lock()
        self._portals: dict[str, _Portal] = {}

    def load(self) -> None:
        """Read all portals, finishing ceremonies that a crash cut short. Raises KeyStoreError."""
        with self._change:
            for name in list_portals(self._directory):
                found = self._read(name, self._folder(name))
                if found is not None:
                    self._portals[name] = found

    def close(self) -> None:
        """Let go of the keys."""
        self._portals = {}

    def _folder(self, portal: str) -> PortalFolder:
        return PortalFolder(self._directory, portal, self._seal, self._open)

    def _read(self, portal: str, folder: PortalFolder) -> _Portal | None:
        records = folder.read_cards()
        newest = max(records, default=0)
        for kind in CARD_KEYS:
            for serial in folder.numbers(kind):
                # A ceremony that never reached its card, or did not come to destroy the sign key before it.
                if serial > newest or (kind == SIGN and serial < newest):
                    folder.destroy_key(kind, serial)
        if not records:
            return None
        cards = tuple(_check_card(portal, serial, record) for serial, record in records.items())
        if finish_ceremony(folder, cards[-1], records):
            records = folder.read_cards()
        self._destroy_old_replies(folder, cards)
        return _Portal(
            folder,
            tuple(records.values()),
            cards,
            load_signer(folder.read_key(SIGN, newest)),
            {serial: Opener(SUITE_P256, folder.read_key(REPLY, serial)) for serial in folder.numbers(REPLY)},
            {serial: Opener(SUITE_P256, folder.read_key(ESCROW, serial)) for serial in folder.numbers(ESCROW)},
        )

    def _destroy_old_replies(self, folder: PortalFolder, cards: Sequence[Card]) -> None:
        for card in cards[:-1]:
            if self._is_reply_over(cards, card.serial) and folder.has_key(REPLY, card.serial):
                folder.destroy_key(REPLY, card.serial)

    def _is_reply_over(self, cards: Sequence[Card], serial: int) -> bool:
        successor = next((card for card in cards if card.serial > serial), None)
        return successor is not None and self._clock.now_ms() > parse_time(successor.time) + REPLY_KEY_DAYS * _DAY_MS

    def _find(self, portal: str) -> _Portal:
        found = self._portals.get(portal)
        if found is None:
            raise KeyStoreError("the token has no card of this portal. Run: letterlock portal card new")
        return found

    # --- ceremony -----------------------------------------------------------------------------------------------------

    def create_card(self, request: CardRequest) -> CardRecord:
        """Make keys and card; see the port. Raises KeyStoreError, MailboxDataError."""
        if not is_id(request.portal) or not request.org.strip():
            raise MailboxDataError("format", "a card names a portal's id and an organisation")
        with self._change:
            folder = self._folder(request.portal)
            folder.make()
            before = self._read(request.portal, folder)
            try:
                return hold_ceremony(folder, before.cards if before else (), request, self._clock.now_ms())
            finally:
                # Behind one that was cut off, too: what the disk says counts.
                made = self._read(request.portal, folder)
                if made is not None:
                    self._portals = {**self._portals, request.portal: made}

    def list_cards(self, portal: str) -> tuple[CardRecord, ...]:
        """Return all cards of a portal, oldest first."""
        found = self._portals.get(portal)
        return () if found is None else found.records

    # --- generations --------------------------------------------------------------------------------------------------

    def mailbox_new(self, order: CapsuleOrder) -> MadeCapsule:
        """Make the first generation of a box. Raises KeyStoreError, MailboxDataError."""
        if order.gen != 1:
            raise MailboxDataError("generation", "a new box begins with generation 1")
        return self._make(order, ())

    def mailbox_next(self, order: CapsuleOrder, kept: Sequence[KeptGeneration]) -> MadeCapsule:
        """Make a later generation with all older seeds that can be had. Raises KeyStoreError, MailboxDataError."""
        if order.kind != "mailbox" or order.gen < 2:
            raise MailboxDataError("generation", "only a mailbox has later generations, from 2 on")
        portal = self._find(order.portal)
        seeds: dict[int, OlderSeed] = {}
        for one in limit_kept(kept):
            if len(seeds) == order.gen - 1:
                break
            capsule = read_capsule(one.capsule)
            if (capsule.portal, capsule.box) != (order.portal, order.box) or capsule.gen >= order.gen:
                raise MailboxDataError("binding", "an earlier generation is of another box or not earlier")
            self._collect(portal, capsule, one.seed_blob, seeds)
        return self._make(order, _choose_seeds(seeds, order.needed))

    def _collect(self, portal: _Portal, capsule: Capsule, seed_blob: bytes | None, seeds: dict[int, OlderSeed]) -> None:
        """Add the seeds that a kept generation gives: its own, and those of its body."""
        known = seeds.get(capsule.gen)
        seed = known.seed if known is not None else self._recover_seed(portal, capsule, seed_blob)
        if seed is None:
            return
        seeds.setdefault(capsule.gen, OlderSeed(capsule.gen, capsule.suite, seed))
        try:
            body = open_with_seed(capsule, seed).body
        except MailboxDataError:
            return  # a browser made it; its own seed is good, what it said of others is not
        for older in body.older:
            seeds.setdefault(older.gen, older)

    def _recover_seed(self, portal: _Portal, capsule: Capsule, seed_blob: bytes | None) -> bytes | None:
        seed = _open_escrow(portal, capsule)
        if seed_blob is not None:
            context = encode_pae(_SEED_LABEL, capsule.portal, capsule.box, capsule.gen)
            try:
                seed = self._open(context, unpack_blob(seed_blob))
            except (KeyStoreError, MailboxDataError):
                return None  # one damaged value shuts its own mail, and stops no reset
        return seed if seed is not None and _is_seed_of(capsule, seed) else None

    def _make(self, order: CapsuleOrder, older: tuple[OlderSeed, ...]) -> MadeCapsule:
        _check_order(order)
        card = self._find(order.portal).newest
        escrow = card.escrow_key if order.kind == "mailbox" else None
        seed = os.urandom(SEED_LENGTH)
        capsule = make_capsule(
            CapsuleFields(
                kind=order.kind,
                by="relay",
                portal=order.portal,
                box=order.box,
                gen=order.gen,
                time=format_time(self._clock.now_ms()),
                kdf=order.kdf,
                av=order.av,
                form=order.form,
            ),
            seed,
            order.kek,
            CapsuleBody(order.name, card.org, card.root, card.serial, older),
            escrow,
        )
        blob = None
        if order.kind == "mailbox" and escrow is None:
            blob = pack_blob(self._seal(encode_pae(_SEED_LABEL, order.portal, order.box, order.gen), seed))
        found = {one.gen for one in older}
        # Behind a choice among too many, what nobody needs is not missed.
        wanted = range(1, order.gen) if order.gen - 1 <= MANY_SEEDS else sorted(order.needed)
        return MadeCapsule(capsule, blob, tuple(gen for gen in wanted if gen not in found))

    # --- use ----------------------------------------------------------------------------------------------------------

    def sign_manifest(self, card: int, manifest: bytes) -> bytes:
        """Sign a manifest that names the newest card. Raises KeyStoreError, MailboxDataError."""
        fields = Fields.read(manifest, MAX_HEAD)
        fields.check("dir", ("down",), "binding")
        if fields.number("card") != card:
            raise MailboxDataError("binding", "the manifest names another card")
        portal = self._find(fields.id("portal"))
        if card < portal.newest.serial:
            # Temporary: whoever asks read the cards a moment before the ceremony, and will read the new one.
            raise KeyStoreError("the card's sign key was destroyed. Use the newest card")
        if card != portal.newest.serial:
            raise KeyStoreError("the token has no card with this serial")
        return sign_es256(portal.sign, SIGN_DOWN, manifest)

    def open_item(self, card: int, info: bytes, sealed: bytes) -> bytes:
        """Open an item or a registration. Raises KeyDestroyedError, KeyStoreError, MailboxDataError."""
        if len(sealed) > MAX_SEALED_JOIN:
            raise MailboxDataError("size", "too large")
        portal = self._find(_read_info(info, card))
        if self._is_reply_over(portal.cards, card):
            raise KeyDestroyedError("the card's reply key has had its time")
        opener = portal.replies.get(card)
        if opener is None:
            raise KeyStoreError("the token has no reply key of this card")
        try:
            return opener.open(info, sealed)
        except SealedDataError as error:
            raise MailboxDataError("auth", "does not open with the card's reply key") from error

    def check_escrow(self, capsule: bytes, name: str | None = None) -> bool:
        """Tell whether the escrow record opens and yields the capsule's keys. Raises KeyStoreError.

        With `name`, where it does: raises MailboxDataError for a body that does not open or names another.
        """
        try:
            read = read_capsule(capsule)
        except MailboxDataError:
            return False
        portal = self._find(read.portal)
        seed = _open_escrow(portal, read)
        if seed is None or not _is_seed_of(read, seed):
            return False
        if name is not None and open_with_seed(read, seed).body.name != name:
            raise MailboxDataError("name", "capsule: made for another login name")
        return True


def _check_card(portal: str, serial: int, record: CardRecord) -> Card:
    try:
        if not record.sigs:
            raise MailboxDataError("signature", "a card has no signature")
        card = check_record(record, portal=portal, root=record.sigs[-1].root)
        if card.serial != serial:
            raise MailboxDataError("binding", "a card is of another serial")
    except MailboxDataError as error:
        raise KeyStoreError(f"card {serial} of portal {portal} is damaged") from error
    return card


def _check_order(order: CapsuleOrder) -> None:
    is_reply = order.kind == "reply"
    if (
        not (is_id(order.portal) and is_id(order.box))
        or order.kdf != KDF_OF_KIND.get(order.kind)
        or is_reply != (order.form in FORMS)
        or is_reply != (order.name is None)
        or len(order.kek) != 32
        or len(order.av) != 32
    ):
        raise MailboxDataError("format", "kind, kdf, form, name and keys of the order do not go together")


def _choose_seeds(seeds: dict[int, OlderSeed], needed: Sequence[int]) -> tuple[OlderSeed, ...]:
    """Return the seeds for a new body, rising: all, or where they are many the needed and the newest ones."""
    newest_first = sorted(seeds, reverse=True)
    if len(newest_first) > MANY_SEEDS:
        wanted = [gen for gen in newest_first if gen in set(needed)][: MAX_GENERATIONS - 1]
        others = [gen for gen in newest_first if gen not in set(needed)]
        newest_first = wanted + others[: max(0, MANY_SEEDS - len(wanted))]
    return tuple(seeds[gen] for gen in sorted(newest_first))


def _open_escrow(portal: _Portal, capsule: Capsule) -> bytes | None:
    opener = portal.escrows.get(capsule.escrow.card) if capsule.escrow else None
    if capsule.escrow is None or opener is None:
        return None
    info = escrow_info(capsule.portal, capsule.box, capsule.gen, capsule.escrow.card)
    try:
        return opener.open(info, capsule.escrow.sealed)
    except SealedDataError:
        return None


def _is_seed_of(capsule: Capsule, seed: bytes) -> bool:
    if len(seed) != SEED_LENGTH or capsule.suite not in SUITES:
        return False
    keys = SeedKeys.of(seed, capsule.portal, capsule.box, capsule.gen)
    return (keys.enc, keys.sign) == (capsule.enc, capsule.sign)


def _read_info(untrusted_info: bytes, card: int) -> str:
    """Return the portal of an info of LL1/up or LL1/join that names this card."""
    try:
        elements = [element.decode() for element in decode_pae(untrusted_info)]
    except (EncodingError, UnicodeDecodeError) as error:
        raise MailboxDataError("format", "the context is none of ours") from error
    lengths = {"LL1/up": 6, "LL1/join": 4}
    if not elements or lengths.get(elements[0]) != len(elements) or elements[-1] != str(card):
        raise MailboxDataError("binding", "the context is not one that a reply key opens")
    return elements[1]


def pack_blob(blob: SealedBlob) -> bytes:
    """Return a sealed value as octets, to be kept whole."""
    return encode_pae(blob.key_id, blob.mechanism, blob.format, blob.data)


def unpack_blob(untrusted_octets: bytes) -> SealedBlob:
    """Return the sealed value again. Raises MailboxDataError."""
    try:
        key_id, mechanism, number, data = decode_pae(untrusted_octets)
        return SealedBlob(key_id.decode("ascii"), mechanism.decode("ascii"), int(number), data)
    except (EncodingError, ValueError) as error:
        raise MailboxDataError("format", "the sealed seed is damaged") from error
