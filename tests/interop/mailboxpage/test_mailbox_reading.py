"""Reading mail in a real browser: real sealed objects, engine, pages and headers; the portal's rows are played."""

from __future__ import annotations

import base64
import email
import email.policy
import io
import zipfile

import pytest

from relay.core.wire.sealed import read_b64
from tests.interop.mailboxpage.fake_portal import run_portal
from tests.interop.mailboxpage.samples import ANNEX, CONTRACT, PDF, PIXEL, fill_box
from tests.interop.mailboxpage.sealed_box import SealedBox
from tests.interop.mailboxpage.walking import walk


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_reader_finds_reads_saves_and_deletes_mail(browser: str) -> None:
    """One visit from the inbox to the sign-out, in both browsers."""
    box = SealedBox()
    withdrawn = box.add_withdrawn()
    samples = fill_box(box)
    with run_portal(box) as portal:
        portal.state.seen |= {one.id for one in (samples.german, samples.question, samples.answer, samples.damaged)}
        result = walk(
            portal,
            "reading",
            browser=browser,
            documents=samples.documents.id,
            german=samples.german.id,
            **portal.open_session(),
        )
        state = portal.state

    assert result["title"] == "(3) Inbox · Example Bank"
    assert [row.split(" ")[0] for row in result["rows"]] == [
        "Unread:",
        "Unread:",
        "Unread:",
        "Message",
        "Maria",
        "Jens",
        "Signature",
    ]
    assert result["unread"] == ["Loan contract for signature", "Your documents have arrived", "Plan of the house"]
    assert result["clips"] == ["2 attachments", "One attachment"]
    assert any("Until 28 November 2026" in row for row in result["rows"])

    body = result["body"]
    assert "sign page 7" in body["text"]
    assert (body["picture"], body["alt"], body["cell"]) == (1, "Seal of the bank", "rgb(255, 255, 153)")
    assert body["link"] == ["https://bank.example/help", "_blank", "noopener noreferrer nofollow"]
    assert (body["origin"], body["lang"]) == ("null", "en")
    assert 150 < result["height"] < 700
    # The reader's own zone: Berlin is an hour ahead of the manifest's UTC.
    assert "maria.keller@bank.example to you, 20 November 2026, 10:42" in result["head"]
    assert "Example Bank, verified" in result["head"]
    assert result["files"] == ["Contract.pdf", "PDF, 410 kB", "Annex A.xlsx", "Excel, 302 bytes"]
    assert result["foot"].startswith("Available until 18 February 2027.")
    assert "Maria Keller is told" in result["foot"]

    assert len(result["thread"]) == 2
    assert result["people"].startswith("maria.keller@bank.example to you, Bernd Lind, copy to archive@bank.example")
    assert result["plain"]["links"] == [["https://bank.example/papers", "noopener noreferrer nofollow"]]
    assert result["lang"] == "de"
    assert "could not be verified" in result["damaged"]
    assert "+49 241 123456" in result["damaged"]
    assert "Signature withdrawnExample Bank has withdrawn the key that signed this message." in result["withdrawn"]
    assert "never seen" not in result["withdrawn"]
    assert len(result["found"]) == 1
    assert result["nothing"] == "Nothing found for “nothing has this”."
    assert result["afterUndo"] == len(result["rows"])
    assert "recalled" in result["gone"]
    assert "letterlock-tab" not in result["left"]
    assert result["seen"] == {"errors": [], "dialogs": []}

    # What came back is signed by the box and opens at the relay.
    items = [
        box.open_item(read_b64(one["sealed"]), gen=one["gen"], id_=one["id"], card=one["card"]) for one in state.items
    ]
    kinds = [(item.kind, item.re) for item in items]
    assert ("read", samples.contract.id) in kinds
    assert kinds.count(("deleted", samples.documents.id)) == 1
    # Its tab was closed while it could still be undone.
    assert kinds.count(("deleted", samples.german.id)) == 1
    # Once a tab, of which there were two.
    assert kinds.count(("damaged", samples.damaged.id)) == 2
    # The organisation knows what it has withdrawn.
    assert withdrawn.id not in [re for _kind, re in kinds]
    assert not any(kind == "read" and re == samples.damaged.id for kind, re in kinds)
    assert not state.session
    _check_downloads({name: base64.b64decode(octets) for name, octets in result["downloads"].items()})


def _check_downloads(files: dict[str, bytes]) -> None:
    assert files["Contract.pdf"] == CONTRACT
    assert files["Loan contract for signature.pdf"] == PDF
    with zipfile.ZipFile(io.BytesIO(files["Loan contract for signature.zip"])) as archive:
        assert archive.testzip() is None
        assert {one: archive.read(one) for one in archive.namelist()} == {
            "Contract.pdf": CONTRACT,
            "Annex A.xlsx": ANNEX,
        }
    mail = email.message_from_bytes(files["Loan contract for signature.eml"], policy=email.policy.default)
    assert mail["Subject"] == "Loan contract for signature"
    assert str(mail["From"]) == "Maria Keller <maria.keller@bank.example>"
    contents = {part.get_filename(): part.get_payload(decode=True) for part in mail.walk() if part.get_filename()}
    assert contents["Contract.pdf"] == CONTRACT
    assert contents["Annex A.xlsx"] == ANNEX
    pictures = [part for part in mail.walk() if part["Content-ID"]]
    assert [part.get_payload(decode=True) for part in pictures] == [PIXEL]
    assert not mail.defects
