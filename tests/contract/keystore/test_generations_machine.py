"""Any sequence of rekeys, resets and card changes: kept mail opens with the newest password, and with no older one.

Properties 7 and 8 of sealed-mailbox 19, played against the software token; the browser is played with the same formats.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relay.core.clock import ManualClock
from relay.core.ports_mailbox import CardRequest, KeptGeneration
from relay.core.wire.sealed import (
    EscrowKey,
    MailboxDataError,
    OpenedCapsule,
    make_id,
    open_capsule,
    open_down,
    read_capsule,
    seal_down,
    sign_rekey,
    verify_rekey,
)
from relay.keystore.software import SoftwareToken
from tests.contract.mailbox_keys_contract import (
    ADMIN,
    LINK,
    OPERATOR,
    WORKER,
    Keys,
    manifest_of,
    open_made,
    order_of,
    rekey,
    trust,
)


class Generations(RuleBasedStateMachine):
    """One mailbox, its mail, and the organisation's cards."""

    def __init__(self) -> None:
        super().__init__()
        # Memory, where there is some: each card waits for the disk a dozen times, which other tests look at.
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(prefix="ll-generations-", dir=memory if memory.is_dir() else None)
        self.token = SoftwareToken.create(Path(self.folder.name) / "keys", b"a pin", ManualClock(), pin_memory_kib=64)
        self.keys = Keys(self.token, self.token, self.token)
        self.portal, self.box = make_id(), make_id()
        self.kept: list[KeptGeneration] = []
        self.keks: list[bytes] = []
        self.mail: list[tuple[int, str, bytes]] = []
        self.lost: set[int] = set()
        self.has_escrow: dict[int, bool] = {}
        self.token.create_card(CardRequest(self.portal, "Example Bank"), ADMIN)

    def teardown(self) -> None:
        self.token.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        self.keks.append(os.urandom(32))
        made = self.token.mailbox_new(order_of(self.portal, self.box, 1, self.keks[-1]), WORKER)
        self.kept.append(KeptGeneration(made.capsule, made.seed_blob))
        self.has_escrow[1] = True

    def opened(self) -> OpenedCapsule:
        capsule = read_capsule(self.kept[-1].capsule, kind="mailbox")
        return open_capsule(capsule, self.keks[-1], portal=self.portal)

    @rule()
    def send(self) -> None:
        newest = trust(self.keys, self.portal).newest
        manifest = manifest_of(self.opened(), newest.serial)
        sealed = seal_down(manifest, lambda octets: self.token.sign_manifest(newest.serial, octets, WORKER))
        self.mail.append((manifest.gen, manifest.id, sealed))

    @rule(escrow=st.sampled_from(["good", "good", "good", "none", "wrong"]))
    def change_password(self, escrow: str) -> None:
        before = self.opened()
        card = trust(self.keys, self.portal).newest
        key = {"good": card.escrow_key, "none": None, "wrong": EscrowKey(card.serial, 2, card.reply)}[escrow]
        self.keks.append(os.urandom(32))
        capsule = rekey(before, self.keks[-1], key)
        verify_rekey(before.keys.sign, capsule, sign_rekey(before.keys, capsule))
        self.has_escrow[before.keys.gen + 1] = self.token.check_escrow(capsule, LINK)
        assert self.has_escrow[before.keys.gen + 1] is (escrow == "good" and card.escrow is not None)
        # As the relay keeps it: what does not fit is kept as none.
        self.kept.append(KeptGeneration(capsule))

    @rule()
    def reset(self) -> None:
        gen = len(self.kept) + 1
        self.keks.append(os.urandom(32))
        order = order_of(self.portal, self.box, gen, self.keks[-1])
        made = self.token.mailbox_next(order, self.kept[::-1], OPERATOR)
        self.lost |= set(made.missing)
        # Nothing is lost but what the relay has no way to.
        assert all(not self.has_escrow[one] for one in self.lost)
        self.kept.append(KeptGeneration(made.capsule, made.seed_blob))
        self.has_escrow[gen] = True

    @rule(new_root=st.booleans(), escrow=st.booleans())
    def rotate(self, new_root: bool, escrow: bool) -> None:
        roots = {entry.root for record in self.token.list_cards(self.portal) for entry in record.sigs}
        request = CardRequest(self.portal, "Example Bank", escrow=escrow, new_root=new_root and len(roots) < 8)
        self.token.create_card(request, ADMIN)

    @invariant()
    def kept_mail_opens_with_the_newest_password(self) -> None:
        if not self.kept:
            return
        opened = self.opened()
        cards = trust(self.keys, self.portal, opened.body.root)
        for gen, id_, sealed in self.mail:
            if gen not in self.lost:
                assert open_down(sealed, opened.seed_keys(gen), cards, id_=id_).id == id_

    @invariant()
    def nothing_newer_opens_with_anything_older(self) -> None:
        if len(self.kept) < 2:
            return
        newest = read_capsule(self.kept[-1].capsule)
        with pytest.raises(MailboxDataError):
            open_capsule(newest, self.keks[-2], portal=self.portal)
        older = open_capsule(read_capsule(self.kept[-2].capsule), self.keks[-2], portal=self.portal)
        seed = self.opened().keys.seed
        assert seed != older.keys.seed
        assert seed not in {one.seed for one in older.body.older}

    @invariant()
    def no_seed_is_wrapped_under_two_passwords(self) -> None:
        seeds = [
            open_capsule(read_capsule(one.capsule), kek, portal=self.portal).keys.seed
            for one, kek in zip(self.kept, self.keks, strict=True)
        ]
        assert len(set(seeds)) == len(seeds)


TestGenerations = Generations.TestCase
TestGenerations.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


def test_the_machine_plays_a_mailbox() -> None:
    """One history by hand, so that what the machine asserts is seen to hold of something."""
    machine = Generations()
    try:
        machine.begin()
        machine.send()
        machine.change_password("good")
        machine.send()
        machine.rotate(new_root=True, escrow=True)
        machine.reset()
        machine.send()
        machine.kept_mail_opens_with_the_newest_password()
        machine.nothing_newer_opens_with_anything_older()
        assert [gen for gen, _, _ in machine.mail] == [1, 2, 3]
        assert machine.lost == set()
        first = open_made(machine.kept[0], machine.keks[0], machine.portal)  # type: ignore[arg-type]
        assert first.body.older == ()
    finally:
        machine.teardown()
