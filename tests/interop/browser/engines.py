"""Remote control of the engine: in Node (fast, one process a reader) or in a page of a real browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.interop.browser.driver import NODE, ROOT, Page


class EngineError(AssertionError):
    """The engine refused."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['name']} {error['code']} {error['status']}: {error.get('stack', error['message'])}")
        self.name: str = error["name"]
        self.code: str = error["code"]
        self.status: int = error["status"]
        self.body: dict[str, Any] = error["body"] or {}


class Engine:
    """Calls by name: see remote_engine.mjs."""

    def __init__(self, ask: Callable[[str, Any], dict[str, Any]]) -> None:
        self._ask = ask

    def __call__(self, name: str, argument: object = None) -> Any:
        """Return the result. Raises EngineError."""
        answer = self._ask(name, argument)
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer["result"]

    def refused(self, name: str, argument: object = None) -> EngineError:
        """Demand that the engine refuses; return how."""
        answer = self._ask(name, argument)
        assert "error" in answer, answer
        return EngineError(answer["error"])


@contextmanager
def start_engine(url: str, portal: str) -> Iterator[Engine]:
    """A reader's engine in Node, with cookies of its own."""
    process = subprocess.Popen(
        [str(NODE), str(Path(__file__).with_name("engine_in_node.mjs")), url, portal],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def ask(name: str, argument: object) -> dict[str, Any]:
        stdin.write(json.dumps({"name": name, "argument": argument}).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        assert line, "the engine's process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    try:
        yield Engine(ask)
    finally:
        stdin.close()
        process.wait(20)
        stdout.close()


def engine_in(page: Page) -> Engine:
    """The engine of a page that has engine_page.mjs."""
    return Engine(
        lambda name, argument: page.evaluate("(name, argument) => engineCall(name, argument)", name, argument)
    )
