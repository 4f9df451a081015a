"""Fixtures of the portal's contract tests."""

from tests.contract.portal.site import site, small_site

__all__ = ["site", "small_site"]
