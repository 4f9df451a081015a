"""Two kinds of scanners: those that open every link of a notice, and the site's own against viruses in answers."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.gateway import CopyRow, Gateway, Left
from tests.system.portal.dmz_host import inside_pids, kill_inside
from tests.system.portal.partner import Partner
from tests.system.portal_walk import ANNA, FIRST, OWN, text_of, to, wait_for_first_password, write_to

pytestmark = pytest.mark.timeout(400)
PATIENCE = 120.0
OTTO = "otto.brandt@bank.example"
OPERATOR = "postmaster@bank.example"
FOUND = "an answer from the portal is held: the scanner found something"
# Put together here, so that no scanner takes this file for the real thing.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_URL = re.compile(r"https?://[^\s\"'<>]+")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("scanners") / "state", portal=True).start()
    yield gateway
    assert gateway.stop() == 0


def links_in(left: Left) -> set[str]:
    """Return every address that stands in a mail, in text or HTML."""
    found: set[str] = set()
    for part in left.message.walk():
        if part.get_content_maintype() == "text":
            found |= {url.rstrip(".,)").replace("&amp;", "&") for url in _URL.findall(part.get_content())}
    return found


def fetch(gateway: Gateway, url: str, method: str) -> int:
    """Open an address as a mail filter does; follow redirections, keep no cookie."""
    context = ssl.create_default_context(cafile=str(gateway.state / "portal/tls/fullchain.pem"))
    request = urllib.request.Request(url, method=method, headers={"User-Agent": "Mozilla/5.0 (compatible; scanner)"})
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.read()
        return error.code


def test_link_scanners_burn_nothing_and_read_nothing(gateway: Gateway) -> None:
    partner, reader = "lena.scanned@kanzlei.example", "jonas.scanned@partner.example"
    mails = [
        gateway.send(write_to(partner, "To be scanned", "text\n"), ANNA, partner),
        gateway.send(write_to(reader, "A PDF to be scanned", "text\n"), ANNA, reader),
    ]
    first, notice = wait_for_first_password(gateway, partner)
    carrier = to(gateway.wait(lambda left: to(left, reader), PATIENCE), reader)[-1]
    urls = links_in(notice) | links_in(carrier)
    # The code of a reset stands behind '#', which a filter may send on as a query.
    base = f"https://localhost:{gateway.base + 2}"
    assert any("/r/" in url for url in urls)
    assert any(url.rstrip("/") == base for url in urls)
    # The contact's own page is not ours.
    urls = {url for url in urls if url.startswith(base)}
    urls |= {f"{base}/?u={partner}", f"{base}/?c=AAAA-BBBB-CCCC", f"{base}/mailbox", f"{base}/api/session"}
    urls |= {f"{url}?utm_source=mail&u={partner}" for url in urls if "?" not in url}
    gateway.wait_settled(*mails, seconds=PATIENCE)
    gateway.wait_until(lambda: all(fetch(gateway, url, "GET") == 200 for url in urls if "/r/" in url), PATIENCE)
    seen = gateway.sql("SELECT max(seq) FROM event")
    boxes = gateway.sql("SELECT id, state, gen, opened_at FROM mailbox ORDER BY id")
    told = len(to(gateway.outbox(), ANNA))
    scan(gateway, urls)
    # The inside asks the portal for hints each minute; let it ask once more.
    gateway.set_clock(300)
    gateway.wait_until(lambda: has_run_since(gateway, 200), PATIENCE)
    later = gateway.sql("SELECT kind, message_id FROM event WHERE seq > ?", seen[0][0])
    assert [row for row in later if row[1] in mails or str(row[0]).startswith("mailbox.")] == []
    assert gateway.sql("SELECT id, state, gen, opened_at FROM mailbox ORDER BY id") == boxes
    assert gateway.sql("SELECT count(*) FROM mailbox_message WHERE read_at IS NOT NULL") == [(0,)]
    assert len(to(gateway.outbox(), ANNA)) == told
    assert [len(to(gateway.outbox(), one)) for one in (partner, reader)] == [1, 1]
    # All still opens, with the first try.
    assert Partner(gateway, partner).begin(first, OWN).subjects() == ["To be scanned"]


def scan(gateway: Gateway, urls: set[str]) -> None:
    """Open each link as filters do, again and again."""
    for _ in range(20):
        for url in sorted(urls):
            for method in ("GET", "HEAD"):
                assert fetch(gateway, url, method) in ((401, 404) if "/api/" in url else (200,)), url


def test_link_scanners_use_up_no_registration_and_no_code(gateway: Gateway) -> None:
    joiner, partner = "rita.scanned@kanzlei.example", "mona.scanned@kanzlei.example"
    gateway.put("policy", lambda policy: policy["switches"].update(registration="on"))
    waiting = gateway.send(write_to(joiner, "Waits for its reader", "text\n"), ANNA, joiner)
    invited = to(gateway.wait(lambda left: to(left, joiner), PATIENCE), joiner)[0]
    gateway.put("policy", lambda policy: policy["switches"].update(registration="off"))
    gateway.send(write_to(partner, "Of Anna", "text\n"), ANNA, partner)
    mona = Partner(gateway, partner).begin(wait_for_first_password(gateway, partner)[0], OWN)
    gateway.wait(lambda left: to(left, ANNA, f"{partner} has opened"), PATIENCE)
    other = gateway.send(write_to(partner, "Of Otto", "text\n").replace(ANNA.encode(), OTTO.encode()), OTTO, partner)
    gateway.wait_settled(other, seconds=PATIENCE)
    gateway.cli("mailbox", "reset", "--sender", OTTO, partner)
    renewed = to(gateway.wait(lambda left: to(left, partner, "first password"), PATIENCE), partner, "first password")[0]
    told = to(gateway.wait(lambda left: to(left, OTTO, f"mailbox of {partner}"), PATIENCE), OTTO)[-1]
    code, first = re.search(r"#c=(\S+)", text_of(renewed)), FIRST.search(text_of(told))
    assert code is not None
    assert first is not None

    base = f"https://localhost:{gateway.base + 2}"
    urls = {url for mail in (invited, renewed) for url in links_in(mail) if url.startswith(base)}
    (join,) = {url.partition("#")[0] for url in urls if "/join/" in url}
    assert any(url.endswith(f"#c={code[1]}") for url in urls)
    urls |= {url.replace("#", "?") for url in urls} | {url.replace("#", "%23") for url in urls if "#c=" in url}
    asked = join.replace("/join/", "/api/join/")
    gateway.wait_until(lambda: fetch(gateway, asked, "GET") == 200, PATIENCE)
    scan(gateway, {url for url in urls if "%23" not in url})
    for url in urls:
        fetch(gateway, url, "GET")
    assert fetch(gateway, asked, "GET") == 200
    assert gateway.copies(waiting)[0].state == "awaiting_registration"
    assert mona.begin(first[1], "the third walk to the river", code[1]).subjects() == ["Of Anna", "Of Otto"]


def has_run_since(gateway: Gateway, seconds: int) -> bool:
    """Tell whether the link's minute work has ended at a time so far ahead of the real one."""
    ((last_at,),) = gateway.sql("SELECT last_at FROM job WHERE name = 'portal-keeper'")
    return int(str(last_at or 0)) > (time.time() + seconds) * 1000


