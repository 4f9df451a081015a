"""Freeing the copies of a job that died with its process: the lease ends now, the crash stays counted."""

from __future__ import annotations

from relay.spool.claims import release_copies as free_crashed

__all__ = ["free_crashed"]
