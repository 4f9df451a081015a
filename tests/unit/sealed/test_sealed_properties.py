"""What must hold of the sealed formats whatever is put in: sealed-mailbox 19, properties 1, 2, 3, 5 and 8."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_b64, decode_pae, encode_b64, encode_pae
from relay.core.wire.sealed import (
    CardRecord,
    CardSignature,
    MailboxDataError,
    PartOpener,
    PartSealer,
    check_record,
    is_id,
    make_id,
    open_capsule,
    open_down,
    open_join,
    open_row,
    open_self,
    open_simple,
    open_tab,
    open_up,
    read_capsule,
    read_object,
    read_record,
    seal_row,
    seal_self,
    seal_simple,
    seal_tab,
    verify_rekey,
)
from relay.core.wire.sealed import parts as parts_module
from relay.core.wire.sealed.gcm import seal_gcm
from tests.unit.sealed.vectors import BOX, MESSAGE, PORTAL, ROOTS, VECTORS, opener, seed_keys, trusted_cards

KEYS = seed_keys(2)
CARDS = trusted_cards()
REPLY = opener("reply", 2)
DOWN = decode_b64(VECTORS["down"]["sealed"])
UP = decode_b64(VECTORS["up"]["sealed"])
JOIN = decode_b64(VECTORS["join"]["sealed"])
CAPSULE = decode_b64(VECTORS["rekey"]["capsule"])
REKEY = decode_b64(VECTORS["rekey"]["sig"])
KEK = bytes.fromhex(VECTORS["capsule"][1]["kek"])
RECORD = read_record(VECTORS["cards"]["records"][1])
SECRET = bytes.fromhex(VECTORS["join"]["secret"])
MORE = settings(max_examples=200, deadline=None)


def up_with(sealed: bytes, **changes: object) -> object:
    """Open the vector's item, with the outer values changed."""
    place = {
        "sign": KEYS.sign,
        "portal": PORTAL,
        "box": BOX,
        "gen": 2,
        "id_": VECTORS["up"]["id"],
        "card": 2,
        **changes,
    }
    return open_up(sealed, REPLY, **place)  # type: ignore[arg-type]


def join_with(sealed: bytes, **changes: object) -> object:
    """Open the vector's registration, with the outer values changed."""
    place = {"secret": SECRET, "portal": PORTAL, "id_": VECTORS["join"]["id"], "card": 2, **changes}
    return open_join(sealed, REPLY, **place)  # type: ignore[arg-type]


def row_with(sealed: bytes, **changes: str) -> bytes:
    """Open a row, with its place changed."""
    return open_row(bytes(32), b"r" * 32, sealed, **{"table": "box", "box": BOX, "id_": "capsule", **changes})


ROW = seal_row(bytes(32), b"r" * 32, b"value", table="box", box=BOX, id_="capsule")
TAB = seal_tab(b"s" * 32, b"l" * 32, KEYS.seed, portal=PORTAL, box=BOX, gen=2)
SIMPLE = seal_simple(b"c" * 32, b"r" * 32, KEYS.seed, portal=PORTAL, box=BOX, gen=2)
SELF = seal_self(KEYS, "draft", MESSAGE, b"a draft")
OPENERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "manifest": (DOWN, lambda sealed: open_down(sealed, KEYS, CARDS, id_=MESSAGE, no=7)),
    "item": (UP, up_with),
    "registration": (JOIN, join_with),
    "rekeyed capsule": (CAPSULE, lambda octets: verify_rekey(seed_keys(1).sign, octets, REKEY)),
    "rekey's signature": (REKEY, lambda octets: verify_rekey(seed_keys(1).sign, CAPSULE, octets)),
    "card": (RECORD.card, lambda octets: check_record(replace(RECORD, card=octets), portal=PORTAL, root=ROOTS[1])),
    "card's signature": (
        RECORD.sigs[1].sig,
        lambda octets: check_record(
            CardRecord(RECORD.card, (CardSignature(ROOTS[1], octets),)), portal=PORTAL, root=ROOTS[1]
        ),
    ),
    "row": (ROW, row_with),
    "tab": (TAB, lambda blob: open_tab(b"s" * 32, b"l" * 32, blob, portal=PORTAL, box=BOX, gen=2)),
    "simple": (SIMPLE, lambda blob: open_simple(b"c" * 32, b"r" * 32, blob, portal=PORTAL, box=BOX, gen=2)),
    "draft": (SELF, lambda sealed: open_self(KEYS, "draft", MESSAGE, sealed)),
}


# --- 1: any flipped octet ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPENERS)
def test_as_it_is_it_opens(name: str) -> None:
    octets, open_it = OPENERS[name]
    open_it(octets)


