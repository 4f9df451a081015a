"""The portal's operator page is true: followed from the first command on, with real processes of both sides.

systemd takes the units, and their walls leave what the processes do (features F7, G14, L1).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from portal.installation import Choices, create_portal
from portal.settings import load_settings
from relay.link.client import PortalLink
from relay.link.config import LinkSettings
from relay.link.errors import LinkError
from tests.integration.portal.running import RunningPortal, make_certificate, new_box, push_box
from tests.interop.browser.driver import open_browser
from tests.system.gateway import Gateway, free_base_port
from tests.system.portal_walk import (
    ANNA,
    OWN,
    choose_password,
    open_message,
    portal_url,
    sign_in,
    wait_for_first_password,
    write_to,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operator/portal.md"
UNITS = ROOT / "docs/operator/units/portal"
TEXT = PAGE.read_text("utf-8")
BLOCK = re.compile(r"(?:^    .*\n)+", re.MULTILINE)


def shown_commands(program: str) -> list[list[str]]:
    """Return every command line of a program that the page shows in a block, its comment left out."""
    found = []
    for block in BLOCK.findall(TEXT):
        text = re.sub(r" \\\n +", " ", block)
        for shown in text.splitlines():
            line = re.sub(r"^ +(?:runuser -u \S+ -- )?(?:/opt/letterlock/bin/)?| +#.*$| *<? ?>.*$", "", shown)
            if line.startswith(program + " "):
                found.append(shlex.split(re.sub(r"\[([^]]*)\]", r"\1", line)))
    return found


def run(*words: str, code: int = 0, cwd: Path | None = None) -> str:
    """Run a command of either side; return what it wrote."""
    module = {"letterlock": "relay.cli.main", "letterlock-portal": "portal.cli"}.get(words[0])
    command = [sys.executable, "-m", module, *words[1:]] if module else list(words)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=cwd or ROOT, env=environment)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_both_consoles_read_every_command_that_the_page_shows() -> None:
    from portal.cli import _make_parser
    from relay.cli.main import build_parser

    shown = shown_commands("letterlock-portal")
    assert {words[1] for words in shown} >= {"init", "pair", "show", "backup"}
    for words in shown:
        _make_parser().parse_args(["..." if word == "..." else word for word in words[1:]])
    inside = shown_commands("letterlock")
    assert {" ".join(words[1:3]) for words in inside} >= {
        "portal pair",
        "portal check",
        "portal card",
        "portal use",
        "mailbox reset",
    }
    for words in inside:
        build_parser().parse_args(words[1:])


def test_every_setting_of_the_portal_is_explained(tmp_path: Path) -> None:
    path = create_portal(tmp_path / "p", Choices("https://portal.bank.example", "Example Bank", "+49 241 123 456"))
    written = tomllib.loads(path.read_text("utf-8"))
    keys = {f"{table}.{key}" for table, values in written.items() if isinstance(values, dict) for key in values}
    source = (ROOT / "portal/settings.py").read_text("utf-8")
    for key in ("password_file", "keys_password_file", "processes", "threads", "certificate", "key", "forwarded_for"):
        assert f'"{key}"' in source
        keys.add(f"{'database' if 'password' in key else 'web'}.{key}")
    assert len(keys) > 20
    assert {key for key in keys if f"`{key}`" not in TEXT} == set()


def test_the_shown_brand_and_proxy_lines_are_read(tmp_path: Path) -> None:
    from portal.app import read_brands

    path = create_portal(tmp_path / "p", Choices("https://portal.bank.example", "Example Bank", "+49 241 123 456"))
    web, brand = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    text = path.read_text("utf-8")
    text = re.sub(r"^\[\[brand\]\]\n.*?\n\n", brand + "\n", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^\[web\]\n.*?\n\n", web + "\n", text, flags=re.MULTILINE | re.DOTALL)
    path.write_text(text, "utf-8")
    (path.parent / "brand").mkdir()
    (path.parent / "brand/logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    for name in ("imprint", "privacy"):
        for language in ("de", "en"):
            (path.parent / f"brand/{name}.{language}.txt").write_text("# Example Bank\n\nWe are a sample.\n")
    settings = load_settings(path)
    assert settings.is_behind_proxy
    (read,) = read_brands(settings)
    assert read.languages == ("de", "en")
    assert read.imprint["de"][0].heading == "Example Bank"


def test_every_event_of_portal_and_link_has_its_meaning() -> None:
    """Lines of the log, and events of the database's chain."""
    page = (ROOT / "docs/operator/monitoring.md").read_text("utf-8")
    rooms = [path for room in ("portal", "relay/link", "relay/mailbox") for path in (ROOT / room).rglob("*.py")]
    source = "\n".join(path.read_text("utf-8") for path in [*rooms, *(ROOT / "relay/cli").glob("portal_*.py")])
    lines = set(re.findall(r"\b_?log\.(?:info|warning|error|exception)\(\s*\"([a-z-]+)\"", source, re.IGNORECASE))
    events = set(re.findall(r"(?:Event\(|CARD_\w+ = )\"([a-z]+\.[a-z-]+)\"", source))
    assert {"signed-in", "pushed", "storage-fault", "reconcile-begun"} <= lines
    assert {"mailbox.rekeyed", "card.created", "portal.reconciled"} <= events
    assert {one for one in lines | events if f"`{one}`" not in page} == set()


