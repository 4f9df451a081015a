"""What stands behind the links that partners got: PDF reply links and registration links (sealed-mailbox 12)."""