@pytest.mark.parametrize("name", OPENERS)
@MORE
@given(data=st.data())
def test_any_flipped_bit_is_refused(name: str, data: st.DataObject) -> None:
    octets, open_it = OPENERS[name]
    changed = bytearray(octets)
    changed[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(MailboxDataError):
        open_it(bytes(changed))


@pytest.mark.parametrize("name", OPENERS)
@MORE
@given(data=st.data())
def test_anything_cut_or_grown_is_refused(name: str, data: st.DataObject) -> None:
    octets, open_it = OPENERS[name]
    cut = data.draw(st.integers(0, len(octets) - 1))
    more = data.draw(st.binary(min_size=1, max_size=20))
    for changed in (octets[:cut], octets + more):
        with pytest.raises(MailboxDataError):
            open_it(changed)


@MORE
@given(data=st.data())
def test_a_capsule_with_a_flipped_bit_gives_the_same_keys_and_body_or_nothing(data: st.DataObject) -> None:
    # Its id, time and maker are bound by the rekey's signature alone.
    opened = open_capsule(read_capsule(CAPSULE, kind="mailbox"), KEK, portal=PORTAL)
    changed = bytearray(CAPSULE)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        again = open_capsule(read_capsule(bytes(changed), kind="mailbox"), KEK, portal=PORTAL)
    except MailboxDataError:
        return
    assert (again.keys, again.body) == (opened.keys, opened.body)


# --- 2: parts ---------------------------------------------------------------------------------------------------------


def seal_part(plaintext: bytes, i: int = 0, key: bytes = bytes(32)) -> list[bytes]:
    """The chunks of a part."""
    return list(PartSealer(key, MESSAGE, i).seal_all([plaintext]))


def open_chunks(chunks: Sequence[bytes], size: int, i: int = 0) -> bytes:
    """Open all chunks and finish."""
    opening = PartOpener(bytes(32), MESSAGE, i, size)
    plaintext = b"".join(map(opening.open_next, chunks))
    opening.finish()
    return plaintext


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 8 octets, so that many of them are quick."""
    monkeypatch.setattr(parts_module, "CHUNK_SIZE", 8)
    monkeypatch.setattr(parts_module, "MAX_SEALED_CHUNK", 8 + 28)


@pytest.mark.usefixtures("small_chunks")
def test_any_list_of_chunks_but_the_true_one_is_refused() -> None:
    @MORE
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        plaintext = data.draw(st.binary(max_size=40))
        chunks = seal_part(plaintext)
        assert open_chunks(chunks, len(plaintext)) == plaintext
        pool = [*chunks, *seal_part(plaintext, i=1), *seal_part(plaintext, key=b"k" * 32)]
        places = data.draw(st.lists(st.integers(0, len(pool) - 1), max_size=len(chunks) + 2))
        other = [pool[place] for place in places]
        if other != chunks:
            with pytest.raises(MailboxDataError):
                open_chunks(other, len(plaintext))

    check()


@pytest.mark.usefixtures("small_chunks")
def test_another_size_than_the_true_one_is_refused() -> None:
    @MORE
    @given(plaintext=st.binary(max_size=40), size=st.integers(0, 60))
    def check(plaintext: bytes, size: int) -> None:
        chunks = seal_part(plaintext)
        if size != len(plaintext):
            with pytest.raises(MailboxDataError):
                open_chunks(chunks, size)

    check()


@pytest.mark.usefixtures("small_chunks")
def test_pieces_of_any_size_make_the_chunks_of_the_whole() -> None:
    @MORE
    @given(pieces=st.lists(st.binary(max_size=20), max_size=6))
    def check(pieces: list[bytes]) -> None:
        whole = b"".join(pieces)
        sealer = PartSealer(bytes(32), MESSAGE, 0)
        chunks = list(sealer.seal_all(pieces))
        assert (sealer.size, sealer.count) == (len(whole), parts_module.count_chunks(len(whole)))
        assert open_chunks(chunks, len(whole)) == whole

    check()


def test_a_sealer_takes_no_short_chunk_before_the_last_and_none_after_it() -> None:
    sealer = PartSealer(bytes(32), MESSAGE, 0)
    with pytest.raises(ValueError, match="short"):
        sealer.seal_next(b"x", last=False)
    with pytest.raises(ValueError, match="short"):
        sealer.seal_next(bytes(parts_module.CHUNK_SIZE + 1), last=True)
    sealer.seal_next(bytes(parts_module.CHUNK_SIZE), last=False)
    with pytest.raises(ValueError, match="empty"):
        sealer.seal_next(b"", last=True)
    sealer.seal_next(b"x", last=True)
    with pytest.raises(ValueError, match="already"):
        sealer.seal_next(b"x", last=True)


# --- 3: one spelling --------------------------------------------------------------------------------------------------

ELEMENTS = st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=10), st.integers(0, 2**53 - 1)), max_size=6)


def octets_of(elements: Sequence[bytes | str | int]) -> list[bytes]:
    """The elements as the label says their types: this is all that PAE must keep apart."""
    return [element if isinstance(element, bytes) else str(element).encode() for element in elements]


@MORE
@given(first=ELEMENTS, second=ELEMENTS)
def test_pae_is_injective(first: list[bytes | str | int], second: list[bytes | str | int]) -> None:
    assert (encode_pae(*first) == encode_pae(*second)) is (octets_of(first) == octets_of(second))
    assert list(decode_pae(encode_pae(*first))) == octets_of(first)


@MORE
@given(text=st.text(st.sampled_from("ABCQgwz019-_=+/ \n\u00e4"), max_size=24))
def test_b64_and_ids_have_one_spelling(text: str) -> None:
    try:
        octets = decode_b64(text)
    except EncodingError:
        assert not is_id(text)
    else:
        assert encode_b64(octets) == text
        assert is_id(text) is (len(octets) == 16)


def test_an_id_is_an_id() -> None:
    assert is_id(make_id())
    assert make_id(bytes) == "A" * 22


JSON_REFUSED = [
    *(b"", b"[]", b"1", b"null", b'"x"', b"{", b"{}{}", b"\xef\xbb\xbf{}", b"{}\0", b'{"a":1}x', b"\xff{}"),
    *(b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'{"x":{"a":1,"a":1}}', b'{"x":[{"a":1,"a":1}]}'),
    *(b'{"a":1.0}', b'{"a":1e2}', b'{"a":-1}', b'{"a":-0}', b'{"a":9007199254740992}', b'{"a":NaN}'),
    *(b'{"a":Infinity}', b'{"a":01}', b'{"a":+1}', b'{"a":[[1.5]]}', b'{"a":' + b"9" * 5000 + b"}"),
    *(b'{"a":"\\ud800"}', b'{"\\udc00":1}', b'{"a":["x","\\ud83d"]}', b'{"a":"\xed\xa0\x80"}', b"{'a':1}"),
    *(b'{"a":"\n"}', b'{"a":1,}', b'{"a":' + b"[" * 30000 + b"]" * 30000 + b"}"),
]


@pytest.mark.parametrize("octets", JSON_REFUSED, ids=lambda octets: repr(octets[:24]))
def test_what_json_is_not(octets: bytes) -> None:
    with pytest.raises(MailboxDataError) as caught:
        read_object(octets, 10**6)
    assert caught.value.code == "format"


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 2**53 - 1), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)


@MORE
@given(values=st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=5), ascii_only=st.booleans())
def test_what_json_is(values: dict[str, object], ascii_only: bool) -> None:
    octets = json.dumps(values, ensure_ascii=ascii_only).encode()
    assert read_object(octets, len(octets)) == values
    with pytest.raises(MailboxDataError, match="size"):
        read_object(octets, len(octets) - 1)


# --- 5: any outer field -----------------------------------------------------------------------------------------------

OTHER = VECTORS["join"]["id"]


@pytest.mark.parametrize(
    "change", [{"portal": OTHER}, {"box": OTHER}, {"gen": 1}, {"gen": 3}, {"id_": OTHER}, {"card": 1}]
)
def test_an_item_of_another_place_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MailboxDataError) as caught:
        up_with(UP, **change)
    assert caught.value.code == "auth"


@pytest.mark.parametrize("change", [{"portal": OTHER}, {"id_": MESSAGE}, {"card": 1}])
def test_a_registration_of_another_place_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MailboxDataError) as caught:
        join_with(JOIN, **change)
    assert caught.value.code == "auth"


@pytest.mark.parametrize("change", [{"table": "message"}, {"box": OTHER}, {"id_": "other"}])
def test_a_row_of_another_place_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(MailboxDataError):
        row_with(ROW, **change)


@pytest.mark.parametrize(
    "keys",
    [replace(KEYS, portal=OTHER), replace(KEYS, box=OTHER), replace(KEYS, gen=1), replace(KEYS, gen=3), seed_keys(1)],
)
def test_a_manifest_or_draft_of_another_place_is_refused(keys: object) -> None:
    with pytest.raises(MailboxDataError):
        open_down(DOWN, keys, CARDS, id_=MESSAGE)  # type: ignore[arg-type]
    with pytest.raises(MailboxDataError):
        open_self(keys, "draft", MESSAGE, SELF)  # type: ignore[arg-type]


def test_a_row_key_or_pepper_of_a_wrong_length_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="32"):
        seal_row(b"short", bytes(32), b"", table="t", box=BOX, id_="x")


# --- 8: nonces --------------------------------------------------------------------------------------------------------


def test_no_nonce_comes_twice() -> None:
    nonces = [chunk[:12] for _ in range(50) for chunk in seal_part(b"same")]
    nonces += [seal_gcm(bytes(32), b"same", b"")[:12] for _ in range(50)]
    nonces += [seal_self(KEYS, "draft", MESSAGE, b"same")[:12] for _ in range(50)]
    assert len(set(nonces)) == len(nonces)
