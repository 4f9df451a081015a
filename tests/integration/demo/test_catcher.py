"""The catcher keeps each mail byte for byte, the .json only after the .eml, numbers go on after a restart."""

from __future__ import annotations

import asyncio
import json
import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.demo.catcher import serve_catcher
from relay.demo.outbox import OutboxReader


@contextmanager
def catching(outbox: Path) -> Iterator[dict[str, int]]:
    sockets = {hop: socket.create_server(("127.0.0.1", 0)) for hop in ("inside", "outside")}
    ports = {hop: sock.getsockname()[1] for hop, sock in sockets.items()}
    ready = threading.Event()
    holder: list[Callable[[], object]] = []

    def main() -> None:
        async def run() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            holder.append(lambda: loop.call_soon_threadsafe(stop.set))
            await serve_catcher(outbox, sockets, stop, ready.set)

        asyncio.run(run())

    thread = threading.Thread(target=main)
    thread.start()
    try:
        assert ready.wait(10)
        yield ports
    finally:
        holder[0]()
        thread.join(10)
        assert not thread.is_alive()


def test_keeps_mail_byte_for_byte_and_numbers_go_on(tmp_path):
    data = b"Subject: x\r\n\r\n.dot\r\n..dots\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    with catching(tmp_path / "outbox") as ports:
        with smtplib.SMTP("127.0.0.1", ports["outside"]) as client:
            client.sendmail("a@bank.example", ["b@partner.example", "c@partner.example"], data)
            client.sendmail("", ["b@partner.example"], b"x\r\n")
    with catching(tmp_path / "outbox") as ports, smtplib.SMTP("127.0.0.1", ports["inside"]) as client:
        client.sendmail("b@partner.example", ["jürgen@bank.example"], b"y\r\n", ["SMTPUTF8"])
    outbox = OutboxReader(tmp_path / "outbox")
    assert outbox.numbers() == [1, 2, 3]
    assert outbox.path(1).read_bytes() == data
    assert [outbox.envelope(n).hop for n in (1, 2, 3)] == ["outside", "outside", "inside"]
    raw = json.loads((tmp_path / "outbox/000001.json").read_text("utf-8"))
    assert list(raw) == ["mail_from", "rcpt_to", "hop", "time"]
    assert raw["rcpt_to"] == ["b@partner.example", "c@partner.example"]
    assert raw["time"].endswith("+00:00")
    assert outbox.envelope(2).mail_from == ""
    assert outbox.envelope(3).rcpt_to == ["jürgen@bank.example"]
    assert sorted(p.name for p in (tmp_path / "outbox").iterdir()) == [
        f"00000{n}.{kind}" for n in (1, 2, 3) for kind in ("eml", "json")
    ]


@pytest.mark.parametrize("path", ['"a b"@partner.example', '"a>b"@partner.example', r'"a\"> b"@partner.example'])
def test_a_quoted_local_part_may_hold_what_ends_others(tmp_path, path):
    with catching(tmp_path / "outbox") as ports, smtplib.SMTP("127.0.0.1", ports["outside"]) as client:
        client.ehlo("x.example")
        assert client.docmd(f"MAIL FROM:<{path}> SIZE=100")[0] == 250
        assert client.docmd(f"RCPT TO:<{path}> NOTIFY=NEVER")[0] == 250
        for bad in ("<a b@partner.example>", "<a>b@partner.example>", '<"a b@partner.example>'):
            assert client.docmd(f"RCPT TO:{bad}")[0] == 501
        assert client.data(b"x\r\n")[0] == 250
    envelope = OutboxReader(tmp_path / "outbox").envelope(1)
    assert (envelope.mail_from, envelope.rcpt_to) == (path, [path])


def test_who_sees_the_json_can_read_the_whole_mail(tmp_path):
    outbox = OutboxReader(tmp_path)
    body = b"x" * 76 + b"\r\n"
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set() or len(seen) < len(outbox.numbers()):
            for number in outbox.numbers():
                if number not in seen:
                    assert outbox.path(number).stat().st_size == len(body) * 2000
                    seen.append(number)

    watcher = threading.Thread(target=watch)
    with catching(tmp_path) as ports:
        watcher.start()
        with smtplib.SMTP("127.0.0.1", ports["outside"]) as client:
            for _ in range(20):
                client.sendmail("a@bank.example", ["b@partner.example"], body * 2000)
        done.set()
        watcher.join(20)
    assert seen == list(range(1, 21))


def test_a_mail_broken_off_leaves_nothing(tmp_path):
    with catching(tmp_path) as ports:
        client = socket.create_connection(("127.0.0.1", ports["outside"]))
        client.sendall(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nhalf a mail")
        while b"354" not in client.recv(4096):
            pass
        client.close()
        deadline = time.monotonic() + 10
        while any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("RCPT TO:<a@b.example>", b"503"),
        ("DATA", b"503"),
        ("MAIL FROM:a@b.example", b"501"),
        ("HELP", b"500"),
        ("NOOP", b"250"),
    ],
)
def test_refuses_what_is_out_of_order(tmp_path, line, code):
    with catching(tmp_path) as ports, socket.create_connection(("127.0.0.1", ports["inside"])) as client:
        stream = client.makefile("rwb")
        stream.readline()
        stream.write(line.encode() + b"\r\n")
        stream.flush()
        assert stream.readline().startswith(code)


def test_swaks_delivers(tmp_path):
    with catching(tmp_path) as ports:
        command = ["swaks", "--server", f"127.0.0.1:{ports['outside']}", "--from", "a@bank.example"]
        subprocess.run([*command, "--to", "b@partner.example"], check=True, capture_output=True, timeout=30)
    assert OutboxReader(tmp_path).numbers() == [1]
