"""Where the packed-in templates and static files lie: in the checkout, or in the installed wheel."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def _folder(name: str, package: str) -> Path:
    beside = Path(__file__).resolve().parent.parent.parent / name
    if beside.is_dir():
        return beside
    return Path(str(files(package)))


def templates_folder() -> Path:
    """Return the folder with `mail/`, `pdf/`, `demo/`, `host/` and so on."""
    return _folder("templates", "letterlock_templates")


def static_folder() -> Path:
    """Return the folder with the static files of the pages."""
    return _folder("static", "letterlock_static")
