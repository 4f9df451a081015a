"""Accessibility, judged by a validator of PDF/UA-1: the PyPI package page-validation."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
from collections.abc import Iterator
from typing import Any

import pikepdf
import pytest

from pdfmail.html.confined import ConfinedRenderer
from pdfmail.template import TemplateCache
from tests.data.pdfmail.samples import (
    PASSWORD,
    make_attachment,
    make_brand,
    make_logo,
    make_mail,
    make_options,
    write_bytes,
)

IDENTIFICATION = {"PDFUA1-ID-PART-001", "PDFUA1-ID-SCHEMA-001"}


@pytest.fixture(scope="module")
def validator() -> Any:
    try:
        importlib.metadata.version("page-validation")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("no validator here: pip install page-validation")
    return importlib.import_module("page")


@pytest.fixture(scope="module")
def renderer() -> Iterator[ConfinedRenderer]:
    with ConfinedRenderer() as confined:
        yield confined


def list_failures(validator: Any, content: bytes) -> set[str]:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        document.save(out, encryption=False)
    report = validator.validate_pdf_bytes(out.getvalue(), profile="ua1")
    assert report.rules.total > 80
    return {failure.rule_id for failure in report.failures}


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("files", [0, 2, 40])
def test_pages_of_our_own_keep_every_rule(validator: Any, templates: TemplateCache, language: str, files: int) -> None:
    attachments = tuple(make_attachment(f"file {number}.pdf", b"x") for number in range(files))
    text = "One\n\nTwo https://a.example/x\n\n> quoted\n\n" + "long text " * 900 + "\n日\nA  B   C\nD   E   F"
    mail = make_mail(text=text, subject="報 subject", attachments=attachments, message_eml=b"Subject: x\r\n\r\n")
    for brand in (make_brand(), make_brand(logo=make_logo())):
        content, report = write_bytes(templates, mail, make_options(language=language), brand)
        assert report.body == "text"
        assert list_failures(validator, content) == set()


def test_without_a_reply_address_too(validator: Any, templates: TemplateCache) -> None:
    for text in (None, "short", "日本語" * 50):
        content, _ = write_bytes(templates, make_mail(text=text), make_options(reply_url=None))
        assert list_failures(validator, content) == set()


def test_rendered_pages_keep_every_rule_but_claim_nothing(
    validator: Any, templates: TemplateCache, renderer: ConfinedRenderer
) -> None:
    html = """<html lang="en"><h1>Report</h1><p>See <a href="https://a.example/">this</a> and
    <a href="https://b.example/">that</a>.</p><ul><li>one</li></ul><table><tr><th>a</th><th>b</th></tr>
    <tr><td>1</td><td>2</td></tr></table><p>日本語 🎉</p>"""
    content, report = write_bytes(templates, make_mail(html=html), renderer=renderer)
    assert report.body == "html"
    assert list_failures(validator, content) == IDENTIFICATION
