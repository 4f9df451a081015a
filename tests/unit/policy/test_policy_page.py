"""docs/policy.md names every condition, action, switch, kind and key that the code knows, and its example works."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

import relay.policy
from relay.core.documents.brands import Brand, BrandWording
from relay.core.documents.domains import Delegation, OwnDomain
from relay.core.documents.keywords import KeywordsDocument, Meaning
from relay.core.documents.limits import LimitsDocument
from relay.core.documents.listeners import Listener
from relay.core.documents.policy import ActionKind, PolicyDocument, Switches
from relay.core.documents.routes import Route
from relay.policy.facts import Direction, MailKind
from relay.policy.lint import lint_organisation
from relay.policy.rules.reader import QUESTIONS
from relay.policy.ruleset import compile_ruleset
from tests.unit.policy.cases import organisation

PAGE = (Path(relay.policy.__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE))
TYPES = (Brand, BrandWording, Delegation, KeywordsDocument, LimitsDocument, Listener, OwnDomain, PolicyDocument, Route)


@pytest.mark.parametrize(
    "word",
    sorted(
        {*QUESTIONS, "keyword", "all", "any", "not", *ActionKind, *MailKind, *Direction}
        | {one.name for one in fields(Switches)}
        | {one.name for kind in TYPES for one in fields(kind)}
    ),
)
def test_page_names(word: str) -> None:
    assert word in NAMED


def test_page_names_every_shipped_keyword() -> None:
    for token in organisation().keywords.tokens():
        assert token in NAMED
    assert Meaning.MARK in NAMED


def test_example_compiles_and_has_no_warning() -> None:
    found = re.search(r'\n    \{"rules".*?\n\n', PAGE, re.DOTALL)
    assert found is not None
    where = organisation(**json.loads(found.group(0)))
    assert len(compile_ruleset(where).rules) == 2
    assert {one.code for one in lint_organisation(where)} == {"foreign-pass"}
