"""`letterlock partner`: what is known of the people outside, and how their mail is made."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from relay.cli.exits import EX_DATAERR, CommandError
from relay.cli.options import open_inside, terminal_actor

_MOST = 1000


def add(nouns: Any) -> None:
    """Add the commands."""
    partner = nouns.add_parser("partner", help="external addresses: language, PDF encryption, size limit")
    verbs = partner.add_subparsers(metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="list partners by address")
    listing.add_argument("--after", default="", metavar="ADDRESS", help="go on behind this address")
    listing.set_defaults(run=run_list)
    change = verbs.add_parser("set", help="set how mail for one partner is made; a new address is added")
    change.add_argument("address")
    change.add_argument("--language", choices=["de", "en", "both"], help="language of cover and carrier mail")
    change.add_argument(
        "--cipher", choices=["aes-256", "aes-128", "default"], help="PDF encryption; aes-128 only for old readers"
    )
    change.add_argument(
        "--size-limit", type=int, metavar="OCTETS", help="largest mail that the partner's server takes; 0: none known"
    )
    change.set_defaults(run=run_set)


def run_list(options: argparse.Namespace) -> int:
    """Print partners with what differs from the default."""
    from relay.store.repositories.partners import list_partners

    with open_inside(options) as (settings, database), database.reading() as tx:
        partners = list_partners(tx, settings.host.tenant, after=options.after, limit=_MOST)
    for one in partners:
        limit = f"up to {one.size_limit} octets" if one.size_limit else ""
        shown = "  ".join(text for text in (one.language, one.pdf_cipher, limit) if text)
        sys.stdout.write(f"{one.address}  {shown}".rstrip() + "\n")
    if len(partners) == _MOST:
        sys.stdout.write(f"more: letterlock partner list --after {partners[-1].address}\n")
    return 0


def run_set(options: argparse.Namespace) -> int:
    """Change one partner."""
    from relay.core.address import domain_of, normalise_address
    from relay.organisation import CurrentOrganisation
    from relay.store.repositories.partners import change_partner, find_or_create

    address = normalise_address(options.address)
    language = {"both": "", None: None}.get(options.language, options.language)
    cipher = {"default": "", None: None}.get(options.cipher, options.cipher)
    if options.size_limit is not None and options.size_limit < 0:
        raise CommandError("--size-limit must be 0 or more")
    with open_inside(options) as (settings, database):
        own = CurrentOrganisation(database, settings.host.tenant)().domains.names()
        if domain_of(address) in own:
            raise CommandError(f"{address} is one of your own addresses, not a partner", EX_DATAERR)
        with database.transaction() as tx:
            partner = find_or_create(tx, settings.host.tenant, address, terminal_actor())
            change_partner(
                tx,
                settings.host.tenant,
                partner.id,
                terminal_actor(),
                language=language,
                pdf_cipher=cipher,
                size_limit=options.size_limit,
            )
    if cipher == "aes-128":
        sys.stdout.write(
            "warning: AES-128 (revision 4) is some 300 times cheaper to guess; use it for old readers only\n"
        )
    sys.stdout.write(f"{address}: set\n")
    return 0
