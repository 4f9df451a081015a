"""A program: the intake as its own process, writing each committed message into a folder by rename.

Usage: folder_server.py FOLDER [CERTIFICATE KEY]. Prints the loop's module and the ports of the three listeners.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import json
import sys
from pathlib import Path

from relay.core.envelope import Envelope, SessionInfo, Side
from relay.core.ids import new_id
from relay.smtpd.config import LimitsConfig, ListenerConfig, SmtpdConfig
from relay.smtpd.logins import Login
from relay.smtpd.server import Server, run


class FolderMessage:
    def __init__(self, folder: Path, session: SessionInfo, envelope: Envelope) -> None:
        self._folder = folder
        self._about = {
            "reverse_path": envelope.reverse_path,
            "recipients": [r.forward_path for r in envelope.recipients],
            "session": dataclasses.asdict(session),
        }
        self._content = bytearray()
        self.message_id = new_id()

    async def write(self, data: bytes) -> None:
        self._content += data

    async def commit(self) -> None:
        (self._folder / f"{self.message_id}.eml").write_bytes(self._content)
        part = self._folder / f"{self.message_id}.part"
        part.write_text(json.dumps(self._about))
        part.rename(self._folder / f"{self.message_id}.json")

    async def abort(self) -> None:
        self._content.clear()


@dataclasses.dataclass
class FolderIntake:
    folder: Path

    def has_room(self, octets: int) -> bool:
        return True

    def open(self, session: SessionInfo, envelope: Envelope) -> FolderMessage:
        return FolderMessage(self.folder, session, envelope)


class OneLogin:
    def verify(self, name: str, password: str) -> Login | None:
        if (name, password) == ("erp", "right horse"):
            return Login("erp", frozenset({"alice@bank.example"}))
        return None


def main() -> None:
    folder = Path(sys.argv[1])
    tls = (Path(sys.argv[2]), Path(sys.argv[3])) if len(sys.argv) > 3 else None
    networks = (ipaddress.ip_network("127.0.0.0/8"),)
    config = SmtpdConfig(
        "mx.bank.example",
        (
            ListenerConfig("inside", "127.0.0.1", 0, Side.INSIDE, networks=networks, starttls=tls),
            ListenerConfig("outside", "127.0.0.1", 0, Side.OUTSIDE, starttls=tls),
            ListenerConfig("submission", "127.0.0.1", 0, Side.SUBMISSION, starttls=tls, loopback_demo=tls is None),
        ),
        frozenset({"bank.example"}),
        LimitsConfig(auth_failure_delay=0.0),
    )

    def ready(server: Server) -> None:
        loop = type(asyncio.get_running_loop()).__module__
        sys.stdout.write(json.dumps({"loop": loop, "ports": [port for _, port in server.addresses]}) + "\n")
        sys.stdout.flush()

    run(config, FolderIntake(folder), OneLogin(), ready=ready)


if __name__ == "__main__":
    main()
