"""Messages, chunks, drafts and sending of a signed-in reader: sealed things in and out (sealed-mailbox 14)."""
