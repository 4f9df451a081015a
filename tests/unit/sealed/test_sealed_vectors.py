"""Every entry of the sealed mailbox's vectors, the refused ones with their code; made again, they are the same."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from relay.core.wire import hpke
from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_b64, encode_b64, encode_pae
from relay.core.wire.sealed import (
    DRAFT,
    SENT,
    CapsuleBody,
    CapsuleFields,
    EscrowKey,
    Item,
    Join,
    MailboxDataError,
    MailHead,
    Manifest,
    OlderSeed,
    Part,
    PartOpener,
    PartSealer,
    Person,
    SeedKeys,
    check_cards,
    check_own_password,
    check_value,
    login_id,
    make_capsule,
    make_card,
    normalise_login_name,
    open_capsule,
    open_down,
    open_escrow,
    open_join,
    open_part,
    open_self,
    open_tab,
    open_up,
    read_capsule,
    read_card,
    read_fragment,
    read_object,
    read_record,
    read_secret,
    root_pin,
    seal_down,
    seal_join,
    seal_self,
    seal_tab,
    seal_up,
    sign_card,
    sign_rekey,
    stretch,
    strip_capsule,
    verify_rekey,
)
from relay.core.wire.sealed.capsule import write_body
from relay.core.wire.sealed.gcm import open_gcm, seal_gcm
from relay.core.wire.sealed.parts import derive_part_key
from relay.core.wire.sealed.passkey import open_with_passkey, passkey_private, passkey_public, prf_salt
from relay.core.wire.sealed.signing import SIGN_CARD, SIGN_DOWN, sign_es256
from relay.core.wire.sealed.stretch import salt_of
from tests.unit.keystore.hpke_reference import AES_256, Reference
from tests.unit.sealed.vectors import (
    BOX,
    MESSAGE,
    PORTAL,
    ROOTS,
    VECTORS,
    Drawn,
    opener,
    part_plaintext,
    private_key,
    seed_keys,
    trusted_cards,
)

KEY = bytes.fromhex(VECTORS["parts"]["key"])


def named(section: str) -> list[Any]:
    """The entries of a section, each by its reason."""
    return [pytest.param(entry, id=entry["why"]) for entry in VECTORS[section]]


def test_no_section_of_the_vectors_is_forgotten() -> None:
    assert set(VECTORS) == {
        *("about", "pae", "b64_refused", "login_name", "secret", "own_password", "stretch", "stretch_reply", "seed"),
        *("cards", "capsule", "capsule_refused", "rekey", "rekey_refused", "passkey", "tab", "parts", "parts_refused"),
        *("down", "down_refused", "up", "up_refused", "join", "join_refused"),
    }


# --- encoding and forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", VECTORS["pae"])
def test_pae(entry: dict[str, Any]) -> None:
    assert encode_pae(*entry["i"]).hex() == entry["hex"]


@pytest.mark.parametrize("text", VECTORS["b64_refused"])
def test_b64_refused(text: str) -> None:
    with pytest.raises(EncodingError):
        decode_b64(text)


@pytest.mark.parametrize("entry", VECTORS["login_name"])
def test_login_name(entry: dict[str, str]) -> None:
    if "error" in entry:
        with pytest.raises(MailboxDataError) as caught:
            normalise_login_name(entry["typed"])
        assert caught.value.code == entry["error"]
    else:
        assert normalise_login_name(entry["typed"]) == entry["name"]
        assert normalise_login_name(entry["name"]) == entry["name"]


@pytest.mark.parametrize("entry", VECTORS["secret"])
def test_secret(entry: dict[str, str]) -> None:
    assert read_secret(entry["form"], entry["typed"], entry["code"]).decode() == entry["utf8"]


@pytest.mark.parametrize("entry", VECTORS["own_password"])
def test_own_password(entry: dict[str, Any]) -> None:
    assert (check_own_password(entry["typed"], "anna@example.org") is None) is entry["ok"]


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [VECTORS["stretch"], VECTORS["stretch_reply"]], ids=["mailbox", "reply"])
def test_stretch(entry: dict[str, Any]) -> None:
    found = stretch(entry["portal"], entry["who"], entry["kdf"], entry["secret"].encode())
    assert salt_of(entry["portal"], entry["who"]).hex() == entry["salt"]
    assert (found.auth.hex(), found.kek.hex(), found.av.hex()) == (entry["auth"], entry["kek"], entry["av"])
    assert check_value(found.auth) == found.av
    assert login_id(entry["portal"], entry["who"]) == entry["login_id"]


@pytest.mark.parametrize("entry", VECTORS["seed"])
def test_seed(entry: dict[str, Any]) -> None:
    keys = SeedKeys.of(bytes.fromhex(entry["seed"]), entry["portal"], entry["box"], entry["gen"])
    assert (encode_b64(keys.enc), encode_b64(keys.sign)) == (entry["enc"], entry["sign"])
    assert (keys.enc_private.hex(), keys.sign_private.hex()) == (entry["enc_private"], entry["sign_private"])
    assert (keys.store.hex(), keys.body.hex()) == (entry["store"], entry["body"])


def test_passkey() -> None:
    entry = VECTORS["passkey"]
    assert prf_salt(PORTAL).hex() == entry["prf_salt"]
    private = passkey_private(bytes.fromhex(entry["prf"]), PORTAL, BOX)
    assert encode_b64(passkey_public(private)) == entry["pub"]
    sealed = decode_b64(entry["sealed"])
    place = {"portal": PORTAL, "box": BOX, "gen": entry["gen"], "credential": entry["id"]}
    assert open_with_passkey(private, sealed, **place).hex() == entry["seed"]
    with pytest.raises(MailboxDataError, match="auth"):
        open_with_passkey(private, sealed, **{**place, "gen": 1})


def test_tab() -> None:
    entry = VECTORS["tab"]
    server, local, blob = (bytes.fromhex(entry[name]) for name in ("server", "local", "blob"))
    assert open_tab(server, local, blob, portal=PORTAL, box=BOX, gen=entry["gen"]).hex() == entry["seed"]
    again = seal_tab(
        server, local, bytes.fromhex(entry["seed"]), portal=PORTAL, box=BOX, gen=entry["gen"], random=Drawn(blob[:12])
    )
    assert again == blob
    with pytest.raises(MailboxDataError, match="auth"):
        open_tab(local, server, blob, portal=PORTAL, box=BOX, gen=entry["gen"])


# --- cards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", VECTORS["cards"]["check"])
def test_cards(entry: dict[str, Any]) -> None:
    records = [read_record(VECTORS["cards"]["records"][index]) for index in entry["use"]]
    check = {"portal": PORTAL, "root": decode_b64(entry["root"]), "least": entry["least"]}
    if "error" in entry:
        with pytest.raises(MailboxDataError) as caught:
            check_cards(records, **check)
        assert caught.value.code == entry["error"]
    else:
        cards = check_cards(records, **check)
        assert cards.newest.serial == entry["newest"]
        assert sorted(cards.by_serial) == entry["trusted"]


@pytest.mark.parametrize("number", [1, 2])
def test_cards_made_again_are_the_same(number: int) -> None:
    record = read_record(VECTORS["cards"]["records"][number - 1])
    card = read_card(record.card)
    again = make_card(
        portal=PORTAL,
        serial=number,
        org=card.org,
        root=ROOTS[number - 1],
        sign=card.sign,
        reply=card.reply,
        escrow=card.escrow,
        time=card.time,
    )
    assert again == record.card

    def sign(key: int) -> tuple[bytes, Any]:
        private = private_key("root", key)
        return ROOTS[key - 1], lambda octets: sign_es256(private, SIGN_CARD, octets, deterministic=True)

    made = sign_card(again, [sign(1), sign(2)])
    assert made == record
    assert read_record(read_object(made.encode(), 16384)) == record


# --- capsule ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
def test_capsule(number: int) -> None:
    entry = VECTORS["capsule"][number - 1]
    octets = decode_b64(entry["capsule"])
    capsule = read_capsule(octets, kind="mailbox")
    opened = open_capsule(capsule, bytes.fromhex(entry["kek"]), portal=PORTAL)
    assert opened.keys == seed_keys(number)
    assert opened.keys.seed.hex() == entry["seed"]
    assert read_object(write_body(opened.keys, opened.body), 10**6) == entry["body"]
    assert open_escrow(capsule, opener("escrow", number)) == opened
    assert opened.seed_keys(1) == seed_keys(1)
    with pytest.raises(MailboxDataError, match="generation"):
        opened.seed_keys(3)
    stripped = strip_capsule(octets)
    assert set(read_object(octets, 10**6)) - set(stripped) == {"pw", "av", "escrow"}


@pytest.mark.parametrize("number", [1, 2])
def test_capsules_made_again_are_the_same(number: int) -> None:
    entry = VECTORS["capsule"][number - 1]
    octets = decode_b64(entry["capsule"])
    old = read_capsule(octets)
    assert old.escrow is not None
    escrow_sealed = old.escrow.sealed
    older = tuple(OlderSeed(one["gen"], one["suite"], decode_b64(one["seed"])) for one in entry["body"]["older"])
    escrow = trusted_cards().card(number).escrow
    assert escrow is not None
    again = make_capsule(
        CapsuleFields("mailbox", old.by, PORTAL, BOX, number, old.time, 1, old.av),
        bytes.fromhex(entry["seed"]),
        bytes.fromhex(entry["kek"]),
        CapsuleBody(entry["body"]["name"], entry["body"]["org"], ROOTS[number - 1], number, older),
        EscrowKey(number, hpke.SUITE_P256, escrow),
        random=Drawn(decode_b64(old.id), old.pw[:12], old.body[:12]),
        seal=lambda *_: escrow_sealed,
    )
    assert again == octets


@pytest.mark.parametrize("entry", named("capsule_refused"))
def test_capsule_refused(entry: dict[str, str]) -> None:
    octets, kek = decode_b64(entry["capsule"]), bytes.fromhex(entry["kek"])
    with pytest.raises(MailboxDataError) as caught:
        open_capsule(read_capsule(octets, kind="mailbox"), kek, portal=PORTAL)
    assert caught.value.code == entry["error"]
    assert not caught.value.temporary


def test_rekey() -> None:
    entry = VECTORS["rekey"]
    capsule, sig = decode_b64(entry["capsule"]), decode_b64(entry["sig"])
    verify_rekey(decode_b64(entry["previous_sign"]), capsule, sig)
    assert sign_rekey(seed_keys(1), capsule) == sig


@pytest.mark.parametrize("entry", named("rekey_refused"))
def test_rekey_refused(entry: dict[str, str]) -> None:
    with pytest.raises(MailboxDataError) as caught:
        verify_rekey(seed_keys(1).sign, decode_b64(entry["capsule"]), decode_b64(entry["sig"]))
    assert caught.value.code == entry["error"]


# --- parts ------------------------------------------------------------------------------------------------------------


def part_sealer(i: int) -> PartSealer:
    """A sealer with the nonces that the vectors' note names."""
    count = len(VECTORS["parts"]["parts"][i]["chunks"])
    nonces = [hashlib.shake_256(f"LL1 vectors/nc{i}.{j}".encode()).digest(12) for j in range(count)]
    return PartSealer(KEY, MESSAGE, i, Drawn(*nonces))


