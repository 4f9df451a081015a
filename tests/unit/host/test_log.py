"""Log lines never hold what they must not (house rule; G16)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from relay.log import REDACTED, Log, configure_logging, redact

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
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
