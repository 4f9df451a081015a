"""The key ceremony of a portal's cards, inside the token (sealed-mailbox 2, 6).

New keys first, the card that names them last: cut off before it, nothing has happened; cut off behind it, the card
stands and what had to be destroyed is destroyed by the next start or ceremony. A ceremony names the card that it goes
on from: asked for once it makes one card, however often it is handed in. Roots are read from disk and held for these
calls alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from cryptography.hazmat.primitives.asymmetric import ec

from relay.core.errors import KeyStoreError
from relay.core.ports_mailbox import CardRequest
from relay.core.wire.hpke import SUITE_P256, Opener
from relay.core.wire.sealed import Card, CardRecord, MailboxDataError, format_time, make_card, sign_card
from relay.core.wire.sealed.card import MAX_SIGNATURES
from relay.core.wire.sealed.signing import SIGN_CARD, sign_es256
from relay.keystore.mailbox_folder import CARD_KEYS, ESCROW, REPLY, ROOT, SIGN, PortalFolder

_Root = tuple[bytes, Callable[[bytes], bytes]]


def hold_ceremony(folder: PortalFolder, cards: Sequence[Card], request: CardRequest, now_ms: int) -> CardRecord:
    """Make root if need be, keys and card, and return the card; `cards` are those before it, rising.

    Raises KeyStoreError, MailboxDataError.
    """
    newest = cards[-1].serial if cards else 0
    if request.newest not in (None, newest):
        raise MailboxDataError("card", f"asked for when the newest card was {request.newest}; now it is {newest}")
    distrust = _distrusted(cards, request)
    _destroy_stray_roots(folder, cards)
    serial = max(newest, request.after) + 1
    root = cards[-1].root if cards and not request.new_root else _add_root(folder)
    public = {kind: folder.add_key(kind, serial) for kind in CARD_KEYS if kind != ESCROW or request.escrow}
    octets = make_card(
        portal=request.portal,
        serial=serial,
        org=request.org,
        root=root,
        sign=public[SIGN],
        reply=public[REPLY],
        escrow=public.get(ESCROW),
        distrust=distrust,
        time=format_time(now_ms),
    )
    roots = _read_roots(folder)
    if request.new_root:
        # One signature more does no harm when what follows is cut off.
        _sign_again(folder, cards, roots)
    kept = [pair for pair in roots if pair[0] == root] if request.drop_roots else roots
    record = sign_card(octets, kept)
    folder.write_card(serial, record)
    if request.drop_roots:
        _sign_again(folder, cards, kept)
        _destroy_roots_but(folder, {root})
    return record


def finish_ceremony(folder: PortalFolder, newest: Card, records: Mapping[int, CardRecord]) -> bool:
    """End what a ceremony that drops roots left when it was cut off behind its card; True where cards were changed.

    All roots that are to stand have signed the newest card. `records` are all cards by serial. Raises KeyStoreError.
    """
    signed = {entry.root for entry in records[newest.serial].sigs}
    late = [serial for serial, record in records.items() if {entry.root for entry in record.sigs} - signed]
    if newest.root not in signed or not (late or len(folder.numbers(ROOT)) > len(signed)):
        return False
    roots = [pair for pair in _read_roots(folder) if pair[0] in signed]
    for serial in late:
        folder.write_card(serial, sign_card(records[serial].card, roots))
    _destroy_roots_but(folder, signed)
    return bool(late)


def load_signer(private: bytes) -> ec.EllipticCurvePrivateKey:
    """Return a P-256 key of its 32 octets."""
    return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())


def public_of(private: bytes) -> bytes:
    """Return the 65 octets of a P-256 key's public half."""
    return Opener(SUITE_P256, private).public_octets()


def _sign_again(folder: PortalFolder, cards: Sequence[Card], roots: Sequence[_Root]) -> None:
    for card in cards:
        folder.write_card(card.serial, sign_card(card.octets, roots))


def _destroy_stray_roots(folder: PortalFolder, cards: Sequence[Card]) -> None:
    """Destroy roots of a ceremony that never reached its card."""
    _destroy_roots_but(folder, {card.root for card in cards})


def _destroy_roots_but(folder: PortalFolder, kept: Set[bytes]) -> None:
    for number in folder.numbers(ROOT):
        if public_of(folder.read_key(ROOT, number)) not in kept:
            folder.destroy_key(ROOT, number)


def _add_root(folder: PortalFolder) -> bytes:
    numbers = folder.numbers(ROOT)
    if len(numbers) >= MAX_SIGNATURES:
        raise KeyStoreError("the portal has too many roots. Drop the old ones first")
    return folder.add_key(ROOT, max(numbers, default=0) + 1)


def _read_roots(folder: PortalFolder) -> list[_Root]:
    roots: list[_Root] = []
    for number in folder.numbers(ROOT):
        octets = folder.read_key(ROOT, number)
        private = load_signer(octets)

        def sign(card: bytes, private: ec.EllipticCurvePrivateKey = private) -> bytes:
            return sign_es256(private, SIGN_CARD, card)

        roots.append((public_of(octets), sign))
    return roots


def _distrusted(cards: Sequence[Card], request: CardRequest) -> tuple[int, ...]:
    if unknown := set(request.distrust) - {card.serial for card in cards}:
        raise MailboxDataError("card", f"no card has serial {min(unknown)}")
    return tuple(sorted({*request.distrust, *(cards[-1].distrust if cards else ())}))