@pytest.mark.parametrize("i", range(4))
def test_parts(i: int) -> None:
    entry = VECTORS["parts"]["parts"][i]
    assert derive_part_key(KEY, MESSAGE, i).hex() == entry["part_key"]
    plaintext = part_plaintext(i)
    assert (len(plaintext), hashlib.sha256(plaintext).hexdigest()) == (entry["size"], entry["plain_sha256"])
    chunks = list(part_sealer(i).seal_all([plaintext]))
    assert [hashlib.sha256(chunk).hexdigest() for chunk in chunks] == entry["sha256"]
    assert [chunk.hex() if known else None for chunk, known in zip(chunks, entry["chunks"], strict=True)] == (
        entry["chunks"]
    )
    assert b"".join(open_part(KEY, MESSAGE, i, entry["size"], chunks)) == plaintext


def open_chunks(i: int, size: int, chunks: list[bytes]) -> None:
    """Open all and finish."""
    opening = PartOpener(KEY, MESSAGE, i, size)
    for chunk in chunks:
        opening.open_next(chunk)
    opening.finish()


@pytest.mark.parametrize("entry", named("parts_refused"))
def test_parts_refused(entry: dict[str, Any]) -> None:
    made = {i: list(part_sealer(i).seal_all([part_plaintext(i)])) for i, _ in entry["order"]}
    with pytest.raises(MailboxDataError) as caught:
        open_chunks(entry["i"], entry["size"], [made[i][n] for i, n in entry["order"]])
    assert caught.value.code == entry["error"]


