"""`letterlock portal use`: let the policy end in the mailbox, once a portal stands, and say what that changes.

Only the policy's own default is changed (core.documents.shipped.policy_with_portal), as a new version that one command
takes back; rules, defaults for recipients and own domains' methods go on meaning what they say, and are named.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from relay.cli.exits import EX_DATAERR, CommandError
from relay.cli.options import open_inside, terminal_actor
from relay.core.decision import Method

if TYPE_CHECKING:
    from relay.core.documents.organisation import Organisation
    from relay.core.documents.policy import PolicyDocument


def run_use(options: argparse.Namespace) -> int:
    """Change the policy's last resort from PDF to the mailbox, or store that as a draft."""
    from relay.cli.org import put_document
    from relay.core.documents.policy import PolicyDocument
    from relay.core.documents.shipped import policy_with_portal
    from relay.organisation import load_organisation
    from relay.store.repositories.configuration import active_documents
    from relay.store.repositories.mailbox_cards import newest_card
    from relay.wiring import possible_methods

    with open_inside(options) as (settings, database), database.transaction() as tx:
        if Method.WEBMAIL not in possible_methods(settings):
            raise CommandError("no portal is linked. Begin with: letterlock portal pair", EX_DATAERR)
        if newest_card(tx, settings.host.tenant) is None:
            raise CommandError("there is no card yet, so webmail would wait. Make it: letterlock portal card new")
        documents = active_documents(tx, settings.host.tenant)
        organisation = load_organisation(documents)
        before = organisation.policy
        after = policy_with_portal(before)
        if after == before:
            sys.stdout.write(f"Nothing is changed: {describe_last_resort(before)}\n")
            return 0
        kind = PolicyDocument.KIND
        # What else stands in the document stays as a person wrote it.
        written = json.loads(documents[kind].content) if kind in documents else {}
        text = json.dumps(written | {"methods": list(after.methods)}, ensure_ascii=False, indent=2) + "\n"
        draft = put_document(tx, settings, kind, text, terminal_actor(), is_draft=options.draft)
    old = documents[kind].version if kind in documents else 0
    sys.stdout.write(
        f"policy version {draft.version} {'stored as draft' if options.draft else 'is active'}\n"
        f"  methods before  {', '.join(before.methods)}\n  methods now     {', '.join(after.methods)}\n"
        "From now on a partner for whom nothing else is said gets a mailbox on the portal with his next mail.\n"
    )
    for line in _stay_with_pdf(organisation):
        sys.stdout.write(f"As before by PDF: {line}\n")
    if options.draft:
        sys.stdout.write(f"Make it active: letterlock org activate policy {draft.version}\n")
    elif old:
        sys.stdout.write(f"The way back: letterlock org activate policy {old}\n")
    return 0


def describe_last_resort(policy: PolicyDocument) -> str:
    """Say in one line where mail ends for which nothing else is said, and how to change that."""
    last = policy.methods[-1] if policy.methods else None
    if last is Method.WEBMAIL:
        return "the policy's methods end in webmail; partners get a mailbox where nothing else is said."
    if last is Method.PDF:
        return (
            "the policy's methods end in pdf; partners get a mailbox by keyword or rule only. "
            "For a mailbox wherever nothing else is said: letterlock portal use"
        )
    return f"the policy's methods are {', '.join(policy.methods)}; change them by: letterlock org put policy"


def _stay_with_pdf(organisation: Organisation) -> Iterator[str]:
    for one in organisation.policy.defaults:
        if one.methods[-1] is Method.PDF:
            yield f"default for {one.recipient}"
    for own in organisation.domains.domains:
        if own.methods and own.methods[-1] is Method.PDF:
            yield f"methods of the own domain {own.name}"
    for rule in organisation.policy.rules:
        action = rule.terminal
        if rule.enabled and action is not None and (action.kind == "pdf" or action.methods[-1:] == (Method.PDF,)):
            yield f"rule {rule.id}"
