"""Capability URLs: who has the address reads the file, without a token, for a while."""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets

_ID = re.compile(r"[A-Za-z0-9_-]{43}")
"""256 random bits, so nobody guesses one, however many there are."""


def new_id() -> str:
    """For the address; it is told once, and kept as its digest only."""
    return secrets.token_urlsafe(32)


def digest(link_id: str) -> str | None:
    """What the database has of an id; None if it cannot be one."""
    if not _ID.fullmatch(link_id):
        return None
    return hashlib.sha256(link_id.encode()).hexdigest()


def expiry(seconds: float) -> datetime.datetime:
    """When a link ends, UTC."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
