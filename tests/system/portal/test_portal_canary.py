"""T1 and T4: what somebody who owns the DMZ host finds there, and whom its processes call: nothing, and nobody.

One walk of a partner in a real browser, with all that is secret set or noted as a canary: first password, reset with a
code, own passwords, PDF password, subjects, texts, names and contents of files both ways, addresses. All processes of
the product run under strace from their first call on.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.interop.browser.driver import Browser, Page, open_browser
from tests.system.gateway import Gateway, password_of
from tests.system.portal.dmz_host import DmzHost
from tests.system.portal.partner import portal_id
from tests.system.portal_walk import (
    ANNA,
    FIRST,
    choose_password,
    open_message,
    portal_url,
    reply,
    sign_in,
    text_of,
    to,
    wait_for_first_password,
    write_to,
)

pytestmark = pytest.mark.timeout(400)
MARK = "Zq7Kanari"
"""Begins or is within every secret that the test itself chooses: one search finds them all."""
MIRA = "mira.zedernholz@kanzlei.example"
JONAS = "jonas.zedernholz@partner.example"
OTTO = "otto.zedernholz@bank.example"
OWN = f"{MARK} own password"
OWN_2 = f"{MARK} second password"
PATIENCE = 120.0
_BLOCK = 1 << 24


@dataclass
class Walked:
    """What the walk leaves behind."""

    gateway: Gateway
    secrets: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    in_memory: set[str] = field(default_factory=set)
    """Names of secrets and controls that were found in a process of the portal."""
    octets_read: int = 0
    trace: Path = Path()

    def patterns(self) -> dict[str, list[bytes]]:
        """Return what to look for, by name: as it is, as it may be typed, and as it stands within base64."""
        return {name: sorted(set(spellings(secret))) for name, secret in self.secrets.items()}


def spellings(secret: str) -> Iterator[bytes]:
    """Return each form of a secret that one might find."""
    forms = {secret, secret.replace("-", ""), secret.lower(), secret.lower().replace("-", "")}
    for form in forms:
        yield form.encode()
    for form in {secret, secret.lower().replace("-", "")}:
        for skip in range(3):
            # The octets around it are unknown: keep the characters that depend on the secret alone.
            encoded = base64.b64encode(b"\0" * skip + form.encode())
            start = (0, 2, 3)[skip]
            inner = encoded.rstrip(b"=")[start:-1]
            yield inner
            yield inner.translate(bytes.maketrans(b"+/", b"-_"))


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    folder = tmp_path_factory.mktemp("canary")
    (folder / "trace").mkdir()
    prefix = (
        "strace", "-D", "-f", "-ff", "-qq", "--seccomp-bpf", "-e", "signal=none", "-o", str(folder / "trace/t"),
        "-e", "trace=execve,clone,clone3,fork,vfork,connect,sendto,sendmsg,sendmmsg",
    )  # fmt: skip
    gateway = Gateway(folder / "state", portal=True, prefix=prefix).start()
    walked = Walked(gateway, {"mark": MARK, "address": MIRA, "pdf address": JONAS, "sender": ANNA, "other": OTTO})
    walked.trace = folder / "trace"
    try:
        with open_browser("chromium") as browser:
            walk_mailbox(walked, browser, folder)
            walk_pdf(walked, browser, folder)
        yield walked
    finally:
        gateway.stop()


def note(walked: Walked, page: Page) -> None:
    """Keep what was requested, and look into the memory of the portal while the reader is signed in."""
    assert page.problems() == []
    walked.requests += page.requests()
    box_ids = [str(row[0]) for row in walked.gateway.sql("SELECT id FROM mailbox")]
    wanted = walked.patterns() | {"control: portal": [portal_id(walked.gateway).encode()]}
    wanted |= {f"control: box {box}": [box.encode()] for box in box_ids}
    pids = DmzHost(walked.gateway).pids()
    assert len(pids) >= 5  # the supervisor, two listeners, a worker of each
    gone = 0
    for pid in pids:
        try:
            walked.octets_read += scan_memory(pid, wanted, walked.in_memory)
        except ProcessLookupError:
            gone += 1  # one that only looked after something
    assert len(pids) - gone >= 5


def scan_memory(pid: int, wanted: Mapping[str, list[bytes]], found: set[str]) -> int:
    """Look for patterns in all readable memory of a process; return how many octets were read."""
    count = 0
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *rest = line.split(maxsplit=5)
            if not rights.startswith("r") or rest[-1] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            start, end = (int(number, 16) for number in place.split("-"))
            for at in range(start, end, _BLOCK):
                try:
                    memory.seek(at)
                    block = memory.read(min(_BLOCK + 256, end - at))
                except (OSError, ValueError):
                    continue
                count += len(block)
                found.update(name for name, forms in wanted.items() if any(form in block for form in forms))
    return count


def walk_mailbox(walked: Walked, browser: Browser, folder: Path) -> None:
    gateway = walked.gateway
    subject = f"{MARK} contract"
    files = [(f"{MARK}-plan.txt", f"{MARK} inside the file".encode() * 60_000)]
    gateway.send(write_to(MIRA, subject, f"Dear Mira,\n\n{MARK} in the text\n", files), ANNA, MIRA)
    first, _ = wait_for_first_password(gateway, MIRA)
    walked.secrets["first password"] = first
    page = browser.new_page("canary")
    sign_in(page, gateway, MIRA, first)
    choose_password(page, OWN)
    open_message(page, subject)
    page.click_text(f"Download {files[0][0]}")
    gateway.wait_until((browser.downloads / files[0][0]).exists, PATIENCE)
    answer = folder / f"{MARK}-signed.txt"
    answer.write_text(f"{MARK} inside the answer's file" * 60_000)
    reply(page, f"{MARK} in the answer", [answer])
    arrived = to(gateway.wait(lambda left: to(left, ANNA, f"Re: {subject}"), PATIENCE), ANNA, f"Re: {subject}")[-1]
    assert f"{MARK} in the answer" in text_of(arrived)
    note(walked, page)

    # Another sender's mail lies there as well: a new first password takes a code.
    gateway.send(write_to(MIRA, f"{MARK} of Otto", "x\n").replace(ANNA.encode(), OTTO.encode()), OTTO, MIRA)
    gateway.wait_until(lambda: [c.state for c in gateway.copies() if c.to == MIRA][:2] == ["delivered"] * 2, PATIENCE)
    gateway.cli("mailbox", "reset", "--sender", ANNA, MIRA)
    gateway.wait(lambda left: len(to(left, ANNA, f"mailbox of {MIRA}")) == 2, PATIENCE)
    gateway.wait(lambda left: to(left, MIRA, "new first password"), PATIENCE)
    told = FIRST.search(text_of(to(gateway.outbox(), ANNA, f"mailbox of {MIRA}")[-1]))
    code = re.search(r"#c=(\S+)", text_of(to(gateway.outbox(), MIRA, "new first password")[-1]))
    assert told is not None
    assert code is not None
    walked.secrets |= {"second first password": told[1], "code": code[1]}
    assert told[1] != first
    browser.close_context()
    page = browser.new_page("canary", context="second")
    sign_in(page, gateway, MIRA, told[1], code[1])
    choose_password(page, OWN_2)
    open_message(page, subject)
    note(walked, page)
    browser.close_context("second")


def walk_pdf(walked: Walked, browser: Browser, folder: Path) -> None:
    gateway = walked.gateway
    subject = f"{MARK} offer"
    files = [(f"{MARK}-prices.csv", f"{MARK};1\n".encode() * 100)]
    gateway.send(write_to(JONAS, subject, f"{MARK} in the PDF\n", files), ANNA, JONAS)
    left = gateway.wait(lambda left: to(left, JONAS) and to(left, ANNA, JONAS), PATIENCE)
    password = password_of(to(left, ANNA, JONAS)[-1])
    walked.secrets["PDF password"] = password
    link = re.search(re.escape(portal_url(gateway)) + r"/r/\S{22}", text_of(to(gateway.outbox(), JONAS)[-1]))
    assert link is not None
    page = browser.new_page("pdf", context="pdf")
    # The PDF leaves by itself: its link is known a moment later.
    gateway.wait_until(lambda: page.goto(f"{link[0]}?lang=en") == 200, PATIENCE)
    page.problems()
    page.type("#password", password)
    page.press("Enter")
    page.wait_for_text(f"{MARK}-prices.csv", timeout=PATIENCE)
    page.type("textarea", f"{MARK} agreed")
    answer = folder / f"{MARK}-remark.txt"
    answer.write_text(f"{MARK} remark" * 100)
    page.upload("input[type=file]", answer)
    page.wait_for_text("ready to send", timeout=PATIENCE)
    page.click_text("Send reply")
    page.wait_for_text("on its way", timeout=PATIENCE)
    gateway.wait(lambda left: to(left, ANNA, f"Re: {subject}"), PATIENCE)
    note(walked, page)


def found_in(octets: bytes, patterns: Mapping[str, Iterable[bytes]]) -> list[str]:
    """Return the names of what occurs."""
    return [name for name, forms in patterns.items() if any(form in octets for form in forms)]


def test_no_file_on_the_host_holds_a_secret(walked: Walked) -> None:
    host, patterns = DmzHost(walked.gateway), walked.patterns()
    files = [path for path in host.folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"portal.db", "row-keys.db", "pepper"} <= names | {path.stem for path in files}, names
    # The box is there, in the database or its log of writes: so the search can find what is there.
    (box,) = walked.gateway.sql("SELECT id FROM mailbox WHERE kind = 'mailbox'")[0]
    databases = b"".join(path.read_bytes() for path in files if ".db" in path.name)
    assert str(box).encode() in databases
    assert len(databases) > 3_000_000  # what was sealed of the files both ways
    for path in files:
        assert found_in(path.read_bytes(), patterns) == [], path.name


def test_no_request_held_a_secret(walked: Walked) -> None:
    bodies = [request for request in walked.requests if request.get("body")]
    assert {"/api/login", "/api/rekey", "/api/send"} <= {
        re.sub(r"^https://[^/]*", "", request["url"]) for request in bodies
    }
    for request in walked.requests:
        whole = f"{request['method']} {request['url']}\n{request.get('body') or ''}".encode()
        assert found_in(whole, walked.patterns()) == [], request["url"]


def test_no_process_of_the_portal_holds_a_secret_in_its_memory(walked: Walked) -> None:
    controls = {name for name in walked.in_memory if name.startswith("control: ")}
    assert len(controls) == 3  # the portal, the mailbox, the box behind the PDF's link
    assert walked.octets_read > 100_000_000
    # The same search finds what is there: this very process knows them all.
    own: set[str] = set()
    scan_memory(os.getpid(), walked.patterns(), own)
    assert own == set(walked.secrets)
    assert walked.in_memory - controls == set()


def test_no_log_holds_a_secret(walked: Walked) -> None:
    lines = (walked.gateway.state / "log.jsonl").read_bytes().splitlines()
    assert any(b'"process": "portal-web"' in line for line in lines)
    assert any(b'"process": "link"' in line for line in lines)
    patterns = walked.patterns()
    inside = {
        name: forms for name, forms in patterns.items() if "address" not in name and name not in ("sender", "other")
    }
    for line in lines:
        is_portal = b'"process": "portal' in line
        assert found_in(line, patterns if is_portal else inside) == [], line
    assert found_in(walked.gateway.output.encode(), inside) == []


def test_no_process_of_the_portal_has_called_anybody(walked: Walked) -> None:
    traces = {int(path.suffix[1:]): path.read_text("utf-8", errors="replace") for path in walked.trace.iterdir()}
    outgoing = re.compile(r"^(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET", re.MULTILINE)
    portal: set[int] = set()
    frontier = {pid for pid, text in traces.items() if re.search(r'^execve\(.*"portal\.cli"', text, re.MULTILINE)}
    while frontier:
        portal |= frontier
        made = [re.findall(r"^(?:clone3?|v?fork)\(.*= (\d+)$", traces[pid], re.MULTILINE) for pid in frontier]
        frontier = {int(number) for one in made for number in one if int(number) in traces} - portal
    assert set(DmzHost(walked.gateway).pids()) <= portal
    # The trace sees what there is to see: the inside calls the portal's link.
    link = f"sin_port=htons({walked.gateway.base + 3})"
    assert any(
        link in line for pid in traces.keys() - portal for line in traces[pid].splitlines() if "connect(" in line
    )
    for pid in portal:
        assert outgoing.findall(traces[pid]) == [], pid