# --- followed from the first command on -------------------------------------------------------------------------------


@dataclass
class Hosts:
    """Both hosts' folders and what runs there."""

    folder: Path
    base: int = field(default_factory=free_base_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def dmz(self) -> Path:
        return self.folder / "dmz"

    @property
    def inside(self) -> Path:
        return self.folder / "inside"

    def start(self, module: str, folder: Path, name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "--config", str(folder), name],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def start_portal(self) -> subprocess.Popen[bytes]:
        """Start what the units start."""
        for name in ("web", "link"):
            (self.dmz / f"state/{name}.address").unlink(missing_ok=True)
        process = self.start("portal.cli", self.dmz, "serve")
        for name in ("web", "link"):
            self.wait(self.dmz / f"state/{name}.address", process)
        return process

    def wait(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 60
        while not path.exists():
            logs = "".join(one.read_text() for one in self.folder.glob("*.log"))
            assert process.poll() is None, logs
            assert time.monotonic() < end, logs
            time.sleep(0.05)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        self.processes.remove(process)
        process.terminate()
        assert process.wait(30) == 0

    def letterlock(self, *words: str, code: int = 0) -> str:
        return run("letterlock", "--config", str(self.inside), *words, code=code)

    def portal(self, *words: str, code: int = 0) -> str:
        return run("letterlock-portal", "--config", str(self.dmz), *words, code=code)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(tmp_path)
    yield made
    for process in list(made.processes):
        made.stop(process)


def fill(words: list[str], hosts: Hosts, **names: str) -> list[str]:
    """Return a shown command with what names hosts and files replaced by the test's."""
    table = {
        "/var/lib/letterlock-portal": str(hosts.dmz),
        "192.0.2.20:8443": f"127.0.0.1:{hosts.base + 1}",
        "https://192.0.2.20:8443": f"https://127.0.0.1:{hosts.base + 1}",
        **names,
    }
    return [table.get(word, word) for word in words]


def command_of(program: str, *begin: str) -> list[str]:
    """Return the first shown command that begins so, without the program's name."""
    return next(words[1:] for words in shown_commands(program) if words[1 : 1 + len(begin)] == list(begin))


@pytest.mark.timeout(240)
def test_the_page_is_followed_to_a_good_link_a_back_up_and_new_keys(hosts: Hosts) -> None:
    # 1. The host. Its address is that of this test.
    shown = run("letterlock-portal", *fill(command_of("letterlock-portal", "init"), hosts))
    portal_id = re.search(r"portal id: +(\S{22})", shown)
    assert portal_id is not None
    settings = hosts.dmz / "letterlock-portal.toml"
    settings.write_text(settings.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{hosts.base}"))
    assert "letterlock-portal pair FILE" in hosts.portal("config", "check", code=78)
    assert "there is no file" in hosts.portal("backup", str(hosts.folder / "early"), code=78)

    # 2. Pairing, and the same two fingerprints on both sides.
    inside = ("--domain", "bank.example", "--inside-hop", "127.0.0.1:9", "--outside-hop", "127.0.0.1:9")
    run(
        "letterlock", "init", str(hosts.inside), *inside, "--name", "Example Bank", "--hostname", "gateway.bank.example"
    )
    peer = str(hosts.dmz / "link/portal.pem")
    pair = fill(command_of("letterlock", "portal", "pair"), hosts, **{"portal.pem": peer})
    pair[pair.index("--id") + 1] = portal_id[1]
    shown = hosts.letterlock(*pair)
    ours = re.search(r"ours +(\S+)", shown)
    theirs = re.search(r"portal +(\S{95})$", shown, re.MULTILINE)
    section = re.search(r"^\[portal\]\n(?:\w+ = .*\n)+", shown, re.MULTILINE)
    assert ours is not None
    assert theirs is not None
    assert section is not None
    path = hosts.inside / "letterlock.toml"
    before, here, after = path.read_text("utf-8").partition("[portal]\n")
    assert here
    path.write_text(before + section[0] + re.sub(r"\A(?:#.*\n)*", "", after), "utf-8")
    hosts.portal("pair", str(hosts.inside / "link/inside.pem"))
    shown = hosts.portal("show")
    assert f"relay pinned:     {ours[1]}" in shown
    assert f"link certificate: {theirs[1]}" in shown
    assert hosts.portal("config", "check").endswith("good\n")
    openssl = run("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", peer)
    assert openssl.strip().endswith("=" + theirs[1])

    # 3. Start, card, check.
    assert "cannot be used" in hosts.letterlock("portal", "check", code=69)
    portal = hosts.start_portal()
    keyd = hosts.start("relay.cli.main", hosts.inside, "keyd")
    hosts.wait(hosts.inside / "run/keyd/operator.sock", keyd)
    assert "Card 1 is made" in hosts.letterlock(*command_of("letterlock", "portal", "card", "new"))
    for words in shown_commands("letterlock"):
        if words[1:3] == ["portal", "card"] and words[3] in ("rotate", "publish"):
            hosts.letterlock(*words[1:])
    cards = hosts.letterlock("portal", "card", "list")
    assert cards.count("superseded") == 4
    checked = hosts.letterlock(*command_of("letterlock", "portal", "check"))
    assert "The link is good" in checked
    assert "letterlock portal use" in checked
    assert "smime, openpgp, webmail" in hosts.letterlock(*command_of("letterlock", "portal", "use"))
    hosts.letterlock("backup", str(hosts.folder / "inside.bak"))
    listed = run("tar", "tf", str(hosts.folder / "inside.bak"))
    assert {"files/link/inside.pem", "files/link/inside.key", "files/link/portal.pem"} <= set(listed.split())
    assert "files/keys/mailbox/" in listed
    assert "mailboxes ask" in hosts.letterlock(*command_of("letterlock", "mailbox", "list")[:1], "must-change", "--all")

    # 10. Back-up, restore, and what is refused.
    backup = hosts.folder / "backup"
    files = [Path(line) for line in hosts.portal("backup", str(backup)).splitlines()[:2]]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    pepper = (hosts.dmz / "secrets/pepper").read_bytes()
    assert all(pepper not in file.read_bytes() for file in backup.rglob("*.db"))
    old = backup / "row-keys/row-keys-20200101T000000Z.db"
    old.write_bytes(b"")
    os.utime(old, (time.time() - 8 * 86400,) * 2)
    # A back-up is named by its second and overwrites none.
    time.sleep(1.1)
    hosts.portal("backup", str(backup))
    assert not old.exists()
    hosts.portal("sweep")
    hosts.stop(portal)
    for file, name in zip(files, ("state/portal.db", "state-keys/row-keys.db"), strict=True):
        for ending in ("", "-wal", "-shm"):
            Path(f"{hosts.dmz / name}{ending}").unlink(missing_ok=True)
        shutil.copy(file, hosts.dmz / name)
    portal = hosts.start_portal()
    assert "The link is good" in hosts.letterlock("portal", "check")
    hosts.stop(portal)
    (hosts.dmz / "secrets/pepper").write_bytes(os.urandom(32))
    assert "is not the pepper of this database" in hosts.portal("web", code=78)
    (hosts.dmz / "secrets/pepper").write_bytes(pepper)

    # 12. The inside's key is changed, with no moment in which the link is shut.
    new = next(re.sub(r" \\\n +", " ", one) for one in BLOCK.findall(TEXT) if "openssl req" in one)
    openssl_command, cat = (shlex.split(line) for line in new.splitlines()[:2])
    run(*openssl_command, cwd=hosts.inside)
    both = hosts.folder / "both.pem"
    both.write_text("".join((hosts.inside / name).read_text() for name in cat[1:3]))
    assert hosts.portal("pair", str(both)).count("relay pinned") == 2
    hosts.start_portal()
    assert "The link is good" in hosts.letterlock("portal", "check")
    path.write_text(path.read_text().replace("link/inside.", "link/inside-2."), "utf-8")
    assert "The link is good" in hosts.letterlock("portal", "check")
    hosts.letterlock(*command_of("letterlock", "portal", "reoffer"))
    assert "write the time" in hosts.letterlock("portal", "reoffer", "--since", "yesterday", code=64)
    # Not overwritten, whatever happens.
    assert "not overwritten" in hosts.letterlock(*pair, code=73)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path / "state", portal=True).start()
    yield gateway
    if gateway.process is not None and gateway.process.poll() is None:
        assert gateway.stop() == 0


@pytest.mark.timeout(300)
def test_after_a_theft_a_new_host_is_filled_and_asks_for_new_passwords(gateway: Gateway, tmp_path: Path) -> None:
    """Section 13: the thief's keys are worth nothing, mail is there, and the old password opens none of it."""
    partner, new = "mia.berger@kanzlei.example", "another walk along the river"
    inside, dmz, stolen = gateway.state / "inside", gateway.state / "portal", gateway.state / "stolen"
    with open_browser("chromium") as browser:
        page = browser.new_page()
        gateway.send(write_to(partner, "Loan contract", "Please sign.\n"), ANNA, partner)
        sign_in(page, gateway, partner, wait_for_first_password(gateway, partner)[0])
        choose_password(page)
        open_message(page, "Loan contract")
        gateway.wait(lambda left: [one for one in left if "has opened" in str(one.message["Subject"])])
        browser.close_context()
        assert gateway.stop() == 0

        # 3. before 4., as the page says.
        assert "1 mailboxes" in gateway.cli("mailbox", "must-change", "--all")
        dmz.rename(stolen)
        certificate, key = make_certificate(tmp_path, "localhost")
        # The stolen host's files are gone; the inside has the id.
        portal_id = tomllib.loads((inside / "letterlock.toml").read_text("utf-8"))["portal"]["id"]
        run(
            *("letterlock-portal", "init", str(dmz), "--url", portal_url(gateway), "--name", "Example Bank"),
            *("--phone", "+49 241 123 456", "--id", portal_id, "--certificate", str(certificate), "--key", str(key)),
            *("--listen", f"127.0.0.1:{gateway.base + 2}", "--link", f"127.0.0.1:{gateway.base + 3}"),
        )
        link = f"https://127.0.0.1:{gateway.base + 3}"
        pair = ("portal", "pair", "--replace", "--url", portal_url(gateway), "--id", portal_id, "--link", link)
        gateway.cli(*pair, "--peer", str(dmz / "link/portal.pem"))
        run("letterlock-portal", "--config", str(dmz), "pair", str(inside / "link/inside.pem"))
        assert (dmz / "secrets/pepper").read_bytes() != (stolen / "secrets/pepper").read_bytes()

        gateway.start()
        gateway.wait_until(lambda: "takes no logins" not in gateway.cli("portal", "check"))
        thief = LinkSettings(
            portal_id,
            link,
            inside / "link/inside.pem.old",
            inside / "link/inside.key.old",
            dmz / "link/portal.pem",
        )
        with pytest.raises(LinkError):
            PortalLink(thief).get_mark()

        page = browser.new_page("after", context="after")
        sign_in(page, gateway, partner, OWN)
        choose_password(page, new)
        open_message(page, "Loan contract")
        late = browser.new_page("late", context="late")
        sign_in(late, gateway, partner, OWN)
        late.wait_for_selector("#problem :not(:empty)")
        assert "/mailbox" not in late.url


def test_nftables_takes_the_firewall(tmp_path: Path) -> None:
    need("nft")
    (rules,) = re.findall(r"^```nft\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "rules").write_text(rules)
    done = subprocess.run(["nft", "-c", "-f", str(tmp_path / "rules")], capture_output=True, text=True, timeout=60)
    if "not permitted" in done.stderr:
        pytest.skip("nft may not ask the kernel here")
    assert (done.returncode, done.stderr) == (0, "")
    # Nothing begins from here: the one way out is an answer, but for what the page names.
    output = rules.partition("chain output")[2]
    assert "policy drop" in output
    assert set(re.findall(r"^ +(?!type|#)(\S+) .*accept$", output, re.MULTILINE)) == {"ct", "oif", "meta", "ip"}


# --- units ------------------------------------------------------------------------------------------------------------


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def moved_units(folder: Path) -> list[Path]:
    """Return copies whose program is there."""
    folder.mkdir()
    for unit in UNITS.iterdir():
        text = unit.read_text("utf-8").replace("/opt/letterlock/bin/letterlock-portal", "/bin/true")
        (folder / unit.name).write_text(text)
    return sorted(folder.iterdir())


def test_systemd_takes_the_units_and_finds_little_open(tmp_path: Path) -> None:
    need("systemd-analyze")
    units = moved_units(tmp_path / "units")
    done = subprocess.run(["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for unit in units:
        if unit.suffix != ".service":
            continue
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True, timeout=60
        )
        exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
        assert exposure is not None, done.stdout + done.stderr
        name = unit.stem.removeprefix("letterlock-portal-")
        row = re.search(rf"^\| {name}\b.*\| ([\d.]+) \|$", TEXT, re.MULTILINE)
        assert row is not None, name
        assert float(exposure[1]) <= float(row[1]), done.stdout


def start_lines(text: str) -> str:
    """Return a unit's lines about being started again."""
    return "".join(line + "\n" for line in text.splitlines() if line.startswith(("StartLimit", "Restart=")))


def test_units_name_what_the_portal_runs_and_keep_memory_off_the_disk() -> None:
    from portal.cli import _COMMANDS

    for name in ("web", "link", "sweep"):
        text = (UNITS / f"letterlock-portal-{name}.service").read_text("utf-8")
        assert name in _COMMANDS
        assert f"ExecStart=/opt/letterlock/bin/letterlock-portal {name}\n" in text
        for line in ("LimitCORE=0", "MemorySwapMax=0", "NoNewPrivileges=yes", "ProtectSystem=strict"):
            assert line in text
        assert "IPAddressDeny=any\n" in text
        assert ("link/portal.key" in text) is (name != "link")
        assert ("StartLimitIntervalSec=0\nRestart=always\n" in start_lines(text)) is (name != "sweep")
    target = (UNITS / "letterlock-portal.target").read_text("utf-8")
    for name in ("web.service", "link.service", "sweep.timer"):
        assert f"letterlock-portal-{name}" in target


def allowed_calls(unit: str) -> set[str]:
    """Return the system calls that a unit's filter leaves."""
    done = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, timeout=60, check=True)
    sets: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            current = sets.setdefault(line.strip(), [])
        elif line.strip() and not line.strip().startswith("#"):
            current.append(line.strip())

    def expand(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return set().union(*(expand(one) for one in sets[name]))

    left: set[str] = set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", (UNITS / unit).read_text("utf-8"), re.MULTILINE):
        names = set().union(*(expand(word) for word in words.removeprefix("~").split()))
        left = left - names if words.startswith("~") else left | names
    return left


@pytest.mark.timeout(240)
def test_the_processes_make_no_call_that_their_units_refuse(tmp_path: Path) -> None:
    """A walk from the start over a login to the end, under strace: refused calls, connections, memory for code."""
    need("strace")
    need("systemd-analyze")
    portal = RunningPortal.make(tmp_path / "portal")
    web, link = (allowed_calls(f"letterlock-portal-{name}.service") for name in ("web", "link"))
    assert web == link
    assert "connect" not in web
    assert "accept4" in web
    trace = tmp_path / "trace"
    # `serve` starts both listeners and a sweep, each of which is what its unit runs.
    hook = tmp_path / "python"
    hook.write_text(
        f'#!/bin/sh\nexec strace -f -qq --seccomp-bpf -o "{trace}.$$" -e signal=none {sys.executable} "$@"\n'
    )
    hook.chmod(0o755)
    for name in ("web", "link"):
        (portal.settings.state_dir / f"{name}.address").unlink(missing_ok=True)
    processes = []
    for name in ("web", "link", "sweep"):
        command = [str(hook), "-m", "portal.cli", "--config", str(portal.folder), name]
        with portal.log.open("ab") as log:
            processes.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        if name == "sweep":
            assert processes[-1].wait(60) == 0
        else:
            portal.process = processes[-1]
            portal.address(name)
    inside = portal.reconcile()
    box = push_box(inside, new_box(portal.settings.portal_id))
    browser = portal.browser()
    assert browser.call("GET", "/")[0] == 200
    assert browser.login(box)[0] == 200
    assert browser.api("GET", "messages")[0] == 200
    inside.close()
    for process in processes[:2]:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(int(children[0]), 15)
        assert process.wait(60) == 0
    lines = "\n".join(path.read_text("utf-8", "replace") for path in tmp_path.glob("trace.*"))
    made = set(re.findall(r"^\d+ +(\w+)\(", lines, re.MULTILINE))
    assert {"bind", "listen", "openat"} <= made
    # SQLite gives files that root makes to their folder's owner; the units' user is not root.
    as_root = {"fchown"} if os.geteuid() == 0 else set()
    assert made - web - as_root == set()
    assert re.findall(r"PROT_\w+\|PROT_WRITE\|PROT_EXEC", lines) == []
