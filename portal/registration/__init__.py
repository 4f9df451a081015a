"""Registration of a partner by a link in an e-mail: sealed to the organisation, once a link (sealed-mailbox 12)."""
