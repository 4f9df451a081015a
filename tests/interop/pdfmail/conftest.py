from __future__ import annotations

import pytest

from pdfmail.template import TemplateCache


@pytest.fixture(scope="session")
def templates() -> TemplateCache:
    return TemplateCache()
