"""The bundle as it is served: small, whole, under its hashes, without what makes code or markup of text."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path

import pytest

DIST = Path(__file__).parents[3] / "static/portal/dist"
BUDGET = 40 * 1024
"""Octets of script, gzipped, that one page loads; sealed-mailbox head, portal.md 2."""
NAMES = {"entry.js", "reply.js", "join.js", "frame.js", "argon-worker.js", "portal.css"}


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((DIST / "manifest.json").read_text("utf-8"))
    return found


def test_every_file_is_there_under_its_hash(manifest: dict[str, dict[str, str]]) -> None:
    assert set(manifest) == NAMES
    for name, entry in manifest.items():
        octets = (DIST / entry["file"]).read_bytes()
        assert entry["integrity"] == "sha384-" + base64.b64encode(hashlib.sha384(octets).digest()).decode()
        stem, _, rest = entry["file"].rpartition("-")
        assert stem == name.rpartition(".")[0]
        assert rest.partition(".")[0] == hashlib.sha256(octets).hexdigest()[:16]
    assert {path.name for path in DIST.iterdir()} == {
        "manifest.json",
        ".stamp",
        "LICENSES.txt",
        *(entry["file"] + packed for entry in manifest.values() for packed in ("", ".br", ".gz")),
    }


def test_only_our_own_code_is_inside() -> None:
    # What other packages' licences ask for would stand there: .ci/bundle.mjs writes it.
    assert (DIST / "LICENSES.txt").read_text("utf-8") == ""


@pytest.mark.parametrize(
    "names",
    [("entry.js", "argon-worker.js", "frame.js"), ("reply.js", "argon-worker.js"), ("join.js", "argon-worker.js")],
    ids=lambda names: names[0],
)
def test_what_a_page_loads_is_small(manifest: dict[str, dict[str, str]], names: tuple[str, ...]) -> None:
    # The first: sign-in and mailbox with the sandbox of an HTML mail.
    size = sum(len(gzip.compress((DIST / manifest[name]["file"]).read_bytes(), 9, mtime=0)) for name in names)
    assert size <= BUDGET


def test_scripts_hold_nothing_that_makes_code_or_markup_of_text(manifest: dict[str, dict[str, str]]) -> None:
    for name, entry in manifest.items():
        text = (DIST / entry["file"]).read_text("utf-8")
        if not name.endswith(".js"):
            continue
        for forbidden in (
            "eval(",
            "new Function",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "sourceMappingURL",
            "indexedDB",
        ):
            assert forbidden not in text, (name, forbidden)