@pytest.fixture
def clamd() -> Iterator[Path]:
    """A real clamd that knows one signature of its own: the harmless EICAR test file."""
    program = shutil.which("clamd") or "/usr/sbin/clamd"
    if not Path(program).exists():
        pytest.fail("clamd is not installed. Run: apt-get install -y clamav-daemon", pytrace=False)
    folder = Path(tempfile.mkdtemp(prefix="ll-clamd-"))
    (folder / "database").mkdir()
    digest = hashlib.sha256(EICAR).hexdigest()
    (folder / "database/test.hsb").write_text(f"{digest}:{len(EICAR)}:Letterlock.Eicar:73\n")
    (folder / "clamd.conf").write_text(
        f"DatabaseDirectory {folder}/database\nLocalSocket {folder}/clamd.sock\nForeground yes\n"
        f"User {pwd.getpwuid(os.geteuid()).pw_name}\nTemporaryDirectory {folder}\nMaxThreads 2\nBytecode no\n"
    )
    process = subprocess.Popen(
        [program, "--config-file", str(folder / "clamd.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "clamd.sock").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield folder / "clamd.sock"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_virus_in_an_answer_is_held_and_told(gateway: Gateway, clamd: Path) -> None:
    partner = "vera.infected@kanzlei.example"
    gateway.send(write_to(partner, "Please answer", "text\n"), ANNA, partner)
    vera = Partner(gateway, partner).begin(wait_for_first_password(gateway, partner)[0], OWN)
    gateway.wait(lambda left: to(left, ANNA, f"{partner} has opened"), PATIENCE)
    settings = gateway.state / "inside/letterlock.toml"
    text = settings.read_text("utf-8")
    settings.write_text(text.replace("[portal]\n", f'[portal]\nscanner = "unix:{clamd}"\n', 1), "utf-8")
    old = inside_pids(gateway, "link")
    kill_inside(gateway, "link")
    gateway.wait_until(lambda: inside_pids(gateway, "link") not in ([], old), PATIENCE)

    (message,) = vera.inbox()
    bad = vera.reply(message.manifest.id, "Text of the bad answer", {"invoice.com": EICAR}, subject="Re: bad")
    gateway.wait_until(lambda: vera.sent_states() == {bad.id: "refused"}, PATIENCE)
    good = vera.reply(message.manifest.id, "Text of the good answer", {"fine.txt": b"fine"}, subject="Re: good")
    gateway.wait(lambda left: to(left, ANNA, "Re: good"), PATIENCE)
    gateway.wait_until(lambda: vera.sent_states() == {bad.id: "refused", good.id: "taken"}, PATIENCE)
    # The reader was told under seal, the operator by e-mail.
    gateway.wait_until(lambda: receipts(vera) == {bad.id: "refused", good.id: "arrived"}, PATIENCE)
    # So was the one whom the answer was meant for.
    held = to(gateway.wait(lambda left: to(left, ANNA, f"answer from {partner}"), PATIENCE), ANNA, "answer from")[-1]
    assert answers(gateway)[0].message_id in text_of(held)
    gateway.set_clock(1000)
    gateway.wait(lambda left: [one for one in to(left, OPERATOR) if FOUND in " ".join(text_of(one).split())], PATIENCE)

    assert [copy.state for copy in answers(gateway)] == ["held", "delivered"]
    left = gateway.outbox()
    assert to(left, ANNA, "Re: bad") == []
    for one in left:
        assert b"Text of the bad answer" not in one.raw
        assert b"invoice.com" not in one.raw


def receipts(reader: Partner) -> dict[str, str]:
    """Return what the inside has told a reader of the answers, by their ids."""
    manifests = [one.manifest for one in reader.inbox("receipt")]
    return {str(one.re): str(one.state) for one in manifests}


def answers(gateway: Gateway) -> list[CopyRow]:
    """Return the copies of answers, oldest first."""
    ids = [
        str(row[0]) for row in gateway.sql("SELECT id FROM message WHERE origin = 'portal' ORDER BY received_at, id")
    ]
    return [copy for one in ids for copy in gateway.copies(one)]
