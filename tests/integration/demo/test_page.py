"""The demo's page: shows each mail safely, gives its files out unchanged, and changes nothing by GET."""

from __future__ import annotations

import html
import io
import re
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pikepdf
import pytest
from flask.testing import FlaskClient

from relay.demo.mailview import Kind, read_mail
from relay.demo.outbox import CaughtEnvelope, OutboxWriter
from relay.demo.page import DemoLinks, create_app, serve_page
from relay.demo.samples import make_offer_pdf, make_sample, sample_titles
from tests.integration.demo.test_catcher import catching


def put(outbox: Path, octets: bytes, hop: str = "outside", sender: str = "anna.keller@bank.example") -> None:
    writer = OutboxWriter(outbox)
    path, stream = writer.begin()
    stream.write(octets)
    writer.finish(path, stream, CaughtEnvelope(sender, ["jonas@partner.example"], hop, "2026-11-20T09:00:00+00:00"))


def locked_pdf() -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(make_offer_pdf())) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(owner="o", user="u", R=6))
    return out.getvalue()


def evil_mail() -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = '"<script>alert(1)</script>" <evil@evil.example>'
    mail["To"] = "jonas@partner.example"
    mail["Subject"] = "<img src=x onerror=alert(2)>"
    mail.set_content("</div><script>alert(3)</script>")
    mail.add_alternative("<script>alert(4)</script><img src=http://tracker.example/x>", subtype="html")
    mail.add_attachment(
        b"<script>alert(5)</script>", maintype="text", subtype="html", filename='../../a"b;c\u202e.html'
    )
    mail.add_attachment(b"<svg onload=alert(6)>", maintype="application", subtype="pdf", filename="fake.pdf")
    return mail


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def client(outbox: Path) -> Iterator[FlaskClient]:
    with create_app(outbox, DemoLinks(inside_port=1)).test_client() as client:
        client.environ_base["HTTP_HOST"] = "127.0.0.1:8029"
        yield client


