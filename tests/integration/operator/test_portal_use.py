"""`letterlock portal use`, and `policy explain` by the documents and logins of a real installation. No process runs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from relay.cli.certificate import write_self_signed
from relay.cli.installation import HostChoices, PortalChoices, create_installation
from relay.cli.main import main
from relay.core.clock import SystemClock
from relay.core.documents.policy import PolicyDocument
from relay.core.documents.shipped import shipped_organisation
from relay.core.ports import Actor

Run = Callable[..., str]
PORTAL_ID = "ENJHhdjed6rBfPOxg9HE-w"
CLEAR = {"recipient": "*@clear.example", "methods": ["pass"]}
BY_PDF = {"recipient": "*@partner.example", "methods": ["pdf"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host whose portal is linked and has a card."""
    there = tmp_path_factory.mktemp("operator")
    peer, _ = write_self_signed(there / "dmz", "portal.bank.example", SystemClock())
    choices = HostChoices(
        "gateway.bank.example",
        portal_url="https://portal.bank.example",
        portal=PortalChoices(PORTAL_ID, "https://127.0.0.1:1", peer),
        self_signed=True,
    )
    policy = PolicyDocument.from_json({"defaults": [CLEAR, BY_PDF]})
    organisation = replace(shipped_organisation("bank.example", "Example Bank"), policy=policy)
    create_installation(there / "inside", choices, organisation, Actor("operator", "test"))
    return there / "inside"


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `letterlock` in this process; return what it wrote."""

    def call(*words: str, code: int = 0) -> str:
        assert main(["--config", str(folder), *words]) == code
        written = capsys.readouterr()
        return written.out + written.err

    return call


def methods(run: Run) -> list[str]:
    found: list[str] = json.loads(run("org", "show", "policy"))["methods"]
    return found


def test_the_policy_ends_in_the_mailbox_by_one_command_and_back_by_another(run: Run) -> None:
    assert methods(run) == ["smime", "openpgp", "pdf"]
    assert "letterlock org activate policy 2" in run("portal", "use", "--draft")
    assert methods(run)[-1] == "pdf"
    used = run("portal", "use")
    assert "methods now     smime, openpgp, webmail" in used
    assert "As before by PDF: default for *@partner.example\n" in used
    assert "clear.example" not in used
    shown = json.loads(run("org", "show", "policy"))
    assert (shown["methods"][-1], shown["defaults"]) == ("webmail", [CLEAR, BY_PDF])
    assert "Nothing is changed" in run("portal", "use")
    assert "The way back: letterlock org activate policy 1\n" in used
    run("org", "activate", "policy", "1")
    assert methods(run)[-1] == "pdf"


def test_without_a_portal_or_a_card_nothing_is_changed(run: Run, folder: Path, tmp_path: Path) -> None:
    settings = folder / "letterlock.toml"
    whole = settings.read_text("utf-8")
    before, _, after = whole.partition("[portal]")
    settings.write_text(before + "[portal]\n" + after[after.index("\n[") :], "utf-8")
    try:
        assert "no portal is linked" in run("portal", "use", code=65)
    finally:
        settings.write_text(whole, "utf-8")
    assert methods(run)[-1] == "pdf"


def test_explain_knows_what_a_login_may_write(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("demo-only-password\n"))
    run("login", "put", "invoices", "--address", "invoices@bank.example")
    path = tmp_path / "mail.eml"
    explain = ("policy", "explain", str(path), "--to", "x@partner.example", "--from", "invoices@bank.example")
    path.write_text("From: boss@bank.example\r\nSubject: Bill\r\n\r\nHello\r\n")
    assert "REJECT" in run(*explain, "--login", "invoices")
    assert "PDF" in run(*explain)
    path.write_text("From: invoices@bank.example\r\nSubject: Bill\r\n\r\nHello\r\n")
    assert "PDF" in run(*explain, "--login", "invoices")
    assert "no such login" in run(*explain, "--login", "nobody", code=65)
    assert "takes no logins. Use one of: submission" in run(
        *explain, "--login", "invoices", "--listener", "inside", code=64
    )


def test_explain_reads_by_the_limits_of_the_gateway(run: Run, tmp_path: Path) -> None:
    """A mail nested deeper than the parser's own default is read as the worker would read it."""
    inner = "Content-Type: text/plain\r\n\r\nHello\r\n"
    for depth in range(40):
        inner = f"Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n{inner}\r\n--b{depth}--\r\n"
    path = tmp_path / "deep.eml"
    path.write_text(f"From: anna@bank.example\r\nSubject: Deep\r\nMIME-Version: 1.0\r\n{inner}", newline="")
    explain = ("policy", "explain", str(path), "--to", "x@partner.example", "--from", "anna@bank.example")
    assert "PDF" in run(*explain)
    limits = json.loads(run("org", "show", "limits"))
    for version, depth in ((2, 20), (3, 50)):
        document = tmp_path / f"limits{version}.json"
        document.write_text(json.dumps(limits | {"mime_depth": depth}))
        run("org", "put", "limits", str(document))
        if depth == 20:
            assert "deep" in run(*explain, code=65).lower()
