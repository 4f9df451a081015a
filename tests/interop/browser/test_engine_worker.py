"""The worker for Argon2id may not start, as after a release while a page was open: the next password starts another."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.interop.browser.driver import NODE, ROOT


@pytest.mark.parametrize(
    ("loads", "outcomes", "made"),
    [
        ([True, True], ["done", "done"], 1),
        ([False, True], ["failed", "done"], 2),
        ([False, False, True], ["failed", "failed", "done"], 3),
    ],
)
def test_after_a_worker_that_did_not_start_the_next_try_ends(loads: list[bool], outcomes: list[str], made: int) -> None:
    script = "tests/interop/browser/worker_in_node.mjs"
    done = subprocess.run(
        [str(NODE), script], cwd=ROOT, input=json.dumps(loads).encode(), capture_output=True, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert found == {"outcomes": outcomes, "made": made}
