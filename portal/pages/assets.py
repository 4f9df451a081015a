"""The bundle's manifest: hashed name and integrity of each script and sheet, made by the bundle step at set-up.

Reads one file at start; never a registry, never the sources. Subresource integrity: W3C SRI, portal.md section 3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from relay.core.errors import ConfigurationError

_FILE = re.compile(r"[A-Za-z0-9._-]+")
_INTEGRITY = re.compile(r"sha(256|384|512)-[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class Asset:
    """Where a file of the bundle lies, and the hash that the browser checks (may be empty for none)."""

    url: str
    integrity: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """All files of the bundle by the name of their source, `entry.js`."""

    files: Mapping[str, Asset]

    def find(self, name: str) -> Asset:
        """Return one file. Raises KeyError for a name that was not bundled: a fault of the build."""
        return self.files[name]


def read_bundle(manifest: Path, prefix: str = "/static/") -> Bundle:
    """Read `manifest.json`. Raises ConfigurationError if it is missing or not a manifest."""
    try:
        untrusted = json.loads(manifest.read_text("utf-8"))
        files = {
            str(name): Asset(prefix + _checked(_FILE, entry["file"]), _checked(_INTEGRITY, entry["integrity"]))
            for name, entry in untrusted.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            str(manifest), f"cannot be read as the scripts' list ({type(error).__name__})", "Run `make setup` again"
        ) from error
    return Bundle(MappingProxyType(files))


def _checked(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(value)
    return value
