"""What an action gets and promises: a message on the bench, copies with their stored decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from relay.core.decision import Decision
from relay.core.documents.organisation import Organisation
from relay.core.errors import LetterlockError
from relay.core.ports import ContentSource
from relay.message.keywords import find_keywords
from relay.message.parse import ParsedMessage
from relay.policy.facts import Facts
from relay.spool.values import Work
from relay.store.repositories.copies import StoredCopy
from relay.store.repositories.partners import Partner


@dataclass(frozen=True, slots=True)
class DecidedCopy:
    """A claimed copy with its stored decision."""

    copy: StoredCopy
    decision_id: str
    decision: Decision
    partner: Partner | None


@dataclass(frozen=True, slots=True)
class OpenMessage:
    """A message that is being worked on: its stored row, its key, its content and what was parsed of it."""

    work: Work
    key: bytes
    source: ContentSource
    parsed: ParsedMessage
    facts: Facts
    subject: str
    """Decoded, without the keywords of now; what leaves by a stored decision has the subject of `as_decided`."""
    organisation: Organisation


def as_decided(message: OpenMessage, decision: Decision) -> OpenMessage:
    """Return the message with the subject that the stored decision leaves: without the keywords that it found.

    The table may have changed since; a keyword that the decision obeyed must not leave because of that (fault row 22).
    """
    return replace(message, subject=find_keywords(message.parsed.subject, decision.subject_strip).subject)


class OverLimitError(LetterlockError):
    """The finished mail is larger than what its recipient takes: the policy has to say what becomes of it."""

    temporary = False
    status = "5.3.4"


@dataclass(frozen=True, slots=True)
class Failure:
    """A copy that an action could not bring on, and why; the pipeline lets it wait or sets it aside."""

    copy: DecidedCopy
    error: LetterlockError


class Action(Protocol):
    """What is done for the copies of one method."""

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """Bring the copies to their next state, in transactions of its own; return those that failed.

        Raises LetterlockError when all of them failed together.
        """
        ...
