"""The sender of a mail that the gateway sets aside, or that waits in the worker for hours, hears of it once."""

from __future__ import annotations

import pytest

from relay.core.clock import HOUR, MINUTE, SECOND
from relay.core.envelope import Side
from relay.core.ports import Actor
from relay.scheduler.asides import AsideJob
from relay.spool.claims import claim_work, release_copies
from tests.contract.actions.stage import ANNA, BEN, JONAS, Stage, text_of


@pytest.fixture
def job(stage: Stage) -> AsideJob:
    made = AsideJob(stage.db, lambda: stage.organisation, stage.mailer(Actor("process", "test/scheduler")))
    assert made.run() == "told 0"
    stage.clock.advance(10 * SECOND)
    return made


def kill_thrice(stage: Stage) -> None:
    """Let the only mail that is due bring its worker down until it is shunted."""
    for _ in range(3):
        (work,) = claim_work(stage.db, "worker-1", 1)
        release_copies(stage.db, work.copies)
        stage.clock.advance(10)
    assert claim_work(stage.db, "worker-1", 1) == []


def test_a_mail_that_kills_its_worker_is_told_to_its_sender(stage: Stage, job: AsideJob) -> None:
    message_id = stage.send(subject="Secret merger")
    kill_thrice(stage)
    assert stage.states(message_id) == {JONAS: "shunted"}
    assert job.run() == "told 0"
    stage.clock.advance(10 * SECOND)
    assert job.run() == "told 1"
    (notice,) = stage.told(ANNA)
    assert message_id in text_of(notice)
    assert JONAS in text_of(notice)
    assert "support team" in text_of(notice)
    assert "late because of a fault" not in text_of(notice)
    assert "merger" not in notice.as_string()
    stage.clock.advance(MINUTE)
    assert job.run() == "told 0"


@pytest.mark.parametrize("more", [{"reverse_path": "x@agency.example"}, {"reverse_path": ""}, {"side": Side.OUTSIDE}])
def test_nobody_outside_is_told(stage: Stage, job: AsideJob, more: dict[str, object]) -> None:
    stage.send(**more)  # type: ignore[arg-type]
    kill_thrice(stage)
    stage.clock.advance(10 * SECOND)
    assert job.run() == "told 0"


def test_a_long_wait_in_the_worker_is_told_once_and_to_whom_the_decision_names(stage: Stage, job: AsideJob) -> None:
    stage.keys.away = {"seal"}
    ids = [stage.send(sender=ANNA, reverse_path=BEN) for _ in range(2)]
    for hours in (0, 3, 2, 1):
        stage.clock.advance(hours * HOUR)
        stage.work()
        stage.clock.advance(10 * SECOND)
        job.run()
    (notice,) = stage.told(ANNA)
    assert all(one in text_of(notice) for one in ids)
    assert "late because of a fault" in text_of(notice)
    assert "could not be processed" not in text_of(notice)
    assert not stage.told(BEN)
    stage.keys.away = set()
    stage.clock.advance(2 * HOUR)
    stage.work()
    assert [stage.states(one) for one in ids] == [{JONAS: "queued"}] * 2
