"""The portal's chain of events: what was written stays provable after somebody took over the host."""

from __future__ import annotations

import fcntl
import io
import json
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from portal.audit import AuditChain, AuditError, audit_folder, begin_chains, verify_chain, verify_files
from portal.cli import main
from portal.installation import Choices, create_portal
from relay.core.errors import ConfigurationError
from relay.core.wire.pae import encode_b64
from tests.contract.store.databases import SteppedClock


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o2770)
    (tmp_path / "state").chmod(0o2770)
    return tmp_path / "state"


@pytest.fixture
def first_key(state: Path) -> bytes:
    """A chain of five lines at web, one at link."""
    key = begin_chains(state)
    web, link = (AuditChain(state, name, SteppedClock()) for name in ("web", "link"))
    for number in range(5):
        web.note("signed-in", box="ENJHhdjed6rBfPOxg9HE-w", kind="mailbox", gen=number)
    link.note("reconciled", mark=1)
    return key


def files(state: Path) -> tuple[Path, Path]:
    return audit_folder(state) / "web.jsonl", audit_folder(state) / "web.key"


def test_lines_are_events_that_follow_each_other(state: Path, first_key: bytes) -> None:
    assert verify_files(audit_folder(state), first_key) == {"web": 5, "link": 1}
    assert verify_files(audit_folder(state), None) == {"web": 5, "link": 1}
    log, _ = files(state)
    lines = [json.loads(line) for line in log.read_text("ascii").splitlines()]
    assert [(line["n"], line["event"], line["gen"]) for line in lines] == [(n + 1, "signed-in", n) for n in range(5)]
    # The first key is nowhere, and link's files are closed to web's user.
    assert encode_b64(first_key) not in "".join(path.read_text("ascii") for path in audit_folder(state).iterdir())
    modes = {path.name: path.stat().st_mode & 0o777 for path in audit_folder(state).iterdir()}
    assert modes == {"web.jsonl": 0o660, "web.key": 0o660, "link.jsonl": 0o600, "link.key": 0o600}
    assert audit_folder(state).stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    "what", ["changed", "taken-out", "exchanged", "cut-off", "emptied", "made-anew", "key-put-back"]
)
def test_whoever_comes_later_cannot_change_what_was(state: Path, first_key: bytes, what: str) -> None:
    log, key = files(state)
    lines = log.read_bytes().splitlines(keepends=True)
    if what == "changed":
        lines[2] = lines[2].replace(b'"gen":2', b'"gen":7')
    if what == "taken-out":
        del lines[1]
    if what == "exchanged":
        lines[1], lines[2] = lines[2], lines[1]
    if what == "cut-off":
        lines = lines[:3]
    if what == "emptied":
        lines = []
    if what == "key-put-back":
        lines = lines[:3]
        n, _, rest = key.read_text("ascii").partition(" ")
        key.write_text(f"{int(n) - 2:020d} {rest}", "ascii")
    log.write_bytes(b"".join(lines))
    if what == "made-anew":
        for path in audit_folder(state).iterdir():
            path.unlink()
        begin_chains(state)
        AuditChain(state, "web", SteppedClock()).note("signed-in", box="ENJHhdjed6rBfPOxg9HE-w")
    with pytest.raises(AuditError, match="web: "):
        verify_files(audit_folder(state), first_key)


@pytest.mark.parametrize("what", ["line-torn", "key-behind"])
def test_a_crash_in_the_middle_leaves_a_good_chain(state: Path, first_key: bytes, what: str) -> None:
    log, key = files(state)
    before = key.read_bytes()
    AuditChain(state, "web", SteppedClock()).note("rekeyed", gen=6)
    if what == "line-torn":
        log.write_bytes(log.read_bytes()[:-20])
    key.write_bytes(before)
    if what == "key-behind":
        assert verify_files(audit_folder(state), first_key)["web"] == 6
    AuditChain(state, "web", SteppedClock()).note("rekeyed", gen=7)
    assert verify_files(audit_folder(state), first_key)["web"] == (6 if what == "line-torn" else 7)


