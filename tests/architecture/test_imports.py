"""The borders of architecture.md, checked over all modules by import-linter (contracts in pyproject.toml)."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint_imports(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100
    )


def test_imports_keep_the_contracts() -> None:
    found = lint_imports()
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]


def test_the_linter_finds_a_broken_contract(tmp_path: Path) -> None:
    """The core must not import the store: a contract that says the opposite is what the code breaks."""
    (tmp_path / "broken.toml").write_text(
        """
        [tool.importlinter]
        root_package = "relay"
        [[tool.importlinter.contracts]]
        name = "the key store does without the core"
        type = "forbidden"
        source_modules = ["relay.keystore"]
        forbidden_modules = ["relay.core"]
        """
    )
    found = lint_imports("--config", str(tmp_path / "broken.toml"))
    assert found.returncode == 1
    assert "relay.keystore" in found.stdout


def test_every_room_is_named_in_the_contracts() -> None:
    """A new room must be put into the contracts that list rooms one by one."""
    rooms = {path.name.removesuffix(".py") for path in (ROOT / "relay").iterdir() if not path.name.startswith("_")}
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    exceptions = {
        "Only the store speaks SQL": {"store"},
        "Only smtpd uses the SMTP server framework": {"smtpd", "wiring", "demo"},
        "Only the apps use the web framework": {"demo", "console", "cli", "wiring", "worker"},
    }
    for contract in document["tool"]["importlinter"]["contracts"]:
        if contract["name"] in exceptions:
            named = {module.removeprefix("relay.") for module in contract["source_modules"]}
            assert rooms - named - exceptions[contract["name"]] == set(), contract["name"]
