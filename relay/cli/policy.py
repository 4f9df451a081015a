"""`letterlock policy`: explain what would happen to a mail, and look for rules that are not meant."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_DATAERR, EX_NOINPUT, CommandError
from relay.cli.options import open_inside

if TYPE_CHECKING:
    from relay.core.documents.listeners import Listener
    from relay.core.documents.organisation import Organisation
    from relay.store.base import Database


def add(nouns: Any) -> None:
    """Add the commands."""
    policy = nouns.add_parser("policy", help="explain decisions, check the policy")
    verbs = policy.add_subparsers(metavar="VERB", required=True)
    explain = verbs.add_parser("explain", help="say what would happen to a mail, rule by rule; nothing is sent")
    explain.add_argument("file", type=Path, metavar="FILE.eml")
    explain.add_argument("--from", dest="sender", required=True, metavar="ADDRESS", help="MAIL FROM; <> for none")
    explain.add_argument("--to", dest="recipients", required=True, action="append", metavar="ADDRESS")
    explain.add_argument(
        "--listener",
        help="name of the listener it would come in by; default: the inside one, with --login that for submission",
    )
    explain.add_argument("--login", metavar="NAME", help="the login that the client would use (letterlock login list)")
    explain.set_defaults(run=run_explain)
    lint = verbs.add_parser("lint", help="find rules that fail open or can never be reached")
    lint.set_defaults(run=run_lint)


def run_explain(options: argparse.Namespace) -> int:
    """Explain for each recipient, by the limits, the documents and the login that the gateway would use."""
    from relay.core.envelope import SessionInfo
    from relay.message.limits import ParseLimits
    from relay.message.loops import check_loop
    from relay.message.parse import parse_message
    from relay.organisation import CurrentOrganisation
    from relay.policy.explain import explain, render_explanation
    from relay.policy.facts import PartnerFacts, gather_facts, gather_recipient
    from relay.policy.ruleset import compile_ruleset
    from relay.store.repositories.partners import find_partner
    from relay.wiring import possible_methods

    with open_inside(options) as (settings, database):
        organisation = CurrentOrganisation(database, settings.host.tenant)()
        listener = _find_listener(organisation, options.listener, is_login=options.login is not None)
        addresses = _login_addresses(database, settings.host.tenant, options.login)
        ruleset = compile_ruleset(organisation)
        try:
            stream = options.file.open("rb")
        except OSError as error:
            raise CommandError(f"{options.file} cannot be read ({error.strerror})", EX_NOINPUT) from error
        with stream:
            limits = organisation.limits
            parsed = parse_message(
                stream,
                ParseLimits(depth=limits.mime_depth, parts=limits.mime_parts, header_octets=limits.header_octets),
            )
            found = ruleset.keyword_table.find(parsed.subject)
            loop = check_loop(parsed.fields, settings.host.hostname, max_received=limits.received_fields)
            facts = gather_facts(
                parsed,
                reverse_path=options.sender.strip("<>"),
                session=SessionInfo(listener.name, listener.side, "127.0.0.1", "localhost", login=options.login),
                organisation=organisation,
                time_ms=database.clock.now_ms(),
                keywords=found.found,
                login_addresses=addresses,
                received_count=loop.received,
                is_loop=loop.is_loop,
            )
        for address in options.recipients:
            recipient = gather_recipient(address, organisation=organisation)
            with database.reading() as tx:
                partner = find_partner(tx, settings.host.tenant, recipient.address)
            known = PartnerFacts(partner.pdf_cipher or None, partner.size_limit, partner.language) if partner else None
            recipient = gather_recipient(
                address, organisation=organisation, partner=known, possible=possible_methods(settings)
            )
            sys.stdout.write(render_explanation(explain(facts, recipient, ruleset)) + "\n")
    return 0


def _find_listener(organisation: Organisation, name: str | None, *, is_login: bool) -> Listener:
    from relay.core.envelope import Side

    listeners = organisation.listeners
    side = Side.SUBMISSION if is_login else Side.INSIDE
    found = listeners.find(name) if name else next((one for one in listeners.listeners if one.side is side), None)
    if found is None or (is_login and not found.auth):
        fitting = [one.name for one in listeners.listeners if one.auth or not is_login]
        problem = "there is no such listener" if found is None else f"the listener {found.name} takes no logins"
        raise CommandError(f"{problem}. Use one of: {', '.join(fitting) or 'none, since no listener fits'}")
    return found


def _login_addresses(database: Database, tenant: str, name: str | None) -> tuple[str, ...]:
    from relay.store.repositories.logins import find_login

    if name is None:
        return ()
    with database.reading() as tx:
        login = find_login(tx, tenant, name)
    if login is None or not login.enabled:
        raise CommandError(f"{name}: there is no such login, or it is disabled. See: letterlock login list", EX_DATAERR)
    return login.addresses


def run_lint(options: argparse.Namespace) -> int:
    """Print findings; 65 when there are any."""
    from relay.organisation import CurrentOrganisation
    from relay.policy.lint import lint_organisation, render_findings
    from relay.policy.ruleset import WORKING_METHODS
    from relay.wiring import possible_methods

    with open_inside(options) as (settings, database):
        working = WORKING_METHODS & possible_methods(settings)
        findings = lint_organisation(CurrentOrganisation(database, settings.host.tenant)(), working)
    if not findings:
        sys.stdout.write("Nothing found.\n")
        return 0
    sys.stdout.write(render_findings(findings) + "\n")
    return EX_DATAERR
