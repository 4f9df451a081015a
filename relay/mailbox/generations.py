"""New generations that the relay makes: the password made here, stretched here, the seed made by keyd and never seen.

A password lives in the memory of one call and in the sealed mail that tells it. Code rule (sealed-mailbox 11): whoever
is told the password of a box that holds, or ever held, anything of others needs a code as well, which goes to the
recipient alone. Of others is what colleagues wrote, and from the reader's own password on what he wrote himself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from relay.core.errors import ConfigurationError, LetterlockError
from relay.core.ports import Grant, KeyStore
from relay.core.ports_mailbox import CapsuleOrder, KeptGeneration, MadeCapsule, MailboxKeys
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import KDF_MAILBOX, KDF_REPLY, Capsule, Stretched, read_capsule
from relay.core.wire.sealed.capsule import MAX_GENERATIONS
from relay.mailbox.capsules import CapsuleGoneError, close_capsule, hash_capsule, open_stored_capsule
from relay.mailbox.passwords import FIRST_PASSWORD_MS, FirstSecret
from relay.store.repositories.mailbox_generations import BROWSER, RELAY, Generation

FIRST = "first"
NEXT = "next"
RESEND = "resend"
RESET = "reset"
REKEY = "rekey"
JOIN = "join"
REPLY = "reply"


_NEARLY_FULL = MAX_GENERATIONS - 50


class MailboxNotReadyError(LetterlockError):
    """No card yet, or the portal is not set up: the mail waits until an operator has done it."""

    status = "4.3.5"


@dataclass(frozen=True, slots=True)
class MadeGeneration:
    """A generation that is made and not yet stored. The secret is for the mails that tell it."""

    row: Generation
    secret: FirstSecret | None = field(repr=False)
    missing: tuple[int, ...] = ()
    """Earlier generations whose mail stays shut for the recipient."""
    damaged: tuple[int, ...] = ()
    """Earlier generations whose stored capsule could not be read. Their seeds may have come from a later one."""

    @property
    def enc(self) -> bytes:
        """Return the public key to seal to."""
        return decode_b64(self.row.enc)


def is_code_needed(told: str, senders: Collection[str], kept: Sequence[Generation]) -> bool:
    """Tell whether a password alone could open what is not from the one who is told it.

    `senders`: all who ever wrote to the box, since answers to mail that has expired still lie on the portal; `kept`:
    all generations it ever had. Once a reader chose a password, drafts and answers of his own lie there, whose list is
    the portal's: then always.
    """
    return any(sender != told for sender in senders) or any(one.made_by == BROWSER for one in kept)


def is_nearly_full(gen: int, kept: Sequence[Generation]) -> bool:
    """Tell whether a capsule of generation `gen` may hold nearly as many seeds as one can: a reset makes room.

    What a browser's body holds nobody here sees; it holds what ours held before it, and one more each time.
    """
    ours = max((one.gen for one in kept if one.made_by == RELAY and one.gen < gen), default=1)
    return min(ours - 1, MAX_GENERATIONS // 2) + gen - ours >= _NEARLY_FULL


class Generations:
    """Makes generations. Holds no secret longer than a call; never inside a transaction."""

    def __init__(self, keys: MailboxKeys, keystore: KeyStore, *, tenant: str, portal: str) -> None:
        self._keys = keys
        self._keystore = keystore
        self._tenant = tenant
        self._portal = portal

    @property
    def portal(self) -> str:
        """Return the portal's id."""
        return self._portal

    @property
    def keystore(self) -> KeyStore:
        """Return what seals the capsules' keys, and other small values of boxes."""
        return self._keystore

    def make_first(self, box: str, login_name: str, grant: Grant, now_ms: int) -> MadeGeneration:
        """Make generation 1 of a new mailbox. Raises KeyStoreError, GrantRefusedError."""
        secret = FirstSecret.generate(with_code=False)
        keys = secret.stretch(self._portal, login_name)
        made = self._keys.mailbox_new(self._order(box, 1, login_name, keys), grant)
        return self._row(box, 1, FIRST, made, now_ms, secret=secret)

    def make_next(
        self,
        box: str,
        login_name: str,
        kept: Sequence[Generation],
        *,
        needed: Collection[int],
        cause: str,
        with_code: bool,
        grant: Grant,
        now_ms: int,
    ) -> MadeGeneration:
        """Make the generation after the newest of `kept`, which is all that the box ever had.

        `needed`: generations that kept mail is sealed to; where there are too many, seeds of others are dropped. A
        stored capsule that is damaged is left out and named. Raises KeyStoreError, GrantRefusedError.
        """
        newest_first = sorted(kept, key=lambda one: one.gen, reverse=True)
        gen = newest_first[0].gen + 1
        secret = FirstSecret.generate(with_code=with_code)
        keys = secret.stretch(self._portal, login_name)
        older, damaged = self._open_kept(newest_first, grant)
        order = replace(self._order(box, gen, login_name, keys), needed=tuple(sorted(needed))[-MAX_GENERATIONS:])
        made = self._keys.mailbox_next(order, older, grant)
        return replace(self._row(box, gen, cause, made, now_ms, secret=secret), damaged=damaged)

    def _open_kept(
        self, newest_first: Sequence[Generation], grant: Grant
    ) -> tuple[list[KeptGeneration], tuple[int, ...]]:
        older: list[KeptGeneration] = []
        damaged: list[int] = []
        for one in newest_first:
            if one.capsule is None:
                continue
            try:
                older.append(KeptGeneration(open_stored_capsule(self._keystore, one, grant), one.seed))
            except CapsuleGoneError:
                damaged.append(one.gen)
        return older, tuple(damaged)

    def make_reply(self, box: str, form: str, keys: Stretched, grant: Grant, now_ms: int) -> MadeGeneration:
        """Make the one generation of a reply box from a PDF password that was stretched with kdf 2."""
        order = CapsuleOrder(
            kind="reply",
            portal=self._portal,
            box=box,
            gen=1,
            name=None,
            kdf=KDF_REPLY,
            kek=keys.kek,
            av=keys.av,
            form=form,
        )
        return self._row(box, 1, REPLY, self._keys.mailbox_new(order, grant), now_ms, secret=None)

    def keep_browsers(
        self, capsule: Capsule, now_ms: int, *, cause: str = REKEY, escrow_fits: bool = True
    ) -> Generation:
        """Return the row of a generation that a browser made and the relay accepts. Raises KeyStoreError."""
        closed, key = close_capsule(self._keystore, self._tenant, capsule.box, capsule.gen, capsule.octets)
        escrow = capsule.escrow
        return Generation(
            box=capsule.box,
            gen=capsule.gen,
            tenant=self._tenant,
            made_by=capsule.by,
            cause=cause,
            capsule=closed,
            key=key,
            capsule_sha=hash_capsule(capsule.octets),
            enc=encode_b64(capsule.enc),
            sign=encode_b64(capsule.sign),
            seed=None,
            escrow_card=escrow.card if escrow is not None and escrow_fits else None,
            made_at=now_ms,
            accepted_at=now_ms,
        )

    def open(self, stored: Generation, grant: Grant) -> bytes:
        """Return a stored capsule's exact octets, for a push. Raises KeyStoreError, GrantRefusedError."""
        return open_stored_capsule(self._keystore, stored, grant)

    def _order(self, box: str, gen: int, login_name: str, keys: Stretched) -> CapsuleOrder:
        return CapsuleOrder(
            kind="mailbox",
            portal=self._portal,
            box=box,
            gen=gen,
            name=login_name,
            kdf=KDF_MAILBOX,
            kek=keys.kek,
            av=keys.av,
        )

    def _row(
        self, box: str, gen: int, cause: str, made: MadeCapsule, now_ms: int, *, secret: FirstSecret | None
    ) -> MadeGeneration:
        capsule = read_capsule(made.capsule)
        if (capsule.box, capsule.gen) != (box, gen):
            raise ConfigurationError("keyd", "made a capsule for another box", "Restart keyd and look into its log")
        closed, key = close_capsule(self._keystore, self._tenant, box, gen, made.capsule)
        row = Generation(
            box=box,
            gen=gen,
            tenant=self._tenant,
            made_by=RELAY,
            cause=cause,
            capsule=closed,
            key=key,
            capsule_sha=hash_capsule(made.capsule),
            enc=encode_b64(capsule.enc),
            sign=encode_b64(capsule.sign),
            seed=made.seed_blob,
            escrow_card=capsule.escrow.card if capsule.escrow is not None else None,
            made_at=now_ms,
            accepted_at=now_ms,
            expires_at=now_ms + FIRST_PASSWORD_MS if secret is not None else None,
        )
        return MadeGeneration(row, secret, made.missing)
