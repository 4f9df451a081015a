"""What every worker child needs, loaded once by the fork server, so that a new child is ready at once."""

from __future__ import annotations

import email.parser
import email.policy

import pikepdf
import reportlab.pdfgen.canvas
import segno

import pdfmail.write
import relay.wiring.worker
import relay.worker.child

__all__ = ["email", "pdfmail", "pikepdf", "relay", "reportlab", "segno"]
