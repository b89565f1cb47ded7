"""User names: they become directory names, container names, URL path segments and database schema names."""

from __future__ import annotations

import re

# Inside the portal "@" and "+" are refused: a person may sign in with an e-mail address as well, and nobody should be
# able to take somebody else's address as a user name.
_PORTAL_NAME = re.compile(r"[a-z][a-z0-9._-]{0,62}")

# Other providers (CILogon, Globus, institutional single sign-on) hand out names shaped like addresses.
_HUB_NAME = re.compile(r"[a-z][a-z0-9._@+-]{0,62}")

PORTAL_NAME_RULE = (
    "A user name starts with a lower-case letter, has at most 63 characters, and consists of lower-case letters, "
    "digits, dots, dashes and underscores. It does not end with a dot and has no two dots in a row."
)


def is_portal_name(name: str) -> bool:
    """Whether an account of the embedded portal may be called `name`."""
    return bool(_PORTAL_NAME.fullmatch(name)) and _safe_dots(name)


def is_hub_name(name: str) -> bool:
    """Whether the hub lets a person called `name` in, whoever vouches for the name."""
    return bool(_HUB_NAME.fullmatch(name)) and _safe_dots(name)


def _safe_dots(name: str) -> bool:
    return ".." not in name and not name.endswith(".")
