"""The layout engine without process guards: the fetcher and the tree alone must already fetch nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

RAW_TREE = """
import sys
from xml.etree.ElementTree import Element, SubElement
from pdfmail.html.render import BodyPainter
from pdfmail.html import render
from pdfmail.html import engine
u = sys.argv[1]
tree = Element("html")
head = SubElement(tree, "head")
SubElement(head, "link", rel="stylesheet", href=u + "/s.css")
SubElement(head, "link", rel="attachment", href=u + "/a")
SubElement(head, "link", rel="attachment", href="file:///etc/hostname")
SubElement(head, "base", href=u)
SubElement(head, "style").text = (
    "@import url(%s/i.css); @font-face{font-family:x;src:url(%s/f)} p{background:url(%s/b);font-family:x}" % (u, u, u)
)
body = SubElement(tree, "body")
SubElement(body, "p", style="background:url(%s/c)" % u).text = "x"
for source in (u + "/x.png", "file:///etc/hostname", "cid:none", "relative.png", "data:image/png;base64,AAAA"):
    SubElement(body, "img", src=source, alt="alternative")
SubElement(body, "object", data=u + "/o")
SubElement(body, "embed", src=u + "/e")
SubElement(body, "a", rel="attachment", href="file:///etc/hostname").text = "a"
SubElement(SubElement(body, "svg", xmlns="http://www.w3.org/2000/svg"), "image", href=u + "/svg.png")
pdf, _ = engine.draw_document(tree, engine.parse_stylesheet("p{color:red}"), engine.load_fonts(), {}, 10)
sys.stdout.buffer.write(pdf)
"""

SAMPLES = """
import sys
from pathlib import Path
from pdfmail.html.render import BodyPainter
from pdfmail.model import HtmlBody
painter = BodyPainter()
before = set(sys.modules)
for path in sorted(Path(sys.argv[1]).glob("*.html")):
    assert painter.paint(HtmlBody(html=path.read_text(encoding="utf-8"))).pdf.startswith(b"%PDF")
assert painter.paint(HtmlBody(text="https://\\u00e4.example/ \\u05d0")).pdf.startswith(b"%PDF")
print(sorted(set(sys.modules) - before))
"""


def run_program(program: str, argument: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", program, argument],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=100,
        check=False,
    )


def test_a_hostile_tree_that_never_met_the_sanitiser_fetches_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        result = run_program(RAW_TREE, f"http://127.0.0.1:{canary.getsockname()[1]}")
        assert result.stdout.startswith(b"%PDF"), result.stderr.decode()
        assert b"/EmbeddedFile" not in result.stdout
        try:
            canary.accept()
        except BlockingIOError:
            return
    raise AssertionError("the engine connected")


def test_nothing_is_imported_any_more_once_the_painter_is_warm() -> None:
    """The child may read no file but fonts: a late import would be a crash there."""
    result = run_program(SAMPLES, str(ROOT / "tests" / "data" / "html"))
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().strip() == "[]"
