"""What a German-speaking sender reads of a decision that was stored in English."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import relay.policy.choose
import relay.policy.finish
from relay.actions.reasons import say_reason, say_warning
from relay.core.decision import OLD_CIPHER, Decision, Method, Reason


def _sentences(module: object, function: str) -> list[str]:
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))  # type: ignore[attr-defined]
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function)
    texts = [node.value for node in ast.walk(found) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in texts if " " in text and text.endswith(".") and not text.startswith("Return ")]


WARNINGS = [
    OLD_CIPHER,
    *_sentences(relay.policy.choose, "_refuse_plain"),
    *(text for text in _sentences(relay.policy.finish, "_protect") if "asked for" in text),
]


def _held(reason: Reason, text: str = "") -> Decision:
    return Decision(Method.HOLD, reason, "Held because rule 7 says so.", text=text)


def test_the_policy_gives_the_warnings_that_are_looked_at_here() -> None:
    assert len(WARNINGS) == 7


@pytest.mark.parametrize("warning", WARNINGS)
def test_each_warning_of_the_policy_is_told_in_german(warning: str) -> None:
    assert say_warning(warning, "en") == warning
    assert say_warning(warning, "de") != warning


def test_an_unknown_warning_is_told_as_it_is() -> None:
    assert say_warning("Something new.", "de") == "Something new."


def test_an_operators_words_stand_as_he_wrote_them() -> None:
    assert say_reason(_held(Reason.RULE, "Bitte an die Revision wenden."), "de") == "Bitte an die Revision wenden."


@pytest.mark.parametrize("reason", [Reason.NOT_YET_POSSIBLE, Reason.TOO_LARGE, Reason.HEADER])
def test_the_gateways_own_texts_with_numbers_and_names_are_told_in_german(reason: Reason) -> None:
    decision = _held(reason, "The protected mail is larger than the 100 octets that the recipient takes.")
    assert say_reason(decision, "en") == decision.text
    assert say_reason(decision, "de").split()[0] in {"Der", "Die", "Ein"}


@pytest.mark.parametrize(
    "reason", [Reason.RULE, Reason.SYSTEM, Reason.LOOP, Reason.SENDER, Reason.SPECIAL_MAIL, Reason.FOREIGN_SENDER]
)
def test_what_has_an_explanation_only_is_told_in_german_by_its_reason(reason: Reason) -> None:
    assert say_reason(_held(reason), "en") == "Held because rule 7 says so."
    assert "Held" not in say_reason(_held(reason), "de")


def test_a_fixed_text_is_told_in_german_whatever_its_reason() -> None:
    decision = _held(Reason.SENDER, "This sender is not among those who may write to the outside.")
    assert say_reason(decision, "de") == "Diese Absenderadresse darf nicht nach außen schreiben."
