"""The DMZ host comes back from an old back-up: nothing the inside gave or took is lost, void passwords stay void."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.gateway import Gateway
from tests.system.portal.dmz_host import DmzHost, link_frozen
from tests.system.portal.partner import Partner
from tests.system.portal_walk import ANNA, OWN, text_of, to, wait_for_first_password, write_to

pytestmark = pytest.mark.timeout(400)
PATIENCE = 120.0
NEW = "a second walk along the river"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("restored") / "state", portal=True).start()
    yield gateway
    assert gateway.stop() == 0


def open_mailbox(gateway: Gateway, partner: str, subject: str) -> Partner:
    """Send a first mail and open the mailbox with an own password; the inside knows of it."""
    gateway.send(write_to(partner, subject, "text\n"), ANNA, partner)
    found = Partner(gateway, partner).begin(wait_for_first_password(gateway, partner)[0], OWN)
    gateway.wait(lambda left: to(left, ANNA, f"{partner} has opened"), PATIENCE)
    return found


def arrived(gateway: Gateway, how: str) -> list[str]:
    """Return the texts of the answers of a run that arrived inside, each hand-over once more."""
    return sorted(text_of(one).strip() for one in to(gateway.outbox(), ANNA, f"Re: {how}"))


class Copied:
    """A copy of all that lies on the host, taken while it is down."""

    def __init__(self, host: DmzHost, folder: Path) -> None:
        self._host, self._folder = host, folder / "copy"
        with host.away():
            shutil.copytree(host.folder, self._folder)

    def restore(self) -> None:
        shutil.rmtree(self._host.folder)
        shutil.copytree(self._folder, self._host.folder)


class BackedUp:
    """What `letterlock-portal backup` writes while the portal runs."""

    def __init__(self, host: DmzHost, folder: Path) -> None:
        self._host = host
        command = [sys.executable, "-m", "portal.cli", "--config", str(host.folder), "backup", str(folder / "back-up")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        self._files = [Path(line) for line in done.stdout.splitlines() if line.endswith(".db")]
        assert len(self._files) == 2

    def restore(self) -> None:
        for file, place in zip(self._files, ("state/portal.db", "state-keys/row-keys.db"), strict=True):
            target = self._host.folder / place
            assert target.exists()
            for name in target.parent.glob(f"{target.name}*"):
                name.unlink()
            shutil.copy(file, target)


@pytest.mark.parametrize(("how", "ahead"), [pytest.param(Copied, 7200, marks=pytest.mark.long), (BackedUp, 14400)])
def test_a_portal_restored_from_an_old_back_up(
    gateway: Gateway, how: type[Copied | BackedUp], ahead: int, tmp_path: Path
) -> None:
    host, name = DmzHost(gateway), how.__name__.lower()
    before_all = int(str(gateway.sql("SELECT count(*) FROM message WHERE origin = 'portal'")[0][0]))
    ida = open_mailbox(gateway, f"ida.{name}@kanzlei.example", "Pushed before")
    carl = open_mailbox(gateway, f"carl.{name}@kanzlei.example", "Of Carl")
    berta = Partner(gateway, f"berta.{name}@kanzlei.example")
    gateway.send(write_to(berta.address, "Of Berta", "text\n"), ANNA, berta.address)
    void_first, _ = wait_for_first_password(gateway, berta.address)
    (before,) = ida.inbox()

    # The back-up: an answer lies in it that the inside has not fetched yet, and fetches afterwards.
    with link_frozen(gateway):
        ida.reply(before.manifest.id, "Sent before the back-up", {"one.bin": b"1" * 1_200_000}, subject=f"Re: {name}")
        back_up = how(host, tmp_path)
    gateway.wait_until(lambda: arrived(gateway, name) == ["Sent before the back-up"], PATIENCE)

    # What happened since.
    mail = gateway.send(
        write_to(ida.address, "Pushed since", "text\n", [("a.bin", b"2" * 1_200_000)]), ANNA, ida.address
    )
    gateway.wait_settled(mail, seconds=PATIENCE)
    ida.reply(before.manifest.id, "Sent since", subject=f"Re: {name}")
    carl.choose_password(NEW, OWN)
    berta.begin(void_first, OWN)
    recalled = gateway.send(write_to(carl.address, "Taken back", "text\n"), ANNA, carl.address)
    gateway.wait_settled(recalled, seconds=PATIENCE)
    (message,) = gateway.sql("SELECT id FROM mailbox_message WHERE copy_id = ?", gateway.copies(recalled)[0].copy_id)[0]
    gateway.cli("mailbox", "revoke", carl.address, str(message))
    gateway.wait_until(lambda: arrived(gateway, name) == ["Sent before the back-up", "Sent since"], PATIENCE)
    gateway.wait(lambda left: to(left, ANNA, f"{berta.address} has opened"), PATIENCE)
    gateway.wait_until(lambda: generations(gateway, carl) == [1, 2, 3], PATIENCE)
    carl.sign_in(NEW)
    gateway.wait_until(lambda: carl.subjects() == ["Of Carl"], PATIENCE)
    gateway.set_clock(ahead)

    with link_frozen(gateway):
        with host.away():
            back_up.restore()
        # Nobody is let in, with whatever password, until the inside has compared.
        for partner, password in ((berta, void_first), (berta, OWN), (carl, OWN), (carl, NEW), (ida, OWN)):
            assert partner.try_password(password) == 503
    gateway.wait_until(lambda: ida.try_password(OWN) == 200, PATIENCE)

    assert berta.try_password(void_first) == 401
    assert carl.try_password(OWN) == 401
    assert berta.sign_in(OWN).subjects() == ["Of Berta"]
    carl.sign_in(NEW)
    gateway.wait_until(lambda: carl.subjects() == ["Of Carl"], PATIENCE)
    ida.sign_in(OWN)
    gateway.wait_until(lambda: ida.subjects() == ["Pushed before", "Pushed since"], PATIENCE)
    assert ida.inbox()[1].part("file", "a.bin") == b"2" * 1_200_000

    # What was fetched once is not delivered again, and what follows arrives.
    ida.reply(before.manifest.id, "Sent afterwards", subject=f"Re: {name}")
    gateway.wait_until(lambda: "Sent afterwards" in arrived(gateway, name), PATIENCE)
    assert arrived(gateway, name) == ["Sent afterwards", "Sent before the back-up", "Sent since"]
    assert gateway.sql("SELECT count(*) FROM message WHERE origin = 'portal'") == [(before_all + 3,)]
    # Nobody was told of old mail again.
    assert len(to(gateway.outbox(), ANNA, f"mailbox of {berta.address}")) == 1
    assert len(to(gateway.outbox(), berta.address)) == 2
    assert "Good" in gateway.cli("audit", "verify")


def generations(gateway: Gateway, partner: Partner) -> list[object]:
    """Return the generations of a mailbox that the inside knows."""
    sql = (
        "SELECT g.gen FROM mailbox_generation g JOIN mailbox m ON m.id = g.box WHERE m.login_name = ?"
        " AND (g.accepted_at IS NOT NULL OR g.made_by = 'relay') ORDER BY g.gen"
    )
    return [row[0] for row in gateway.sql(sql, partner.address)]
