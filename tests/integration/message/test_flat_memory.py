"""A message of 35 MB in a process of its own: parsed, its file read and a carrier made, in flat memory."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import hashlib, resource, sys
from relay.message.compose import CarrierMail, MailBrand, write_carrier
from relay.message.encode import read_chunks
from relay.message.parse import parse_message

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

with open(sys.argv[1], "rb") as stream:
    # Once small, so that everything is loaded; then large.
    b"".join(write_carrier(CarrierMail(parse_message(open(sys.argv[2], "rb")).fields, MailBrand("x"), "h"), [b"x"]))
    before = peak()
    parsed = parse_message(stream)
    assert parsed.body_text() == "see file", parsed.body_text()
    [file] = parsed.attachments()
    digest = hashlib.sha256()
    with file.open() as content:
        for chunk in read_chunks(content):
            digest.update(chunk)
    octets = 0
    with file.open() as content:
        for piece in write_carrier(CarrierMail(parsed.fields, MailBrand("x"), "h"), read_chunks(content)):
            octets += len(piece)
    print(parsed.size, digest.hexdigest(), octets, peak() - before)
"""


def test_a_large_message_takes_little_memory(tmp_path: Path) -> None:
    content = os.urandom(26 * 1000 * 1000)
    head = b"From: a@bank.example\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    head += b"--b\r\n\r\nsee file\r\n"
    small, large = tmp_path / "small.eml", tmp_path / "large.eml"
    small.write_bytes(head + b"--b--\r\n")
    with large.open("wb") as out:
        out.write(head + b"--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n")
        out.write(base64.encodebytes(content).replace(b"\n", b"\r\n") + b"--b--\r\n")
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(large), str(small)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    size, digest, octets, grown = done.stdout.split()
    assert int(size) == large.stat().st_size > 35_000_000
    assert digest == hashlib.sha256(content).hexdigest()
    assert int(octets) > 35_000_000
    assert int(grown) < 12_000, f"{grown} kB more at the peak"
