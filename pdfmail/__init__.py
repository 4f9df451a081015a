"""PDF mail: a message becomes one encrypted, tagged PDF.

A pure library: values in, bytes out. It knows no database, no web framework and no network; it imports nothing of
`relay` or `portal`. Specification: docs/pdf.md.
"""
