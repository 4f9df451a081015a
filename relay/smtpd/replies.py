"""The one table of SMTP replies. Nobody else writes a code.

Does: name each reply once with its code (RFC 5321 4.2) and enhanced status (RFC 3463, RFC 2034, RFC 5248), and map
errors to replies. A fault of ours is always temporary and never shows what went wrong inside.
Must not: know sessions, sockets or configuration.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from relay.core.errors import LetterlockError, StorageFullError


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. Lines of `text` are split at a newline; `closes` ends the connection after it."""

    code: int
    status: str
    """Empty for the greeting, HELO, EHLO and 3xx alone (RFC 2034 4)."""
    text: str
    closes: bool = False
    octets: bytes = field(init=False, repr=False, compare=False)
    """What is sent: every line with the status and CRLF (RFC 2034 3)."""

    def __post_init__(self) -> None:
        head = f"{self.status} " if self.status else ""
        *lines, last = self.text.split("\n")
        text = "".join(f"{self.code}-{head}{line}\r\n" for line in lines) + f"{self.code} {head}{last}\r\n"
        object.__setattr__(self, "octets", text.encode("utf-8"))

    @property
    def is_refusal(self) -> bool:
        """Tell whether the reply is 4xx or 5xx."""
        return self.code >= 400


class RefusalError(LetterlockError):
    """A command is refused with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.code} {reply.status}")
        self.reply = reply
        self.temporary = reply.code < 500
        self.status = reply.status
        self.public = reply.text


OK = Reply(250, "2.0.0", "OK")
SENDER_OK = Reply(250, "2.1.0", "Sender OK")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient OK")
BYE = Reply(221, "2.0.0", "Bye", closes=True)
SEND_DATA = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
START_TLS = Reply(220, "2.0.0", "Ready to start TLS")
LOGGED_IN = Reply(235, "2.7.0", "Authentication successful")
VERIFY = Reply(252, "2.5.0", "Cannot VRFY user, but will take the message and try to deliver it")
HELP = Reply(
    214,
    "2.0.0",
    "Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nSee RFC 5321",
)

SHUTTING_DOWN = Reply(421, "4.3.2", "Service is being restarted, try again in a moment", closes=True)
TIMED_OUT = Reply(421, "4.4.2", "Timed out waiting for the client", closes=True)
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections, try again later", closes=True)
TOO_MANY_CONNECTIONS_FROM_YOU = Reply(421, "4.7.0", "Too many connections from your address", closes=True)
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors", closes=True)
TOO_MANY_MESSAGES = Reply(421, "4.5.3", "Too many messages in this connection, open a new one", closes=True)
FAR_TOO_LARGE = Reply(421, "4.7.0", "Far more data than allowed", closes=True)
RATE_EXCEEDED = Reply(450, "4.7.1", "Too many messages from your address, try again later")

INTERNAL_FAULT = Reply(451, "4.3.0", "Internal error, try again later")
STORAGE_FAULT = Reply(451, "4.3.0", "Storage is not available, try again later")
STORAGE_FULL = Reply(452, "4.3.1", "Insufficient system storage, try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients")
TLS_NOT_AVAILABLE = Reply(454, "4.7.0", "TLS not available")
LOGIN_NOT_NOW = Reply(454, "4.7.0", "Cannot check the login now, try again later")
LOGIN_THROTTLED = Reply(454, "4.7.0", "Too many failed logins, try again later")
CLIENT_NAME_UNKNOWN_NOW = Reply(450, "4.7.25", "Cannot find the name of your address in DNS now")
DOMAIN_UNKNOWN_NOW = Reply(450, "4.4.3", "Cannot look up the domain now")

LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
LINE_FAR_TOO_LONG = Reply(421, "4.7.0", "Line far too long", closes=True)
BARE_LINE_END = Reply(500, "5.5.2", "Commands end in CR LF")
NOT_TEXT = Reply(500, "5.5.2", "Commands hold printable text only")
UNKNOWN_COMMAND = Reply(500, "5.5.1", "Command not recognised")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
BAD_SEQUENCE = Reply(503, "5.5.1", "Bad sequence of commands")
HELO_FIRST = Reply(503, "5.5.1", "Send EHLO or HELO first")
MAIL_FIRST = Reply(503, "5.5.1", "Send MAIL first")
NESTED_MAIL = Reply(503, "5.5.1", "MAIL has been given already")
RCPT_FIRST = Reply(503, "5.5.1", "Send RCPT first")
NO_VALID_RECIPIENTS = Reply(554, "5.5.1", "No valid recipients")
BDAT_RUNNING = Reply(503, "5.5.1", "BDAT has begun, DATA and BDAT cannot be mixed")
BDAT_FAILED = Reply(503, "5.5.1", "An earlier chunk failed, send RSET")
OUT_OF_STEP = Reply(554, "5.5.0", "Input was sent ahead of the reply", closes=True)
NO_ARGUMENT = Reply(501, "5.5.4", "This command takes no argument")
ARGUMENT_MISSING = Reply(501, "5.5.4", "An argument is missing")
BAD_HELO_NAME = Reply(501, "5.5.4", "Give a domain or an address literal")
BAD_MAIL = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]")
BAD_RCPT = Reply(501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]")
BAD_BDAT = Reply(501, "5.5.4", "Syntax: BDAT octets [LAST]", closes=True)
BAD_SENDER = Reply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT = Reply(501, "5.1.3", "Bad recipient address syntax")
BAD_PARAMETER = Reply(501, "5.5.4", "Bad parameter value")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "Parameter not recognised or not implemented")
NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "Such an address needs the parameter SMTPUTF8")
TLS_RUNNING = Reply(503, "5.5.1", "TLS is running already")
TLS_FIRST = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
LOGIN_FIRST = Reply(530, "5.7.0", "Authentication required")
LOGIN_REFUSED = Reply(535, "5.7.8", "Authentication credentials invalid")
LOGIN_NEEDS_TLS = Reply(538, "5.7.11", "Encryption required for authentication")
LOGIN_UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Unrecognised authentication type")
LOGIN_BAD_ENCODING = Reply(501, "5.5.2", "Cannot decode the response")
LOGIN_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
LOGIN_TOO_LONG = Reply(500, "5.5.6", "Authentication exchange line is too long")
SENDER_NOT_YOURS = Reply(553, "5.7.1", "This login may not use that sender address")
RECIPIENT_UNKNOWN = Reply(550, "5.1.1", "No such recipient here")
RELAYING_DENIED = Reply(550, "5.7.1", "Relaying denied")
CLIENT_DENIED = Reply(554, "5.7.1", "Your address may not use this service")
CLIENT_NAME_MISSING = Reply(550, "5.7.25", "Your address has no matching name in DNS")
DOMAIN_MISSING = Reply(550, "5.1.2", "The domain does not exist or takes no mail")
DOMAIN_NULL_MX = Reply(556, "5.1.10", "The domain says that it takes no mail")
TOO_LARGE = Reply(552, "5.3.4", "Message size exceeds the fixed maximum")
BARE_CR_OR_LF = Reply(550, "5.6.0", "Message holds a bare CR or LF; lines end in CR LF")


def accepted(message_id: str) -> Reply:
    """Return the reply that is said only after the commit."""
    return Reply(250, "2.0.0", f"OK queued as {message_id}")


def greeting(hostname: str) -> Reply:
    """Return the 220 of a new connection."""
    return Reply(220, "", f"{hostname} ESMTP Letterlock")


def chunk_taken(octets: int) -> Reply:
    """Return the reply to a BDAT chunk that is not the last (RFC 3030 2)."""
    return Reply(250, "2.0.0", f"{octets} octets received")


def for_error(error: BaseException) -> Reply:
    """Return the reply for anything that went wrong inside: temporary, and without a word of the exception."""
    if isinstance(error, RefusalError):
        return error.reply
    if isinstance(error, StorageFullError):
        return STORAGE_FULL
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return STORAGE_FULL
    if isinstance(error, LetterlockError | OSError | TimeoutError):
        return STORAGE_FAULT
    return INTERNAL_FAULT
