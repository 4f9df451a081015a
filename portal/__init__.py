"""The exposed side: keeps what only the recipient's browser opens. Has no key of the organisation, parses no mail."""
