"""A process knows whether it alone began again, or everything with it."""

from __future__ import annotations

from pathlib import Path

from relay.process.life import forget_starts, note_start


def test_only_the_first_start_since_the_hosts_is_a_first_one(tmp_path: Path) -> None:
    assert note_start(tmp_path, "worker")
    assert not note_start(tmp_path, "worker")
    assert note_start(tmp_path, "deliver")
    forget_starts(tmp_path)
    assert note_start(tmp_path, "worker")
    assert not note_start(tmp_path, "worker")


def test_a_mark_of_an_earlier_boot_or_a_damaged_one_counts_as_none(tmp_path: Path) -> None:
    assert note_start(tmp_path, "worker")
    (mark,) = tmp_path.iterdir()
    for content in (b"another boot\n", b"", b"\xff"):
        mark.write_bytes(content)
        assert note_start(tmp_path, "worker")
        assert not note_start(tmp_path, "worker")


def test_without_its_folder_every_start_is_a_first_one(tmp_path: Path) -> None:
    assert note_start(tmp_path / "gone", "worker")
    assert note_start(tmp_path / "gone", "worker")
    forget_starts(tmp_path / "gone")
