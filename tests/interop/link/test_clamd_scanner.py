"""The scanner's client against a real clamd with one signature of its own: the harmless EICAR test file."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from base64 import encodebytes
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.link.scanner import TOO_LARGE, ClamdScanner, ScannerError
from relay.mailbox.incoming_reply import ScanVerdict

# Put together here, so that no scanner takes this file for the real thing.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_LIMIT = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def clamd() -> Iterator[ClamdScanner]:
    program = shutil.which("clamd") or "/usr/sbin/clamd"
    if not Path(program).exists():
        pytest.fail("clamd is not installed. Run: apt-get install -y clamav-daemon", pytrace=False)
    folder = Path(tempfile.mkdtemp(prefix="ll-clamd-"))
    database = folder / "database"
    database.mkdir()
    digest = hashlib.sha256(EICAR).hexdigest()
    (database / "test.hsb").write_text(f"{digest}:{len(EICAR)}:Letterlock.Eicar:73\n")
    socket_path = folder / "clamd.sock"
    user = pwd.getpwuid(os.geteuid()).pw_name
    (folder / "clamd.conf").write_text(
        f"DatabaseDirectory {database}\nLocalSocket {socket_path}\nForeground yes\nUser {user}\n"
        f"TemporaryDirectory {folder}\nStreamMaxLength {_LIMIT}\nMaxThreads 2\nBytecode no\nLogFile {folder}/log\n"
    )
    process = subprocess.Popen(
        [program, "--config-file", str(folder / "clamd.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not socket_path.exists():
            assert process.poll() is None, (folder / "log").read_text() if (folder / "log").exists() else "clamd ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield ClamdScanner(f"unix:{socket_path}")
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def scan(scanner: ClamdScanner, *pieces: bytes) -> ScanVerdict:
    session = scanner.begin()
    try:
        for piece in pieces:
            session.feed(piece)
        return session.finish()
    finally:
        session.close()


def mail_with(content: bytes) -> bytes:
    return (
        b"From: anna@partner.example\r\nTo: maria@bank.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n'
        b'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="a.com"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + encodebytes(content).replace(b"\n", b"\r\n") + b"--b--\r\n"
    )


def test_a_harmless_mail_is_clean(clamd: ClamdScanner) -> None:
    assert scan(clamd, mail_with(b"harmless")) == ScanVerdict(is_clean=True)
    assert scan(clamd) == ScanVerdict(is_clean=True)


def test_a_file_inside_a_mail_is_found_in_pieces_of_any_size(clamd: ClamdScanner) -> None:
    mail = mail_with(EICAR)
    for size in (len(mail), 7, 1):
        pieces = [mail[at : at + size] for at in range(0, len(mail), size)]
        verdict = scan(clamd, *pieces)
        assert not verdict.is_clean
        assert verdict.signature.startswith("Letterlock.Eicar")


def test_what_is_larger_than_it_takes_is_not_cleared(clamd: ClamdScanner) -> None:
    pieces = [os.urandom(256 * 1024) for _ in range(3 * _LIMIT // (256 * 1024))]
    assert scan(clamd, *pieces) == ScanVerdict(is_clean=False, signature=TOO_LARGE)


def test_a_scanner_that_is_away_is_temporary(tmp_path: Path) -> None:
    for address in (f"unix:{tmp_path}/none.sock", "tcp:127.0.0.1:1"):
        with pytest.raises(ScannerError) as caught:
            ClamdScanner(address).begin()
        assert caught.value.temporary
