"""The software token: the embedded default behind the port KeyStore.

    token.json     the token's keys, sealed under a key that Argon2id (RFC 9106) makes of the PIN
    epochs/        one sealed P-256 key an epoch; belongs in no back-up
    destroyed/     tombstones of destroyed epochs
    mailbox/       keys of the sealed mailbox: relay.keystore.mailbox_folder
    public file    the newest epoch's public half, for smtpd

keyd alone opens it. No method returns a private key; Python cannot wipe memory, so keyd forbids dumps of itself. Small
values are sealed with AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) makes fresh for each blob, so no bound on
random nonces is near. Mail keys: HPKE (RFC 9180), relay.core.wire.mailkey.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.core.clock import Clock
from relay.core.errors import GrantRefusedError, KeyDestroyedError, KeyStoreError
from relay.core.ids import new_id
from relay.core.ports import Actor, Grant, SealedBlob, SpoolPublicKey, WrappedMailKey
from relay.core.ports_mailbox import CapsuleOrder, CardRequest, KeptGeneration, MadeCapsule
from relay.core.wire.contexts import PROBE_LABEL
from relay.core.wire.errors import SealedDataError
from relay.core.wire.mailkey import MailKeySealer
from relay.core.wire.pae import encode_pae
from relay.core.wire.sealed import CardRecord
from relay.keystore.epoch import Epoch, EpochFolder, is_epoch, name_epoch, serial_of
from relay.keystore.files import UnusableFileError, file_error, make_directory, read_secret, write_atomically
from relay.keystore.mailbox import MailboxToken
from relay.keystore.mailbox_folder import CARD_KEYS, ROOT, PortalFolder, list_portals, mailbox_backup_files
from relay.keystore.public import load_spool_public, publish_spool_public
from relay.keystore.requests import MailKeyRequest
from relay.keystore.tokenfile import PIN_MEMORY_KIB, TokenKey, open_token_file, seal_token_file

MECHANISM = "AES-256-GCM/HKDF-SHA256"
BLOB_FORMAT = 1
MAX_PLAINTEXT = 64 * 1024
MAX_CONTEXT = 4 * 1024

_FILE_NAME = "token.json"
_SALT_LENGTH = 16
_BLOB_OVERHEAD = _SALT_LENGTH + 12 + 16
_BLOB_LABEL = "letterlock/blob"
_BLOB_KEY_LABEL = "letterlock/blob-key"


def token_backup_files(directory: Path) -> list[Path]:
    """Return the token's files that belong in a back-up: never one of `epochs/`, which keep deleted mail deleted."""
    tombstones = sorted((directory / "destroyed").glob("e*.json"))
    return [directory / _FILE_NAME, *tombstones, *mailbox_backup_files(directory)]


