"""The audit log: on disk before it returns, bound line to line, and shut when it cannot be written."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.clock import ManualClock
from relay.core.errors import KeyStoreError
from relay.keystore.audit import FILE_NAME, AuditLog, list_segments, verify_audit

ENTRY = {"role": "worker", "operation": "open"}


@contextlib.contextmanager
def log_in(directory: Path, segment_size: int = 10_000_000) -> Iterator[AuditLog]:
    log = AuditLog(directory, ManualClock(), segment_size)
    try:
        yield log
    finally:
        log.close()


def test_lines_are_chained_over_restarts(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        log.append([ENTRY, {"role": "deliver"}])
        assert log.head().seq == 2
    with log_in(tmp_path) as log:
        log.append([ENTRY])
        head = log.head()
    lines = [json.loads(line) for line in (tmp_path / FILE_NAME).read_bytes().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert [line["prev"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    assert lines[0]["at"] == ManualClock().ms
    report = verify_audit(list_segments(tmp_path))
    assert (report.problem, report.seq, report.hash) == ("", head.seq, head.hash)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_threads_share_writes_and_lose_nothing(tmp_path: Path) -> None:
    with log_in(tmp_path, segment_size=5000) as log:

        def work(number: int) -> None:
            for n in range(25):
                log.append([{"who": number, "n": n}])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    segments = list_segments(tmp_path)
    assert len(segments) > 3
    assert verify_audit(segments).seq == 200
    lines = [json.loads(line) for path in segments for line in path.read_bytes().splitlines()]
    assert {(line["who"], line["n"]) for line in lines} == {(who, n) for who in range(8) for n in range(25)}


def test_a_renamed_file_goes_on_in_a_new_one(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        log.append([ENTRY])
        (tmp_path / FILE_NAME).rename(tmp_path / f"{FILE_NAME}.1")
        log.append([ENTRY])
        (tmp_path / FILE_NAME).unlink()
        log.append([ENTRY])
    assert verify_audit([tmp_path / f"{FILE_NAME}.1"]).seq == 1
    report = verify_audit(list_segments(tmp_path))
    assert (report.seq, report.problem) == (1, "a line is missing or doubled")


def test_packed_files_do_not_stop_keyd(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        log.append([ENTRY, ENTRY])
        (tmp_path / FILE_NAME).rename(tmp_path / f"{FILE_NAME}.1.gz")
        log.append([ENTRY])
    with log_in(tmp_path) as log:
        log.append([ENTRY])
        assert log.head().seq == 4


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_change_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    directory = tmp_path_factory.mktemp("audit")
    with log_in(directory) as log:
        for n in range(4):
            log.append([{"n": n}])
    path = directory / FILE_NAME
    octets = bytearray(path.read_bytes())
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(octets)
    assert verify_audit([path]).problem


@pytest.mark.parametrize(("order", "problem"), [([0, 2, 3], "missing"), ([1, 0, 2], "missing"), ([0, 0, 1], "missing")])
def test_lines_taken_out_or_moved_are_found(tmp_path: Path, order: list[int], problem: str) -> None:
    with log_in(tmp_path) as log:
        log.append([{"n": n} for n in range(4)])
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[n] for n in order))
    assert problem in verify_audit([path]).problem


def test_a_forged_line_does_not_follow(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with log_in(tmp_path / name) as log:
            log.append([{"who": name}])
            log.append([{"who": name}])
    lines = [(tmp_path / name / FILE_NAME).read_bytes().splitlines(keepends=True) for name in ("a", "b")]
    forged = tmp_path / "forged"
    forged.write_bytes(lines[0][0] + lines[1][1])
    assert "does not follow" in verify_audit([forged]).problem


def test_lines_cut_off_the_end_are_found_by_who_kept_the_head(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        log.append([ENTRY, ENTRY])
        head = log.head()
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    report = verify_audit([path])
    assert report.problem == ""
    assert report.seq < head.seq


@given(cut=st.integers(1, 150))
@settings(max_examples=30, deadline=None)
def test_a_torn_last_line_is_dropped(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    directory = tmp_path_factory.mktemp("audit")
    with log_in(directory) as log:
        log.append([ENTRY])
        log.append([ENTRY])
    path = directory / FILE_NAME
    octets = path.read_bytes()
    path.write_bytes(octets[:-cut])
    with log_in(directory) as log:
        assert log.head().seq == 1
        log.append([ENTRY])
    assert (verify_audit([path]).problem, verify_audit([path]).seq) == ("", 2)


@pytest.mark.parametrize(
    "octets", [b"something else\n", b'{"seq":1}\n', b'{"seq":"x","prev":""}\n', b"[" * 30000 + b"\n"]
)
def test_a_damaged_log_stops_the_start(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(octets)
    with pytest.raises(KeyStoreError, match="look"):
        AuditLog(tmp_path, ManualClock())


def test_a_failed_write_shuts_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with log_in(tmp_path) as log:
        log.append([ENTRY])

        def fail(fd: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(KeyStoreError) as caught:
            log.append([ENTRY])
        assert caught.value.temporary
        monkeypatch.undo()
        with pytest.raises(KeyStoreError, match="restart"):
            log.append([ENTRY])


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, ManualClock())
    log.append([])
    log.close()
    log.close()
    with pytest.raises(KeyStoreError):
        log.append([ENTRY])
