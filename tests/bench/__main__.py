"""Run all measures, or those named on the command line: intake pdf large whole memory queue, and the portal's:
portal-login portal-size portal-inbox portal-large portal-load portal-push."""

from __future__ import annotations

import os
import platform
import statistics
import sys

from tests.bench import peers, portal

_OURS = 4000
"""Mails poured into our own intake a round; fewer into the others, which take longer."""
_THEIRS = 2000
_ROUNDS = 7
"""Many short ones: a shared host changes its speed within seconds, and the median wants to be of all of them."""


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def bench_intake() -> None:
    """Durable intake of 10 kB mails at 50 connections beside Postfix's accept-and-queue, interleaved.

    The ordinary Postfix queues mail for a next hop that is away; the other puts it on hold, so that its queue manager
    has nothing to do.
    """
    with (
        peers.smtpd_alone() as (ours, process),
        peers.postfix_queue(peers.QUEUE) as queueing,
        peers.postfix_queue(peers.HOLD) as holding,
    ):
        peers.pour_mail(ours, 500, 50, 10_000)
        queueing.pour(500)
        holding.pour(500)
        rounds: list[tuple[tuple[float, float], ...]] = []
        for _ in range(_ROUNDS):
            used = peers.cpu_seconds(process)
            rate = peers.pour_mail(ours, _OURS, 50, 10_000)
            used = (peers.cpu_seconds(process) - used) / _OURS
            rounds.append(((rate, used), queueing.pour(_THEIRS), holding.pour(_THEIRS)))
            shown = (f"{rate:5.0f}/s {1000 * cpu:.2f} ms CPU" for rate, cpu in rounds[-1])
            say("  intake {}   Postfix queues {}   holds {}".format(*shown))
    (rate, cpu), *others = (
        tuple(statistics.median(one[who][which] for one in rounds) for which in (0, 1)) for who in range(3)
    )
    queued, held = (statistics.median(one[0][0] / one[who][0] for one in rounds) for who in (1, 2))
    say(
        f"intake        {rate:.0f}/s, {queued:.1f} x Postfix that queues (goal 4), {held:.1f} x Postfix that only holds"
    )
    say(
        "  CPU a mail: {:.2f} ms, {:.1f} times less than the one, {:.1f} than the other".format(
            1000 * cpu, *(theirs[1] / cpu for theirs in others)
        )
    )


def bench_pdf() -> None:
    """Complete text PDFs a second on two processes."""
    from tests.bench.pdf import text_pdfs

    rate, cpu = text_pdfs()
    say(f"text PDF      {rate:5.0f}/s on 2 processes, {cpu:4.1f} ms CPU each   (goal 400/s)")


def bench_large() -> None:
    """A PDF with 25 MB attached beside openssl's AES over the same octets."""
    from tests.bench.pdf import large_pdf

    octets = 25 * 1024 * 1024
    seconds, peak = large_pdf(octets)
    aes = peers.openssl_aes_seconds(octets)
    say(
        f"25 MB PDF     {1000 * seconds:5.0f} ms, openssl AES {1000 * aes:4.0f} ms, ratio {seconds / aes:4.1f} (goal 3)"
    )
    say(f"  peak RSS {peak:.0f} MB")


def bench_whole() -> None:
    """Protected text mails a second through all processes."""
    from tests.bench.whole import text_mails

    say(f"whole         {text_mails():5.0f} text mails/s from SMTP in to protected mail out   (goal 100)")


def bench_memory() -> None:
    """Peak memory of each process for a 25 MB mail."""
    from tests.bench.whole import large_mail_memory

    peaks = large_mail_memory()
    say("memory        " + ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items()) + "   (goal 200 each)")


def bench_queue() -> None:
    """Claim and settle with few and with many waiting mails."""
    from tests.bench.waiting import claim_cost

    few, many = claim_cost(100), claim_cost(100_000)
    say(f"queue         {few:.2f} ms with 100 waiting, {many:.2f} ms with 100,000, ratio {many / few:.2f}   (goal 1)")


BENCHES = {
    "intake": bench_intake,
    "pdf": bench_pdf,
    "large": bench_large,
    "whole": bench_whole,
    "memory": bench_memory,
    "queue": bench_queue,
    "portal-login": portal.bench_login,
    "portal-size": portal.bench_size,
    "portal-inbox": portal.bench_inbox,
    "portal-large": portal.bench_large,
    "portal-load": portal.bench_load,
    "portal-push": portal.bench_push,
}


def main() -> None:
    """Run what was asked for."""
    say(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    say(f"load before: {os.getloadavg()[0]:.1f} (other work on the host makes rates worse; ratios hold better)")
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()


if __name__ == "__main__":
    main()
