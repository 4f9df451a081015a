"""Server mode: the portal's own process opens the mail for a visit, where the organisation opted in.

sealed-mailbox 13. Imported only where `portal.decrypt` is not `browser`. Does what the browser does, with the same
formats; keeps the seed in the visit's row alone, under the cookie's secret, and neither passwords nor text anywhere.
Parses no mail.
"""
