"""Calls of the mailbox keys between keyd and its clients: what one end writes the other reads; nonsense is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import KeyStoreError
from relay.core.ports import Actor, Grant
from relay.core.ports_mailbox import CapsuleOrder, CardRequest, KeptGeneration, MadeCapsule
from relay.core.wire.sealed import CODES, CardRecord, CardSignature, MailboxDataError
from relay.keystore.grants import Operation
from relay.keystore.mailbox_wire import (
    card_call,
    cards_result,
    made_result,
    order_call,
    read_card_call,
    read_cards_result,
    read_made_result,
    read_order_call,
)
from relay.keystore.protocol import (
    Call,
    Reply,
    Request,
    Result,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)

MORE = settings(max_examples=200, deadline=None)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
COUNT = st.integers(0, 2**53 - 1)
KEY = st.binary(min_size=32, max_size=32)
GRANT = Grant("mailbox", "box-1", "process:link")
ORDERS = st.builds(
    CapsuleOrder,
    kind=TEXT,
    portal=TEXT,
    box=TEXT,
    gen=COUNT,
    name=st.none() | TEXT,
    kdf=COUNT,
    kek=KEY,
    av=KEY,
    form=st.none() | TEXT,
)
KEPT = st.lists(
    st.builds(KeptGeneration, st.binary(max_size=50), st.none() | st.binary(min_size=1, max_size=50)), max_size=4
)
REQUESTS = st.builds(
    CardRequest,
    portal=TEXT,
    org=TEXT,
    escrow=st.booleans(),
    distrust=st.lists(COUNT, max_size=5).map(tuple),
    new_root=st.booleans(),
    drop_roots=st.booleans(),
    after=COUNT,
    newest=st.none() | COUNT,
)
RECORDS = st.lists(
    st.builds(
        CardRecord,
        st.binary(max_size=50),
        st.lists(
            st.builds(CardSignature, st.binary(min_size=65, max_size=65), st.binary(min_size=64, max_size=64)),
            max_size=3,
        ).map(tuple),
    ),
    max_size=4,
).map(tuple)


def travel(call: Call) -> Call:
    """Through a frame and back."""
    return decode_request(encode_request(Request(1, Operation.MAILBOX_NEXT, (call,)))[4:]).calls[0]


def travel_back(result: Result) -> Result:
    """Through a frame and back."""
    return decode_reply(encode_reply(Reply(1, (result,)))[4:]).results[0]


@MORE
@given(order=ORDERS, kept=KEPT)
def test_an_order_arrives_as_it_was(order: CapsuleOrder, kept: list[KeptGeneration]) -> None:
    assert read_order_call(travel(order_call(order, kept, GRANT))) == (order, kept)


@MORE
@given(request=REQUESTS)
def test_a_ceremony_arrives_as_it_was(request: CardRequest) -> None:
    call = travel(card_call(request, Actor("operator", "admin")))
    assert read_card_call(call) == request
    assert call.actor == "operator:admin"


@MORE
@given(
    made=st.builds(
        MadeCapsule,
        st.binary(max_size=50),
        st.none() | st.binary(min_size=1, max_size=50),
        st.lists(COUNT, max_size=9).map(tuple),
    ),
    records=RECORDS,
)
def test_answers_arrive_as_they_were(made: MadeCapsule, records: tuple[CardRecord, ...]) -> None:
    assert read_made_result(travel_back(made_result(made))) == made
    assert read_cards_result(travel_back(cards_result(records))) == records


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_refusal_keeps_code_and_words(code: str) -> None:
    error = MailboxDataError(code, "a capsule is of another box")
    with pytest.raises(MailboxDataError) as caught:
        travel_back(Result.of_error(error)).raise_error()
    assert (caught.value.code, str(caught.value)) == (code, str(error))


def test_an_unknown_code_is_a_refusal_still() -> None:
    with pytest.raises(MailboxDataError) as caught:
        Result(error="mailbox", key_id="else", text="x").raise_error()
    assert caught.value.code == "format"


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@MORE
@given(data=st.binary(max_size=80), context=st.binary(max_size=80), number=COUNT)
def test_nonsense_is_refused_in_our_words(data: bytes, context: bytes, number: int) -> None:
    call = Call(number=number, context=context, data=data)
    for read in (read_order_call, read_card_call):
        with pytest.raises(KeyStoreError):
            read(call)
    for answer in (read_made_result, read_cards_result):
        try:
            answer(Result(data=data))
        except KeyStoreError:
            continue


@MORE
@given(data=st.data())
def test_one_value_is_another(data: st.DataObject) -> None:
    order = CapsuleOrder("mailbox", "p", "b", 2, "n", 1, bytes(32), bytes(32))
    good = {
        "order": order_call(order, (), GRANT).data,
        "card": card_call(CardRequest("p", "o"), Actor("operator", "a")).data,
    }
    for name, reader in (("order", read_order_call), ("card", read_card_call)):
        values = json.loads(good[name])
        values[data.draw(st.sampled_from(sorted(values)))] = data.draw(ODD)
        try:
            reader(Call(data=json.dumps(values).encode()))
        except KeyStoreError:
            continue
