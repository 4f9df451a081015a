"""keyd and its client keep the contract of the mailbox keys; roles, log and frame limits around it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from relay.core.errors import GrantRefusedError
from relay.core.ports_mailbox import CardRequest, KeptGeneration
from relay.core.wire.sealed import MailboxDataError, make_id
from relay.keystore.audit import FILE_NAME, list_segments, verify_audit
from relay.keystore.grants import Role
from tests.contract.mailbox_keys_contract import (
    ADMIN,
    LINK,
    OPERATOR,
    WORKER,
    Keys,
    MailboxKeysContract,
    manifest_of,
    open_made,
    order_of,
)
from tests.integration.keystore.keyd_process import KeydProcess, set_up, short_directory


@pytest.fixture(scope="module")
def keyd() -> Iterator[KeydProcess]:
    with short_directory() as base:
        keyd = KeydProcess.start(set_up(base))
        yield keyd
        assert keyd.stop() == 0


class TestRemoteKeyStore(MailboxKeysContract):
    @pytest.fixture
    def keys(self, keyd: KeydProcess) -> Iterator[Keys]:
        with (
            keyd.client(Role.WORKER) as worker,
            keyd.client(Role.LINK) as link,
            keyd.client(Role.OPERATOR) as operator,
        ):
            yield Keys(worker, link, operator)

    def test_roles_that_have_no_business_here(self, keyd: KeydProcess, keys: Keys, ready: str) -> None:
        order = order_of(ready, make_id(), 1, bytes(32))
        with keyd.client(Role.DELIVER) as deliver, keyd.client(Role.SCHEDULER) as scheduler:
            for store in (deliver, scheduler, keys.link):
                with pytest.raises(GrantRefusedError):
                    store.mailbox_new(order, WORKER)
            for store in (deliver, scheduler, keys.worker):
                with pytest.raises(GrantRefusedError):
                    store.open_item(1, b"", b"", LINK)
            for store in (deliver, scheduler, keys.worker, keys.link):
                with pytest.raises(GrantRefusedError):
                    store.create_card(CardRequest(ready, "Example Bank"), ADMIN)
        with pytest.raises(GrantRefusedError):
            keys.operator.sign_manifest(1, b"{}", OPERATOR)
        assert len(keys.worker.list_cards(ready)) == 1

    def test_every_use_is_logged_with_its_place_and_without_its_values(
        self, keyd: KeydProcess, keys: Keys, ready: str
    ) -> None:
        box, kek = make_id(), os.urandom(32)
        made = keys.worker.mailbox_new(order_of(ready, box, 1, kek), WORKER)
        keys.worker.mailbox_next(order_of(ready, box, 2, kek), [KeptGeneration(made.capsule)], WORKER)
        keys.worker.sign_manifest(1, manifest_of(open_made(made, kek, ready), 1).encode(), WORKER)
        keys.link.check_escrow(made.capsule, LINK)
        with pytest.raises(MailboxDataError):
            keys.link.open_item(1, b"", b"", LINK)
        log = (keyd.config.audit_dir / FILE_NAME).read_text()
        lines = [json.loads(line) for line in log.splitlines()]
        ours = [line for line in lines if line.get("key_id") == ready or line.get("subject") in ("box-1", "copy-1")]
        ceremony = next(line for line in ours if line["operation"] == "create_card" and line["key_id"] == ready)
        assert (ceremony["role"], ceremony["actor"], ceremony["refused"]) == ("operator", str(ADMIN), False)
        found = {
            (line["operation"], line["number"])
            for line in ours
            if line.get("message_id") == box and not line["refused"]
        }
        assert found == {("mailbox_new", 1), ("mailbox_next", 2)}
        assert [line["operation"] for line in ours[-3:]] == ["sign_manifest", "check_escrow", "open_item"]
        assert not verify_audit(list_segments(keyd.config.audit_dir)).problem
        assert kek.hex() not in log
        assert "anna@partner.example" not in log
