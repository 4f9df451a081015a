"""What a reader's browser has to load: scripts and style sheet of each page as they are compressed on their way."""

from __future__ import annotations

import gzip
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.peers import ROOT

DIST = ROOT / "static/portal/dist"
PAGES = {
    "sign-in and mailbox": ("entry.js", "argon-worker.js", "frame.js"),
    "PDF reply": ("reply.js", "argon-worker.js"),
    "registration": ("join.js", "argon-worker.js"),
}
"""Scripts that a page runs. The frame's comes with the first HTML mail."""
SHEET = "portal.css"
_BROTLI = """
const { brotliCompressSync, constants } = require("node:zlib");
const { readFileSync } = require("node:fs");
const params = { [constants.BROTLI_PARAM_QUALITY]: 11 };
const sizes = process.argv.slice(1).map((file) => brotliCompressSync(readFileSync(file), { params }).length);
process.stdout.write(JSON.stringify(sizes));
"""


@dataclass(frozen=True, slots=True)
class Size:
    """Octets of one file or of several."""

    raw: int
    gzip: int
    brotli: int

    def __add__(self, other: Size) -> Size:
        return Size(self.raw + other.raw, self.gzip + other.gzip, self.brotli + other.brotli)

    def __str__(self) -> str:
        return f"{self.gzip / 1000:5.1f} kB gzip -9, {self.brotli / 1000:5.1f} kB brotli"


def measure_bundle() -> dict[str, Size]:
    """Return the sizes of every file of the bundle by the name of its source."""
    manifest = json.loads((DIST / "manifest.json").read_text("utf-8"))
    files = [DIST / entry["file"] for entry in manifest.values()]
    contents = [file.read_bytes() for file in files]
    return {
        name: Size(len(octets), len(gzip.compress(octets, 9, mtime=0)), brotli)
        for name, octets, brotli in zip(manifest, contents, _brotli(files), strict=True)
    }


def _brotli(files: list[Path]) -> list[int]:
    node = ROOT / ".venv/bin/node"
    done = subprocess.run([node, "-e", _BROTLI, *files], check=True, capture_output=True, timeout=60)
    sizes: list[int] = json.loads(done.stdout)
    return sizes
