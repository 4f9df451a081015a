"""Make the corpus of mails in this folder: each as a client of some kind writes it, with what a reader must find in it.

Run it to write every `NAME.eml` and `expected.json` anew. The expectations are written by hand beside each mail, never
taken from the parser. All people and domains are invented.
"""

from __future__ import annotations

import base64
import json
import quopri
import struct
import zlib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MAILS: dict[str, tuple[bytes, dict[str, Any]]] = {}
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def png(side: int = 2) -> bytes:
    """A square of one colour, one bit a pixel but for the smallest."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    if side > 2:
        header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        rows = zlib.compress((b"\0" + bytes((side + 7) // 8)) * side, 9)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    header = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0\xff\0\0" * 2))
        + chunk(b"IEND", b"")
    )


PNG = png()


def b64(data: bytes) -> str:
    return base64.encodebytes(data).decode("ascii").replace("\n", "\r\n")


def qp(text: str, charset: str = "utf-8") -> str:
    return quopri.encodestring(text.encode(charset)).decode("ascii").replace("\r\n", "\n").replace("\n", "\r\n")


def mail(name: str, source: str | bytes, **expected: Any) -> None:
    octets = source.encode("utf-8") if isinstance(source, str) else source
    if not expected.pop("keep_line_ends", False):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    MAILS[name] = (octets, expected)


HEAD = """From: Anna Keller <anna.keller@bank.example>
To: Jonas Weber <jonas.weber@partner.example>
Subject: {subject}
Date: Fri, 20 Nov 2026 08:30:00 +0100
Message-ID: <{name}@bank.example>
MIME-Version: 1.0
"""


def head(name: str, subject: str = "Report") -> str:
    return HEAD.format(name=name, subject=subject)


def make_plain() -> None:
    mail(
        "plain-ascii",
        head("plain-ascii") + "Content-Type: text/plain; charset=us-ascii\n\nHello Jonas,\n\nas promised.\n",
        subject="Report",
        author="anna.keller@bank.example",
        text="as promised.",
        html=None,
        files=[],
    )
    mail(
        "plain-utf8-8bit",
        head("plain-utf8-8bit", "=?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=")
        + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nSchöne Grüße – 100 €\n",
        subject="Grüße aus Köln",
        text="Schöne Grüße – 100 €",
        html=None,
        files=[],
    )
    mail(
        "plain-latin1-labelled-ascii",
        head("plain-latin1").encode() + b"Content-Type: text/plain; charset=us-ascii\n\nSch\xf6ne Gr\xfc\xdfe\n",
        text="Schöne Grüße",
        files=[],
    )
    mail(
        "plain-cp1252-labelled-latin1",
        head("plain-cp1252").encode()
        + b"Content-Type: text/plain; charset=iso-8859-1\n\n\x84Angebot\x93 \x96 100 \x80\n",
        text="„Angebot“ – 100 €",
        files=[],
    )
    mail(
        "plain-unknown-charset",
        head("plain-unknown") + "Content-Type: text/plain; charset=x-does-not-exist\n\nSchöne Grüße\n",
        text="Schöne Grüße",
        files=[],
    )
    mail(
        "plain-charset-idna",
        head("plain-idna") + "Content-Type: text/plain; charset=idna\n\nxn--grn-5ka\n",
        text="xn--grn-5ka",
        files=[],
    )
    jis = "お世話になっております。見積書を送ります。".encode("iso-2022-jp")
    mail(
        "plain-iso-2022-jp",
        head("plain-jp", "=?iso-2022-jp?B?" + base64.b64encode("見積書".encode("iso-2022-jp")).decode() + "?=").encode()
        + b"Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: 7bit\n\n"
        + jis
        + b"\n",
        subject="見積書",
        text="見積書を送ります。",
        files=[],
    )
    mail(
        "plain-gb18030",
        head("plain-gb", "=?gb18030?B?" + base64.b64encode("报价单".encode("gb18030")).decode() + "?=")
        + "Content-Type: text/plain; charset=gb18030\nContent-Transfer-Encoding: base64\n\n"
        + b64("你好，附件是报价单。".encode("gb18030")),
        subject="报价单",
        text="附件是报价单。",
        files=[],
    )
    mail(
        "plain-euc-kr-as-ksc",
        head("plain-kr").encode()
        + b"Content-Type: text/plain; charset=ks_c_5601-1987\nContent-Transfer-Encoding: 8bit\n\n"
        + "안녕하세요 뷁".encode("cp949")
        + b"\n",
        text="안녕하세요 뷁",
        files=[],
    )
    mail(
        "plain-koi8-r",
        head("plain-koi8").encode()
        + b"Content-Type: text/plain; charset=koi8-r\n\n"
        + "Добрый день".encode("koi8-r")
        + b"\n",
        text="Добрый день",
        files=[],
    )
    mail(
        "plain-windows-1256",
        head("plain-1256").encode()
        + b"Content-Type: text/plain; charset=windows-1256\n\n"
        + "مرحبا بكم".encode("cp1256")
        + b"\n",
        text="مرحبا بكم",
        files=[],
    )
    mail(
        "plain-flowed",
        head("plain-flowed")
        + "Content-Type: text/plain; charset=utf-8; format=flowed\n\n"
        + "This is one long \nparagraph.\n> quoted text that \n> goes on.\n\n-- \nAnna\n",
        text="This is one long paragraph.\n> quoted text that goes on.\n\n-- \nAnna",
        files=[],
    )
    mail(
        "plain-flowed-delsp",
        head("plain-delsp")
        + "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\n\n日本語の \n文章です。\n",
        text="日本語の文章です。",
        files=[],
    )
    mail(
        "plain-quoted-printable",
        head("plain-qp")
        + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        + qp("Schöne Grüße " * 20 + "Ende=\n"),
        text="Grüße Ende=",
        files=[],
    )
    mail(
        "plain-broken-quoted-printable",
        head("plain-bad-qp")
        + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        + "A=ZZ b=C3=A4 c= \nd=",
        text="bä",
        files=[],
    )
    mail(
        "plain-long-lines",
        head("plain-long") + "Content-Type: text/plain; charset=utf-8\n\n" + "word " * 20000 + "end\n",
        text="word end",
        files=[],
    )


def make_headers() -> None:
    mail(
        "header-none",
        "Just a text without any field\nand a second line: with a colon\n",
        subject="",
        author=None,
        text="Just a text without any field",
        files=[],
    )
    mail("header-empty-body", head("header-empty-body").rstrip("\n"), subject="Report", text="", files=[])
    mail("empty", b"", subject="", author=None, text="", files=[])
    mail(
        "header-no-separator",
        "From: anna.keller@bank.example\nSubject: Report\nThis is no field\nand goes on\n",
        subject="Report",
        author="anna.keller@bank.example",
        text="This is no field",
        files=[],
    )
    mail(
        "header-mbox-line",
        "From anna.keller@bank.example Fri Nov 20 08:30:00 2026\n"
        + head("header-mbox")
        + "Content-Type: text/plain\n\nHello\n",
        subject="Report",
        author="anna.keller@bank.example",
        text="Hello",
        files=[],
    )
    mail(
        "header-duplicates",
        "From: anna.keller@bank.example\nFrom: other@bank.example\nTo: a@partner.example\nTo: b@partner.example\n"
        "Subject: first\nSubject: second\nContent-Type: text/plain\n\nHello\n",
        subject="first",
        author="anna.keller@bank.example",
        to=["a@partner.example", "b@partner.example"],
        text="Hello",
        files=[],
    )
    mail(
        "header-folded",
        "From: Anna\n Keller\n\t<anna.keller@bank.example>\nSubject: a\n long\n\tsubject\n"
        "To: =?utf-8?q?B=C3=A4rbel?=\n =?utf-8?q?_Schmidt?= <b@partner.example>\nContent-Type: text/plain\n\nHello\n",
        subject="a long subject",
        author="anna.keller@bank.example",
        author_name="Anna Keller",
        to=["b@partner.example"],
        to_names=["Bärbel Schmidt"],
        text="Hello",
        files=[],
    )
    mail(
        "header-raw-8bit",
        b"From: J\xf6rg M\xfcller <joerg@bank.example>\nSubject: Gr\xfc\xdfe\nContent-Type: text/plain\n\nHello\n",
        subject="Grüße",
        author="joerg@bank.example",
        author_name="Jörg Müller",
        text="Hello",
        files=[],
    )
    mail(
        "header-smtputf8",
        "From: Jörg <jörg@bänk.example>\nTo: 用户@例子.example\nSubject: Grüße 🎉\nContent-Type: text/plain;"
        " charset=utf-8\n\nHällo\n",
        subject="Grüße 🎉",
        author="jörg@bänk.example",
        to=["用户@例子.example"],
        text="Hällo",
        files=[],
    )
    split = base64.b64encode("Grüße".encode()[:3]).decode(), base64.b64encode("Grüße".encode()[3:]).decode()
    mail(
        "header-split-character",
        f"From: anna.keller@bank.example\nSubject: =?utf-8?B?{split[0]}?=\n =?utf-8?B?{split[1]}?=\n\nHello\n",
        subject="Grüße",
        text="Hello",
        files=[],
    )
    mail(
        "header-words-without-space",
        "From: anna.keller@bank.example\nSubject: a=?utf-8?q?=C3=A4?=b =?utf-8?q?with space?= =?bad?x?y?=\n\nHello\n",
        subject="aäb with space =?bad?x?y?=",
        text="Hello",
        files=[],
    )
    mail(
        "header-encoded-trap",
        "From: =?utf-8?q?boss=40bank=2Eexample_=3Cboss=40bank=2Eexample=3E=2C?= <other@bank.example>\n"
        "Subject: x\n\nHi\n",
        author="other@bank.example",
        authors=["other@bank.example"],
        text="Hi",
        files=[],
    )
    mail(
        "header-groups-and-comments",
        'From: "Keller, Anna" (Zentrale (Haus 1)) <anna.keller@bank.example>\n'
        "To: Team: a@partner.example, B <b@partner.example>;, undisclosed-recipients:;\n"
        "Cc: c@partner.example (Carla), <@hop.example:d@partner.example>\nSubject: x\n\nHi\n",
        author="anna.keller@bank.example",
        author_name="Keller, Anna",
        to=["a@partner.example", "b@partner.example"],
        cc=["c@partner.example", "d@partner.example"],
        text="Hi",
        files=[],
    )
    mail(
        "header-huge",
        head("header-huge")
        + "".join(f"X-Big-{n}: {'x' * 900}\n" for n in range(500))
        + "Content-Type: text/plain\n\nHello\n",
        subject="Report",
        text="Hello",
        files=[],
    )
    mail(
        "header-many-recipients",
        "From: anna.keller@bank.example\nTo: "
        + ",\n ".join(f"User {n} <user{n}@partner.example>" for n in range(1500))
        + "\nSubject: x\n\nHi\n",
        author="anna.keller@bank.example",
        to_count=1500,
        text="Hi",
        files=[],
    )
    mail(
        "header-broken-date",
        "From: anna.keller@bank.example\nDate: the other day\nSubject: x\n\nHi\n",
        date=None,
        text="Hi",
        files=[],
    )
    mail(
        "header-importance",
        head("importance") + "Importance: High\nSensitivity: Company-Confidential\nX-Priority: 1 (Highest)\n\nHi\n",
        importance="high",
        sensitivity="company-confidential",
        text="Hi",
        files=[],
    )


def make_multiparts() -> None:
    alternative = (
        'Content-Type: multipart/alternative; boundary="alt"\n\n--alt\nContent-Type: text/plain; charset=utf-8\n\n'
        "plain\n"
        '--alt\nContent-Type: text/html; charset=utf-8\n\n<p>rich <img src="cid:logo@bank"></p>\n--alt--\n'
    )
    mail("multipart-alternative", head("alternative") + alternative, text="plain", html="<p>rich", files=[])
    mail(
        "outlook-like",
        head("outlook", "AW: Angebot")
        + 'Content-Language: de-DE\nContent-Type: multipart/mixed;\n\tboundary="_004_X"\n\n--_004_X\n'
        + 'Content-Type: multipart/related;\n\tboundary="_003_X"; type="multipart/alternative"\n\n--_003_X\n'
        + alternative
        + '\n--_003_X\nContent-Type: image/png; name="image001.png"\nContent-Description: image001.png\n'
        + 'Content-Disposition: inline; filename="image001.png"; size=73\nContent-ID: <logo@bank>\n'
        + "Content-Transfer-Encoding: base64\n\n"
        + b64(PNG)
        + "\n--_003_X--\n\n--_004_X\n"
        + 'Content-Type: application/pdf; name="=?utf-8?B?'
        + base64.b64encode("Angebot für Müller.pdf".encode()).decode()
        + '?="\nContent-Disposition: attachment;\n\tfilename="=?utf-8?B?'
        + base64.b64encode("Angebot für Müller.pdf".encode()).decode()
        + '?="\n'
        + "Content-Transfer-Encoding: base64\n\n"
        + b64(PDF)
        + "\n--_004_X--\n",
        subject="AW: Angebot",
        text="plain",
        html="<p>rich",
        images=["logo@bank"],
        language="de-DE",
        files=[["Angebot für Müller.pdf", "application/pdf", PDF.decode()]],
    )
    mail(
        "apple-mail-like",
        head("apple")
        + 'Content-Type: multipart/alternative;\n\tboundary="Apple-Mail=_1"\n\n\n--Apple-Mail=_1\n'
        + "Content-Transfer-Encoding: 7bit\nContent-Type: text/plain;\n\tcharset=us-ascii\n\nbefore\n\n\nafter\n\n"
        + '--Apple-Mail=_1\nContent-Type: multipart/mixed;\n\tboundary="Apple-Mail=_2"\n\n\n--Apple-Mail=_2\n'
        + "Content-Type: text/html;\n\tcharset=us-ascii\n\n<html><body>before</body></html>\n--Apple-Mail=_2\n"
        + 'Content-Disposition: inline;\n\tfilename="scan.pdf"\nContent-Type: application/pdf;\n\tname="scan.pdf"\n'
        + "Content-Transfer-Encoding: base64\n\n"
        + b64(PDF)
        + "\n--Apple-Mail=_2\n"
        + "Content-Type: text/html;\n\tcharset=us-ascii\n\n<html><body>after</body></html>\n--Apple-Mail=_2--\n\n"
        + "--Apple-Mail=_1--\n",
        text="before\n\n\nafter",
        html="before",
        html_also="after",
        files=[["scan.pdf", "application/pdf", PDF.decode()]],
    )
    mail(
        "gmail-like",
        head("gmail")
        + 'Content-Type: multipart/mixed; boundary="000000000000abc"\n\n--000000000000abc\n'
        + 'Content-Type: multipart/alternative; boundary="000000000000abd"\n\n--000000000000abd\n'
        + 'Content-Type: text/plain; charset="UTF-8"\nContent-Transfer-Encoding: quoted-printable\n\n'
        + qp("Hällo\n")
        + "\n--000000000000abd\n"
        + 'Content-Type: text/html; charset="UTF-8"\nContent-Transfer-Encoding: quoted-printable\n\n'
        + qp('<div dir="ltr">Hällo</div>\n')
        + "\n--000000000000abd--\n--000000000000abc\n"
        + 'Content-Type: text/csv; charset="US-ASCII"; name="data.csv"\n'
        + 'Content-Disposition: attachment; filename="data.csv"\nContent-Transfer-Encoding: base64\n'
        + "Content-ID: <f_1>\nX-Attachment-Id: f_1\n\n"
        + b64(b"a;b\r\n1;2\r\n")
        + "--000000000000abc--\n",
        text="Hällo",
        html='<div dir="ltr">Hällo',
        files=[["data.csv", "text/csv", "a;b\r\n1;2\r\n"]],
    )
    mail(
        "multipart-text-file-text",
        head("mixed-order")
        + "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\nfirst\n--b\nContent-Type: application/pdf\n"
        + "Content-Transfer-Encoding: base64\n\n"
        + b64(PDF)
        + "--b\n\nsecond, a footer\n--b--\nepilogue\n",
        text="first\n\nsecond, a footer",
        files=[["attachment-1.pdf", "application/pdf", PDF.decode()]],
    )
    mail(
        "only-attachment",
        head("only-attachment")
        + 'Content-Type: application/pdf; name="scan.pdf"\nContent-Transfer-Encoding: base64\n'
        + 'Content-Disposition: attachment; filename="scan.pdf"\n\n'
        + b64(PDF),
        text=None,
        html=None,
        files=[["scan.pdf", "application/pdf", PDF.decode()]],
    )
    mail(
        "only-attachments",
        head("only-attachments")
        + "Content-Type: multipart/mixed; boundary=b\n\n"
        + "".join(
            f'--b\nContent-Type: text/plain; name="n{n}.txt"\nContent-Disposition: attachment; filename="n{n}.txt"\n\n'
            f"file {n}\n"
            for n in (1, 2)
        )
        + "--b--\n",
        text=None,
        files=[["n1.txt", "text/plain", "file 1"], ["n2.txt", "text/plain", "file 2"]],
    )
    mail(
        "html-only",
        head("html-only") + "Content-Type: text/html; charset=utf-8\n\n<html><body>Schön</body></html>\n",
        text=None,
        html="Schön",
        files=[],
    )
    mail(
        "html-meta-charset",
        head("html-meta").encode()
        + b'Content-Type: text/html\n\n<html><head><meta charset="windows-1252"></head>Gr\xfc\xdfe</html>\n',
        text=None,
        html="Grüße",
        files=[],
    )
    mail(
        "multipart-unclosed",
        head("unclosed")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n"
        + "Content-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\n"
        + b64(PDF).rstrip(),
        text="text",
        files=[["x.pdf", "application/pdf", PDF.decode()]],
    )
    mail(
        "multipart-no-delimiter",
        head("no-delimiter") + "Content-Type: multipart/mixed; boundary=b\n\nno part at all\n",
        text="no part at all",
        files=[],
    )
    mail(
        "multipart-no-boundary",
        head("no-boundary") + "Content-Type: multipart/mixed\n\n--x\n\ntext\n--x--\n",
        text="text",
        files=[],
    )
    mail(
        "multipart-same-boundary-twice",
        head("same-boundary")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
        + "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nplain\n--b\nContent-Type: text/html\n\n<p>rich\n"
        + "--b--\n--b\nContent-Type: application/pdf\n\nx\n--b--\n",
        text="plain",
        html="<p>rich",
        files=[["attachment-1.pdf", "application/pdf", "x"]],
    )
    mail(
        "multipart-boundary-prefix",
        head("prefix")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
        + "Content-Type: multipart/alternative; boundary=bb\n\n--bb\n\nplain --b\n--bc no delimiter\n--bb\n"
        + "Content-Type: text/html\n\n<p>rich\n--bb--\n--b\nContent-Type: application/pdf\n\nx\n--b--\n",
        text="plain --b\n--bc no delimiter",
        html="<p>rich",
        files=[["attachment-1.pdf", "application/pdf", "x"]],
    )
    mail(
        "multipart-part-without-blank-line",
        head("no-blank")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n--b\n\n"
        + "second\n--b--\n",
        text="second",
        files=[],
    )
    mail(
        "multipart-lf-and-crlf",
        head("mixed-ends").encode()
        + b"Content-Type: multipart/mixed; boundary=b\n\n--b\r\n\r\none\r\n--b  \t\n\ntwo\n--b--\r\n",
        text="one\n\ntwo",
        files=[],
        keep_line_ends=True,
    )
    mail(
        "file-names-rfc2231",
        head("rfc2231")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee files\n--b\n"
        + "Content-Type: application/pdf\nContent-Disposition: attachment;\n"
        + " filename*0*=utf-8''Angebot%20f%C3%BCr;\n filename*1*=%20M%C3%BCller;\n"
        + ' filename*2=" & Sohn.pdf"\n\nx\n--b\n'
        + "Content-Type: application/pdf\nContent-Disposition: attachment;\n"
        + " filename=\"wrong.pdf\"; filename*=iso-8859-1'de'Gr%FC%DFe.pdf\n\ny\n--b\n"
        + 'Content-Type: application/pdf; name="C:\\\\temp\\\\report.pdf"\n'
        + "Content-Disposition: attachment\n\nz\n--b--\n",
        text="see files",
        files=[
            ["Angebot für Müller & Sohn.pdf", "application/pdf", "x"],
            ["Grüße.pdf", "application/pdf", "y"],
            ["report.pdf", "application/pdf", "z"],
        ],
    )
    mail(
        "broken-base64",
        head("broken-base64")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n"
        + "Content-Type: application/octet-stream; name=x.bin\nContent-Transfer-Encoding: base64\n\n"
        + "SGVs!!bG8=\nV29ybGQ\n--b--\n",
        text="text",
        files=[["x.bin", "application/octet-stream", "HelloWorld"]],
    )
    mail(
        "nested-message",
        head("nested", "WG: Anfrage")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee below\n--b\n"
        + "Content-Type: message/rfc822\n\nFrom: jonas.weber@partner.example\n"
        + "Subject: =?utf-8?q?Anfrage_f=C3=BCr?= 3/4\n"
        + "Content-Type: multipart/mixed; boundary=c\n\n--c\n\ninner\n--c--\n\n--b--\n",
        text="see below",
        files=[["4.eml", "message/rfc822", None]],
    )


def make_kinds() -> None:
    calendar = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nSUMMARY:Termin\nEND:VEVENT\nEND:VCALENDAR\n"
    mail(
        "invitation",
        head("invitation")
        + "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nTermin\n--b\n"
        + "Content-Type: text/html\n\n<p>Termin\n--b\nContent-Type: text/calendar; charset=utf-8; method=REQUEST\n\n"
        + calendar
        + "--b--\n",
        text="Termin",
        html="<p>Termin",
        flags=["is_invitation"],
        files=[["invite.ics", "text/calendar", None]],
    )
    mail(
        "calendar-file-without-method",
        head("calendar")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee file\n--b\n"
        + 'Content-Type: text/calendar; name="plan.ics"\nContent-Disposition: attachment; filename="plan.ics"\n\n'
        + calendar.replace("METHOD:REQUEST\n", "")
        + "--b--\n",
        text="see file",
        flags=[],
        files=[["plan.ics", "text/calendar", None]],
    )
    report = "Content-Type: multipart/report; report-type={kind}; boundary=b\n\n--b\n\nwords\n--b\n"
    mail(
        "mdn",
        head("mdn")
        + report.format(kind="disposition-notification")
        + "Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;a@partner.example\n"
        + "Disposition: manual-action/MDN-sent-manually; displayed\n\n--b--\n",
        text="words",
        flags=["is_mdn"],
        files=[["disposition-notification.txt", "message/disposition-notification", None]],
    )
    mail(
        "dsn",
        head("dsn")
        + "Auto-Submitted: auto-replied\n"
        + report.format(kind="delivery-status")
        + "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.partner.example\n\n"
        + "Final-Recipient: rfc822;a@partner.example\nAction: failed\nStatus: 5.1.1\n\n--b\n"
        + "Content-Type: text/rfc822-headers\n\nSubject: old\n\n--b--\n",
        text="words",
        flags=["is_dsn", "is_auto_submitted"],
        files=[["delivery-status.txt", "message/delivery-status", None], ["headers.txt", "text/rfc822-headers", None]],
    )
    mail(
        "list-mail",
        "List-Id: Friends of mail <friends.lists.example>\nList-Post: <mailto:friends@lists.example>\n"
        + "Precedence: list\n"
        + "List-Unsubscribe: <mailto:leave@lists.example>\n"
        + head("list", "[friends] hello")
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: text/plain\n"
        + "Content-Disposition: inline\n\n____\nfriends mailing list\n--b--\n",
        subject="[friends] hello",
        text="hello\n\n____\nfriends mailing list",
        flags=["is_list", "is_bulk"],
        files=[],
    )
    mail(
        "out-of-office",
        head("ooo", "Automatische Antwort: Report")
        + "Auto-Submitted: auto-replied\nX-Auto-Response-Suppress: All\n\n"
        + "I am away.\n",
        text="I am away.",
        flags=["is_auto_submitted"],
        files=[],
    )
    mail(
        "signed-smime",
        head("signed")
        + 'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;\n'
        + " boundary=s\n\n--s\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nsigned text\n--b\n"
        + "Content-Type: application/pdf; name=x.pdf\n\nx\n--b--\n\n--s\n"
        + "Content-Type: application/pkcs7-signature; name=smime.p7s\n"
        + "Content-Transfer-Encoding: base64\n\nMIIB\n--s--\n",
        text="signed text",
        flags=["is_signed"],
        files=[["x.pdf", "application/pdf", "x"]],
    )
    enveloped = (
        bytes.fromhex("3080") + bytes.fromhex("06092a864886f70d010703") + bytes.fromhex("a0803080020100") + bytes(40)
    )
    signed = (
        bytes.fromhex("3080") + bytes.fromhex("06092a864886f70d010702") + bytes.fromhex("a0803080020101") + bytes(40)
    )
    smime = 'Content-Type: application/pkcs7-mime; name="smime.p7m"{type}\nContent-Transfer-Encoding: base64\n\n'
    mail(
        "encrypted-smime",
        head("enveloped") + smime.format(type="; smime-type=enveloped-data") + b64(enveloped),
        text=None,
        flags=["is_encrypted", "is_encrypted_smime"],
        files=[["smime.p7m", "application/pkcs7-mime", None]],
    )
    mail(
        "signed-smime-opaque",
        head("opaque") + smime.format(type="") + b64(signed),
        text=None,
        flags=["is_signed"],
        files=[["smime.p7m", "application/pkcs7-mime", None]],
    )
    mail(
        "encrypted-pgp-mime",
        head("pgp")
        + 'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\n\n--b\n'
        + "Content-Type: application/pgp-encrypted\n\nVersion: 1\n\n--b\n"
        + "Content-Type: application/octet-stream; name=encrypted.asc\n\n-----BEGIN PGP MESSAGE-----\n\nabc\n"
        + "-----END PGP MESSAGE-----\n--b--\n",
        text=None,
        flags=["is_encrypted", "is_encrypted_openpgp"],
        files=[
            ["attachment-1.asc", "application/pgp-encrypted", None],
            ["encrypted.asc", "application/octet-stream", None],
        ],
    )
    mail(
        "encrypted-pgp-inline",
        head("pgp-inline") + "\n-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n",
        text="-----BEGIN PGP MESSAGE-----",
        flags=["is_encrypted", "is_encrypted_openpgp"],
        files=[],
    )
    mail(
        "signed-pgp-inline",
        head("pgp-clear")
        + "\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nhello\n-----BEGIN PGP SIGNATURE-----\n\n"
        + "iQ\n-----END PGP SIGNATURE-----\n",
        text="hello",
        flags=["is_signed"],
        files=[],
    )


def inline(name: str, html: str, *pictures: tuple[str, str, str, bytes], **expected: Any) -> None:
    """`pictures`: Content-ID, media type, file name, octets."""
    parts = [f"Content-Type: text/html; charset=utf-8\n\n{html}\n"]
    for content_id, kind, file_name, octets in pictures:
        parts.append(
            f'Content-Type: {kind}; name="{file_name}"\nContent-Transfer-Encoding: base64\n'
            f"Content-ID: <{content_id}>\nContent-Disposition: inline; filename={file_name}\n\n{b64(octets)}"
        )
    body = "".join(f"--b\n{part}" for part in parts)
    source = f'{head(name)}Content-Type: multipart/related; type="text/html"; boundary=b\n\n{body}--b--\n'
    mail(name, source, text=None, html=html, files=[], images=[one[0] for one in pictures], **expected)


def make_inline() -> None:
    """Pictures that the HTML names; `left` are those that no page draws and that come along as files."""
    inline(
        "inline-kinds",
        '<p>before <img src="cid:ok"><img src="cid:svg"><img src="cid:tif" alt="">'
        '<img src="cid:emf"><img src="cid:big">',
        ("ok", "image/png", "ok.png", PNG),
        ("svg", "image/svg+xml", "plan.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><text>plan</text></svg>'),
        ("tif", "image/tiff", "scan.tif", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        ("emf", "image/x-emf", "chart.emf", b"\x01\0\0\0" + b" EMF" * 30),
        ("big", "image/png", "map.png", png(9000)),
        left=["plan.svg", "scan.tif", "chart.emf", "map.png"],
    )
    inline(
        "inline-hidden",
        '<!-- <img src="cid:comment"> --><p title="cid:title">before <img src="cid:same">'
        '<div style="background:url(cid:css)">x</div><v:imagedata src="cid:vml"/>'
        '<div style="display:none"><img src="cid:none"></div><img src="cid:dot" width=1 height=1>',
        ("comment", "image/png", "comment.png", png(3)),
        ("title", "image/png", "title.png", png(4)),
        ("same", "image/png", "first.png", png(5)),
        ("same", "image/png", "second.png", png(6)),
        ("css", "image/png", "css.png", png(7)),
        ("vml", "image/png", "vml.png", png(8)),
        ("none", "image/png", "none.png", png(9)),
        ("dot", "image/png", "dot.png", png(10)),
        left=["comment.png", "title.png", "first.png", "css.png", "vml.png", "none.png", "dot.png"],
    )
    inline(
        "inline-many",
        "<p>before " + "".join(f'<img src="cid:p{n}">' for n in range(205)),
        *((f"p{n}", "image/png", f"p{n}.png", png(n + 11)) for n in range(205)),
        left=[f"p{n}.png" for n in range(200, 205)],
    )


def tnef(attributes: list[tuple[int, int, bytes]]) -> bytes:
    out = struct.pack("<IH", 0x223E9F78, 1)
    for level, attribute, data in attributes:
        out += bytes([level]) + struct.pack("<II", attribute, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)
    return out


def mapi(properties: list[tuple[int, int, bytes]]) -> bytes:
    out = struct.pack("<I", len(properties))
    for kind, ident, value in properties:
        out += struct.pack("<HHII", kind, ident, 1, len(value)) + value + bytes(-len(value) % 4)
    return out


def make_tnef() -> None:
    winmail = tnef(
        [
            (1, 0x00069007, struct.pack("<II", 1252, 0)),
            (2, 0x00069002, bytes(14)),
            (2, 0x00018010, b"Angebot.pdf\0"),
            (2, 0x0006800F, PDF),
            (
                2,
                0x00069005,
                mapi(
                    [(31, 0x3707, "Angebot für Müller.pdf\0".encode("utf-16-le")), (30, 0x370E, b"application/pdf\0")]
                ),
            ),
            (2, 0x00069002, bytes(14)),
            (2, 0x00018010, b"Gr\xfc\xdfe.txt\0"),
            (2, 0x0006800F, b"hello"),
        ]
    )
    wrapped = (
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{text}\n--b\n"
        'Content-Type: application/ms-tnef; name="winmail.dat"\nContent-Transfer-Encoding: base64\n\n{data}--b--\n'
    )
    mail(
        "winmail",
        head("winmail") + wrapped.format(text="see files", data=b64(winmail)),
        text="see files",
        files=[
            ["Angebot für Müller.pdf", "application/pdf", PDF.decode()],
            ["Grüße.txt", "application/octet-stream", "hello"],
        ],
    )
    body = tnef([(1, 0x00069003, mapi([(258, 0x1013, "<p>Grüße</p>".encode()), (30, 0x1000, b"Gruss\0")]))])
    mail(
        "winmail-body-only",
        head("winmail-body")
        + 'Content-Type: application/ms-tnef; name="winmail.dat"\n'
        + "Content-Transfer-Encoding: base64\n\n"
        + b64(body),
        text="Gruss",
        html="<p>Grüße</p>",
        files=[],
    )
    mail(
        "winmail-broken",
        head("winmail-broken") + wrapped.format(text="see files", data=b64(winmail[:60])),
        text="see files",
        files=[["winmail.dat", "application/ms-tnef", None]],
    )


def main() -> None:
    for make in (make_plain, make_headers, make_multiparts, make_kinds, make_inline, make_tnef):
        make()
    for name, (octets, _) in MAILS.items():
        (HERE / f"{name}.eml").write_bytes(octets)
    expected = {name: expectation for name, (_, expectation) in MAILS.items()}
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
