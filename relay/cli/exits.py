"""Exit codes of sysexits.h and the one place that turns errors into them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from relay.core.errors import ConfigurationError, LetterlockError

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_NOINPUT = 66
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CANTCREAT = 73
EX_TEMPFAIL = 75
EX_CONFIG = 78


class CommandError(Exception):
    """A command cannot do what was asked. The message is for the person at the terminal and says what to do."""

    def __init__(self, message: str, exit_code: int = EX_USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def complain(message: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"letterlock: {message}\n")


def run_command(command: Callable[[], int | None]) -> int:
    """Run a command and turn its errors into one plain line and an exit code."""
    try:
        return command() or EX_OK
    except CommandError as error:
        complain(str(error))
        return error.exit_code
    except ConfigurationError as error:
        complain(str(error))
        return EX_CONFIG
    except LetterlockError as error:
        complain(f"{error}" if str(error) else error.public)
        return EX_TEMPFAIL if error.temporary else EX_DATAERR
    except BrokenPipeError:
        return EX_OK
    except KeyboardInterrupt:
        return 130
