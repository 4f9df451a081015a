"""What the browser's half computes itself, HPKE's key schedule and Argon2id: Python's libraries judge both.

RFC 9180, RFC 9106, RFC 7693; docs/adr/0007. In Node with many inputs, in both browsers with fewer.
"""

from __future__ import annotations

import hashlib
import os
import random
from typing import Any

import pytest
from argon2.low_level import Type, hash_secret_raw

from relay.core.wire.hpke import SUITE_P256, SUITE_X25519, generate_private, open_sealed, seal
from tests.interop.browser.conftest import Ask, ask_node, run_node
from tests.unit.keystore.hpke_reference import AES_128, AES_256, Reference
from tests.unit.keystore.test_wire_hpke import RFC_9180

SUITES = (SUITE_X25519, SUITE_P256)
LOW_ORDER = [
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    *(bytes([last]) + b"\xff" * 30 + b"\x7f" for last in (0xEC, 0xED, 0xEE)),
]
"""Points of Curve25519 whose product with any key is zero: who sends one knows the secret without any key."""
NOT_ON_THE_CURVE = b"\4" + bytes(64)
HIDDEN = bytes(33)
"""0: the point at infinity's first octet."""


def hpke_cases(seed: int, rounds: int) -> dict[str, Any]:
    """Return what the page is asked, by suite: vectors, boxes to open, plaintexts to seal."""
    chance = random.Random(seed)
    rfc, opened, sealed = [], [], []
    for suite, known, enc, ct in RFC_9180:
        public = Reference(suite, AES_128).public(bytes.fromhex(known))
        words = {"info": b"Ode on a Grecian Urn".hex(), "aad": b"Count-0".hex()}
        rfc.append({"suite": suite, "private": known, "pub": public.hex(), "enc": enc, "ct": ct, **words})
    for suite in SUITES:
        for _ in range(rounds):
            private = generate_private(suite)
            public = Reference(suite, AES_256).public(private)
            base: dict[str, Any] = {"suite": suite, "private": private.hex(), "pub": public.hex()}
            info, plaintext = (chance.randbytes(chance.choice([0, 1, 31, 64, 200])) for _ in range(2))
            text = {"info": info.hex(), "plaintext": plaintext.hex()}
            box = seal(suite, public, info, plaintext)
            opened.append({**base, **text, "sealed": box.hex(), "want": plaintext.hex()})
            opened.extend({**base, **text, "sealed": bad.hex(), "want": "auth"} for bad in spoil(suite, box, chance))
            opened.append({**base, **text, "info": (info + b"x").hex(), "sealed": box.hex(), "want": "auth"})
            sealed.append({**base, **text})
        opened.extend({**base, **text, "sealed": box.hex(), "want": "auth"} for box in forge(suite, public, info))
    return {"rfc": rfc, "open": opened, "seal": sealed}


def spoil(suite: int, box: bytes, chance: random.Random) -> list[bytes]:
    """Return boxes that must not open: a flipped bit, too short, too long, an encapsulated key of another length."""
    flipped = bytearray(box)
    flipped[chance.randrange(len(box))] ^= 1 << chance.randrange(8)
    length = 32 if suite == SUITE_X25519 else 65
    cut = [box[:end] for end in (0, 1, length - 1, length, length + 15, length + 16, len(box) - 1)]
    return [bytes(flipped), *(one for one in cut if len(one) < len(box)), box + b"\0", box[1:], b"\0" + box]


def forge(suite: int, public: bytes, info: bytes) -> list[bytes]:
    """Return boxes whose encapsulated key is no key. Those of Curve25519 open wherever zero is taken for a secret."""
    if suite == SUITE_P256:
        compressed = b"\2" + public[1:33]
        return [enc + bytes(64) for enc in (NOT_ON_THE_CURVE, compressed, HIDDEN, bytes(65), b"\6" + public[1:])]
    boxes = []
    for enc in LOW_ORDER:
        key, nonce = Reference(suite, AES_256).schedule(bytes(32), enc, public, info)
        boxes.append(enc + key.encrypt(nonce, b"forged", b""))
    return boxes


