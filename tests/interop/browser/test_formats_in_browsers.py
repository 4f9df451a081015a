"""The browser's half of the sealed mailbox: vectors, forms and properties in Node, Chromium and Firefox.

sealed-mailbox 19.

Content-Security-Policy and Trusted Types are the portal's own, Argon2id runs in the real worker.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.core.wire.pae import encode_b64, encode_pae
from tests.interop.browser.conftest import DATA, Ask, ask_node
from tests.interop.browser.driver import Page

# Their chunks are given as a recipe, because a megabyte is long.
RECIPES = {2: "one", 3: "two"}


def read_vectors() -> dict[str, Any]:
    """Return the vectors with all chunks of their parts."""
    vectors: dict[str, Any] = json.loads((DATA / "vectors.json").read_text("utf-8"))
    vectors["chunks"] = [
        [make_chunk(part, n) for n in range(len(part["chunks"]))] for part in vectors["parts"]["parts"]
    ]
    return vectors


def make_chunk(part: dict[str, Any], n: int) -> str:
    """Return one chunk; the vectors' hash says that it is the right one."""
    given = part["chunks"][n]
    if given is not None:
        octets = bytes.fromhex(given)
    else:
        plain = hashlib.shake_256(f"LL1 vectors/{RECIPES[part['i']]}".encode()).digest(part["size"])
        nonce = hashlib.shake_256(f"LL1 vectors/nc{part['i']}.{n}".encode()).digest(12)
        aad = encode_pae("LL1/chunk", n, int(n == len(part["chunks"]) - 1))
        cipher = AESGCM(bytes.fromhex(part["part_key"]))
        octets = nonce + cipher.encrypt(nonce, plain[n << 20 : (n + 1) << 20], aad)
    assert hashlib.sha256(octets).hexdigest() == part["sha256"][n]
    return encode_b64(octets)


def check(results: list[dict[str, Any]], least: int) -> None:
    """Demand that every check went well, and that there were as many as there should be."""
    assert [result for result in results if result["error"] is not None] == []
    assert len(results) >= least


def check_vectors(results: list[dict[str, Any]], vectors: dict[str, Any]) -> None:
    check(results, 125)
    done = Counter(result["name"].partition("[")[0] for result in results)
    for name, entries in vectors.items():
        if isinstance(entries, list) and name != "chunks":
            assert done[name] == len(entries), name
    assert done["parts"] == len(vectors["parts"]["parts"])
    assert done["cards"] == len(vectors["cards"]["check"])
    assert {"stretch", "rekey", "passkey", "tab", "down", "up", "join"} <= set(done)


def test_vectors_in_node() -> None:
    vectors = read_vectors()
    check_vectors(ask_node("vectors", vectors), vectors)


def test_vectors_in_browsers(ask_browser: Ask) -> None:
    vectors = read_vectors()
    check_vectors(ask_browser("vectors", vectors), vectors)


def test_a_wrong_vector_is_noticed() -> None:
    vectors = read_vectors()
    vectors["down_refused"][0]["error"] = "format"
    vectors["seed"][1]["enc"] = vectors["seed"][0]["enc"]
    vectors["secret"][0]["utf8"] += "x"
    wrong = {result["name"] for result in ask_node("vectors", vectors) if result["error"] is not None}
    assert wrong == {"down_refused[0]", "seed[1]", "secret[0]"}


def test_forms_in_node() -> None:
    check(ask_node("forms", json.loads((DATA / "forms.json").read_text("utf-8"))), 1100)


def test_forms_in_browsers(suite_page: Page) -> None:
    # Fetched by the page: on the way through a driver, half of a surrogate pair may become something else.
    check(suite_page.evaluate("() => runSuite('forms', '/data/forms.json')"), 1100)


@pytest.mark.parametrize("seed", [1, 2])
def test_properties_in_node(seed: int) -> None:
    check(ask_node("properties", {"seed": seed, "rounds": 30}), 12)


def test_properties_in_browsers(ask_browser: Ask) -> None:
    check(ask_browser("properties", {"seed": 3, "rounds": 15}), 12)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 20))
def test_properties_for_long(seed: int) -> None:
    check(ask_node("properties", {"seed": seed, "rounds": 400}), 12)
