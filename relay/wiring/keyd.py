"""Parts of keyd."""

from __future__ import annotations

import pwd

from relay.core.errors import ConfigurationError
from relay.keystore.daemon import KeydConfig
from relay.keystore.grants import Role
from relay.settings import Settings
from relay.wiring import keyd_socket

_OPEN_TO_ROLES = 0o711


def make_keyd_config(settings: Settings) -> KeydConfig:
    """Return keyd's configuration. Raises ConfigurationError for a user that this host does not know."""
    accounts = {Role(role): _find_account(role, name) for role, name in settings.keys.users}
    return KeydConfig(
        token_dir=settings.keys.directory,
        pin_file=settings.keys.pin_file,
        public_file=settings.keys.public_file,
        socket_dir=keyd_socket(settings, "worker").parent,
        audit_dir=settings.state_dir / "keyd-audit",
        # Each worker child and each thread of deliver may keep one, and a new child comes before the old one's is gone.
        connections=max(16, 2 * max(settings.worker.processes, settings.deliver.connections)),
        directory_mode=_OPEN_TO_ROLES if accounts else 0o700,
        socket_groups={role: account.pw_gid for role, account in accounts.items()},
        # The kernel's word on who connects: the file's group alone could be shared with others.
        users={role: frozenset({account.pw_uid}) for role, account in accounts.items()},
    )


def _find_account(role: str, name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise ConfigurationError(
            f"keys.users.{role}", f"this host has no user {name!r}", "Create it, or correct its spelling"
        ) from None
