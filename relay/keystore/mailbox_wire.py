"""How the calls of MailboxKeys travel in frames of keyd: both directions beside each other. No I/O, nothing is logged.

Raises KeyStoreError for what does not fit: both ends are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.core.errors import KeyStoreError
from relay.core.ports import Actor, Grant
from relay.core.ports_mailbox import CapsuleOrder, CardRequest, KeptGeneration, MadeCapsule
from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_pae, encode_b64, encode_pae
from relay.core.wire.sealed import CardRecord, MailboxDataError, decode_record
from relay.core.wire.sealed.jsontext import Fields, read_object, write_object
from relay.keystore.mailbox import limit_kept
from relay.keystore.protocol import Call, Result

_MAX_WORDS = 16 * 1024


def card_call(request: CardRequest, actor: Actor) -> Call:
    """A ceremony as a call."""
    data = write_object(
        {
            "org": request.org,
            "escrow": request.escrow,
            "distrust": list(request.distrust),
            "new_root": request.new_root,
            "drop_roots": request.drop_roots,
            "after": request.after,
            "newest": request.newest,
        }
    )
    return Call(actor=str(actor), key_id=request.portal, data=data)


def read_card_call(call: Call) -> CardRequest:
    """The ceremony again."""
    try:
        fields = Fields(read_object(call.data, _MAX_WORDS))
        return CardRequest(
            portal=call.key_id,
            org=fields.text("org"),
            escrow=fields.boolean("escrow"),
            distrust=_read_serials(fields, "distrust"),
            new_root=fields.boolean("new_root"),
            drop_roots=fields.boolean("drop_roots"),
            after=fields.number("after"),
            newest=None if fields.is_null("newest") else fields.number("newest"),
        )
    except MailboxDataError as error:
        raise KeyStoreError("frame: no ceremony") from error


def _read_serials(fields: Fields, name: str) -> tuple[int, ...]:
    values = fields.list(name, _MAX_WORDS)
    if not all(type(value) is int for value in values):
        raise MailboxDataError("format", f"{name} holds no numbers")
    return tuple(values)


def order_call(order: CapsuleOrder, kept: Sequence[KeptGeneration], grant: Grant) -> Call:
    """An order of a capsule as a call; what of `kept` does not fit in a frame stays here."""
    words = {
        "kind": order.kind,
        "name": order.name,
        "kdf": order.kdf,
        "kek": encode_b64(order.kek),
        "av": encode_b64(order.av),
        "form": order.form,
        "needed": list(order.needed),
    }
    pieces = [piece for one in limit_kept(kept) for piece in (one.capsule, one.seed_blob or b"")]
    return Call(
        purpose=grant.purpose,
        subject=grant.subject,
        actor=grant.actor,
        message_id=order.box,
        key_id=order.portal,
        number=order.gen,
        context=encode_pae(*pieces),
        data=write_object(words),
    )


def read_order_call(call: Call) -> tuple[CapsuleOrder, list[KeptGeneration]]:
    """The order and the kept generations again."""
    try:
        fields = Fields(read_object(call.data, _MAX_WORDS))
        order = CapsuleOrder(
            kind=fields.text("kind"),
            portal=call.key_id,
            box=call.message_id,
            gen=call.number,
            name=None if fields.is_null("name") else fields.text("name"),
            kdf=fields.number("kdf"),
            kek=fields.octets("kek"),
            av=fields.octets("av"),
            form=None if fields.is_null("form") else fields.text("form"),
            needed=_read_serials(fields, "needed"),
        )
        pieces = decode_pae(call.context)
        if len(pieces) % 2:
            raise EncodingError("a piece is missing")
    except (MailboxDataError, EncodingError) as error:
        raise KeyStoreError("frame: no order of a capsule") from error
    pairs = zip(pieces[::2], pieces[1::2], strict=True)
    return order, [KeptGeneration(capsule, blob or None) for capsule, blob in pairs]


def read_name(untrusted_context: bytes) -> str | None:
    """The login name that an escrow is checked for, None where the caller named none."""
    try:
        return untrusted_context.decode() or None
    except UnicodeDecodeError as error:
        raise KeyStoreError("frame: no login name") from error


def made_result(made: MadeCapsule) -> Result:
    """A new capsule as a result."""
    missing = ",".join(map(str, made.missing))
    return Result(data=encode_pae(made.capsule, made.seed_blob or b"", missing))


def read_made_result(result: Result) -> MadeCapsule:
    """The new capsule again."""
    try:
        capsule, blob, missing = decode_pae(result.data)
        gens = tuple(map(int, missing.decode("ascii").split(","))) if missing else ()
    except (EncodingError, ValueError) as error:
        raise KeyStoreError("keyd answered something else than was asked") from error
    return MadeCapsule(capsule, blob or None, gens)


def cards_result(records: Sequence[CardRecord]) -> Result:
    """Cards as a result."""
    return Result(data=encode_pae(*(record.encode() for record in records)))


def read_cards_result(result: Result) -> tuple[CardRecord, ...]:
    """The cards again."""
    try:
        return tuple(map(decode_record, decode_pae(result.data)))
    except (EncodingError, MailboxDataError) as error:
        raise KeyStoreError("keyd answered something else than was asked") from error
