"""The portal's measures as lines: login, size, inbox, large, load, push. Goals are those of the design."""

from __future__ import annotations

import statistics

from tests.bench.portal_size import Size


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def bench_login() -> None:
    """Login to readable mail in Chromium held to a quarter of a core, and beside it in one that is not held."""
    from tests.bench.portal_login import measure_logins

    for share, goal in ((0.25, "   (goal 1500 ms)"), (None, "")):
        how, visits = measure_logins(share)
        argon, inbox, body, whole, cpu = (
            statistics.median(getattr(visit, name) for visit in visits)
            for name in ("argon", "inbox", "body", "readable", "cpu")
        )
        all_of_them = ", ".join(f"{visit.readable:.0f}" for visit in visits)
        say(f"portal-login  {whole:5.0f} ms to readable mail, {how}{goal}")
        say(f"  inbox after {inbox:.0f} ms, of it Argon2id {argon:.0f}; a mail's text {body:.0f} ms after its click")
        say(f"  each visit: {all_of_them}; CPU of the browser meanwhile {cpu:.0f} ms")


def bench_size() -> None:
    """Compressed scripts and style sheet, of each page and in all."""
    from tests.bench.portal_size import PAGES, SHEET, measure_bundle

    sizes = measure_bundle()
    for page, files in PAGES.items():
        total = sum((sizes[name] for name in files), Size(0, 0, 0))
        each = " + ".join(f"{name} {sizes[name].gzip / 1000:.1f}" for name in files)
        say(f"portal-size   {total}   {page}: {each}   (goal 40 kB)")
    say(f"portal-size   {sizes[SHEET]}   style sheet   (goal 12 kB)")
    visit = sum((sizes[name] for name in ("entry.js", "argon-worker.js", "frame.js")), Size(0, 0, 0))
    scripts = sum((size for name, size in sizes.items() if name != SHEET), Size(0, 0, 0))
    say(f"  first visit, sign-in and mailbox: {visit}; all scripts there are: {scripts}")


def bench_inbox() -> None:
    """A page of the inbox with 10, 100 and 10,000 messages, for the portal and for the reader."""
    from tests.bench.portal_inbox import measure_inboxes

    inboxes = measure_inboxes()
    few, full, many = inboxes
    for one in inboxes:
        say(
            f"portal-inbox  {one.messages:6,} messages: ten of them {one.ten.milliseconds:.2f} ms CPU in "
            f"{one.ten.queries} queries, the oldest ten {one.oldest.milliseconds:.2f} ms, "
            f"as the browser asks ({one.usual.rows}) {one.usual.milliseconds:.2f} ms in {one.usual.queries}"
        )
        say(
            f"  browser: {one.listed:.0f} ms from sign-in to the list, a mail's text {one.shown:.0f} ms after its click"
        )
    say(
        f"  {many.messages:,} beside {few.messages}, equal pages: {many.ten.milliseconds / few.ten.milliseconds:.2f} x "
        f"in the portal; beside {full.messages}: {many.usual.milliseconds / full.usual.milliseconds:.2f} x there, "
        f"{many.listed / full.listed:.2f} x in the browser   (goal: flat)"
    )


def bench_large() -> None:
    """50 MB down and up; peak memory of the portal's processes beside a tenth of it."""
    from tests.bench.portal_large import measure_transfers

    steps = measure_transfers()
    for step in steps:
        say(
            f"portal-large  {step.name:8} {step.octets / 1e6:3.0f} MB in {step.seconds:5.2f} s; peak of a process: "
            f"web {step.peaks['web']:.0f} MB, link {step.peaks['link']:.0f} MB"
        )
    small, large = (
        {name: max(step.peaks[name] for step in steps if step.octets == octets) for name in ("web", "link")}
        for octets in sorted({step.octets for step in steps})
    )
    growth = ", ".join(f"{name} {large[name] - small[name]:+.0f} MB" for name in small)
    say(f"  ten times the octets: {growth}   (goal: flat)")


def bench_load() -> None:
    """Two hundred readers, one action every five seconds each."""
    from tests.bench.portal_load import PERIOD, READERS, measure_load, percentile

    load = measure_load()
    say(
        f"portal-load   p95 {percentile(load.all, 0.95):.0f} ms, median {percentile(load.all, 0.5):.0f} ms, "
        f"slowest {max(load.all):.0f} ms   (goal p95 300 ms)"
    )
    say(
        f"  {READERS} readers, one action every {PERIOD:.0f} s: {len(load.all)} in {load.seconds:.0f} s, "
        f"errors {sum(load.errors.values())} {dict(load.errors) or ''}"
    )
    for name, times in load.times.items():
        say(f"  {name:6} {len(times):5}: median {percentile(times, 0.5):.0f} ms, p95 {percentile(times, 0.95):.0f} ms")
    say(
        f"  logins one after the other: median {percentile(load.logins, 0.5):.0f} ms, "
        f"p95 {percentile(load.logins, 0.95):.0f} ms"
    )
    say(
        f"  cores used: portal {load.portal_cores:.2f}, this client {load.client_cores:.2f}; "
        f"actions began late by {percentile(load.late, 0.95):.0f} ms (p95)"
    )


def bench_push() -> None:
    """A text mail by webmail beside a PDF: CPU inside, and the rate of the whole way."""
    from tests.bench.portal_push import measure_ways

    ways = measure_ways()
    for way in ways:
        each = ", ".join(f"{name} {used:.1f}" for name, used in way.cpu.items() if used >= 0.05)
        say(f"portal-push   {way.name:19} {way.inside:4.1f} ms CPU a mail inside: {each}")
        say(f"  {way.rate:.0f} mails/s from SMTP in to delivered; portal {way.portal:.1f} ms CPU a mail")
    plain, linked, webmail = ways
    say(
        f"  webmail costs {webmail.inside / plain.inside:.2f} x a PDF, {webmail.inside / linked.inside:.2f} x one with "
        "its reply link   (goal: at most 1)"
    )
    say(f"  the whole way for PDFs, portal linked: {linked.rate:.0f}/s, without: {plain.rate:.0f}/s   (goal 100)")
