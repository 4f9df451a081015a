"""Generations of a box: what keyd or a browser made for one password. A stored generation is never edited, only marked.

The capsule lies under a key that keyd sealed, because it holds `pw` and `av` (sealed-mailbox 2): relay.mailbox.capsules
closes and opens it.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.ports import SealedBlob
from relay.store.base import Row, Tx, insert_sql
from relay.store.errors import NotFoundError

RELAY = "relay"
BROWSER = "browser"


@dataclass(frozen=True, slots=True)
class Generation:
    """One row of `mailbox_generation`. Times in milliseconds; enc, sign, capsule_sha are b64."""

    box: str
    gen: int
    tenant: str
    made_by: str
    """`relay` or `browser`."""
    cause: str
    """`first`, `next`, `resend`, `reset`, `rekey`, `join`."""
    capsule: bytes | None
    """AES-GCM under the key in `key`; None once destroyed."""
    key: SealedBlob
    capsule_sha: str
    enc: str
    sign: str
    seed: bytes | None
    """keyd's blob where there is no escrow."""
    escrow_card: int | None
    """Serial of the card whose escrow key opens it; None = no (fitting) escrow."""
    made_at: int
    accepted_at: int
    expires_at: int | None = None
    """When a first password ends."""
    expired_at: int | None = None
    """Since when its rekey is refused."""
    pushed_at: int | None = None
    password_notice: str | None = None
    """Message id of the mail with the first password; it waits for the push."""
    code_notice: str | None = None
    """Message id of the mail with the code; it waits for the push."""


_COLUMNS = (
    *("box", "gen", "tenant", "made_by", "cause", "capsule", "key_id", "mechanism", "format", "key"),
    *("capsule_sha", "enc", "sign", "seed", "escrow_card", "made_at", "accepted_at", "expires_at", "expired_at"),
    *("pushed_at", "password_notice", "code_notice"),
)
_INSERT = insert_sql("mailbox_generation", _COLUMNS, ignore_conflicts=True)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM mailbox_generation "  # noqa: S608 - our own column names


def _from_row(row: Row) -> Generation:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["key"] = SealedBlob(
        values.pop("key_id"), values.pop("mechanism"), int(values.pop("format")), bytes(values["key"])
    )
    for name in ("capsule", "seed"):
        values[name] = None if values[name] is None else bytes(values[name])
    return Generation(**values)


def add_generation(tx: Tx, new: Generation) -> bool:
    """Insert a generation; False when the box has that number already (somebody else was faster)."""
    row: list[object] = []
    for name in _COLUMNS:
        match name:
            case "key_id":
                row.append(new.key.key_id)
            case "mechanism":
                row.append(new.key.mechanism)
            case "format":
                row.append(new.key.format)
            case "key":
                row.append(new.key.data)
            case _:
                row.append(getattr(new, name))
    return tx.run(_INSERT, row) == 1


def get_generation(tx: Tx, tenant: str, box_id: str, gen: int) -> Generation:
    """Return one generation. Raises NotFoundError."""
    row = tx.fetch_one(_SELECT + "WHERE box = ? AND gen = ? AND tenant = ?", [box_id, gen, tenant])
    if row is None:
        raise NotFoundError(f"mailbox {box_id}: no generation {gen}")
    return _from_row(row)


def find_generation(tx: Tx, tenant: str, box_id: str, capsule_sha: str) -> Generation | None:
    """Return the generation whose capsule has this SHA-256 (b64): an entry that was seen before."""
    row = tx.fetch_one(
        _SELECT + "WHERE box = ? AND tenant = ? AND capsule_sha = ? ORDER BY gen DESC LIMIT 1",
        [box_id, tenant, capsule_sha],
    )
    return None if row is None else _from_row(row)


def generations_of(tx: Tx, tenant: str, box_id: str) -> list[Generation]:
    """Return all generations of a box, oldest first."""
    rows = tx.fetch_all(_SELECT + "WHERE box = ? AND tenant = ? ORDER BY gen", [box_id, tenant])
    return [_from_row(row) for row in rows]


def mark_pushed(tx: Tx, tenant: str, box_id: str, gen: int) -> None:
    """Note that the portal has the capsule."""
    tx.run(
        "UPDATE mailbox_generation SET pushed_at = ? WHERE box = ? AND gen = ? AND tenant = ?",
        [tx.now_ms(), box_id, gen, tenant],
    )


def mark_expired(tx: Tx, tenant: str, box_id: str, gen: int) -> None:
    """Note that the generation's password has ended: a rekey by it is refused from now on."""
    tx.run(
        "UPDATE mailbox_generation SET expired_at = coalesce(expired_at, ?) WHERE box = ? AND gen = ? AND tenant = ?",
        [tx.now_ms(), box_id, gen, tenant],
    )


def set_notices(
    tx: Tx, tenant: str, box_id: str, gen: int, *, password_notice: str | None, code_notice: str | None
) -> None:
    """Note which mails of ours wait for this generation's push; None = none (any more)."""
    tx.run(
        "UPDATE mailbox_generation SET password_notice = ?, code_notice = ? WHERE box = ? AND gen = ? AND tenant = ?",
        [password_notice, code_notice, box_id, gen, tenant],
    )


def forget_seeds(tx: Tx, tenant: str, box_id: str, before_gen: int) -> int:
    """Destroy keyd's seed blobs of generations before `before_gen`: the newer body holds them. Return how many."""
    return tx.run(
        "UPDATE mailbox_generation SET seed = NULL WHERE box = ? AND tenant = ? AND gen < ? AND seed IS NOT NULL",
        [box_id, tenant, before_gen],
    )


def destroy_capsules(tx: Tx, tenant: str, box_id: str) -> int:
    """Destroy capsules, seeds and their keys of a closed box (sealed-mailbox 11); return how many generations."""
    return tx.run(
        "UPDATE mailbox_generation SET capsule = NULL, seed = NULL, key = ?, escrow_card = NULL"
        " WHERE box = ? AND tenant = ?",
        [b"", box_id, tenant],
    )
