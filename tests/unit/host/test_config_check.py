"""`letterlock config check` finds what would stop a start; keyd's own words name the key and the fix as well."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.cli.main import main
from relay.core.clock import SystemClock
from relay.core.errors import ConfigurationError, KeyStoreError
from relay.core.ports import Actor
from relay.core.ports_mailbox import CardRequest
from relay.core.wire.sealed import make_id
from relay.keystore.opening import check_token, open_token
from relay.keystore.pin import read_pin_file
from relay.keystore.software import SoftwareToken
from relay.settings import load_settings

ROOT = Path(__file__).parents[3]
ACTOR = Actor("operator", "test")


@pytest.fixture
def inside(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "inside"))


def check(inside: Path) -> int:
    return main(["--config", str(inside), "config", "check"])


def garble(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)


def write_pin(inside: Path) -> None:
    (inside / "secrets/token.pin").write_text("another-pin-of-enough-characters\n")


def empty_keys(inside: Path) -> None:
    shutil.rmtree(inside / "keys")
    (inside / "keys").mkdir(mode=0o700)


def drop_epochs(inside: Path) -> None:
    for path in (inside / "keys/epochs").glob("*.key"):
        path.unlink()


BREAKAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("another PIN", write_pin, "keys.pin_file"),
    ("no PIN", lambda inside: (inside / "secrets/token.pin").unlink(), "keys.pin_file"),
    ("a PIN that others read", lambda inside: (inside / "secrets/token.pin").chmod(0o644), "keys.pin_file"),
    ("an empty folder of keys", empty_keys, "keys.directory"),
    ("a changed token", lambda inside: (inside / "keys/token.json").write_text("{}"), "keys.directory"),
    ("a changed epoch", lambda inside: garble(next((inside / "keys/epochs").glob("*.key"))), "keys.directory"),
    ("no epoch", drop_epochs, "keys.directory"),
]


@pytest.mark.parametrize(("what", "break_it", "key"), BREAKAGES)
def test_what_would_stop_keyd_is_found(
    inside: Path, capsys: pytest.CaptureFixture[str], what: str, break_it: Callable[[Path], object], key: str
) -> None:
    break_it(inside)
    assert check(inside) == 78, what
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"letterlock: {key}: ")
    assert "another-pin" not in said
    # The start says the same.
    keys = load_settings(inside / "letterlock.toml").keys
    with pytest.raises(ConfigurationError) as caught:
        open_token(keys.directory, keys.pin_file, keys.public_file, SystemClock())
    assert said == f"letterlock: {caught.value}\n"


@pytest.mark.parametrize(
    ("break_it", "key"),
    [
        (lambda inside: (inside / "public/spool.json").unlink(), "keys.public_file"),
        (lambda inside: (inside / "public/spool.json").write_text("{}"), "keys.public_file"),
        (lambda inside: (inside / "tls/privkey.pem").write_text("garbage"), "tls.certificate"),
        (lambda inside: shutil.copy(inside / "tls/fullchain.pem", inside / "tls/privkey.pem"), "tls.certificate"),
    ],
)
def test_what_would_stop_smtpd_is_found(
    inside: Path, capsys: pytest.CaptureFixture[str], break_it: Callable[[Path], object], key: str
) -> None:
    break_it(inside)
    assert check(inside) == 78
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"letterlock: {key}: ")


def test_all_that_is_wrong_is_said_at_once(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pin(inside)
    (inside / "tls/privkey.pem").write_text("garbage")
    capsys.readouterr()
    assert main(["--config", str(inside), "org", "show", "routes"]) == 0
    routes = json.loads(capsys.readouterr().out)
    routes["routes"][0]["auth"] = {"user": "gateway", "secret": "hop.password"}
    (inside / "routes.json").write_text(json.dumps(routes))
    assert main(["--config", str(inside), "org", "put", "routes", str(inside / "routes.json")]) == 0
    capsys.readouterr()
    assert check(inside) == 78
    said = capsys.readouterr().err.splitlines()
    assert [re.split(r": ", line)[1] for line in said] == [
        "keys.pin_file", "tls.certificate", "routes.auth.secret hop.password",
    ]  # fmt: skip
    (inside / "secrets/hop.password").write_text("\n")
    assert check(inside) == 78
    assert "hop.password is empty" in capsys.readouterr().err


def test_looking_changes_nothing_and_needs_no_lock(inside: Path) -> None:
    keys = load_settings(inside / "letterlock.toml").keys
    clock = SystemClock()
    with SoftwareToken.load(keys.directory, read_pin_file(keys.pin_file), clock, keys.public_file) as token:
        portal = make_id()
        token.create_card(CardRequest(portal, "Example Bank"), ACTOR)
        token.create_card(CardRequest(portal, "Example Bank"), ACTOR)
        old = token.spool_public_key().epoch
        token.begin_epoch(ACTOR)
        # A destruction that a crash cut short: keyd finishes it at its start, a look does not.
        (keys.directory / f"destroyed/{old}.json").write_text("{}")
        before = {path: path.stat().st_mtime_ns for path in inside.rglob("*")}
        check_token(keys.directory, keys.pin_file, keys.public_file, clock)
        assert {path: path.stat().st_mtime_ns for path in inside.rglob("*")} == before
        with pytest.raises(KeyStoreError, match="another process") as caught:
            open_token(keys.directory, keys.pin_file, keys.public_file, clock)
        # That one may pass by itself.
        assert not isinstance(caught.value, ConfigurationError)
    key = next((keys.directory / "mailbox" / portal).glob("escrow-*.key"))
    garble(key)
    with pytest.raises((ConfigurationError, KeyStoreError)):
        check_token(keys.directory, keys.pin_file, keys.public_file, clock)


@pytest.mark.parametrize(
    ("break_it", "key"),
    [
        (write_pin, "keys.pin_file"),
        (lambda inside: (inside / "state/keyd-audit/keyd.jsonl").write_text("x\n"), "paths.state"),
    ],
)
def test_keyd_leaves_with_ex_config_and_says_why(inside: Path, break_it: Callable[[Path], object], key: str) -> None:
    (inside / "state/keyd-audit").mkdir(exist_ok=True)
    break_it(inside)
    command = [sys.executable, "-m", "relay.cli.main", "--config", str(inside), "keyd"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 78, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"letterlock: {key}: ")
    assert "Traceback" not in done.stderr
