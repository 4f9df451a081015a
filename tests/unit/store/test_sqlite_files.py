"""Where an SQLite file may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.core.errors import ConfigurationError
from relay.store import files

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /srv rw - nfs4 server:/srv rw
23 22 8:2 / /srv/local rw - xfs /dev/sdb rw
24 21 0:6 / /mnt/a\\040b rw - cifs //server/share rw
25 21 0:7 / /over rw - tmpfs tmpfs rw
26 21 0:8 / /over rw - fuse.sshfs host: rw
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/mail", "nfs4"),
        ("/srv/local/mail", "xfs"),
        ("/srvother", "ext4"),
        ("/mnt/a b", "cifs"),
        ("/over/x", "fuse.sshfs"),
    ],
)
def test_the_mount_that_is_seen_decides(directory: str, kind: str) -> None:
    assert files.file_system_type(Path(directory), MOUNTS) == kind


def test_broken_mount_lines_are_passed_over() -> None:
    assert files.file_system_type(Path("/"), "nonsense\n\n1 2 3 - ext4\n") == ""


def test_a_network_file_system_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "file_system_type", lambda *_: "nfs4")
    with pytest.raises(ConfigurationError, match="network file system") as caught:
        files.refuse_network_file_system(tmp_path)
    assert "PostgreSQL" in caught.value.fix


def test_the_local_disk_is_accepted(tmp_path: Path) -> None:
    files.refuse_network_file_system(tmp_path)
    assert 0 < files.free_octets(tmp_path / "x") <= files.total_octets(tmp_path / "x")