class ShortFile(io.FileIO):
    """What a disk does that is full before the line's end."""

    def write(self, octets: Any, /) -> int:
        return super().write(bytes(octets)[:-20])


def test_a_full_disk_breaks_no_chain(state: Path, first_key: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    key = files(state)[1].read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode, buffering: ShortFile(path, mode))
        AuditChain(state, "web", SteppedClock()).note("rekeyed", gen=6)
    assert files(state)[1].read_bytes() == key
    assert not files(state)[0].read_bytes().endswith(b"\n")
    assert verify_files(audit_folder(state), first_key)["web"] == 5
    AuditChain(state, "web", SteppedClock()).note("rekeyed", gen=7)
    assert verify_files(audit_folder(state), first_key)["web"] == 6


def test_who_verifies_stops_nobody_from_writing(state: Path, first_key: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(chain: str, lines: Iterable[bytes], *keys: bytes | None) -> int:
        with (audit_folder(state) / f"{chain}.key").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        AuditChain(state, chain, SteppedClock()).note("signed-in")
        return verify_chain(chain, lines, *keys)

    monkeypatch.setattr("portal.audit.verify_chain", verify)
    assert verify_files(audit_folder(state), first_key) == {"web": 5, "link": 1}
    assert verify_files(audit_folder(state), first_key) == {"web": 6, "link": 2}


def test_a_copy_is_good_when_its_keys_were_copied_first(state: Path, first_key: bytes, tmp_path: Path) -> None:
    """As the operator's page says it, with sign-ins between the two and a line that is just being written."""
    copy = tmp_path / "copy"
    shutil.copytree(audit_folder(state), copy)
    chain = AuditChain(state, "web", SteppedClock())
    for _ in range(2):
        chain.note("signed-in")
    lines, key = (path.read_bytes() for path in files(state))
    (copy / "web.jsonl").write_bytes(lines + lines[:50])
    assert verify_files(copy, first_key)["web"] == 7
    # The other way round it cannot be told from lines that were taken away.
    (copy / "web.key").write_bytes(key)
    (copy / "web.jsonl").write_bytes(b"".join(lines.splitlines(keepends=True)[:6]))
    with pytest.raises(AuditError, match="missing at the end"):
        verify_files(copy, first_key)


def test_threads_and_processes_write_one_chain(state: Path, first_key: bytes) -> None:
    def write() -> None:
        chain = AuditChain(state, "web", SteppedClock())
        for number in range(5):
            chain.note("signed-in", gen=number)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify_files(audit_folder(state), first_key)["web"] == 20


def test_a_broken_or_missing_chain_stops_nobody(state: Path) -> None:
    AuditChain(state, "web", SteppedClock()).note("signed-in")
    with pytest.raises(ConfigurationError, match="audit begin"):
        verify_files(audit_folder(state), None)
    begin_chains(state)
    files(state)[1].write_bytes(b"junk")
    AuditChain(state, "web", SteppedClock()).note("signed-in")
    assert files(state)[0].read_bytes() == b""
    with pytest.raises(ConfigurationError, match="already"):
        begin_chains(state)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "p"
    create_portal(folder, Choices("https://portal.bank.example", "Example Bank", "+49 241 123 456"))
    assert main(["--config", str(folder), "audit", "begin"]) == 0
    (tmp_path / "key").write_text(capsys.readouterr().out.splitlines()[0])
    AuditChain(folder / "state", "link", SteppedClock()).note("reconciled", mark=1)
    verify = ["--config", str(folder), "audit", "verify", "--key-file", str(tmp_path / "key")]
    assert main(verify) == 0
    assert "link: 1 events, unchanged" in capsys.readouterr().out
    # A copy, on a host that has no portal.
    (folder / "state" / "audit").rename(tmp_path / "copy")
    assert main([*verify[2:], "--folder", str(tmp_path / "copy")]) == 0
    (tmp_path / "copy").rename(folder / "state" / "audit")
    capsys.readouterr()
    assert main(verify[:4]) == 0
    assert "Without the first key" in capsys.readouterr().out
    (folder / "state/audit/link.jsonl").write_bytes(b"")
    assert main(verify) == 65
    assert "missing at the end" in capsys.readouterr().err
