"""Health: each process answers on a unix socket of its own; the supervisor gathers them for GET /health.

An answer is one JSON object with `status` (`ok`, `degraded`, `failing`) and counters; it holds no addresses.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Report = Mapping[str, Any]
_ORDER = ("ok", "degraded", "failing")


class HealthSocket:
    """Answers every connection to `<run_dir>/health/<process>.sock` with the report, then closes it."""

    def __init__(self, run_dir: Path, process: str, report: Callable[[], Report]) -> None:
        directory = run_dir / "health"
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / f"{process}.sock"
        self._path.unlink(missing_ok=True)
        self._report = report
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self._path))
        self._socket.listen(8)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="health", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(2)
                connection.sendall(self._answer())

    def _answer(self) -> bytes:
        try:
            report: Report = self._report()
        except Exception as error:  # a report that fails is itself the report
            report = {"status": "failing", "error": type(error).__name__}
        return json.dumps(dict(report)).encode()

    def close(self) -> None:
        """Stop answering and remove the socket."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)


def ask_health(run_dir: Path, process: str) -> dict[str, Any]:
    """Return one process's report; a process that does not answer within 2 s is `failing`."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(run_dir / "health" / f"{process}.sock"))
            pieces = []
            while piece := connection.recv(65536):
                pieces.append(piece)
        answer = json.loads(b"".join(pieces))
    except (OSError, ValueError):
        return {"status": "failing", "error": "no answer"}
    return answer if isinstance(answer, dict) else {"status": "failing", "error": "bad answer"}


def gather_health(run_dir: Path, processes: tuple[str, ...]) -> dict[str, Any]:
    """Return the reports of all processes under the worst of their states."""
    reports = {process: ask_health(run_dir, process) for process in processes}
    states = [str(report.get("status", "failing")) for report in reports.values()] or ["failing"]
    worst = max(states, key=lambda state: _ORDER.index(state) if state in _ORDER else len(_ORDER))
    return {"status": worst, "processes": reports}


class HealthPage:
    """GET /health over HTTP on loopback: 200 when all is ok or degraded, 503 when something fails."""

    def __init__(self, host: str, port: int, report: Callable[[], Report]) -> None:
        class Handler(BaseHTTPRequestHandler):
            server_version = "Letterlock"
            sys_version = ""

            def do_GET(self) -> None:
                if self.path not in ("/health", "/"):
                    self.send_error(404)
                    return
                answer = dict(report())
                body = json.dumps(answer, indent=2).encode() + b"\n"
                self.send_response(503 if answer.get("status") == "failing" else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any, **_named: Any) -> None:
                return

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health-page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
