"""The table of replies as a whole."""

from __future__ import annotations

import errno

import pytest

from relay.core.errors import LetterlockError, MessageError, StorageError, StorageFullError
from relay.smtpd import replies
from relay.smtpd.replies import Reply

TABLE = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_reply_has_a_status_of_its_class(name: str) -> None:
    reply = TABLE[name]
    if 300 <= reply.code < 400:
        assert reply.status == ""  # RFC 2034 4
    else:
        major, subject, detail = reply.status.split(".")
        assert int(major) == reply.code // 100
        assert 0 <= int(subject) <= 7
        assert 0 <= int(detail) <= 30
    assert reply.text
    assert reply.text.isascii()
    for line in reply.octets.split(b"\r\n"):
        assert len(line) <= 510  # RFC 5321 4.5.3.1.5


@pytest.mark.parametrize("name", sorted(n for n, r in TABLE.items() if r.code == 421))
def test_421_closes(name: str) -> None:
    assert TABLE[name].closes


def test_lines_of_one_reply() -> None:
    assert Reply(214, "2.0.0", "one\ntwo").octets == b"214-2.0.0 one\r\n214 2.0.0 two\r\n"
    assert Reply(250, "", "mx\nPIPELINING\nHELP").octets == b"250-mx\r\n250-PIPELINING\r\n250 HELP\r\n"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "secret path /var/spool"),
        OSError(errno.EROFS, "x"),
        StorageError("select * from"),
        MessageError("permanent says the intake"),
        LetterlockError("x"),
        ValueError("mail text"),
        KeyError("mail text"),
        MemoryError(),
        RecursionError(),
        TimeoutError(),
        AssertionError("mail text"),
    ],
)
def test_any_error_of_ours_is_temporary_and_says_nothing(error: Exception) -> None:
    reply = replies.for_error(error)
    assert (reply.code, reply.status) == (451, "4.3.0")
    for word in str(error).split():
        assert word not in reply.text.split() or word == "x"


@pytest.mark.parametrize("error", [StorageFullError(), OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x")])
def test_a_full_disk_is_452(error: Exception) -> None:
    assert replies.for_error(error) == replies.STORAGE_FULL
    assert (replies.STORAGE_FULL.code, replies.STORAGE_FULL.status) == (452, "4.3.1")
