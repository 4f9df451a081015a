"""The corpus through the whole gateway, both ways: each mail leaves, waits with a reason or is set aside with one; none
is lost, nothing unprotected leaves to the outside, and what comes in passes byte for byte (fault row 20)."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import importlib.util
import io
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from pathlib import Path

import pikepdf
import pytest

from tests.integration.pdfmail_html.hostile_mails import BOMBS, FETCHERS, HEAVY
from tests.system.gateway import CopyRow, Gateway, Left, password_of, poppler_refuses, poppler_text
from tests.system.test_main_job import outside, write_mail

DATA = Path(__file__).parents[1] / "data"
SENDER = "anna@bank.example"


def as_sent(octets: bytes) -> bytes:
    """Give octets the line ends that SMTP knows (RFC 5321 2.3.8)."""
    octets = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def html_mail(html: str) -> bytes:
    mail = EmailMessage()
    mail["From"] = f"Anna Keller <{SENDER}>"
    mail["To"] = "somebody@partner.example"
    mail["Subject"] = "HTML"
    mail.set_content(html.encode("utf-8", "surrogatepass"), maintype="text", subtype="html", cte="base64")
    return mail.as_bytes(policy=email.policy.SMTP)


def corpus() -> dict[str, bytes]:
    mails = {f"mail-{path.stem}": path.read_bytes() for path in sorted((DATA / "mail").glob("*.eml"))}
    mails |= {f"html-{path.stem}": html_mail(path.read_text()) for path in sorted((DATA / "html").glob("*.html"))}
    found = importlib.util.find_spec("test.test_email")
    for folder in (found.submodule_search_locations or []) if found else []:
        mails |= {f"python-{path.stem}": path.read_bytes() for path in sorted(Path(folder, "data").glob("*.txt"))}
    return {name: as_sent(octets) for name, octets in mails.items()}


def own_mail(octets: bytes) -> bytes:
    """Return the mail with an author of ours, so that somebody can be told the password."""
    head, line, body = octets.partition(b"\r\n\r\n")
    return (
        re.sub(rb"(?im)^from:[^\r]*(?:\r\n[ \t][^\r]*)*", b"From: Anna Keller <anna@bank.example>", head, count=1)
        + line
        + body
    )


CORPUS = corpus()
LEFT = {
    f"mail-{name}": one["left"]
    for name, one in json.loads((DATA / "mail/expected.json").read_text("utf-8")).items()
    if "left" in one
}
OWN = {name: own_mail(octets) for name, octets in CORPUS.items()}


@dataclass
class Journey:
    """What became of the corpus."""

    gateway: Gateway
    out_ids: dict[str, str] = field(default_factory=dict)
    in_ids: dict[str, str] = field(default_factory=dict)
    foreign_ids: dict[str, str] = field(default_factory=dict)
    copies: dict[str, list[CopyRow]] = field(default_factory=dict)
    by_recipient: dict[str, list[Left]] = field(default_factory=dict)
    plain_carrier: bytes = b""

    def out_to(self, name: str) -> str:
        return f"{name}@partner.example".replace("_", "-")

    def in_to(self, name: str) -> str:
        return f"{name}@bank.example".replace("_", "-")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = Gateway(tmp_path_factory.mktemp("corpus")).start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def journey(gateway: Gateway) -> Journey:
    journey = Journey(gateway)
    options = ("BODY=8BITMIME", "SMTPUTF8")
    blank = write_mail("blank@partner.example", "Blank", "")
    blank_id = gateway.send(blank, SENDER, "blank@partner.example")
    for name, octets in CORPUS.items():
        journey.out_ids[name] = gateway.send(OWN[name], SENDER, journey.out_to(name), options=options)
        if OWN[name] != octets:
            journey.foreign_ids[name] = gateway.send(octets, SENDER, f"foreign-{name}@partner.example", options=options)
        journey.in_ids[name] = gateway.send(octets, "out@else.example", journey.in_to(name), offset=1, options=options)
    journey.copies = gateway.wait_settled(
        blank_id, *journey.out_ids.values(), *journey.in_ids.values(), *journey.foreign_ids.values(), seconds=600
    )
    # Notices follow in transactions of the same moment, but leave after their mails.
    gateway.wait_until(lambda: not [one for one in gateway.copies() if one.state in ("received", "decided", "queued")])
    for one in gateway.outbox():
        for to in one.rcpt_to:
            journey.by_recipient.setdefault(to, []).append(one)
    journey.plain_carrier = journey.by_recipient["blank@partner.example"][0].raw
    return journey


def words_of(octets: bytes) -> set[str]:
    """Return the distinctive words of bodies and file names, as Python's parser finds them."""
    parsed = email.message_from_bytes(octets, policy=email.policy.compat32)
    words: set[str] = set()
    parts: list[Message] = [part for part in parsed.walk() if not part.is_multipart()]
    for part in parts:
        payload = part.get_payload(decode=True) or b""
        if part.get_content_maintype() == "text":
            text = bytes(payload).decode("utf-8", "ignore")
            words |= set(re.findall(r"\w{7,}", re.sub(r"<[^>]*>", " ", text)))
        name = part.get_filename()
        if isinstance(name, str) and len(name) >= 7:
            words.add(name)
    return words