class SoftwareToken:
    """A token in files. Implements TokenStore; all methods may be called from any thread.

    One process at a time holds the token: a lock file refuses the second.
    """

    def __init__(
        self, directory: Path, public_file: Path, clock: Clock, keys: list[TokenKey], epochs: EpochFolder
    ) -> None:
        """Use `create` or `load`."""
        self._directory = directory
        self._public_file = public_file
        self._clock = clock
        self._keys = {key.key_id: key for key in keys}
        self._active = keys[-1]
        self._folder = epochs
        self._change = threading.Lock()
        self._lock_fd = -1
        # Replaced whole, never changed, so that readers need no lock.
        self._epochs: dict[str, Epoch] = {}
        self._destroyed: frozenset[str] = frozenset()
        self._newest: tuple[SpoolPublicKey, MailKeySealer] | None = None
        self._mailbox = MailboxToken(directory / "mailbox", clock, self.seal, self._open_blob)

    # --- life ---------------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        directory: Path,
        pin: bytes,
        clock: Clock,
        public_file: Path | None = None,
        pin_memory_kib: int = PIN_MEMORY_KIB,
    ) -> SoftwareToken:
        """Make a new token with its first epoch and return it open. Raises KeyStoreError; never overwrites one."""
        make_directory(directory)
        path = directory / _FILE_NAME
        lock_fd = _lock(directory)
        try:
            if path.exists() or path.is_symlink() or (directory / "epochs").exists():
                raise KeyStoreError(f"{directory}: holds a token already, which is not overwritten")
            key = TokenKey(new_id(), os.urandom(32))
            epoch_key = os.urandom(32)
            folder = EpochFolder(directory / "epochs", directory / "destroyed", epoch_key)
            folder.create()
            write_atomically(path, seal_token_file(pin, [key], epoch_key, MECHANISM, pin_memory_kib))
            token = cls(directory, public_file or directory / "public" / "spool.json", clock, [key], folder)
        except BaseException:
            os.close(lock_fd)
            raise
        token._lock_fd = lock_fd
        token.begin_epoch(Actor("system", "set-up"))
        return token

    @classmethod
    def load(cls, directory: Path, pin: bytes, clock: Clock, public_file: Path | None = None) -> SoftwareToken:
        """Open a token. Raises KeyStoreError for a wrong PIN, a damaged file, or when another process holds it."""
        untrusted_octets = read_secret(directory / _FILE_NAME)
        lock_fd = _lock(directory)
        try:
            keys, epoch_key = open_token_file(pin, untrusted_octets, directory / _FILE_NAME)
            folder = EpochFolder(directory / "epochs", directory / "destroyed", epoch_key)
            folder.create()
            token = cls(directory, public_file or directory / "public" / "spool.json", clock, keys, folder)
            token._epochs = folder.load()
            token._destroyed = folder.read_destroyed()
            token._publish_newest()
            token._mailbox.load()
        except BaseException:
            os.close(lock_fd)
            raise
        token._lock_fd = lock_fd
        return token

    @classmethod
    def check(cls, directory: Path, pin: bytes, clock: Clock) -> None:
        """Open everything once and change nothing, beside a keyd that runs too. Raises KeyStoreError."""
        untrusted_octets = read_secret(directory / _FILE_NAME)
        keys, epoch_key = open_token_file(pin, untrusted_octets, directory / _FILE_NAME)
        folder = EpochFolder(directory / "epochs", directory / "destroyed", epoch_key)
        if not folder.check():
            raise UnusableFileError(f"{directory}: holds no epoch key")
        # Never open to others: it has no lock, and publishes nothing.
        token = cls(directory, Path(), clock, keys, folder)
        for portal in list_portals(directory / "mailbox"):
            box = PortalFolder(directory / "mailbox", portal, token.seal, token._open_blob)
            box.read_cards()
            for kind in (ROOT, *CARD_KEYS):
                for number in box.numbers(kind):
                    _check_key(box, kind, number)

    def close(self) -> None:
        """Let go of keys and lock. Calls after this raise KeyStoreError."""
        with self._change:
            self._keys, self._epochs, self._newest = {}, {}, None
            self._mailbox.close()
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1

    def __enter__(self) -> SoftwareToken:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # --- small values -------------------------------------------------------------------------------------------------

    def seal(self, context: bytes, plaintext: bytes) -> SealedBlob:
        """Seal a small value (up to 64 KiB) to `context` (up to 4 KiB). Raises KeyStoreError."""
        if len(plaintext) > MAX_PLAINTEXT or len(context) > MAX_CONTEXT:
            raise KeyStoreError("the value or its context is too large to seal")
        key = self._active
        if key.key_id not in self._keys:
            raise KeyStoreError("the token is closed")
        salt, nonce = os.urandom(_SALT_LENGTH), os.urandom(12)
        sealed = _blob_key(key, salt).encrypt(nonce, plaintext, _blob_aad(key.key_id, context))
        return SealedBlob(key.key_id, MECHANISM, BLOB_FORMAT, salt + nonce + sealed)

    def open(self, context: bytes, blob: SealedBlob, grant: Grant) -> bytes:
        """Open a sealed value. Raises KeyStoreError for another context, another key or changed octets."""
        _check_grant(grant)
        return self._open_blob(context, blob)

    def _open_blob(self, context: bytes, blob: SealedBlob) -> bytes:
        key = self._keys.get(blob.key_id)
        if key is None:
            raise KeyStoreError("the token has no key with this id")
        if blob.mechanism != MECHANISM or blob.format != BLOB_FORMAT:
            raise KeyStoreError("the blob's mechanism or format is not known")
        if len(blob.data) < _BLOB_OVERHEAD or len(context) > MAX_CONTEXT:
            raise KeyStoreError("the blob is cut short or its context too large")
        salt, nonce = blob.data[:_SALT_LENGTH], blob.data[_SALT_LENGTH : _SALT_LENGTH + 12]
        try:
            return _blob_key(key, salt).decrypt(nonce, blob.data[_SALT_LENGTH + 12 :], _blob_aad(blob.key_id, context))
        except InvalidTag as error:
            raise KeyStoreError("the blob does not open with this key and context") from error

    # --- mail keys ----------------------------------------------------------------------------------------------------

    def spool_public_key(self) -> SpoolPublicKey:
        """Return the newest epoch's public key. Raises KeyStoreError when there is none, as after a restore."""
        return self._current()[0]

    def open_mail_key(self, message_id: str, wrapped: WrappedMailKey, grant: Grant) -> bytes:
        """Return a message's 32-octet content key. Raises KeyDestroyedError or KeyStoreError."""
        _check_grant(grant)
        return self._open_mail_key(message_id, wrapped)

    def open_mail_keys(self, requests: Sequence[MailKeyRequest]) -> list[bytes | KeyStoreError]:
        """Return a key or the error for each request, in order."""
        results: list[bytes | KeyStoreError] = []
        for request in requests:
            try:
                results.append(self.open_mail_key(request.message_id, request.wrapped, request.grant))
            except KeyStoreError as error:
                results.append(error)
        return results

    def rewrap_mail_key(self, message_id: str, wrapped: WrappedMailKey, grant: Grant) -> WrappedMailKey:
        """Seal a message's key to the newest epoch. Raises KeyDestroyedError or KeyStoreError."""
        _check_grant(grant)
        return self._current()[1].seal(message_id, self._open_mail_key(message_id, wrapped))

    def _open_mail_key(self, message_id: str, wrapped: WrappedMailKey) -> bytes:
        epoch = self._epochs.get(wrapped.epoch)
        if epoch is None:
            if wrapped.epoch in self._destroyed:
                raise KeyDestroyedError(f"epoch {wrapped.epoch} was destroyed")
            raise KeyStoreError("the token has no key of this epoch")
        if not epoch.mail_keys.accepts(wrapped.suite):
            raise KeyStoreError("the mail key's suite is not its epoch's")
        try:
            mail_key = epoch.mail_keys.open(message_id, wrapped)
        except SealedDataError as error:
            raise KeyStoreError("the mail key does not open for this message") from error
        if len(mail_key) != 32:
            raise KeyStoreError("the mail key has a wrong length")
        return mail_key

    # --- epochs -------------------------------------------------------------------------------------------------------

    def begin_epoch(self, actor: Actor) -> SpoolPublicKey:
        """Make a new epoch key, publish its public half and return it. Raises KeyStoreError."""
        del actor  # keyd's audit log names it
        with self._change:
            if self._lock_fd < 0:
                raise KeyStoreError("the token is closed")
            epoch = self._folder.add(name_epoch(self._next_serial()), self._clock.now_ms())
            self._epochs = {**self._epochs, epoch.name: epoch}
            self._publish_newest()
            return self._current()[0]

    def destroy_epoch(self, epoch: str, actor: Actor) -> None:
        """Destroy an epoch's private key. Raises KeyStoreError for the newest one, whose mail is still coming in.

        Doing it twice is fine. An epoch whose key is missing, as after a restore, can be declared destroyed too.
        """
        if not is_epoch(epoch):
            raise KeyStoreError("this is not an epoch's name")
        with self._change:
            if self._lock_fd < 0:
                raise KeyStoreError("the token is closed")
            if serial_of(epoch) >= serial_of(self._current()[0].epoch):
                raise KeyStoreError("the newest epoch is in use. Begin a new epoch first")
            # Only what the disk says is destroyed is called so: the answer is final and bounces mail.
            self._folder.bury(epoch, str(actor), self._clock.now_ms())
            self._destroyed = self._destroyed | {epoch}
            self._epochs = {name: kept for name, kept in self._epochs.items() if name != epoch}
            self._folder.erase(epoch)

    def epochs(self) -> tuple[str, ...]:
        """Return the names of the epochs whose key is there, oldest first."""
        return tuple(sorted(self._epochs, key=serial_of))

    # --- the sealed mailbox -------------------------------------------------------------------------------------------

    def create_card(self, request: CardRequest, actor: Actor) -> CardRecord:
        """Make keys and card of a portal; the one before loses its sign key. Raises KeyStoreError, MailboxDataError."""
        del actor  # keyd's audit log names it
        if self._lock_fd < 0:
            raise KeyStoreError("the token is closed")
        return self._mailbox.create_card(request)

    def list_cards(self, portal: str) -> tuple[CardRecord, ...]:
        """Return all cards of a portal, oldest first."""
        return self._mailbox.list_cards(portal)

    def mailbox_new(self, order: CapsuleOrder, grant: Grant) -> MadeCapsule:
        """Make the first generation of a box. Raises KeyStoreError, MailboxDataError."""
        _check_grant(grant)
        return self._mailbox.mailbox_new(order)

    def mailbox_next(self, order: CapsuleOrder, kept: Sequence[KeptGeneration], grant: Grant) -> MadeCapsule:
        """Make a later generation with all older seeds that can be had. Raises KeyStoreError, MailboxDataError."""
        _check_grant(grant)
        return self._mailbox.mailbox_next(order, kept)

    def sign_manifest(self, card: int, manifest: bytes, grant: Grant) -> bytes:
        """Sign a manifest that names the newest card. Raises KeyStoreError, MailboxDataError."""
        _check_grant(grant)
        return self._mailbox.sign_manifest(card, manifest)

    def open_item(self, card: int, info: bytes, sealed: bytes, grant: Grant) -> bytes:
        """Open an item or a registration. Raises KeyDestroyedError, KeyStoreError, MailboxDataError."""
        _check_grant(grant)
        return self._mailbox.open_item(card, info, sealed)

    def check_escrow(self, capsule: bytes, grant: Grant, name: str | None = None) -> bool:
        """Tell whether a capsule's escrow record opens here and yields its public keys.

        Raises KeyStoreError; with `name` MailboxDataError for a body that names another.
        """
        _check_grant(grant)
        return self._mailbox.check_escrow(capsule, name)

    def test(self) -> None:
        """Seal and open a probe, and a mail key. Raises KeyStoreError when the token is not usable."""
        grant = Grant("test", "probe", "process:keyd")
        context, probe = encode_pae(PROBE_LABEL), os.urandom(16)
        if self.open(context, self.seal(context, probe), grant) != probe:
            raise KeyStoreError("the token opens another value than it sealed")
        mail_key, wrapped = self._current()[1].make("probe")
        if self.open_mail_key("probe", wrapped, grant) != mail_key:
            raise KeyStoreError("the token opens another mail key than was sealed")

    def _current(self) -> tuple[SpoolPublicKey, MailKeySealer]:
        if self._newest is None:
            raise KeyStoreError("the token has no epoch key. Begin a new epoch")
        return self._newest

    def _next_serial(self) -> int:
        # Numbers are not used again even when a restore brought back older files.
        names = [*self._epochs, *self._destroyed]
        published = self._published()
        if published is not None:
            names.append(published.epoch)
        return max((serial_of(name) for name in names), default=0) + 1

    def _published(self) -> SpoolPublicKey | None:
        try:
            return load_spool_public(self._public_file)
        except KeyStoreError:
            return None  # a missing or broken file is written anew

    def _publish_newest(self) -> None:
        if not self._epochs:
            return
        newest = self._epochs[max(self._epochs, key=serial_of)].public_key()
        if self._published() != newest:
            publish_spool_public(self._public_file, newest)
        self._newest = (newest, MailKeySealer(newest))


def _check_key(box: PortalFolder, kind: str, number: int) -> None:
    try:
        box.read_key(kind, number)
    except KeyStoreError:
        # keyd, which runs meanwhile, may have destroyed it after it was listed.
        if box.has_key(kind, number):
            raise


def _check_grant(grant: Grant) -> None:
    if not (grant.purpose and grant.subject and grant.actor):
        raise GrantRefusedError("a grant names purpose, subject and actor")


def _lock(directory: Path) -> int:
    try:
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise file_error(directory, "used", error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise KeyStoreError(f"{directory}: another process holds this token") from error
    return fd


def _blob_key(key: TokenKey, salt: bytes) -> AESGCM:
    info = encode_pae(_BLOB_KEY_LABEL, key.key_id, BLOB_FORMAT)
    return AESGCM(HKDF(hashes.SHA256(), 32, salt, info).derive(key.octets))


def _blob_aad(key_id: str, context: bytes) -> bytes:
    return encode_pae(_BLOB_LABEL, key_id, MECHANISM, BLOB_FORMAT, context)
