"""keyd as a process of its own, as the supervisor runs it; and what the tests need around it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relay.core.clock import ManualClock, SystemClock
from relay.keystore.client import RemoteKeyStore
from relay.keystore.daemon import KeydConfig, run_keyd, socket_path
from relay.keystore.grants import Role
from relay.keystore.pin import create_pin_file
from relay.keystore.software import SoftwareToken
from relay.log import configure_logging
from relay.process.life import stop_on_signals

ROOT = Path(__file__).parents[3]


def config_in(base: Path) -> KeydConfig:
    return KeydConfig(
        base / "keys", base / "pin", base / "public/spool.json", base / "run", base / "audit", connections=8
    )


def set_up(base: Path) -> KeydConfig:
    config = config_in(base)
    pin = create_pin_file(config.pin_file)
    SoftwareToken.create(config.token_dir, pin, ManualClock(), config.public_file, pin_memory_kib=64).close()
    return config


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose sockets stay below the 107 octets of unix(7), which pytest's are not always."""
    base = Path(tempfile.mkdtemp(prefix="ll-keyd-"))
    try:
        yield base
    finally:
        shutil.rmtree(base)


@dataclass(slots=True)
class KeydProcess:
    """A running keyd."""

    config: KeydConfig
    process: subprocess.Popen[str]
    log: Path

    @classmethod
    def start(cls, config: KeydConfig) -> KeydProcess:
        log = config.token_dir.parent / "keyd.log"
        with log.open("a") as stream:
            process = subprocess.Popen(
                [sys.executable, str(Path(__file__)), str(config.token_dir.parent)],
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", log.read_text()
        return cls(config, process, log)

    def client(self, role: Role, **options: float) -> RemoteKeyStore:
        return RemoteKeyStore(socket_path(self.config.socket_dir, role), **options)

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def main() -> None:
    stop = stop_on_signals()
    configure_logging("keyd")
    run_keyd(config_in(Path(sys.argv[1])), SystemClock(), stop, lambda: print("ready", flush=True))


if __name__ == "__main__":
    main()