def check_hpke(cases: dict[str, Any], found: dict[str, Any]) -> None:
    assert found["rfc"] == [b"Beauty is truth, truth beauty".hex()] * len(RFC_9180)
    assert found["opened"] == [case["want"] for case in cases["open"]]
    for case, box in zip(cases["seal"], found["sealed"], strict=True):
        plaintext = open_sealed(
            case["suite"], bytes.fromhex(case["private"]), bytes.fromhex(case["info"]), bytes.fromhex(box)
        )
        assert plaintext.hex() == case["plaintext"]
    assert len(set(found["sealed"])) == len(found["sealed"])


def test_hpke_in_node() -> None:
    cases = hpke_cases(1, 12)
    check_hpke(cases, ask_node("hpke", cases))


def test_hpke_in_browsers(ask_browser: Ask) -> None:
    cases = hpke_cases(2, 3)
    check_hpke(cases, ask_browser("hpke", cases))


def test_nothing_is_sealed_to_what_is_no_key() -> None:
    keys = [(SUITE_P256, key) for key in (NOT_ON_THE_CURVE, HIDDEN, bytes(65), b"")]
    keys += [(SUITE_X25519, key) for key in (*LOW_ORDER, bytes(31), bytes(33))]
    asked = [{"suite": suite, "pub": key.hex(), "info": "", "plaintext": "00"} for suite, key in keys]
    assert ask_node("hpke", {"rfc": [], "open": [], "seal": asked})["sealed"] == ["format"] * len(keys)


def test_hpke_and_a_library_for_browsers_open_each_other() -> None:
    assert run_node("hpke_library.mjs") == b"ok"


def argon_cases(seed: int, most: int, rounds: int) -> dict[str, Any]:
    """Return runs up to so much memory in KiB, some of sizes that are no multiple of 4, and inputs for BLAKE2b."""
    chance = random.Random(seed)
    runs = [
        {
            "secret": chance.randbytes(chance.choice([0, 1, 12, 48, 128, 300])).hex(),
            "salt": chance.randbytes(chance.choice([8, 16, 33])).hex(),
            "memory": chance.randrange(8, most),
            "passes": chance.randrange(1, 5),
        }
        for _ in range(rounds)
    ]
    runs.append({"secret": os.urandom(20).hex(), "salt": os.urandom(16).hex(), "memory": 8, "passes": 1})
    lengths = [0, 1, 127, 128, 129, 255, 256, 257, 1000]
    hashes = [{"length": chance.choice([1, 16, 32, 63, 64]), "input": chance.randbytes(size).hex()} for size in lengths]
    return {"runs": runs, "hashes": hashes}


def check_argon(cases: dict[str, Any], found: dict[str, Any]) -> None:
    tags = [
        hash_secret_raw(
            bytes.fromhex(run["secret"]),
            bytes.fromhex(run["salt"]),
            time_cost=run["passes"],
            memory_cost=run["memory"],
            parallelism=1,
            hash_len=32,
            type=Type.ID,
        ).hex()
        for run in cases["runs"]
    ]
    assert found["tags"] == tags
    wanted = [
        hashlib.blake2b(bytes.fromhex(one["input"]), digest_size=one["length"]).hexdigest() for one in cases["hashes"]
    ]
    assert found["hashes"] == wanted


@pytest.mark.parametrize("seed", [1, 2])
def test_argon2id_in_node(seed: int) -> None:
    cases = argon_cases(seed, 3000, 30)
    check_argon(cases, ask_node("argon2", cases))


def test_argon2id_in_browsers(ask_browser: Ask) -> None:
    cases = argon_cases(3, 9000, 6)
    check_argon(cases, ask_browser("argon2", cases))
