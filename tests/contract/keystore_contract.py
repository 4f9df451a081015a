"""What every key store promises, whichever token stands behind it. A subclass gives a `stores` fixture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.errors import GrantRefusedError, KeyDestroyedError, KeyStoreError
from relay.core.ports import Actor, Grant, WrappedMailKey
from relay.core.wire.contexts import pair_password_context
from relay.core.wire.mailkey import MailKeySealer
from relay.keystore.requests import BatchKeyStore, MailKeyRequest

CONTEXT = pair_password_context("bank", "anna@bank.example", "partner-1", 1)
OTHER_CONTEXT = pair_password_context("bank", "anna@bank.example", "partner-2", 1)
PROTECT = Grant("protect", "copy-1", "process:worker")
REWRAP = Grant("rewrap", "message-1", "process:scheduler")
SCHEDULER = Actor("process", "scheduler")


@dataclass(frozen=True, slots=True)
class Stores:
    """One token as the worker and as the scheduler see it; they may be the same object."""

    worker: BatchKeyStore
    scheduler: BatchKeyStore


class KeyStoreContract:
    """The tests. Hypothesis runs many examples against one store, which keeps nothing of them."""

    SAME_STORE = settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )

    @SAME_STORE
    @given(plaintext=st.binary(max_size=300))
    def test_a_sealed_value_opens_again(self, stores: Stores, plaintext: bytes) -> None:
        blob = stores.worker.seal(CONTEXT, plaintext)
        assert blob.key_id
        assert blob.mechanism
        assert blob.format == 1
        assert stores.worker.open(CONTEXT, blob, PROTECT) == plaintext
        assert len(plaintext) < 8 or plaintext not in blob.data

    def test_the_largest_value(self, stores: Stores) -> None:
        plaintext = bytes(range(256)) * 256
        assert stores.worker.open(CONTEXT, stores.worker.seal(CONTEXT, plaintext), PROTECT) == plaintext
        with pytest.raises(KeyStoreError):
            stores.worker.seal(CONTEXT, plaintext + b"x")

    def test_two_seals_of_one_value_differ(self, stores: Stores) -> None:
        assert stores.worker.seal(CONTEXT, b"same").data != stores.worker.seal(CONTEXT, b"same").data

    def test_another_context_does_not_open(self, stores: Stores) -> None:
        blob = stores.worker.seal(CONTEXT, b"secret")
        with pytest.raises(KeyStoreError) as caught:
            stores.worker.open(OTHER_CONTEXT, blob, PROTECT)
        assert caught.value.temporary

    @SAME_STORE
    @given(data=st.data())
    def test_a_changed_blob_does_not_open(self, stores: Stores, data: st.DataObject) -> None:
        blob = stores.worker.seal(CONTEXT, b"secret")
        octets = bytearray(blob.data)
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        with pytest.raises(KeyStoreError) as caught:
            stores.worker.open(CONTEXT, replace(blob, data=bytes(octets)), PROTECT)
        assert caught.value.temporary

    @pytest.mark.parametrize(
        "change", [{"key_id": "x"}, {"mechanism": "AES-CBC"}, {"format": 2}, {"data": b""}, {"data": b"x" * 43}]
    )
    def test_a_blob_with_another_head_does_not_open(self, stores: Stores, change: dict[str, object]) -> None:
        blob = stores.worker.seal(CONTEXT, b"secret")
        with pytest.raises(KeyStoreError) as caught:
            stores.worker.open(CONTEXT, replace(blob, **change), PROTECT)  # type: ignore[arg-type]
        assert caught.value.temporary

    @pytest.mark.parametrize("change", [{"purpose": ""}, {"subject": ""}, {"actor": ""}])
    def test_a_grant_without_a_word_is_refused(self, stores: Stores, change: dict[str, str]) -> None:
        blob = stores.worker.seal(CONTEXT, b"secret")
        with pytest.raises(GrantRefusedError) as caught:
            stores.worker.open(CONTEXT, blob, replace(PROTECT, **change))
        assert not caught.value.temporary

    def test_a_mail_key_opens_for_its_message_only(self, stores: Stores) -> None:
        sealer = MailKeySealer(stores.worker.spool_public_key())
        mail_key, wrapped = sealer.make("message-1")
        assert stores.worker.open_mail_key("message-1", wrapped, PROTECT) == mail_key
        for message_id, other in [
            ("message-2", wrapped),
            ("message-1", replace(wrapped, suite=1)),
            ("message-1", replace(wrapped, epoch="e999-00000000")),
            ("message-1", replace(wrapped, epoch="../token")),
            ("message-1", replace(wrapped, data=wrapped.data[:-1])),
            ("message-1", replace(wrapped, data=b"")),
        ]:
            with pytest.raises(KeyStoreError) as caught:
                stores.worker.open_mail_key(message_id, other, PROTECT)
            assert type(caught.value) is KeyStoreError
            assert caught.value.temporary

    def test_many_mail_keys_at_once_come_one_by_one(self, stores: Stores) -> None:
        sealer = MailKeySealer(stores.worker.spool_public_key())
        made = [sealer.make(f"message-{n}") for n in range(300)]
        requests = [MailKeyRequest(f"message-{n}", wrapped, PROTECT) for n, (_, wrapped) in enumerate(made)]
        requests[7] = replace(requests[7], message_id="another")
        answers = stores.worker.open_mail_keys(requests)
        assert isinstance(answers[7], KeyStoreError)
        assert [answer for n, answer in enumerate(answers) if n != 7] == [
            key for n, (key, _) in enumerate(made) if n != 7
        ]
        assert stores.worker.open_mail_keys([]) == []

    def test_an_epoch_ends_only_when_its_mail_was_rewrapped(self, stores: Stores) -> None:
        old = stores.worker.spool_public_key()
        kept_key, kept = MailKeySealer(old).make("message-1")
        _, lost = MailKeySealer(old).make("message-2")
        with pytest.raises(KeyStoreError, match="newest"):
            stores.scheduler.destroy_epoch(old.epoch, SCHEDULER)
        new = stores.scheduler.begin_epoch(SCHEDULER)
        assert stores.worker.spool_public_key() == new
        assert new.epoch != old.epoch
        assert new.public != old.public
        assert stores.worker.open_mail_key("message-1", kept, PROTECT) == kept_key
        rewrapped = stores.scheduler.rewrap_mail_key("message-1", kept, REWRAP)
        assert rewrapped.epoch == new.epoch
        stores.scheduler.destroy_epoch(old.epoch, SCHEDULER)
        assert stores.worker.open_mail_key("message-1", rewrapped, PROTECT) == kept_key
        for wrapped in (kept, lost):
            with pytest.raises(KeyDestroyedError) as caught:
                stores.worker.open_mail_key("message-2", wrapped, PROTECT)
            assert not caught.value.temporary
        with pytest.raises(KeyDestroyedError):
            stores.scheduler.rewrap_mail_key("message-2", lost, REWRAP)
        stores.scheduler.destroy_epoch(old.epoch, SCHEDULER)  # twice is fine
        with pytest.raises(KeyStoreError, match="newest"):
            stores.scheduler.destroy_epoch(new.epoch, SCHEDULER)

    @pytest.mark.parametrize("name", ["", "e1", "../../etc/passwd", "e0-00000000", "e1-0000000G", "e1-00000000\n"])
    def test_only_an_epochs_name_is_taken(self, stores: Stores, name: str) -> None:
        with pytest.raises(KeyStoreError):
            stores.scheduler.destroy_epoch(name, SCHEDULER)

    def test_a_key_sealed_to_nobody_is_temporary(self, stores: Stores) -> None:
        with pytest.raises(KeyStoreError) as caught:
            stores.worker.open_mail_key("message-1", WrappedMailKey("e1-ffffffff", 2, bytes(113)), PROTECT)
        assert caught.value.temporary

    def test_the_probe(self, stores: Stores) -> None:
        stores.worker.test()
        stores.scheduler.test()
