"""The vectors of the sealed mailbox, LL1 (tests/data/sealed/vectors.json); their private keys are for tests only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from relay.core.wire import hpke
from relay.core.wire.pae import decode_b64
from relay.core.wire.sealed import SeedKeys, TrustedCards, check_cards, read_record

FILE = Path(__file__).parents[2] / "data/sealed/vectors.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PORTAL: str = VECTORS["stretch"]["portal"]
BOX: str = VECTORS["seed"][0]["box"]
MESSAGE: str = VECTORS["down"]["id"]
ROOTS = [decode_b64(text) for text in (VECTORS["cards"]["check"][0]["root"], VECTORS["cards"]["check"][1]["root"])]


def seed_keys(gen: int) -> SeedKeys:
    """Keys of generation 1 or 2 of the vectors' mailbox."""
    return SeedKeys.of(bytes.fromhex(VECTORS["seed"][gen - 1]["seed"]), PORTAL, BOX, gen)


def trusted_cards() -> TrustedCards:
    """Cards 1 and 2, checked."""
    records = [read_record(record) for record in VECTORS["cards"]["records"][:2]]
    return check_cards(records, portal=PORTAL, root=ROOTS[1], least=2)


def private_key(name: str, card: int) -> ec.EllipticCurvePrivateKey:
    """A P-256 private key of card 1 or 2: root, sign, reply or escrow."""
    value = int(VECTORS["cards"][f"{name}_private"][card - 1], 16)
    return ec.derive_private_key(value, ec.SECP256R1())


def opener(name: str, card: int) -> Callable[[bytes, bytes], bytes]:
    """What opens with a card's reply or escrow key."""
    key = hpke.Opener(hpke.SUITE_P256, bytes.fromhex(VECTORS["cards"][f"{name}_private"][card - 1]))
    return key.open


def part_plaintext(i: int) -> bytes:
    """Plaintext of a part of the vectors' message, as their note says."""
    if i == 0:
        return b"<p>Dear Anna</p>"
    name = {2: "one", 3: "two"}.get(i)
    size: int = VECTORS["parts"]["parts"][i]["size"]
    return b"" if name is None else hashlib.shake_256(f"LL1 vectors/{name}".encode()).digest(size)


class Drawn:
    """A source of random octets that gives those of a vector, in order, and refuses another length."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def __call__(self, length: int) -> bytes:
        piece = self._pieces.pop(0)
        assert len(piece) == length
        return piece
