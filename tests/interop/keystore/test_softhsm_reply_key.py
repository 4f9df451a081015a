"""A token can hold the organisation's HPKE keys: suite 2 with its one ECDH inside SoftHSM, the key schedule outside.

The key is made there, never extractable. Judge of the way that keyd will go with PKCS#11 (sealed-mailbox 4, suite 2).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from relay.core.wire import hpke
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import Item, SeedKeys, make_id, open_up, read_card, seal_up
from tests.unit.keystore.hpke_reference import AES_256, Reference
from tests.unit.sealed.vectors import VECTORS, trusted_cards

PIN = "5678"
ENC_LENGTH = 65
TIME = "2027-01-04T08:00:00Z"


class SoftHsm:
    """A token of its own with one P-256 key."""

    def __init__(self, folder: Path, module: Path) -> None:
        self._folder = folder
        self._module = module
        (folder / "tokens").mkdir()
        configuration = folder / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
        self._environment = {**os.environ, "SOFTHSM2_CONF": str(configuration)}
        self._run("softhsm2-util", "--init-token", "--free", "--label", "keyd", "--so-pin", "1234", "--pin", PIN)
        made = self.tool(
            *("--keypairgen", "--key-type", "EC:prime256v1", "--usage-derive", "--sensitive", "--id", "01")
        )
        assert "never extractable" in made
        self.tool("--read-object", "--type", "pubkey", "--id", "01", "--output-file", f"{folder}/public.der")
        key = load_der_public_key((folder / "public.der").read_bytes())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.public = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def _run(self, *words: str) -> str:
        done = subprocess.run(words, env=self._environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tool(self, *words: str) -> str:
        """Run pkcs11-tool, logged in."""
        return self._run(
            *("pkcs11-tool", "--module", str(self._module), "--token-label", "keyd", "--login", "--pin", PIN), *words
        )

    def agree(self, public: bytes) -> bytes:
        """ECDH inside the token."""
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        peer, secret = self._folder / "peer.der", self._folder / "secret"
        peer.write_bytes(point.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        files = ("--input-file", str(peer), "--output-file", str(secret))
        self.tool("--derive", "--mechanism", "ECDH1-DERIVE", "--id", "01", *files)
        return secret.read_bytes()

    def open(self, info: bytes, sealed: bytes) -> bytes:
        """HPKE's open: the token agrees, the schedule runs here."""
        enc, ciphertext = sealed[:ENC_LENGTH], sealed[ENC_LENGTH:]
        key, nonce = Reference(hpke.SUITE_P256, AES_256).schedule(self.agree(enc), enc, self.public, info)
        return key.decrypt(nonce, ciphertext, b"")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    module = next(Path("/usr/lib").rglob("libsofthsm2.so"))
    return SoftHsm(tmp_path_factory.mktemp("softhsm"), module)


def test_what_is_sealed_to_the_tokens_key_opens_in_it(token: SoftHsm) -> None:
    sealed = hpke.seal(hpke.SUITE_P256, token.public, b"info", b"a seed of thirty-two octets, here")
    assert token.open(b"info", sealed) == b"a seed of thirty-two octets, here"
    with pytest.raises(InvalidTag):
        token.open(b"other", sealed)


def test_an_item_to_a_reply_key_in_the_token(token: SoftHsm) -> None:
    seed, portal = VECTORS["seed"][1], VECTORS["stretch"]["portal"]
    keys = SeedKeys.of(bytes.fromhex(seed["seed"]), portal, seed["box"], 2)
    card = read_card(trusted_cards().newest.octets.replace(_b64(trusted_cards().newest.reply), _b64(token.public)))
    assert card.reply == token.public
    item = Item("read", portal, keys.box, 2, make_id(), card.serial, TIME, "browser", make_id())
    sealed = seal_up(item, keys, card)
    place = {"portal": portal, "box": keys.box, "gen": 2, "id_": item.id, "card": card.serial}
    assert open_up(sealed, token.open, sign=keys.sign, **place) == item


def _b64(octets: bytes) -> bytes:
    return encode_b64(octets).encode()
