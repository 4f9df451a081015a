"""Login, session, new password, sign-out, forgotten password (sealed-mailbox 11, 14)."""