# --- down -------------------------------------------------------------------------------------------------------------


def manifest_of(fields: dict[str, Any]) -> Manifest:
    """The vector's manifest as a value."""
    mail = MailHead(
        thread=fields["thread"],
        sender=Person(**fields["from"]),
        to=tuple(Person(**one) for one in fields["to"]),
        cc=tuple(Person(**one) for one in fields["cc"]),
        subject=fields["subject"],
        snippet=fields["snippet"],
        expires=fields["expires"],
        receipt=fields["receipt"],
        key=decode_b64(fields["key"]),
        parts=tuple(Part(**one) for one in fields["parts"]),
    )
    names = ("kind", "portal", "box", "gen", "id", "no", "card", "time")
    return Manifest(enc=decode_b64(fields["enc"]), mail=mail, **{name: fields[name] for name in names})


def test_down() -> None:
    entry = VECTORS["down"]
    manifest = open_down(decode_b64(entry["sealed"]), seed_keys(2), trusted_cards(), id_=entry["id"], no=7)
    assert manifest == manifest_of(entry["manifest"])
    assert read_object(manifest.encode(), 65536) == entry["manifest"]
    with pytest.raises(MailboxDataError, match="binding"):
        open_down(decode_b64(entry["sealed"]), seed_keys(2), trusted_cards(), id_=entry["id"], no=8)


