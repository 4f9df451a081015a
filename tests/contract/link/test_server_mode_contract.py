"""Server mode on both sides: a visit from the first password to the answer, what it leaves, and what it may not do."""

from __future__ import annotations

import base64
import email.policy
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from portal.app import build_pages, make_app
from portal.simple.forms import make_token
from portal.store.reports import add_opening
from portal.store.sweep import sweep
from relay.core.clock import DAY, MINUTE
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import login_id, open_simple, stretch
from relay.store.base import Database
from tests.contract.link.world import ANNA, MARIA, Linked
from tests.contract.mailbox.world import PORTAL, cheap_passwords, make_world, password_in
from tests.contract.portal.site import URL, Site, make_settings
from tests.contract.store.databases import SteppedClock, clock, database_url, db

__all__ = ["cheap_passwords", "clock", "database_url", "db"]

OWN = "a walk along the river"
CONTRACT = bytes(range(256)) * 8192
"""Two chunks."""
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def opted(
    db: Database, database_url: str, clock: SteppedClock, tmp_path: Path, cheap_passwords: None
) -> Iterator[Linked]:
    """Both sides with `portal.decrypt = browser-or-server`, both on the database under test."""
    inside = make_world(db, clock, tmp_path)
    kind = "postgresql" if database_url.startswith("postgresql") else "sqlite"
    settings = replace(make_settings(tmp_path / "portal", kind), portal_id=PORTAL, decrypt="browser-or-server")
    made = Linked(inside, Site(settings, clock), clock, server_mode=True)
    made.start()
    inside.new_card()
    made.keeper.run_once()
    node = made.site.first
    node.web = make_app(node.portal, build_pages(node.portal))
    yield made
    inside.spool.intake.close()
    inside.token.close()
    for one in made.site.nodes:
        one.close()


class Plain:
    """A browser without script: it follows links and posts forms, with what a browser says of itself."""

    def __init__(self, linked: Linked) -> None:
        self.linked = linked
        self.client = linked.site.first.web.test_client()
        self.page: Any = None

    def get(self, path: str) -> Any:
        self.page = self.client.get(path, base_url=URL, headers={"Accept-Language": "en"})
        return self.page

    def post(self, path: str, fields: dict[str, Any], *, token: str | None = None, **headers: str) -> Any:
        sent = {"Sec-Fetch-Site": "same-origin", "Origin": URL, "Accept-Language": "en", **headers}
        data = {"token": self.token() if token is None else token, **fields}
        kind: dict[str, Any] = {"data": data}
        if path.endswith("/answer"):
            kind = {"data": write_multipart(data), "content_type": "multipart/form-data; boundary=b0undary"}
        self.page = self.client.post(path, base_url=URL, headers=sent, **kind)
        return self.page

    def follow(self) -> Any:
        assert self.page.status_code == 303, self.page.text
        return self.get(self.page.headers["Location"])

    def token(self) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.page.text)
        assert found is not None, self.page.text
        return found[1]

    def sign_in(self, password: str, name: str = ANNA, **more: str) -> Any:
        self.get("/simple?lang=en")
        return self.post("/simple?lang=en", {"name": name, "password": password, "consent": "yes", **more})

    def text(self) -> str:
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.page.text)).split())

    def cookie(self) -> str:
        found = self.client.get_cookie("__Host-letterlock-simple", domain="portal.bank.example")
        assert found is not None
        return found.value


def write_multipart(fields: dict[str, Any]) -> bytes:
    """Return a form as browsers write it (RFC 7578); a file is (octets, name)."""
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items() if isinstance(value, str)]
    parts += [(f'name="files"; filename="{name}"', octets) for octets, name in fields.get("files", [])]
    head = b"--b0undary\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
    return b"".join(head % (name.encode(), octets) for name, octets in parts) + b"--b0undary--\r\n"


def send(linked: Linked, html: str = "", to: str = ANNA) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = f"Maria Keller <{MARIA}>", f"Anna <{to}>"
    mail["Subject"] = "{webmail} Your contract"
    mail["Message-ID"] = f"<contract-{to}>"
    mail.set_content("Dear Anna,\n\nplease sign.\n")
    if html:
        mail.add_alternative(html, subtype="html")
    if "cid:" in html:
        related: Any = mail.get_payload(1)
        related.add_related(PIXEL, "image", "png", cid="<logo@bank.example>", disposition="inline")
    mail.add_attachment(CONTRACT, maintype="application", subtype="pdf", filename="Vertrag ä.pdf")
    linked.inside.send_raw(mail, MARIA, to)
    linked.inside.work()
    linked.push()