def test_empty_outbox_says_what_to_do(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "No mail has left yet" in page.text
    assert client.get("/state").json == {"total": 0, "last": 0}


def test_list_tells_the_story_newest_first(client, outbox):
    carrier = EmailMessage(policy=SMTP)
    carrier["Subject"], carrier["From"] = "Angebot", "anna.keller@bank.example"
    carrier.set_content("x")
    carrier.add_attachment(locked_pdf(), maintype="application", subtype="pdf", filename="message.pdf")
    notice = EmailMessage(policy=SMTP)
    notice["Subject"], notice["Auto-Submitted"] = "Das Passwort", "auto-generated"
    notice.set_content("7k3m q9xw")
    put(outbox, carrier.as_bytes())
    put(outbox, notice.as_bytes(), "inside", "")
    put(outbox, make_sample("offer").data)
    text = client.get("/").text
    assert [*re.findall(r"/mail/(\d+)", text)] == ["3", "2", "1"]
    pills = re.findall(r'class="row-pills"><span class="pill \w+">([^<]+)<', re.sub(r">\s+<", "><", text))
    assert pills == ["in clear", "notice to the sender", "protected"]
    assert "7k3m q9xw" in client.get("/mail/2").text
    assert "asks for a password" in client.get("/mail/1").text


def test_files_come_out_unchanged_with_their_names(client, outbox):
    put(outbox, make_sample("offer").data)
    links = re.findall(r"/mail/1/file/(\d+)/[^\"]+?(\?download=1)?\"", client.get("/mail/1").text)
    pdf = client.get(f"/mail/1/file/{links[0][0]}/x")
    assert pdf.data == make_offer_pdf()
    assert pdf.content_type == "application/pdf"
    assert pdf.headers["Content-Disposition"].startswith("inline; ")
    table = client.get("/mail/1/file/2/x")
    plain, encoded = "Tilgungsplan Gr_ne Stra_e.csv", "Tilgungsplan%20Gr%C3%BCne%20Stra%C3%9Fe.csv"
    wanted = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
    assert table.headers["Content-Disposition"] == wanted
    assert table.content_type == "application/octet-stream"
    assert client.get("/mail/1/raw").data == make_sample_octets(outbox)
    assert subprocess.run(["pdftotext", "-", "-"], input=pdf.data, capture_output=True, check=True).stdout.startswith(
        b"Example Bank"
    )


def make_sample_octets(outbox: Path) -> bytes:
    return (outbox / "000001.eml").read_bytes()


def test_hostile_mail_stays_text(client, outbox):
    put(outbox, evil_mail().as_bytes())
    for path in ("/", "/mail/1"):
        page = client.get(path)
        assert not re.search(r"<script>|<img|onerror=a(?!lert\(2\)&gt;)", page.text)
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self';")
    frame = client.get("/mail/1/html")
    assert frame.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'; img-src data:")
    assert 'sandbox=""' in client.get("/mail/1").text
    names = [client.get(f"/mail/1/file/{n}/x") for n in (2, 3)]
    assert [r.content_type for r in names] == ["application/octet-stream"] * 2
    for href in re.findall(r'href="([^"]*/file/[^"]*)"', client.get("/mail/1").text):
        assert client.get(html.unescape(href)).status_code == 200
    for reply in names:
        assert reply.headers["Content-Disposition"].startswith("attachment; ")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "/" not in reply.headers["Content-Disposition"]


def test_every_answer_has_the_strict_headers(client, outbox):
    put(outbox, evil_mail().as_bytes())
    for path in ("/", "/state", "/mail/1", "/mail/1/html", "/mail/1/raw", "/mail/99", "/static/demo.css", "/nothing"):
        headers = client.get(path, buffered=True).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_no_inline_script_style_or_foreign_address(client, outbox):
    put(outbox, make_sample("html").data)
    for path in ("/", "/mail/1", "/nothing"):
        text = client.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
        assert all(
            src.startswith("/")
            for src in re.findall(r'<(?:script|link|iframe|a|form)[^>]*(?:src|href|action)="([^"]*)"', text)
            if src != "#main"
        )


def test_other_host_names_get_nothing(client, outbox):
    put(outbox, make_sample("offer").data)
    for host in ("evil.example", "evil.example:8029", "127.0.0.1.evil.example", "localhost.evil.example:1", "[::2]:1"):
        assert client.get("/", headers={"Host": host}).status_code == 421
    for host in ("127.0.0.1", "localhost:8029", "[::1]:8029", "[::1]"):
        assert client.get("/", headers={"Host": host}).status_code == 200


def test_missing_things_are_404(client):
    for path in ("/mail/1", "/mail/1/raw", "/mail/1/file/0/x", "/mail/1/html", "/mail/x", "/mail/99999999999999999999"):
        assert client.get(path).status_code == 404
    assert client.post("/samples/unknown").status_code == 404
    assert client.get("/samples/offer").status_code == 405


def test_sample_button_sends_through_smtp(outbox, tmp_path):
    with catching(tmp_path / "gateway") as ports:
        links = DemoLinks(inside_port=ports["inside"])
        with create_app(outbox, links).test_client() as client:
            client.environ_base["HTTP_HOST"] = "localhost"
            for name in sample_titles():
                reply = client.post(f"/samples/{name}")
                assert reply.status_code == 303
                assert "on its way" in client.get(reply.headers["Location"]).text
            own = client.post("/samples/offer", headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"})
            assert own.status_code == 303
            for name, value in (
                ("Sec-Fetch-Site", "cross-site"),
                ("Origin", "http://evil.example"),
                ("Origin", "null"),
            ):
                assert client.post("/samples/offer", headers={name: value}).status_code == 403
    assert len(list((tmp_path / "gateway").glob("*.json"))) == len(sample_titles()) + 1


def test_sample_button_says_when_the_gateway_is_away(client):
    reply = client.post("/samples/offer")
    assert reply.status_code == 503
    assert "was not sent" in reply.text


def test_a_fault_shows_and_logs_nothing_of_the_mail(client, outbox, monkeypatch, capfd):
    put(outbox, make_sample("offer").data)

    def fail(*_: object) -> None:
        raise ValueError("Ihr Finanzierungsangebot")

    monkeypatch.setattr("relay.demo.page.read_mail", fail)
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    page = client.get("/mail/1")
    assert page.status_code == 500
    assert "Finanzierungsangebot" not in page.text + "".join(capfd.readouterr())


def test_pages_of_many(client, outbox):
    writer = OutboxWriter(outbox)
    for n in range(55):
        path, stream = writer.begin()
        stream.write(b"Subject: %d\r\n\r\nx\r\n" % n)
        writer.finish(path, stream, CaughtEnvelope("", ["b@partner.example"], "outside", "2026-11-20T09:00:00+00:00"))
    assert len(re.findall(r'class="row"', client.get("/").text)) == 50
    assert len(re.findall(r'class="row"', client.get("/?page=2").text)) == 5
    assert client.get("/?page=-3").status_code == 200


def test_serves_over_a_real_socket(outbox):
    put(outbox, make_sample("html").data)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    stop, ready = threading.Event(), threading.Event()
    app = create_app(outbox, DemoLinks())
    thread = threading.Thread(target=serve_page, args=(app, sock, stop.wait, ready.set))
    thread.start()
    try:
        assert ready.wait(10)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/mail/1", timeout=10) as reply:
            assert "Your new advisory team" in reply.read().decode()
    finally:
        stop.set()
        thread.join(10)
        sock.close()


@pytest.mark.parametrize("name", sample_titles())
def test_samples_are_clean_mail(name):
    sample = make_sample(name)
    assert sample.data.replace(b"\r\n", b"").count(b"\n") == 0
    assert sample.data.isascii()
    view = read_mail(sample.data, "outside")
    assert view.kind is Kind.CLEAR
    assert view.text
    assert view.parts


def test_notices_to_partners_and_answers_are_named_as_such(outbox: Path) -> None:
    put(outbox, b"From: letterlock@bank.example\r\nAuto-Submitted: auto-generated\r\nSubject: waits\r\n\r\nx\r\n")
    put(outbox, b"From: mia@kanzlei.example\r\nX-Letterlock-Origin: portal\r\nSubject: re\r\n\r\nx\r\n", hop="inside")
    client = create_app(outbox, DemoLinks(portal_url="https://localhost:8027")).test_client()
    page = client.get("/", headers={"Host": "localhost"}).text
    assert "notice to the partner</span>\n" in page
    assert "answer through the portal</span>\n" in page
    assert 'href="https://localhost:8027/"' in page
    assert "in clear" not in page
