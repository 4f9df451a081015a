"""Files that the browser makes for other programs: a ZIP that Python and unzip read, a message that Python parses."""

from __future__ import annotations

import email
import email.policy
import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from relay.core.wire.pae import decode_b64
from tests.interop.browser.conftest import ask_node


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {name: decode_b64(text) for name, text in ask_node("makeFiles", {}).items()}


def test_the_zip_holds_every_file_under_a_name_of_its_own(files: dict[str, bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(files["zip"])) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.txt", "A (2).txt", "_Gr\u00fc\u00dfe \U0001f600.bin", "empty"]
        assert [info.file_size for info in archive.infolist()] == [3, 3, 70000, 0]
        assert archive.infolist()[0].date_time == (2027, 1, 4, 8, 0, 0)
        assert archive.read("A (2).txt") == b"two"
    if shutil.which("bsdtar"):
        path = tmp_path / "a.zip"
        path.write_bytes(files["zip"])
        listed = subprocess.run(["bsdtar", "-tf", str(path)], capture_output=True, check=True).stdout
        assert listed.splitlines()[0] == b"a.txt"


def test_the_message_is_one_with_body_pictures_and_files(files: dict[str, bytes]) -> None:
    message = email.message_from_bytes(files["eml"], policy=email.policy.default)
    assert all(not part.defects for part in message.walk())
    assert message["From"].addresses[0].display_name == "M\u00fcller, Maria"
    assert [address.addr_spec for address in message["To"].addresses] == ["anna@partner.example"]
    assert [address.addr_spec for address in message["Cc"].addresses] == ["team@partner.example"]
    assert message["Subject"].startswith("Vertr\u00e4ge lang und mehr")
    # What was in a subject or file name starts no header of its own.
    assert message["Bcc"] is None
    assert all(part["X"] is None for part in message.walk())
    assert message.get_content_type() == "multipart/mixed"
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content() == "Gr\u00fc\u00dfe\n.\nFrom here"
    assert "cid:logo@x" in html.get_content()
    assert [part["Content-ID"] for part in message.walk() if part["Content-ID"]] == ["<logo@x>"]
    attachments = list(message.iter_attachments())
    assert [part.get_filename() for part in attachments] == ["Gr\u00fc\u00dfe__X_ y.pdf", "page.html"]
    assert [part.get_content_type() for part in attachments] == ["application/pdf", "application/octet-stream"]
    assert attachments[0].get_payload(decode=True) == b"\x07" * 70000
    assert max(map(len, files["eml"].splitlines())) <= 998
