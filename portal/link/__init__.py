"""The link API: what the relay asks of the portal, on a listener of its own with mutual TLS (sealed-mailbox 15).

Shapes: docs/api/portal-link.md. The portal never calls; it answers, stores and forgets.
"""
