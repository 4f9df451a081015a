"""Files of the organisation's mailbox keys, a folder for each portal (sealed-mailbox 2, 6).

    mailbox/PORTAL/root-1.key               a root, used by the key ceremony alone
    mailbox/PORTAL/sign-3.key reply-3.key escrow-3.key    keys of card 3
    mailbox/PORTAL/card-3.json              the card with its signatures; written last, it makes its keys count

Private P-256 keys are sealed under the token's key, each to its place. They belong in the token's back-up: without
escrow keys a reset loses old mail. Nothing here knows what a key is used for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from relay.core.errors import KeyStoreError
from relay.core.ports import SealedBlob
from relay.core.wire.errors import EncodingError
from relay.core.wire.hpke import SUITE_P256, Opener, generate_private
from relay.core.wire.pae import decode_b64, encode_b64, encode_pae
from relay.core.wire.sealed import CardRecord, MailboxDataError, decode_record, is_id
from relay.keystore.files import destroy_file, make_directory, read_secret, write_atomically

ROOT, SIGN, REPLY, ESCROW = "root", "sign", "reply", "escrow"
CARD_KEYS = (SIGN, REPLY, ESCROW)

_FORMAT = 1
_LABEL = "letterlock/mailbox-key"
_KEY_FILE = re.compile(r"(root|sign|reply|escrow)-([1-9][0-9]{0,8})\.key", re.ASCII)
_CARD_FILE = re.compile(r"card-([1-9][0-9]{0,8})\.json", re.ASCII)

Seal = Callable[[bytes, bytes], SealedBlob]
Open = Callable[[bytes, SealedBlob], bytes]


def mailbox_backup_files(directory: Path) -> list[Path]:
    """Return the files of a token's mailbox keys, all of which belong in a back-up."""
    return sorted(path for path in (directory / "mailbox").glob("*/*") if path.suffix in (".key", ".json"))


def list_portals(directory: Path) -> list[str]:
    """Return the ids of the portals that have a folder. Raises KeyStoreError."""
    try:
        names = [path.name for path in directory.iterdir() if path.is_dir()] if directory.is_dir() else []
    except OSError as error:
        raise KeyStoreError(f"{directory}: cannot be read ({error.strerror})") from error
    return sorted(name for name in names if is_id(name))


class PortalFolder:
    """The files of one portal. Not thread-safe: the token locks around changes."""

    def __init__(self, directory: Path, portal: str, seal: Seal, open_blob: Open) -> None:
        """`directory` holds a folder for each portal; `portal` is an id, which is safe as a name."""
        self._folder = directory / portal
        self._portal = portal
        self._seal = seal
        self._open = open_blob

    def make(self) -> None:
        """Make the folder. Raises KeyStoreError."""
        make_directory(self._folder.parent)
        make_directory(self._folder)

    def _context(self, kind: str, number: int) -> bytes:
        return encode_pae(_LABEL, self._portal, kind, number)

    def _key_path(self, kind: str, number: int) -> Path:
        return self._folder / f"{kind}-{number}.key"

    def numbers(self, kind: str) -> list[int]:
        """Return the numbers of the keys of a kind, rising. Raises KeyStoreError."""
        return sorted(
            int(found.group(2)) for found in map(_KEY_FILE.fullmatch, self._names()) if found and found.group(1) == kind
        )

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self._folder.iterdir()]
        except OSError as error:
            raise KeyStoreError(f"{self._folder}: cannot be read ({error.strerror})") from error

    def add_key(self, kind: str, number: int) -> bytes:
        """Make a key and return its public half when it is on disk. Raises KeyStoreError."""
        private = generate_private(SUITE_P256)
        blob = self._seal(self._context(kind, number), private)
        document = {
            "v": _FORMAT,
            "key_id": blob.key_id,
            "mechanism": blob.mechanism,
            "format": blob.format,
            "sealed": encode_b64(blob.data),
        }
        write_atomically(self._key_path(kind, number), json.dumps(document).encode("ascii") + b"\n")
        return Opener(SUITE_P256, private).public_octets()

    def read_key(self, kind: str, number: int) -> bytes:
        """Return a private key's 32 octets. Raises KeyStoreError when it is missing or damaged."""
        path = self._key_path(kind, number)
        try:
            document = json.loads(read_secret(path))
            blob = SealedBlob(
                str(document["key_id"]), str(document["mechanism"]), document["format"], decode_b64(document["sealed"])
            )
            if document["v"] != _FORMAT:
                raise EncodingError("unknown version")
        except (ValueError, KeyError, TypeError, RecursionError, EncodingError) as error:
            raise KeyStoreError(f"{path}: is damaged or belongs to another token") from error
        return self._open(self._context(kind, number), blob)

    def has_key(self, kind: str, number: int) -> bool:
        """Tell whether the key is there."""
        return self._key_path(kind, number).exists()

    def destroy_key(self, kind: str, number: int) -> None:
        """Destroy a key's file; a missing one is fine. Raises KeyStoreError."""
        destroy_file(self._key_path(kind, number))

    def write_card(self, serial: int, record: CardRecord) -> None:
        """Write a card with its signatures. Raises KeyStoreError."""
        write_atomically(self._folder / f"card-{serial}.json", record.encode() + b"\n")

    def read_cards(self) -> dict[int, CardRecord]:
        """Return all cards by serial, rising. Raises KeyStoreError."""
        serials = sorted(int(found.group(1)) for found in map(_CARD_FILE.fullmatch, self._names()) if found)
        records: dict[int, CardRecord] = {}
        for serial in serials:
            path = self._folder / f"card-{serial}.json"
            try:
                records[serial] = decode_record(read_secret(path))
            except MailboxDataError as error:
                raise KeyStoreError(f"{path}: is damaged") from error
        return records
