"""Documents from anybody: reading gives a value that round-trips, or a DocumentError with key and fix; nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.core.documents.organisation import DOCUMENT_KINDS, read_document
from relay.core.documents.policy import PolicyDocument
from relay.core.documents.reading import DocumentError
from relay.core.documents.sample import SamplePorts, sample_organisation
from relay.policy.lint import lint_organisation
from relay.policy.rules.reader import QUESTIONS, read_condition
from relay.policy.ruleset import compile_ruleset
from tests.fuzz.policy.test_decide_properties import documents
from tests.unit.policy.cases import organisation

SAMPLE = {
    kind: document.to_json()
    for kind, document in sample_organisation(SamplePorts("127.0.0.1", 1, 2, 3, 4, 5)).documents().items()
}
WORDS = sorted(
    {
        *QUESTIONS,
        *(
            "all",
            "any",
            "not",
            "keyword",
            "is",
            "name",
            "over",
            "under",
            "count",
            "total",
            "names",
            "types",
            "extensions",
        ),
        *("id", "when", "then", "action", "methods", "pass", "pdf", "webmail", "protect", "hold", "reject", "discard"),
        *("forward", "add_header", "remove_header", "set", "cipher", "to", "value", "domains", "routes", "brands"),
        *("keywords", "rules", "listeners", "pattern", "hop", "host", "port", "tls", "side", "networks", "plain"),
    }
)
ODD = ["*", "a@b.example", "*@b.example", "b.example", "10.0.0.0/8", "\ud800", "\ufb00@\u00df\u1e9e.example"]
keys = st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=12),
        st.sampled_from([*WORDS, *ODD]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


def problem_of(call: Callable[[], object]) -> DocumentError | None:
    """Return the DocumentError that a call raises, or None; any other exception is a failure."""
    try:
        call()
    except DocumentError as error:
        return error
    return None


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all values within a JSON value."""
    found = [here]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += paths(inner, (*here, key))
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with another value at a place."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


def check(kind: str, raw: object) -> None:
    error = problem_of(lambda: read_document(kind, raw))
    if error is not None:
        assert error.key
        assert error.fix
        return
    document = read_document(kind, raw)
    assert read_document(kind, json.loads(json.dumps(document.to_json()))) == document


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(DOCUMENT_KINDS)), values)
def test_any_json_gives_a_document_or_a_clear_error(kind: str, raw: object) -> None:
    check(kind, raw)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_sample_with_one_value_changed_gives_a_document_or_a_clear_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(SAMPLE)))
    path = data.draw(st.sampled_from(paths(SAMPLE[kind])))
    check(kind, put(SAMPLE[kind], path, data.draw(values)))


@settings(max_examples=200, deadline=None)
@given(values)
@example({"all": [{"header": {"name": "x", "is": ["*" * 300]}}]})
@example({"client": ["::/0", "0.0.0.0/0"]})
def test_any_json_gives_a_condition_or_a_clear_error(raw: object) -> None:
    error = problem_of(lambda: read_condition(raw, "when", {}))
    if error is None:
        assert read_condition(raw, "when", {}).describe()
    else:
        assert error.key.startswith("when")
        assert error.fix


@settings(max_examples=100, deadline=None)
@given(documents(with_pass=True))
def test_policies_round_trip_compile_to_the_same_and_can_be_linted(parts: dict[str, Any]) -> None:
    where = organisation(**parts)
    again = replace(where, policy=PolicyDocument.from_json(json.loads(json.dumps(where.policy.to_json()))))
    assert again == where
    assert compile_ruleset(again) == compile_ruleset(where)
    lint_organisation(where)


@pytest.mark.parametrize("depth", [100, 20_000])
def test_deep_json_is_refused_without_exhausting_the_stack(depth: int) -> None:
    deep: Any = {"sender": ["*"]}
    for _ in range(depth):
        deep = {"not": deep}
    with pytest.raises(DocumentError, match="too deep"):
        PolicyDocument.from_json({"rules": [{"id": "r", "when": deep, "then": [{"action": "pass"}]}]})