def open_first(linked: Linked, html: str = "", to: str = ANNA, plain: Plain | None = None) -> Plain:
    """Send a mail, sign in at the server with the first password, choose one, let the relay take it."""
    send(linked, html, to)
    (told,) = linked.inside.mails(MARIA)
    plain = plain or Plain(linked)
    plain.sign_in(password_in(told), to)
    plain.follow()
    assert plain.follow().status_code == 200
    assert "Choose your own password" in plain.text()
    plain.post("/simple/password", {"new": OWN, "again": OWN})
    plain.follow()
    assert plain.page.status_code == 200, plain.page.text
    linked.go()
    return plain


def open_only_message(plain: Plain) -> str:
    plain.get("/simple/inbox?lang=en")
    found = re.search(r'action="(/simple/message/[A-Za-z0-9_-]{22})', plain.page.text)
    assert found is not None, plain.page.text
    plain.post(found[1], {})
    plain.follow()
    return found[1]


def dump(linked: Linked) -> bytes:
    """Return every value of both databases of the portal."""
    found: list[bytes] = []
    for database in (linked.site.first.portal.store.main, linked.site.first.portal.store.keys):
        with database.read() as connection:
            names = connection.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
                if database.dialect == "sqlite"
                else text("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")
            ).scalars()
            for name in list(names):
                for row in connection.execute(text(f'SELECT * FROM "{name}"')):
                    for value in row:
                        found.append(bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode())
    return b"\n".join(found)


