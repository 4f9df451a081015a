"""The one table of a box's states: nothing leaves `closed`, only a first password expires."""

from __future__ import annotations

import itertools

import pytest

from relay.mailbox.states import MAKES_GENERATION, BoxEvent, BoxState, BoxStateError, next_state


def test_first_life_of_a_mailbox() -> None:
    state = BoxState.FIRST
    for event, after in (
        (BoxEvent.MAIL, BoxState.FIRST),
        (BoxEvent.EXPIRE, BoxState.EXPIRED),
        (BoxEvent.MAIL, BoxState.FIRST),
        (BoxEvent.REKEY, BoxState.ACTIVE),
        (BoxEvent.REKEY, BoxState.ACTIVE),
        (BoxEvent.RESET, BoxState.FIRST),
        (BoxEvent.CLOSE, BoxState.CLOSED),
    ):
        state = next_state(state, event)
        assert state is after


@pytest.mark.parametrize("event", list(BoxEvent))
def test_nothing_leaves_closed(event: BoxEvent) -> None:
    with pytest.raises(BoxStateError):
        next_state(BoxState.CLOSED, event)


def test_own_password_neither_expires_nor_is_sent_again() -> None:
    for event in (BoxEvent.EXPIRE, BoxEvent.RESEND):
        with pytest.raises(BoxStateError):
            next_state(BoxState.ACTIVE, event)


def test_every_new_first_password_is_one_of_a_new_generation() -> None:
    """An old seed is never wrapped again: whatever ends in `first` from elsewhere makes a generation."""
    for state, event in itertools.product(BoxState, BoxEvent):
        try:
            after = next_state(state, event)
        except BoxStateError:
            assert (state, event) not in MAKES_GENERATION
            continue
        if after is BoxState.FIRST and state is not BoxState.FIRST:
            assert (state, event) in MAKES_GENERATION
        if (state, event) in MAKES_GENERATION:
            assert after is BoxState.FIRST


def test_refusal_is_final_and_says_what_to_do() -> None:
    with pytest.raises(BoxStateError, match="use reset") as caught:
        next_state(BoxState.ACTIVE, BoxEvent.RESEND)
    assert caught.value.temporary is False
