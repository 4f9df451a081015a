"""`letterlock org`: the organisation's documents, with versions, drafts and the way back."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_DATAERR, EX_NOINPUT, CommandError
from relay.cli.options import open_inside, terminal_actor
from relay.core.clock import to_datetime

if TYPE_CHECKING:
    from relay.core.documents.organisation import Organisation
    from relay.core.ports import Actor
    from relay.settings import Settings
    from relay.store.base import Tx
    from relay.store.repositories.configuration import Document


def add(nouns: Any) -> None:
    """Add the commands."""
    from relay.core.documents.organisation import DOCUMENT_KINDS

    org = nouns.add_parser("org", help="domains, routes, brands, keywords, policy, listeners, limits")
    verbs = org.add_subparsers(metavar="VERB", required=True)
    kinds = sorted(DOCUMENT_KINDS)
    show = verbs.add_parser("show", help="print a document as JSON")
    show.add_argument("kind", choices=kinds)
    show.add_argument("--version", type=int, help="an older version or a draft; default: the active one")
    show.set_defaults(run=run_show)
    put = verbs.add_parser("put", help="check a JSON file and make it the active version (or a draft)")
    put.add_argument("kind", choices=kinds)
    put.add_argument("file", type=Path)
    put.add_argument("--draft", action="store_true", help="store it without making it active")
    put.set_defaults(run=run_put)
    activate = verbs.add_parser("activate", help="make a draft or an older version the active one")
    activate.add_argument("kind", choices=kinds)
    activate.add_argument("version", type=int)
    activate.set_defaults(run=run_activate)
    versions = verbs.add_parser("versions", help="list the versions of a document")
    versions.add_argument("kind", choices=kinds)
    versions.set_defaults(run=run_versions)


def run_show(options: argparse.Namespace) -> int:
    """Print one version."""
    from relay.store.repositories.configuration import active_document, get_document

    with open_inside(options) as (settings, database), database.reading() as tx:
        if options.version is None:
            document = active_document(tx, settings.host.tenant, options.kind)
        else:
            document = get_document(tx, settings.host.tenant, options.kind, options.version)
    if document is None:
        raise CommandError(f"{options.kind}: no version is active. Put one: letterlock org put {options.kind} FILE")
    sys.stdout.write(document.content.rstrip("\n") + "\n")
    return 0


def run_put(options: argparse.Namespace) -> int:
    """Check the file against all other active documents and store it."""
    try:
        text = options.file.read_text("utf-8")
        json.loads(text)
    except OSError as error:
        raise CommandError(f"{options.file} cannot be read ({error.strerror})", EX_NOINPUT) from error
    except ValueError as error:
        raise CommandError(f"{options.file} is not JSON: {error}", EX_DATAERR) from error
    with open_inside(options) as (settings, database), database.transaction() as tx:
        draft = put_document(tx, settings, options.kind, text, terminal_actor(), is_draft=options.draft)
    state = "stored as draft" if options.draft else "is active"
    sys.stdout.write(f"{options.kind} version {draft.version} {state}\n")
    return 0


def put_document(tx: Tx, settings: Settings, kind: str, text: str, actor: Actor, *, is_draft: bool) -> Document:
    """Store JSON text as a new version and make it active, or leave it a draft.

    Raises for what is wrong in it or does not fit the others; the caller's transaction then stores nothing.
    """
    from relay.organisation import load_organisation
    from relay.store.repositories.configuration import activate, active_documents, add_draft

    tenant = settings.host.tenant
    draft = add_draft(tx, tenant, kind, text, actor)
    _check(settings, load_organisation({**active_documents(tx, tenant), kind: draft}))
    return draft if is_draft else activate(tx, tenant, kind, draft.version, actor)


def _check(settings: Settings, organisation: Organisation) -> None:
    """Ask those who will have to obey whether they can; nothing becomes active that smtpd could not start with."""
    from relay.policy.ruleset import compile_ruleset
    from relay.wiring.intake import make_smtpd_config

    compile_ruleset(organisation)
    make_smtpd_config(settings, organisation)


def run_activate(options: argparse.Namespace) -> int:
    """Make one version the active one, after the same checks."""
    from relay.organisation import load_organisation
    from relay.store.repositories.configuration import activate, active_documents

    with open_inside(options) as (settings, database), database.transaction() as tx:
        tenant = settings.host.tenant
        document = activate(tx, tenant, options.kind, options.version, terminal_actor())
        _check(settings, load_organisation(active_documents(tx, tenant)))
    sys.stdout.write(f"{options.kind} version {document.version} is active\n")
    return 0


def run_versions(options: argparse.Namespace) -> int:
    """List versions, newest first."""
    from relay.store.repositories.configuration import list_documents

    with open_inside(options) as (settings, database), database.reading() as tx:
        documents = list_documents(tx, settings.host.tenant, options.kind)
    for one in documents:
        when = to_datetime(one.created_at).strftime("%Y-%m-%d %H:%M:%S UTC")
        sys.stdout.write(f"{one.version:5}  {one.state.value:8}  {when}  {one.author}\n")
    return 0
