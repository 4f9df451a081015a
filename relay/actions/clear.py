"""Pass: queue the mail as it came, or with only the header changes that the decision names.

Mail that no rule changes is handed on as variant 0, byte-identical from smtpd's trace line on. A changed header becomes
a variant that holds the new header alone; the body is the original's octets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.actions.base import DecidedCopy, Failure, OpenMessage
from relay.core.decision import Decision, HeaderChange
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.message.headers import prepend_fields, remove_fields, split_header, strip_subject_keywords
from relay.message.keywords import KeywordTable
from relay.spool.content import VariantWriter
from relay.spool.settle import Settlement, settle_many
from relay.store.base import Database

Change = tuple[tuple[HeaderChange, ...], tuple[str, ...]]
"""Header changes, and the keywords that the subject loses: what makes two copies differ."""


class PassAction:
    """Queues copies in clear, as their stored decision approves."""

    def __init__(self, database: Database, tenant: str, actor: Actor, hop_for: Callable[[str], str]) -> None:
        self._database = database
        self._tenant = tenant
        self._actor = actor
        self._hop_for = hop_for

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        groups: dict[Change, list[DecidedCopy]] = {}
        for one in copies:
            groups.setdefault(_change_of(one.decision), []).append(one)
        for change, group in groups.items():
            if change == ((), ()):
                with self._database.transaction() as tx:
                    settle_many(tx, [self._settlement(one, 0) for one in group], self._actor)
            else:
                self._queue_changed(message, change, group)
        return ()

    def _queue_changed(self, message: OpenMessage, change: Change, group: Sequence[DecidedCopy]) -> None:
        changes, strip = change
        with message.source.open() as stream:
            header, body_offset = split_header(stream)
        header = remove_fields(header, [one.name for one in changes if one.value is None])
        if strip:
            # Outlook repeats the subject in Thread-Topic; the keyword leaves that, too.
            header = strip_subject_keywords(header, KeywordTable(strip))
        header = prepend_fields(header, [(one.name, one.value) for one in changes if one.value is not None])
        stored = message.work.message
        with VariantWriter(self._database, stored.id, self._tenant, message.key, message.work.owner) as writer:
            writer.write(header)
            with self._database.transaction() as tx:
                number = writer.finish(tx, "header", stored.reverse_path, body_offset)
                settle_many(tx, [self._settlement(one, number) for one in group], self._actor)

    def _settlement(self, one: DecidedCopy, variant: int) -> Settlement:
        return Settlement(
            one.copy.id,
            one.copy.fence,
            State.QUEUED,
            variant=variant,
            hop=self._hop_for(one.copy.normal_address),
            detail={"method": one.decision.method.value, "variant": variant},
        )


def _change_of(decision: Decision) -> Change:
    return decision.headers, decision.subject_strip
