"""The software token's files: durable, private, never overwritten; a fault in them never judges a mail lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.clock import ManualClock
from relay.core.errors import KeyDestroyedError, KeyStoreError
from relay.core.ports import Actor, Grant, WrappedMailKey
from relay.core.wire.contexts import pair_password_context
from relay.core.wire.mailkey import MailKeySealer
from relay.keystore import epoch as epoch_module
from relay.keystore import software
from relay.keystore.files import UnusableFileError, read_public, write_atomically
from relay.keystore.pin import create_pin_file, read_pin_file
from relay.keystore.public import SpoolPublicFile, load_spool_public
from relay.keystore.software import SoftwareToken, token_backup_files
from relay.keystore.tokenfile import WrongPinError

PIN = b"a pin for the tests"
CLOCK = ManualClock()
GRANT = Grant("protect", "copy-1", "process:worker")
ACTOR = Actor("system", "test")
CONTEXT = pair_password_context("bank", "anna@bank.example", "partner-1", 1)


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftwareToken]:
    with SoftwareToken.create(tmp_path / "keys", PIN, CLOCK, pin_memory_kib=64) as token:
        yield token


def load(tmp_path: Path, pin: bytes = PIN) -> SoftwareToken:
    return SoftwareToken.load(tmp_path / "keys", pin, CLOCK)


def test_everything_is_there_after_a_restart(token: SoftwareToken, tmp_path: Path) -> None:
    blob = token.seal(CONTEXT, b"secret")
    first_key, first = MailKeySealer(token.spool_public_key()).make("message-1")
    newest = token.begin_epoch(ACTOR)
    second_key, second = MailKeySealer(newest).make("message-2")
    token.close()
    with load(tmp_path) as again:
        assert again.open(CONTEXT, blob, GRANT) == b"secret"
        assert again.open_mail_key("message-1", first, GRANT) == first_key
        assert again.open_mail_key("message-2", second, GRANT) == second_key
        assert again.spool_public_key() == newest
        assert len(again.epochs()) == 2


def test_files_are_private(token: SoftwareToken, tmp_path: Path) -> None:
    secret = [path for path in (tmp_path / "keys").rglob("*") if path.is_file() and path.name != "spool.json"]
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    assert (tmp_path / "keys/public/spool.json").stat().st_mode & 0o777 == 0o644
    for directory in ("keys", "keys/epochs", "keys/destroyed"):
        assert (tmp_path / directory).stat().st_mode & 0o777 == 0o700
    assert token.epochs()


@pytest.mark.parametrize("name", ["token.json", "epochs/*.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_files_that_others_can_use_are_refused(token: SoftwareToken, tmp_path: Path, name: str, mode: int) -> None:
    token.close()
    path = next((tmp_path / "keys").glob(name))
    path.chmod(mode)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        load(tmp_path)


def test_a_wrong_pin_opens_nothing(token: SoftwareToken, tmp_path: Path) -> None:
    token.close()
    with pytest.raises(KeyStoreError, match="PIN") as caught:
        load(tmp_path, b"another pin entirely")
    assert caught.value.temporary
    load(tmp_path).close()


def test_a_token_is_not_overwritten(token: SoftwareToken, tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="another process"):
        SoftwareToken.create(tmp_path / "keys", PIN, CLOCK, pin_memory_kib=64)
    with pytest.raises(KeyStoreError, match="another process"):
        load(tmp_path)
    token.close()
    with pytest.raises(KeyStoreError, match="not overwritten"):
        SoftwareToken.create(tmp_path / "keys", PIN, CLOCK, pin_memory_kib=64)


def test_a_closed_token_does_nothing(token: SoftwareToken) -> None:
    blob = token.seal(CONTEXT, b"secret")
    _, wrapped = MailKeySealer(token.spool_public_key()).make("message-1")
    token.close()
    token.close()
    for use in (
        lambda: token.seal(CONTEXT, b"x"),
        lambda: token.open(CONTEXT, blob, GRANT),
        lambda: token.open_mail_key("message-1", wrapped, GRANT),
        token.spool_public_key,
        token.test,
        lambda: token.begin_epoch(ACTOR),
        lambda: token.destroy_epoch(wrapped.epoch, ACTOR),
    ):
        with pytest.raises(KeyStoreError):
            use()


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_a_clear_temporary_error(token: SoftwareToken, tmp_path: Path, data: st.DataObject) -> None:
    token.close()
    name = data.draw(st.sampled_from(["token.json", "epochs"]))
    path = tmp_path / "keys" / name if name != "epochs" else next((tmp_path / "keys/epochs").glob("*.key"))
    good = path.read_bytes()
    if data.draw(st.booleans()):
        bad = good[: data.draw(st.integers(0, len(good) - 2))]
    else:
        place = data.draw(st.integers(0, len(good) - 2))
        bad = good[:place] + bytes([good[place] ^ (1 << data.draw(st.integers(0, 7)))]) + good[place + 1 :]
    path.write_bytes(bad)
    caught: KeyStoreError | None = None
    try:
        load(tmp_path).close()
    except KeyStoreError as error:
        caught = error
    finally:
        path.write_bytes(good)
    if caught is None:
        # White space between JSON names says nothing: such a file is as good as the first.
        assert json.loads(bad) == json.loads(good)
    else:
        assert type(caught) in (UnusableFileError, WrongPinError)
        assert caught.temporary


def test_an_epoch_file_under_another_name_does_not_open(token: SoftwareToken, tmp_path: Path) -> None:
    token.close()
    path = next((tmp_path / "keys/epochs").glob("*.key"))
    path.rename(path.with_name("e7-00000000.key"))
    with pytest.raises(KeyStoreError, match="damaged"):
        load(tmp_path)


def test_a_destroyed_epoch_is_gone_from_the_disk(token: SoftwareToken, tmp_path: Path) -> None:
    old = token.spool_public_key()
    path = tmp_path / f"keys/epochs/{old.epoch}.key"
    _, wrapped = MailKeySealer(old).make("message-1")
    in_context = MailKeySealer(old).begin_batch().seal("message-1", bytes(32))
    assert token.open_mail_key("message-1", in_context, GRANT) == bytes(32)
    token.begin_epoch(ACTOR)
    seen = path.open("rb")
    content = path.read_bytes()
    token.destroy_epoch(old.epoch, ACTOR)
    assert not path.exists()
    with seen:
        overwritten = seen.read()
    assert len(overwritten) == len(content)
    assert overwritten != content
    with pytest.raises(KeyDestroyedError):
        token.open_mail_key("message-1", in_context, GRANT)
    token.close()
    with load(tmp_path) as again, pytest.raises(KeyDestroyedError):
        again.open_mail_key("message-1", wrapped, GRANT)


def test_a_destruction_cut_short_is_finished_at_the_next_start(
    token: SoftwareToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = token.spool_public_key().epoch
    token.begin_epoch(ACTOR)

    def crash(path: Path) -> None:
        raise KeyStoreError("power cut")

    monkeypatch.setattr(epoch_module, "destroy_file", crash)
    with pytest.raises(KeyStoreError):
        token.destroy_epoch(old, ACTOR)
    monkeypatch.undo()
    token.close()
    assert (tmp_path / f"keys/epochs/{old}.key").exists()
    with load(tmp_path) as again:
        assert old not in again.epochs()
    assert not (tmp_path / f"keys/epochs/{old}.key").exists()


def test_a_tombstone_that_cannot_be_written_destroys_nothing(
    token: SoftwareToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = token.spool_public_key()
    key, wrapped = MailKeySealer(old).make("message-1")
    token.begin_epoch(ACTOR)

    def fail(*_args: object) -> None:
        raise KeyStoreError("disk full")

    monkeypatch.setattr(epoch_module, "write_atomically", fail)
    with pytest.raises(KeyStoreError, match="full") as caught:
        token.destroy_epoch(old.epoch, ACTOR)
    assert caught.value.temporary
    assert token.open_mail_key("message-1", wrapped, GRANT) == key


def test_a_restored_back_up_opens_values_but_no_deleted_mail(token: SoftwareToken, tmp_path: Path) -> None:
    blob = token.seal(CONTEXT, b"secret")
    old = token.spool_public_key()
    _, wrapped = MailKeySealer(old).make("message-1")
    backup = tmp_path / "backup"
    for path in token_backup_files(tmp_path / "keys"):
        target = backup / path.relative_to(tmp_path / "keys")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    token.close()
    shutil.rmtree(tmp_path / "keys")
    backup.rename(tmp_path / "keys")
    with load(tmp_path) as restored:
        assert restored.open(CONTEXT, blob, GRANT) == b"secret"
        with pytest.raises(KeyStoreError, match="Begin a new epoch"):
            restored.spool_public_key()
        with pytest.raises(KeyStoreError) as caught:
            restored.open_mail_key("message-1", wrapped, GRANT)
        assert caught.value.temporary
        restored.begin_epoch(ACTOR)
        restored.begin_epoch(ACTOR)
        restored.test()
        restored.destroy_epoch(old.epoch, ACTOR)
        with pytest.raises(KeyDestroyedError):
            restored.open_mail_key("message-1", wrapped, GRANT)


def test_epoch_keys_are_in_no_back_up(token: SoftwareToken, tmp_path: Path) -> None:
    token.begin_epoch(ACTOR)
    token.destroy_epoch(token.epochs()[0], ACTOR)
    names = [str(path.relative_to(tmp_path / "keys")) for path in token_backup_files(tmp_path / "keys")]
    assert names[0] == "token.json"
    assert len(names) == 2
    assert names[1].startswith("destroyed/e1-")
    assert (tmp_path / "keys/epochs/.nobackup").exists()


def test_the_public_file_is_written_again_after_a_crash(token: SoftwareToken, tmp_path: Path) -> None:
    public = token.spool_public_key()
    token.close()
    (tmp_path / "keys/public/spool.json").write_text("{")
    with load(tmp_path) as again:
        assert again.spool_public_key() == public
    assert load_spool_public(tmp_path / "keys/public/spool.json") == public


def test_smtpd_follows_the_public_file(token: SoftwareToken, tmp_path: Path) -> None:
    follower = SpoolPublicFile(tmp_path / "keys/public/spool.json")
    first = follower.current()
    assert first == token.spool_public_key()
    assert follower.current() is first
    second = token.begin_epoch(ACTOR)
    assert follower() == second
    (tmp_path / "keys/public/spool.json").unlink()
    with pytest.raises(KeyStoreError) as caught:
        follower.current()
    assert caught.value.temporary


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"epoch": "../x"},
        {"epoch": 7},
        {"suite": 3},
        {"suite": True},
        {"public": "AA"},
        {"public": 7},
        {"public": "="},
    ],
)
def test_a_broken_public_file_is_a_temporary_error(
    token: SoftwareToken, tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "keys/public/spool.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(KeyStoreError, match="not a spool public key"):
        load_spool_public(path)
    path.write_text("[" * 100_000)
    with pytest.raises(KeyStoreError, match="not a spool public key"):
        load_spool_public(path)


def test_a_public_file_that_others_can_write_is_refused(token: SoftwareToken, tmp_path: Path) -> None:
    path = tmp_path / "keys/public/spool.json"
    path.chmod(0o664)
    with pytest.raises(KeyStoreError, match="chmod 644"):
        load_spool_public(path)


def test_links_and_other_things_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "large").write_bytes(bytes(1024 * 1024 + 1))
    for name in ("pipe", "link", "large", "missing"):
        with pytest.raises(KeyStoreError):
            read_public(tmp_path / name)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyStoreError, match="No space"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_pin_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets/pin"
    pin = create_pin_file(path)
    assert len(pin) == 43
    assert read_pin_file(path) == pin
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyStoreError, match="not overwritten"):
        create_pin_file(path)
    path.chmod(0o640)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        read_pin_file(path)


@pytest.mark.parametrize("octets", [b"", b"short", b"x" * 15 + b"\n", b"x" * 20 + b"\nand more\n", b"x" * 2000])
def test_a_poor_pin_is_refused(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "pin"
    write_atomically(path, octets)
    with pytest.raises(KeyStoreError, match="one line"):
        read_pin_file(path)


def test_keys_do_not_show(token: SoftwareToken) -> None:
    for key in token._keys.values():
        assert repr(key.octets)[2:-1] not in repr(key)
    assert "WrappedMailKey" in repr(WrappedMailKey("e1-00000000", 2, b""))
    assert software.MECHANISM == "AES-256-GCM/HKDF-SHA256"
