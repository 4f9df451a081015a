"""What each outcome means for the copy's row and for the sender: the table, without database or network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.decision import Method
from relay.core.envelope import BodyType, Side
from relay.core.lifecycle import State, is_step
from relay.core.ports import WrappedMailKey
from relay.delivery.endings import plan_ending
from relay.delivery.errors import Why
from relay.delivery.outcome import Deferred, Delivered, Failed
from relay.message.dsn import Action
from relay.spool.values import Delivery
from relay.store.repositories.copies import StoredCopy
from relay.store.repositories.messages import StoredMessage
from relay.store.repositories.variants import StoredVariant

BEGAN = 1_800_000_000_000
HOP = "outside:mx.example:25"


def make(
    age: int = MINUTE, told: bool = False, notify: frozenset[str] | None = None, attempts: int = 1, tls: bool = False
) -> Delivery:
    message = StoredMessage(
        "m", "main", BEGAN, "in", Side.INSIDE, "127.0.0.1", "h", None, None, "a@bank.example", None, None,
        BodyType.SEVEN_BIT, False, tls, 10, "", "client", None, None,
    )  # fmt: skip
    copy = StoredCopy(
        "c", "m", "main", "b@partner.example", "b@partner.example", notify, None, State.QUEUED, 0, HOP, "d",
        BEGAN + age + MINUTE, attempts, 1, BEGAN + age + 5 * MINUTE, "me", 7, "", "", BEGAN,
        BEGAN + 4 * HOUR if told else None, BEGAN + 3, Method.PASS,
    )  # fmt: skip
    variant = StoredVariant("m", 0, "original", "a@bank.example", 10, None)
    key = WrappedMailKey("e", 2, b"")
    return Delivery(message, key, variant, HOP, (copy,), "me", BEGAN + age, BEGAN + age + 5 * MINUTE)


def plan(delivery: Delivery, outcome, hop: str | None = HOP):
    return plan_ending(delivery, delivery.copies[0], outcome, hop)


@pytest.mark.parametrize(
    ("age", "told", "state", "action", "status"),
    [
        (MINUTE, False, State.DEFERRED, None, "4.7.1"),
        (4 * HOUR - 1, False, State.DEFERRED, None, "4.7.1"),
        (4 * HOUR, False, State.DEFERRED, Action.DELAYED, "4.7.1"),
        (4 * HOUR, True, State.DEFERRED, None, "4.7.1"),
        (5 * DAY - 1, True, State.DEFERRED, None, "4.7.1"),
        (5 * DAY, True, State.FAILED, Action.FAILED, "4.4.7"),
        (5 * DAY, False, State.FAILED, Action.FAILED, "4.4.7"),
    ],
)
@pytest.mark.parametrize("why", [Why.REPLY, Why.TLS, Why.DOUBTFUL, Why.INTERNAL, Why.ROUTE])
def test_deferred_by_age(age, told, state, action, status, why):
    ending = plan(make(age, told), Deferred("4.7.1", "451 4.7.1 later", why))
    assert ending.settlement is not None
    assert (ending.settlement.state, ending.action, ending.settlement.status) == (state, action, status)
    assert ending.settlement.delay_notified == (action is Action.DELAYED)
    assert ending.settlement.next_at is None, "the claim has stored the time of the next attempt"


@pytest.mark.parametrize("why", [Why.HOP_DOWN, Why.KEYS])
def test_not_tried_is_given_back_until_it_is_late(why):
    outcome = Deferred("4.4.1", "waiting", why)
    for age, told in ((MINUTE, False), (4 * HOUR, True)):
        ending = plan(make(age, told), outcome)
        assert ending.settlement is None
        assert ending.action is None
    late = plan(make(4 * HOUR), outcome)
    assert late.settlement is not None
    assert late.action is Action.DELAYED
    assert plan(make(5 * DAY), outcome).action is Action.FAILED


def test_a_copy_given_back_keeps_its_place():
    outcome = Deferred("4.4.1", "waiting", Why.HOP_DOWN)
    assert plan(make(), outcome).retry_at == BEGAN
    assert plan(make(attempts=3), outcome).retry_at == BEGAN + 3


@pytest.mark.parametrize(
    ("delivery", "hop"), [(make(), "outside:other.example:25"), (make(), None), (make(tls=True), HOP)]
)
def test_what_claims_could_not_skip_is_not_given_back(delivery, hop):
    """Else a hop that is down under another name would be claimed in a hot loop."""
    ending = plan(delivery, Deferred("4.4.1", "waiting", Why.HOP_DOWN), hop)
    assert ending.settlement is not None
    assert ending.settlement.state is State.DEFERRED
    assert ending.settlement.hop == (hop if hop and hop != HOP else None)


def test_refused_is_final_and_told():
    ending = plan(make(), Failed("5.1.1", "550 5.1.1 no"))
    assert ending.settlement is not None
    assert (ending.settlement.state, ending.action) == (State.FAILED, Action.FAILED)


@pytest.mark.parametrize("why", [Why.APPROVAL, Why.KEY_GONE])
def test_unapproved_is_shunted_never_bounced_however_old(why):
    for age in (MINUTE, 5 * DAY):
        ending = plan(make(age), Deferred("4.7.0", "no", why))
        assert ending.settlement is not None
        assert (ending.settlement.state, ending.action) == (State.SHUNTED, None)


@pytest.mark.parametrize(
    ("notify", "passed_on", "action"),
    [
        (None, False, None),
        (frozenset({"FAILURE"}), False, None),
        (frozenset({"NEVER"}), False, None),
        (frozenset({"SUCCESS"}), True, None),
        (frozenset({"SUCCESS", "DELAY"}), False, Action.RELAYED),
    ],
)
def test_relayed(notify, passed_on, action):
    ending = plan(make(notify=notify), Delivered("2.0.0", "250 Ok", "mx", passed_on))
    assert ending.settlement is not None
    assert (ending.settlement.state, ending.action) == (State.DELIVERED, action)


@given(
    st.integers(0, 10 * DAY),
    st.booleans(),
    st.sampled_from(Why).flatmap(
        lambda why: st.sampled_from([Deferred("4.0.0", "x", why), Failed("5.0.0", "x", why), Delivered("2.0.0", "x")])
    ),
    st.sampled_from([HOP, "outside:x:1", None]),
    st.booleans(),
)
def test_every_ending_is_a_step_that_exists(age, told, outcome, hop, tls):
    delivery = make(age, told, tls=tls)
    ending = plan(delivery, outcome, hop)
    if ending.settlement is not None:
        assert is_step(State.QUEUED, ending.settlement.state)
        assert ending.settlement.fence == 7
        delivered = ending.settlement.state is State.DELIVERED
        assert delivered == isinstance(outcome, Delivered)
        if ending.settlement.state is State.FAILED:
            assert isinstance(outcome, Failed) or age >= 5 * DAY