def test_a_visit_from_the_first_password_to_the_answer(opted: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = open_first(opted, "<p>Dear Anna, <b>please sign</b>.</p>")
    assert "Our server opened your mail for this visit" in plain.text()
    path = open_only_message(plain)
    assert "Our server opened your mail for this visit" in plain.text()
    assert "Your contract" in plain.text()
    assert "Maria Keller" in plain.text()
    body = plain.client.get(f"{path}/body", base_url=URL)
    assert b"<b>please sign</b>" in body.data
    policy = body.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert "script-src" not in plain.page.headers["Content-Security-Policy"]
    assert "<script src" not in plain.page.text
    assert 'type="module"' not in plain.page.text
    link = re.search(rf'href="({path}/file/\d+)"', plain.page.text)
    assert link is not None
    file = plain.client.get(link[1], base_url=URL)
    assert file.data == CONTRACT
    assert (
        file.headers["Content-Disposition"]
        == "attachment; filename=\"Vertrag _.pdf\"; filename*=UTF-8''Vertrag%20%C3%A4.pdf"
    )
    assert file.headers["Content-Type"] == "application/octet-stream"
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    signed = CONTRACT[::-1]
    files = [(signed, "signed ä.bin"), (b"", "")]
    with monkeypatch.context() as patch:
        # Nothing of a form may lie on the disk in the clear.
        for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile", "mkstemp"):
            patch.delattr(f"tempfile.{name}")
        plain.post(f"{path}/answer", {"text": "Dear Maria,\r\n\r\nsigned.", "files": files})
    plain.follow()
    assert "Your answer is on its way" in plain.text()
    opted.go()
    (arrived,) = opted.arrived()
    content = arrived.get_body(("plain",))
    assert content is not None
    assert "Dear Maria,\n\nsigned." in content.get_content().replace("\r\n", "\n")
    (attached,) = arrived.iter_attachments()
    assert attached.get_filename() == "signed ä.bin"
    assert attached.get_payload(decode=True) == signed
    assert opted.quarantined() == []
    with opted.inside.db.reading() as tx:
        assert tx.fetch_all("SELECT read_at FROM mailbox_message WHERE read_at IS NOT NULL")


def test_each_visit_is_told_to_the_reader_and_written_down(opted: Linked) -> None:
    plain = open_first(opted)
    opted.clock.advance(MINUTE)
    opted.keeper.run_once()
    opted.keeper.run_once()
    mails = [mail for mail in opted.inside.mails(ANNA) if "server" in str(mail["Subject"])]
    assert len(mails) == 1
    assert "http" not in mails[0].as_string(policy=email.policy.default)
    plain.sign_in(OWN)
    plain.follow()
    opted.keeper.run_once()
    assert len([mail for mail in opted.inside.mails(ANNA) if "server" in str(mail["Subject"])]) == 1
    with opted.inside.db.reading() as tx:
        rows = tx.fetch_all("SELECT detail FROM event WHERE kind = 'mailbox.server-mode'")
    assert len(rows) == 2


def test_openings_between_two_looks_are_all_counted(opted: Linked) -> None:
    plain = open_first(opted)
    for _ in range(2):
        assert plain.sign_in(OWN).status_code == 303
    opted.clock.advance(MINUTE)
    opted.keeper.run_once()
    with opted.inside.db.reading() as tx:
        ((detail,),) = tx.fetch_all("SELECT detail FROM event WHERE kind = 'mailbox.server-mode'")
    assert '"times":3' in str(detail).replace(" ", "").replace("'", '"')


def test_a_portal_that_invents_openings_wins_few_mails(opted: Linked) -> None:
    opted.open_mailbox()
    box = opted.inside.box().id
    for number in range(40):
        with opted.site.first.portal.store.main.write() as connection:
            add_opening(connection, box, number * 60_000)
        opted.clock.advance(MINUTE)
        opted.keeper.run_once()
    assert len([mail for mail in opted.inside.mails(ANNA) if "erver" in str(mail["Subject"])]) == 24


def test_pictures_of_the_mail_stand_in_its_sandbox(opted: Linked) -> None:
    plain = open_first(opted, '<p>Our <img src="cid:logo@bank.example" alt="logo"> and cid:p0 itself</p>')
    path = open_only_message(plain)
    body = plain.client.get(f"{path}/body", base_url=URL).data
    assert b'src="data:image/png;base64,iVBOR' in body
    assert b"and cid:p0 itself" in body


def test_the_seed_is_nowhere_in_the_clear(opted: Linked) -> None:
    plain = open_first(opted)
    node = opted.site.first
    with node.portal.store.main.read() as connection:
        row = connection.execute(text("SELECT * FROM visit")).one()
        key = node.portal.store.rows.find([row.row_key])[row.row_key]
    cookie = decode_b64(plain.cookie())
    seed = open_simple(cookie, key, bytes(row.sealed), portal=PORTAL, box=row.box, gen=row.gen)
    # No `auth` any more: the change is done.
    assert len(seed) == 32
    everything = dump(opted)
    for secret in (
        seed,
        cookie,
        OWN.encode(),
        plain.cookie().encode(),
        ANNA.encode(),
        b"Your contract",
        b"please sign",
    ):
        assert secret not in everything
    plain.get("/simple/inbox")
    plain.post("/simple/leave", {})
    assert "Clear-Site-Data" in plain.page.headers
    with node.portal.store.main.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM visit")).scalar() == 0
    assert node.portal.store.rows.find([row.row_key]) == {}
    assert "ended" in plain.get("/simple/inbox").headers["Location"]


def test_a_visit_that_is_over_leaves_no_key(opted: Linked) -> None:
    plain = open_first(opted)
    node = opted.site.first
    with node.portal.store.main.read() as connection:
        name = connection.execute(text("SELECT row_key FROM visit")).scalar_one()
    opted.clock.advance(15 * MINUTE)
    assert plain.get("/simple/inbox").status_code == 303
    sweep(node.portal.store, 90)
    opted.clock.advance(DAY + MINUTE)
    sweep(node.portal.store, 90)
    assert node.portal.store.rows.find([name]) == {}


def test_a_password_typed_here_is_spent_for_browsers_and_good_here(opted: Linked) -> None:
    plain = open_first(opted)
    reader = opted.sign_in(OWN)
    assert reader.client.get("/api/session").get_json()["must_change"] is True
    assert reader.client.get("/api/messages").status_code == 403
    assert plain.sign_in(OWN).status_code == 303
    assert "Your contract" in (plain.follow().text)
    box = opted.inside.box()
    reader = opted.sign_in(OWN)
    reader.choose_password("another walk by night")
    assert reader.client.get("/api/messages").status_code == 200
    assert plain.get("/simple/inbox").headers["Location"].startswith("/simple?ended")
    assert opted.pull() == 1
    assert opted.inside.box().gen == box.gen + 1
    assert [one.manifest.mail.subject for one in reader.read_all() if one.manifest.mail] == ["Your contract"]


def test_the_relays_word_about_the_same_capsule(opted: Linked) -> None:
    """It does not know that a password is spent; what it asks for itself holds for visits, too."""
    plain = open_first(opted)
    reader = opted.sign_in(OWN)
    body = {
        "login_id": login_id(PORTAL, ANNA),
        "base": None,
        "capsule": encode_b64(reader.browser.opened.capsule.octets),
        "state": "active",
        "first_expires": None,
        "must_change": False,
        "lang": "de",
    }
    path = f"boxes/{reader.box}"
    assert opted.site.first.link("PUT", path, body).status_code == 200
    assert plain.get("/simple/inbox").status_code == 200
    assert reader.client.get("/api/session").get_json()["must_change"] is True
    assert opted.site.first.link("PUT", path, body | {"must_change": True}).status_code == 200
    assert "ended" in plain.get("/simple/inbox").headers["Location"]
    plain.sign_in(OWN)
    plain.follow()
    assert "Choose your own password" in plain.follow().text
    plain.post("/simple/password?lang=en", {"new": OWN, "again": OWN})
    assert "the password you have now" in plain.text()
    plain.post("/simple/password", {"new": "another walk by night", "again": "another walk by night"})
    assert "Your contract" in plain.follow().text
    assert opted.pull() == 1
    assert opted.quarantined() == []


def test_a_visit_ends_other_sessions(opted: Linked) -> None:
    reader = opted.open_mailbox("sommerregen 72")
    assert reader.client.get("/api/messages").status_code == 200
    plain = Plain(opted)
    assert plain.sign_in("sommerregen 72").status_code == 303
    assert reader.client.get("/api/messages").status_code == 401
    # Nor is the visit's cookie a session of the browser's kind that may read.
    plain.client.set_cookie("__Host-letterlock", plain.cookie(), domain="portal.bank.example", secure=True)
    assert plain.get("/api/messages").status_code == 403


def test_forms_of_others_do_nothing(opted: Linked) -> None:
    plain = open_first(opted)
    path = open_only_message(plain)
    for fields, headers in (
        ({"token": ""}, {}),
        ({"token": "x" * 43}, {}),
        ({"token": make_token(opted.site.first.portal, "another cookie")}, {}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
    ):
        token = fields.get("token", plain.token())
        for target in ("/simple/leave", path, f"{path}/answer", "/simple/password"):
            keep = plain.page
            assert plain.post(target, {"text": "no"}, token=token, **headers).status_code == 403, target
            plain.page = keep
    # A browser that knows neither header sends `null` under our referrer policy: the token alone decides.
    assert (
        plain.client.post("/simple/leave", base_url=URL, data={"token": "no"}, headers={"Origin": "null"}).status_code
        == 403
    )
    assert (
        plain.client.post(
            "/simple/leave", base_url=URL, data={}, headers={"Origin": "https://evil.example"}
        ).status_code
        == 403
    )
    assert plain.get("/simple/inbox").status_code == 200
    opted.go()
    assert opted.arrived() == []
    for target in ("/simple/leave", f"{path}/answer"):
        assert plain.get(target).status_code == 405

    # Nor do forms of a mailbox that was open in this browser before: nothing goes into the one that is open now.
    plain.get(path)
    token = plain.token()
    opted.inside.mails(MARIA)
    open_first(opted, to="ben@partner.example", plain=plain)
    forms: list[tuple[str, dict[str, Any]]] = [
        (f"{path}/answer", {"text": "for the first", "files": [(b"octets", "a.bin")]}),
        (path, {}),
        ("/simple/password", {"new": "another long one", "again": "another long one"}),
        ("/simple/leave", {}),
    ]
    for target, typed in forms:
        assert plain.post(target, typed, token=token).status_code == 403, target
        assert "Another mailbox was opened in this browser" in plain.text()
        assert "Nothing was sent" in plain.text()
    # Whoever is still signed in, and a form whose message is here: its token alone tells.
    other = open_only_message(plain)
    assert plain.post(f"{other}/answer", {"text": "for the first"}, token=token).status_code == 403
    assert "Nothing was sent" in plain.text()
    with opted.site.first.portal.store.main.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM chunk WHERE side = 'up'")).scalar_one() == 0
    opted.go()
    assert opted.arrived() == []


def test_signing_in_needs_consent_and_the_page_itself(opted: Linked) -> None:
    send(opted)
    (told,) = opted.inside.mails(MARIA)
    plain = Plain(opted)
    plain.get("/simple?lang=en")
    first = {"name": ANNA, "password": password_in(told)}
    assert plain.post("/simple?lang=en", first).status_code == 400
    assert "tick the box" in plain.text()
    assert password_in(told) not in plain.page.text
    stranger = Plain(opted)
    answer = stranger.post("/simple", {**first, "consent": "yes"}, token=plain.token())
    assert answer.status_code == 403
    assert plain.sign_in("not the password", "").status_code == 400
    assert plain.sign_in("not the password").status_code == 403
    assert "is not right" in plain.text()
    assert plain.sign_in("not the password", "nobody@partner.example").status_code == 403


def test_no_argon2_for_who_has_to_wait(opted: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    send(opted)
    runs = 0
    run = stretch

    def count(*values: Any) -> Any:
        nonlocal runs
        runs += 1
        return run(*values)

    monkeypatch.setattr("portal.simple.stretching.stretch", count)
    plain = Plain(opted)
    statuses = [plain.sign_in(f"wrong password {number}").status_code for number in range(8)]
    assert statuses == [403] * 5 + [429] * 3
    assert runs == 5
    assert "Too many tries" in plain.text()


def test_the_relay_takes_nothing_of_a_server_without_policy(opted: Linked) -> None:
    plain = open_first(opted)
    opted.server_mode = False
    path = open_only_message(plain)
    plain.post(f"{path}/answer", {"text": "Dear Maria"})
    plain.follow()
    opted.go()
    assert opted.arrived() == []
    # The word that it was read, and the answer.
    assert opted.quarantined() == ["unknown", "unknown"]


def test_a_bad_answer_keeps_its_text_and_leaves_no_chunk(opted: Linked) -> None:
    plain = open_first(opted)
    path = open_only_message(plain)
    assert plain.post(f"{path}/answer", {"text": "  "}).status_code == 400
    assert "Please write something" in plain.text()
    portal = opted.site.first.portal
    limits = replace(portal.settings.limits, message=1024 * 1024)
    portal.settings = replace(portal.settings, limits=limits)
    files = [(CONTRACT, "large.bin")]
    assert plain.post(f"{path}/answer", {"text": "Dear <b>Maria</b>", "files": files}).status_code == 413
    assert "Nothing was sent" in plain.text()
    assert "Dear &lt;b&gt;Maria&lt;/b&gt;" in plain.page.text
    with portal.store.main.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM chunk WHERE side = 'up'")).scalar() == 0


def test_a_damaged_file_is_not_handed_out(opted: Linked) -> None:
    plain = open_first(opted)
    path = open_only_message(plain)
    link = re.search(rf'href="({path}/file/\d+)"', plain.page.text)
    assert link is not None
    with opted.site.first.portal.store.main.write() as connection:
        # The second of two chunks: nothing of the first may go out.
        row = connection.execute(text("SELECT data, i FROM chunk WHERE side = 'down' AND n = 1")).one()
        data = bytes(row.data)[:-1] + bytes([bytes(row.data)[-1] ^ 1])
        connection.execute(text("UPDATE chunk SET data = :data WHERE side = 'down' AND n = 1"), {"data": data})
    answer = plain.get(link[1])
    assert answer.status_code == 422
    assert "could not be verified" in plain.text()
    assert CONTRACT[:100] not in answer.data


def test_passwords_that_may_not_be_own_ones(opted: Linked) -> None:
    send(opted)
    (told,) = opted.inside.mails(MARIA)
    plain = Plain(opted)
    first = password_in(told)
    plain.sign_in(first)
    plain.follow()
    plain.follow()
    for new, again, words in (
        ("too little", "too little", "at least 12"),
        ("passwortpasswort1", "passwortpasswort1", "Many people"),
        (first, first, "phone call"),
        (ANNA, ANNA, "e-mail address"),
        (OWN, f"{OWN} ", "not the same"),
    ):
        assert plain.post("/simple/password?lang=en", {"new": new, "again": again}).status_code == 400
        assert words in plain.text()
        assert new not in plain.page.text or new == ANNA
    assert plain.get("/simple/inbox").headers["Location"] == "/simple/password"


@pytest.mark.parametrize("decrypt", ["browser", "browser-or-server"])
def test_the_code_is_there_only_where_somebody_opted_in(tmp_path: Path, decrypt: str) -> None:
    settings = make_settings(tmp_path / "portal", "sqlite").path
    written = settings.read_text("utf-8").replace('decrypt = "browser"', f'decrypt = "{decrypt}"')
    settings.write_text(written, "utf-8")
    script = (
        "import sys; from pathlib import Path; from portal.settings import load_settings\n"
        "from portal.context import open_portal; from portal.app import build_pages, make_app\n"
        "portal = open_portal(load_settings(Path(sys.argv[1]))); app = make_app(portal, build_pages(portal))\n"
        "client = app.test_client(); url = 'https://portal.bank.example'\n"
        "form = {'X-Letterlock': '1', 'Sec-Fetch-Site': 'same-origin'}\n"
        "print(client.get('/simple', base_url=url).status_code,"
        " client.post('/simple', base_url=url, headers=form, data={'a': 'b'}).status_code,"
        " client.get('/simple/inbox', base_url=url).status_code,"
        " 'portal.simple' in sys.modules, '/simple' in client.get('/', base_url=url).text)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(settings)], capture_output=True, text=True, check=True)
    expected = "404 404 404 False False" if decrypt == "browser" else "200 403 303 True True"
    assert done.stdout.strip() == expected
