"""Run all measures, or those named on the command line: intake pdf large whole memory queue."""

from __future__ import annotations

import os
import platform
import statistics
import sys

from tests.bench import peers


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def bench_intake() -> None:
    """Durable intake of 10 kB mails at 50 connections beside Postfix's accept-and-queue, interleaved."""
    with peers.smtpd_alone() as ours, peers.postfix_queue() as theirs:
        peers.pour_mail(ours, 500, 50, 10_000)
        peers.pour_mail(theirs, 500, 50, 10_000)
        ratios, rates = [], []
        for _ in range(3):
            our_rate = peers.pour_mail(ours, 8000, 50, 10_000)
            their_rate = peers.pour_mail(theirs, 2000, 50, 10_000)
            ratios.append(our_rate / their_rate)
            rates.append((our_rate, their_rate))
    for our_rate, their_rate in rates:
        say(f"  intake 10 kB, 50 connections: {our_rate:7.0f}/s   Postfix {their_rate:6.0f}/s")
    say(f"intake        ratio {statistics.median(ratios):5.1f} x Postfix   (goal 4)")


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
}


def main() -> None:
    """Run what was asked for."""
    say(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    say(f"load before: {os.getloadavg()[0]:.1f} (other work on the host makes rates worse; ratios hold better)")
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()


if __name__ == "__main__":
    main()
