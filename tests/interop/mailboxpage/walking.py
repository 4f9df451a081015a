"""Runs a walk in a browser beside a portal that is up."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.interop.mailboxpage.fake_portal import ROOT, FakePortal

HERE = Path(__file__).parent
NODE = ROOT / ".venv/bin/node"
SECONDS = 150


def walk(portal: FakePortal | str, walk_name: str, /, *, browser: str = "chromium", **more: Any) -> Any:
    """Run `walk_WALK_NAME.mjs` and return its result. Fails with what the browser said."""
    given = {"url": portal if isinstance(portal, str) else portal.url, "browser": browser, **more}
    done = subprocess.run(
        [NODE, HERE / "walk.mjs", walk_name],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=ROOT,
        env={**os.environ, "TZ": "Europe/Berlin", "LANG": "en_US.UTF-8"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads(done.stdout)
