"""The demo's portal: made and run by the program `letterlock-portal`, as on a DMZ host, with files of its own.

The inside imports nothing of the portal; what the two know of each other are the files that pairing exchanges.
"""

from __future__ import annotations

import email
import email.policy
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from relay.cli.certificate import write_self_signed
from relay.cli.exits import EX_UNAVAILABLE, CommandError
from relay.cli.installation import PortalChoices
from relay.core.clock import SystemClock
from relay.process.supervisor import ProcessSpec

HOST = "localhost"
_SETTINGS = "letterlock-portal.toml"


@dataclass(frozen=True, slots=True)
class DemoPortal:
    """The portal's folder and ports."""

    directory: Path
    base_port: int

    @property
    def url(self) -> str:
        """Where partners go."""
        return f"https://{HOST}:{self.base_port + 2}"

    @property
    def link_url(self) -> str:
        """Where the inside goes."""
        return f"https://127.0.0.1:{self.base_port + 3}"

    def make(self, clock_offset: Path) -> PortalChoices:
        """Make the portal's files at the first start; return what the inside has to know. Raises CommandError."""
        settings = self.directory / _SETTINGS
        if not settings.exists():
            tls = self.directory / "tls"
            certificate, key = write_self_signed(tls, HOST, SystemClock())
            self._run(
                "init", str(self.directory), "--url", self.url, "--name", "Example Bank",
                "--phone", "+49 30 5550100", "--listen", f"127.0.0.1:{self.base_port + 2}",
                "--link", f"127.0.0.1:{self.base_port + 3}", "--certificate", str(certificate), "--key", str(key),
                "--clock-offset-file", str(clock_offset),
            )  # fmt: skip
        portal_id = str(tomllib.loads(settings.read_text("utf-8"))["portal"]["id"])
        return PortalChoices(portal_id, self.link_url, self.directory / "link" / "portal.pem")

    def move(self, inside: Path, old_port: int) -> None:
        """Bring settings of both sides to the ports of this start. The first start's portal was at `old_port`."""
        for path in (self.directory / _SETTINGS, inside):
            text = path.read_text("utf-8")
            for offset in (0, 1):
                text = text.replace(f":{old_port + offset}", f":{self.base_port + 2 + offset}")
            path.write_text(text, "utf-8")

    def pair(self, certificate: Path) -> None:
        """Pin the inside's certificate. Raises CommandError."""
        self._run("--config", str(self.directory), "pair", str(certificate))

    def spec(self) -> ProcessSpec:
        """Return the process to supervise."""
        return ProcessSpec("portal", (*_COMMAND, "--config", str(self.directory), "serve"))

    @staticmethod
    def _run(*arguments: str) -> None:
        done = subprocess.run([*_COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise CommandError(f"the portal could not be made: {done.stderr.strip()}", EX_UNAVAILABLE)


_COMMAND = (sys.executable, "-m", "portal.cli")

_PASSWORD = re.compile(r"^ {4}([0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){2})\r?$", re.MULTILINE)


def find_first_password(outbox: Path, partner: str) -> str:
    """Return the first password that a notice in the outbox told for this partner, "" when there is none."""
    for path in sorted(outbox.glob("[0-9]*.eml"), reverse=True):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        body = mail.get_body(("plain",))
        if body is not None and partner in str(mail["Subject"]):
            found = _PASSWORD.search(body.get_content())
            if found:
                return found[1]
    return ""