def readable(carrier: bytes) -> str:
    """Return all that a carrier mail shows without a password."""
    parsed = email.message_from_bytes(carrier, policy=email.policy.compat32)
    shown = [carrier.decode("latin-1")]
    for part in parsed.walk():
        if part.get_content_maintype() == "text":
            shown.append(bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace"))
    return "\n".join(shown)


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(CORPUS) > 70


def test_every_mail_has_ended_and_nothing_is_lost(journey: Journey) -> None:
    for copies in journey.copies.values():
        for copy in copies:
            assert copy.state in ("delivered", "held", "shunted"), copy
            assert copy.state == "delivered" or copy.text, copy
            assert (copy.to in journey.by_recipient) == (copy.state == "delivered"), copy


def test_nearly_all_of_them_are_usable(journey: Journey) -> None:
    ids = [*journey.out_ids.values(), *journey.in_ids.values()]
    stopped = [copy for one in ids for copy in journey.copies[one] if copy.state != "delivered"]
    assert len(stopped) <= 4, [(copy.to, copy.state, copy.text) for copy in stopped]


def test_mail_in_a_foreign_name_is_held_or_protected(journey: Journey) -> None:
    assert len(journey.foreign_ids) > 30
    for message_id in journey.foreign_ids.values():
        (copy,) = journey.copies[message_id]
        # What passes is what a shipped switch names: a short automatic answer without files (RFC 3834).
        assert (copy.state, copy.method) in (("held", "hold"), ("delivered", "pdf")) or (
            copy.method == "pass" and copy.reason == "special-mail"
        ), copy


@pytest.mark.parametrize("name", CORPUS)
def test_nothing_unprotected_leaves_to_the_outside(journey: Journey, name: str) -> None:
    for left in journey.by_recipient.get(journey.out_to(name), []):
        assert left.hop == "outside"
        (copy,) = journey.copies[journey.out_ids[name]]
        if copy.method == "pass":
            # Only what a shipped switch names may pass: a short automatic answer without files (RFC 3834).
            assert b"\r\nauto-submitted: auto-replied\r\n" in CORPUS[name].lower(), copy
            continue
        assert left.pdf.startswith(b"%PDF-")
        header = OWN[name].partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        decoded = str(email.message_from_bytes(left.raw, policy=email.policy.default)["Subject"] or "")
        shown, known = readable(left.raw), readable(journey.plain_carrier) + header + decoded
        leaked = [word for word in words_of(OWN[name]) if word in shown and word not in known]
        assert not leaked, leaked


@pytest.mark.parametrize("name", CORPUS)
def test_each_pdf_opens_with_the_password_that_was_told(journey: Journey, name: str, tmp_path: Path) -> None:
    to = journey.out_to(name)
    (copy,) = journey.copies[journey.out_ids[name]]
    for left in journey.by_recipient.get(to, []):
        if copy.method == "pass":
            continue
        notices = [
            one for one in journey.gateway.outbox() if one.hop == "inside" and f"\r\n{to}\r\n".encode() in one.raw
        ]
        (notice,) = notices
        password = password_of(notice)
        assert password.encode() not in left.raw
        assert poppler_refuses(left.pdf, tmp_path)
        assert "Example Bank" in poppler_text(left.pdf, password, tmp_path)
        if name in LEFT:
            # Pictures that no page draws come along, octet by octet, with their names.
            sent = {
                part.get_filename(): part.get_payload(decode=True)
                for part in email.message_from_bytes(OWN[name]).walk()
            }
            with pikepdf.open(io.BytesIO(left.pdf), password=password) as document:
                files = {one.filename: one.get_file().read_bytes() for one in document.attachments.values()}
            del files["message.eml"]
            assert files == {one: sent[one] for one in LEFT[name]}


@pytest.mark.parametrize("name", CORPUS)
def test_mail_from_outside_passes_byte_for_byte(journey: Journey, name: str) -> None:
    for left in journey.by_recipient.get(journey.in_to(name), []):
        assert left.hop == "inside"
        # RFC 5321 4.5.2: only the trace field stands before the first octet.
        assert left.raw.startswith(b"Received: ")
        assert left.raw.endswith(CORPUS[name])
        before = left.raw[: len(left.raw) - len(CORPUS[name])]
        assert before.count(b"\r\n") == before.count(b"\r\n\t") + 1


def test_neither_words_nor_passwords_are_logged(journey: Journey) -> None:
    log = (journey.gateway.state / "log.jsonl").read_text(errors="replace")
    notices = [one for one in journey.gateway.outbox() if b"Subject: Password for" in one.raw]
    assert len(notices) > 50
    for notice in notices:
        assert password_of(notice) not in log
    for name in ("mail-plain-ascii", "mail-outlook-like"):
        for word in words_of(CORPUS[name]):
            assert word not in log
    assert "Traceback" not in log


# --- bombs, size, poison ----------------------------------------------------------------------------------------------


def check_bombs(gateway: Gateway, pages: dict[str, str], tmp_path: Path, seconds: float) -> None:
    ids = {
        name: gateway.send(html_mail(text), SENDER, f"bomb-{name.replace('_', '-')}@partner.example")
        for name, text in pages.items()
    }
    other = gateway.send(write_mail("beside@partner.example"), SENDER, "beside@partner.example")
    settled = gateway.wait_settled(other, *ids.values(), seconds=seconds)
    assert settled[other][0].state == "delivered"
    for name, message_id in ids.items():
        (copy,) = settled[message_id]
        assert copy.state in ("delivered", "shunted"), (name, copy)
        if copy.state == "delivered":
            (left,) = outside(gateway.outbox(), copy.to)
            assert poppler_refuses(left.pdf, tmp_path)


def test_html_bombs_become_a_usable_pdf_or_a_clear_shunt(gateway: Gateway, tmp_path: Path) -> None:
    pages = {name: make() for name, make in BOMBS.items()}
    pages |= {name: text.replace("{u}", "http://127.0.0.1:9").replace("{{", "{") for name, text in FETCHERS.items()}
    check_bombs(gateway, pages, tmp_path, 900)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_heavy_pages_end_within_their_limits(gateway: Gateway, tmp_path: Path) -> None:
    check_bombs(gateway, {name: make() for name, make in HEAVY.items()}, tmp_path, 3000)


def nested_parts(count: int) -> bytes:
    lines = [f"From: {SENDER}", "To: x@partner.example", "Subject: Nested", "MIME-Version: 1.0"]
    for number in range(count):
        lines += [f'Content-Type: multipart/mixed; boundary="b{number}"', "", f"--b{number}"]
    return "\r\n".join([*lines, "Content-Type: text/plain", "", "SecretNestedCanary", ""]).encode()


def flat_parts(count: int) -> bytes:
    head = (
        f'From: {SENDER}\r\nSubject: Flat\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    )
    return (head + "--b\r\n\r\nSecretFlatCanary\r\n" * count + "--b--\r\n").encode()


@pytest.mark.parametrize("make", [nested_parts, flat_parts])
def test_ten_thousand_parts_are_set_aside_at_once_and_told(gateway: Gateway, make: object) -> None:
    to = f"{make.__name__.replace('_', '-')}@partner.example"  # type: ignore[attr-defined]
    message_id = gateway.send(make(10_000), SENDER, to)  # type: ignore[operator]
    (copy,) = gateway.wait_settled(message_id)[message_id]
    assert copy.state == "shunted"
    assert "parts" in copy.text or "nested" in copy.text
    assert not outside(gateway.outbox(), to)
    assert "copy.shunted" in gateway.cli("trace", message_id)


class Peak(threading.Thread):
    """Watches the largest resident set of each process, by what it is."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(daemon=True)
        self._gateway = gateway
        self._end = threading.Event()
        self.peaks: dict[str, int] = {}

    def run(self) -> None:
        while not self._end.wait(0.3):
            for pid in self._gateway.children():
                try:
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                name = words[-2].decode(errors="replace") if len(words) > 2 else "?"
                found = re.search(r"VmHWM:\s+(\d+) kB", status)
                if found:
                    key = name if name in ("smtpd", "worker", "deliver", "keyd", "scheduler") else "children"
                    self.peaks[key] = max(self.peaks.get(key, 0), int(found[1]) // 1024)

    def stop(self) -> dict[str, int]:
        self._end.set()
        self.join(10)
        return self.peaks


def test_twenty_five_megabytes_in_flat_memory(gateway: Gateway) -> None:
    to = "large@partner.example"
    content = os.urandom(25 * 1024 * 1024)
    head = f"From: {SENDER}\r\nTo: {to}\r\nSubject: Large\r\nMIME-Version: 1.0\r\n"
    head += 'Content-Type: multipart/mixed; boundary="b"'
    part = 'Content-Type: application/octet-stream; name="large.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    data = f"{head}\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n{part}".encode() + encoded + b"--b--\r\n"
    watch = Peak(gateway)
    watch.start()
    message_id = gateway.send(data, SENDER, to)
    inside_id = gateway.send(data, "out@else.example", "large@bank.example", offset=1)
    settled = gateway.wait_settled(message_id, inside_id, seconds=300)
    peaks = watch.stop()
    print(peaks)
    assert [copy.state for copies in settled.values() for copy in copies] == ["delivered"] * 2
    (left,) = outside(gateway.outbox(), to)
    assert left.pdf.startswith(b"%PDF-")
    assert encoded[:60] not in left.raw
    assert {"smtpd", "worker", "deliver", "children"} <= set(peaks)
    assert max(peaks.values()) < 200, peaks


def pool_children(gateway: Gateway) -> list[int]:
    """Return the worker's pool children: those whose parent is the fork server."""
    found = {}
    for pid in gateway.children():
        with contextlib.suppress(OSError):
            if b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return [pid for pid, parent in found.items() if parent in found]


def test_a_mail_that_kills_its_worker_three_times_is_set_aside_and_others_go_on(gateway: Gateway) -> None:
    """Fault rows 2 and 20: the child that works on it dies by SIGKILL, each time it begins."""
    to = "poison@partner.example"
    mail = write_mail(to, "Poison")
    for number in range(3):
        mail.add_attachment(os.urandom(10 << 20), maintype="application", subtype="x", filename=f"{number}.bin")
    poison = gateway.send(mail, SENDER, to)
    killed = 0
    deadline = time.monotonic() + 120
    while (copy := gateway.copies(poison)[0]).state in ("received", "decided"):
        assert time.monotonic() < deadline, gateway.log()
        if copy.owner and copy.crashes > killed:
            # Nothing else is in work now, so only this mail's child has anything to lose.
            for pid in pool_children(gateway):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed += 1
    assert killed == 3
    assert (copy.state, copy.text) == ("shunted", "three attempts in a row were never finished")
    others = [
        gateway.send(write_mail(f"fine{n}@partner.example"), SENDER, f"fine{n}@partner.example") for n in range(5)
    ]
    assert {one[0].state for one in gateway.wait_settled(*others).values()} == {"delivered"}
    assert not outside(gateway.outbox(), to)
    # The alert waits for a quiet while after the last one: an hour passes.
    gateway.set_clock(3600)
    gateway.wait(
        lambda left: any(
            one.rcpt_to == ["postmaster@bank.example"] and poison.encode() in one.raw
            for one in left
            if one.hop == "inside"
        ),
        seconds=120,
    )
    # Nothing is lost: a person lets it go and it leaves protected.
    assert "1 copy" in gateway.cli("queue", "release", poison)
    assert gateway.wait_settled(poison, seconds=120)[poison][0].state == "delivered"
    (left,) = outside(gateway.outbox(), to)
    assert left.pdf.startswith(b"%PDF-")
    assert "Good" in gateway.cli("audit", "verify")
