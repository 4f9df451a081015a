"""Where the files of an installation lie below one folder, and settings that name them there.

A back-up must be restorable beside the living installation: so whatever the settings name outside of their own folder
gets a place below `outside/`, and the copy of the settings in the back-up names all by relative paths. Reads and writes
no file.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from relay.settings import Settings

SQLITE = "sqlite:///"
_OUTSIDE = PurePosixPath("outside")


@dataclass(frozen=True, slots=True)
class Place:
    """One setting that names a file or folder."""

    key: str
    """As errors name it: `keys.directory`."""
    path: Path
    """Where it is, absolute."""
    name: PurePosixPath
    """Where it lies below the folder that a restore makes."""
    written: str | None
    """What the settings say; None leaves it to the default."""
    value: str
    """What they have to say there."""

    @property
    def is_moved(self) -> bool:
        """Tell whether the settings must say something else in the new folder."""
        return self.written != self.value


_NAMES = {
    "paths.state": "state",
    "paths.run": "run",
    "keys.directory": "keys",
    "keys.pin_file": "secrets/token.pin",
    "keys.public_file": "public/spool.json",
    "database.password_file": "secrets/database.password",
    "database.url": "letterlock.db",
    "tls.certificate": "tls/certificate.pem",
    "tls.key": "tls/key.pem",
    "portal.link_certificate": "link/certificate.pem",
    "portal.link_key": "link/key.pem",
    "portal.link_peer": "link/peer.pem",
    "test.clock_offset_file": "clock.offset",
}
"""Names below `outside/`. The first five are also what the settings mean when they say nothing."""
_DEFAULTS = frozenset(tuple(_NAMES)[:5])


def sqlite_file(url: str) -> Path | None:
    """Return the database's file, None for PostgreSQL."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def settings_paths(settings: Settings, written: dict[str, Any]) -> dict[str, Path]:
    """Return every path that the settings name, absolute, by its key. `written` is the parsed file."""
    paths = {
        "paths.state": settings.state_dir,
        "paths.run": settings.run_dir,
        "keys.directory": settings.keys.directory,
        "keys.pin_file": settings.keys.pin_file,
        "keys.public_file": settings.keys.public_file,
    }
    database = sqlite_file(settings.database_url)
    if database is not None:
        paths["database.url"] = database
    password_file = written["database"].get("password_file")
    if password_file:
        paths["database.password_file"] = (settings.path.parent / password_file).resolve()
    if settings.tls is not None:
        paths |= {"tls.certificate": settings.tls.certificate, "tls.key": settings.tls.key}
    link = settings.portal.link if settings.portal is not None else None
    if link is not None:
        paths |= {
            "portal.link_certificate": link.certificate,
            "portal.link_key": link.key,
            "portal.link_peer": link.peer_certificate,
        }
    if settings.clock_offset_file is not None:
        paths["test.clock_offset_file"] = settings.clock_offset_file
    return paths


def find_places(settings: Settings, text: str) -> dict[str, Place]:
    """Return the place of everything that the settings name. `text` is the settings file that they were read from."""
    base = settings.path.parent
    written = tomllib.loads(text)
    places: dict[str, Place] = {}
    for key, path in settings_paths(settings, written).items():
        table, _, name = key.partition(".")
        if path.is_relative_to(base):
            place = PurePosixPath(path.relative_to(base))
        elif key == "database.url" and path.is_relative_to(settings.state_dir):
            place = places["paths.state"].name / path.relative_to(settings.state_dir)
        else:
            place = _OUTSIDE / _NAMES[key]
        said = written.get(table, {}).get(name)
        value = (SQLITE if key == "database.url" else "") + str(place)
        if said is not None and PurePosixPath(said.removeprefix(SQLITE)) == place:
            value = said
        elif said is None and key in _DEFAULTS and str(place) == _NAMES[key]:
            said = value
        places[key] = Place(key, path, place, said, value)
    return places


def paths_outside(settings: Settings, text: str) -> list[str]:
    """Return the keys whose files lie outside of the settings' own folder."""
    base = settings.path.parent.resolve()
    found = settings_paths(settings, tomllib.loads(text))
    return [key for key, path in found.items() if not path.resolve().is_relative_to(base)]


def rewrite_settings(text: str, places: Iterable[Place]) -> str:
    """Return the settings with every moved place named anew; a line above each says what stood there.

    Where somebody wrote them in a way that cannot be changed line by line, they are written anew without comments.
    """
    expected = copy.deepcopy(tomllib.loads(text))
    lines = text.splitlines()
    for place in places:
        if place.is_moved:
            table, _, name = place.key.partition(".")
            expected.setdefault(table, {})[name] = place.value
            _set_line(lines, table, name, place)
    rewritten = "\n".join(lines) + "\n"
    try:
        if tomllib.loads(rewritten) == expected:
            return rewritten
    except tomllib.TOMLDecodeError:
        pass
    return "# Written anew by `letterlock backup`, with paths relative to this file.\n" + _write_toml(expected)


def _set_line(lines: list[str], table: str, name: str, place: Place) -> None:
    said = "nothing" if place.written is None else f"{name} = {json.dumps(place.written, ensure_ascii=False)}"
    new = [f"# Where the back-up was made: {said}", f"{name} = {json.dumps(place.value, ensure_ascii=False)}"]
    header = re.compile(rf"\s*\[\s*{table}\s*\]\s*(#.*)?")
    assignment = re.compile(rf"\s*([\"']?){name}\1\s*=")
    begin = next((number for number, line in enumerate(lines) if header.fullmatch(line)), None)
    if begin is None:
        lines += ["", f"[{table}]", *new]
        return
    for number in range(begin + 1, len(lines)):
        if lines[number].lstrip().startswith("["):
            break
        if assignment.match(lines[number]):
            lines[number : number + 1] = new
            return
    lines[begin + 1 : begin + 1] = new


def _write_toml(table: dict[str, Any], prefix: str = "") -> str:
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    text = "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items() if key not in inner
    )
    for key, value in inner.items():
        text += f"\n[{prefix}{key}]\n{_write_toml(value, f'{prefix}{key}.')}"
    return text