def test_down_made_again_is_the_same() -> None:
    entry = VECTORS["down"]
    ephemeral = bytes.fromhex(entry["ephemeral_private"])

    def seal(suite: int, public: bytes, info: bytes, plaintext: bytes) -> bytes:
        return Reference(suite, AES_256).seal(ephemeral, public, info, plaintext)

    private = private_key("sign", 2)
    again = seal_down(
        manifest_of(entry["manifest"]),
        lambda octets: sign_es256(private, SIGN_DOWN, octets, deterministic=True),
        seal=seal,
    )
    assert again == decode_b64(entry["sealed"])


@pytest.mark.parametrize("entry", named("down_refused"))
def test_down_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(MailboxDataError) as caught:
        open_down(decode_b64(entry["sealed"]), seed_keys(entry["gen"]), trusted_cards(), id_=entry["id"])
    assert caught.value.code == entry["error"]


# --- up ---------------------------------------------------------------------------------------------------------------


def test_up() -> None:
    entry = VECTORS["up"]
    item = open_up(
        decode_b64(entry["sealed"]),
        opener("reply", 2),
        sign=decode_b64(entry["sign"]),
        portal=PORTAL,
        box=entry["box"],
        gen=entry["gen"],
        id_=entry["id"],
        card=entry["card"],
    )
    fields = entry["item"]
    names = ("kind", "portal", "box", "gen", "id", "card", "time", "mode", "re", "subject")
    parts = tuple(Part(**one) for one in fields["parts"])
    assert item == Item(key=decode_b64(fields["key"]), parts=parts, **{name: fields[name] for name in names})
    assert b"".join(open_part(item.key, item.id, 0, 12, [bytes.fromhex(entry["part0"])])) == b"Yes, thanks."
    # The vector's item says no `to`, which means the sender alone; ours says it.
    assert read_object(item.encode(), 65536) == {**fields, "to": "sender"}
    again = seal_up(item, seed_keys(2), trusted_cards().newest)
    place = {"portal": PORTAL, "box": item.box, "gen": 2, "id_": item.id, "card": 2}
    assert open_up(again, opener("reply", 2), sign=seed_keys(2).sign, **place) == item


def test_self() -> None:
    entry = VECTORS["up"]
    sealed = bytes.fromhex(entry["self"])
    octets = open_self(seed_keys(2), SENT, entry["id"], sealed)
    assert read_object(octets, 65536) == entry["item"]
    assert seal_self(seed_keys(2), SENT, entry["id"], octets, Drawn(sealed[:12])) == sealed
    for keys, what, id_ in [
        (seed_keys(1), SENT, entry["id"]),
        (seed_keys(2), DRAFT, entry["id"]),
        (seed_keys(2), SENT, MESSAGE),
    ]:
        with pytest.raises(MailboxDataError, match="auth"):
            open_self(keys, what, id_, sealed)


@pytest.mark.parametrize("entry", named("up_refused"))
def test_up_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(MailboxDataError) as caught:
        open_up(
            decode_b64(entry["sealed"]),
            opener("reply", 2),
            sign=seed_keys(2).sign,
            portal=PORTAL,
            box=entry["box"],
            gen=entry["gen"],
            id_=entry["id"],
            card=entry["card"],
        )
    assert caught.value.code == entry["error"]


# --- registration -----------------------------------------------------------------------------------------------------


def test_join() -> None:
    entry = VECTORS["join"]
    link = read_fragment(entry["fragment"])
    assert link.secret.hex() == entry["secret"]
    assert link.pin == root_pin(decode_b64(entry["root"]))
    assert link.fragment() == entry["fragment"]
    place = {"secret": link.secret, "portal": PORTAL, "id_": entry["id"], "card": entry["card"]}
    join = open_join(decode_b64(entry["sealed"]), opener("reply", 2), **place)
    fields = entry["join"]
    names = ("portal", "id", "card", "want", "time", "password")
    assert join == Join(**{name: fields[name] for name in names})
    assert read_object(join.encode(), 65536) == fields
    again = seal_join(join, link.secret, trusted_cards().newest)
    assert open_join(again, opener("reply", 2), **place) == join


@pytest.mark.parametrize("entry", named("join_refused"))
def test_join_refused(entry: dict[str, str]) -> None:
    with pytest.raises(MailboxDataError) as caught:
        open_join(
            decode_b64(entry["sealed"]),
            opener("reply", 2),
            secret=bytes.fromhex(VECTORS["join"]["secret"]),
            portal=PORTAL,
            id_=entry["id"],
            card=2,
        )
    assert caught.value.code == entry["error"]


def test_gcm_is_nonce_ciphertext_and_tag() -> None:
    sealed = seal_gcm(bytes(32), b"x", b"aad", Drawn(b"n" * 12))
    assert sealed.startswith(b"n" * 12)
    assert len(sealed) == 12 + 1 + 16
    assert open_gcm(bytes(32), sealed, b"aad") == b"x"
