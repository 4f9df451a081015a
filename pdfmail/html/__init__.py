"""Mail bodies that are HTML, or text in any script, as tagged PDF pages.

`ConfinedRenderer` is the front door. Everything that touches the untrusted body (sanitiser, layout, fonts, pictures)
runs in a process of its own per body that has no network, no files but the fonts, and hard limits (docs/pdf.md).
"""

from pdfmail.html.confined import ConfinedRenderer, RendererStartError

__all__ = ["ConfinedRenderer", "RendererStartError"]
