"""Log lines never hold what they must not (house rule; G16)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.log import REDACTED, JsonFormatter, Log, configure_logging, redact

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    asked = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = asked
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    "name",
    ["password", "user_password", "subject", "mail_subject", "filename", "text", "mail_text", "body", "pin", "secret",
     "private_key", "reset_code", "plaintext"],
)  # fmt: skip
def test_forbidden_names_are_redacted_at_any_depth(name: str) -> None:
    shown = redact({"a": {name: CANARY}, name: CANARY, "blob": CANARY.encode()})
    assert CANARY not in json.dumps(shown)
    assert shown[name] == REDACTED


def test_harmless_names_stay() -> None:
    assert redact({"exit_code": 1, "message": "m1", "body_type": "7BIT"}) == {
        "exit_code": 1,
        "message": "m1",
        "body_type": "7BIT",
    }


def test_an_exception_is_logged_without_its_message() -> None:
    stream = io.StringIO()
    configure_logging("worker", stream=stream)
    try:
        raise ValueError(CANARY)
    except ValueError:
        Log("test").exception("job-failed", message="m1")
    line = json.loads(stream.getvalue())
    assert line["error"] == "ValueError"
    assert line["message"] == "m1"
    assert any("test_log.py" in place for place in line["places"])
    assert CANARY not in stream.getvalue()


def test_library_lines_lose_their_words() -> None:
    stream = io.StringIO()
    configure_logging("worker", stream=stream)
    logging.getLogger("some.library").warning("read %s", CANARY)
    assert CANARY not in stream.getvalue()
    assert json.loads(stream.getvalue())["logger"] == "some.library"


@given(
    fields=st.dictionaries(
        st.sampled_from(["message", "size", "client", "error", "event", "subject", "reply_code", 'é"']),
        st.text() | st.integers() | st.booleans() | st.none() | st.binary() | st.lists(st.text(), max_size=2),
        max_size=6,
    ),
    event=st.sampled_from(["message-accepted", 'odd "event"']),
)
def test_a_line_is_the_same_however_it_was_put_together(fields: dict[str, object], event: str) -> None:
    record = logging.LogRecord("letterlock.x", logging.INFO, "", 0, event, None, None)
    record.__dict__["fields"] = fields
    record.created = 1_800_000_000.25
    line = json.loads(JsonFormatter("smtpd").format(record))
    expected = {"time": "2027-01-15T08:00:00.250+00:00", "level": "info", "process": "smtpd", "event": event}
    assert line == json.loads(json.dumps(expected | redact(fields)))
    assert list(line) == list(expected | redact(fields))
