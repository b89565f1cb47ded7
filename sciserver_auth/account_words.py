"""What the account page says about tokens, scopes, browsers and activity, in words."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.scopes import scope_definitions

from sciserver_auth.store import KINDS
from sciserver_common.scopes import PREFIX, SCOPES

# The hub's own texts are for administrators; these are what people give to tokens of theirs.
_HUB_SCOPES = {
    "inherit": "Everything that you may do, also in the hub",
    "servers": "Start and stop your servers",
    "access:servers": "Use your servers: notebooks, terminals and files in them",
    "access:services": "Open services",
    "users:activity": "Tell the hub that you are active",
    "read:users": "Read your name, groups and profile",
    "read:users:name": "Know your name",
    "read:users:groups": "Know your groups",
    "tokens": "Make, renew and revoke tokens",
    "read:tokens": "See your tokens, sessions and activity",
}

# What pages for a browser's name and system look for, in this order: most browsers name their ancestors as well.
_BROWSERS = [
    (r"Edg(?:e|A|iOS)?/", "Edge"),
    (r"OPR/|Opera", "Opera"),
    (r"SamsungBrowser/", "Samsung Internet"),
    (r"Vivaldi/", "Vivaldi"),
    (r"Firefox/|FxiOS/", "Firefox"),
    (r"Chrome/|Chromium/|CriOS/|HeadlessChrome/", "Chrome"),
    (r"Safari/", "Safari"),
    (r"curl/", "curl"),
    (r"python-requests/|python-urllib|aiohttp/", "A Python program"),
]
_SYSTEMS = [
    (r"iPhone|iPod", "iPhone"),
    (r"iPad", "iPad"),
    (r"Android", "Android"),
    (r"CrOS", "ChromeOS"),
    (r"Windows", "Windows"),
    (r"Macintosh|Mac OS X", "macOS"),
    (r"Linux|X11", "Linux"),
]


def browser_words(user_agent: str) -> str:
    """A browser's name and system out of the header ``User-Agent`` (RFC 9110 §10.1.5), e.g. "Firefox on Linux"."""
    browser = _first(_BROWSERS, user_agent)
    system = _first(_SYSTEMS, user_agent)
    if browser and system:
        return f"{browser} on {system}"
    return browser or (f"A browser on {system}" if system else "Unknown browser")


def _first(table: list[tuple[str, str]], text: str) -> str:
    return next((name for pattern, name in table if re.search(pattern, text, re.IGNORECASE)), "")


def scope_words(scopes: list[str]) -> list[str]:
    """What a token with these scopes may do, one sentence a scope; what another one includes is left out.

    Parameters
    ----------
    scopes
        As the hub stores them, with filters such as ``!user``.
    """
    names = {_bare(scope) for scope in scopes}
    if "inherit" in names:
        return [_HUB_SCOPES["inherit"]]
    included: set[str] = set()
    for name in names:
        included |= _below(name)
    # The platform's scopes first, in the table's order; the hub's after them.
    shown = [name for name in SCOPES if name in names - included]
    shown += sorted(name for name in names - included if name not in SCOPES)
    return [_scope_sentence(name) for name in shown] or ["Know who you are"]


def _bare(scope: str) -> str:
    return scope.partition("!")[0]


def _definition(name: str) -> dict[str, Any]:
    # The hub knows the platform's scopes as well, where its configuration names them.
    definition: dict[str, Any] = SCOPES.get(name) or scope_definitions.get(name) or {}
    return definition


def _below(name: str) -> set[str]:
    found: set[str] = set()
    for subscope in _definition(name).get("subscopes", []):
        found |= {subscope} | _below(subscope)
    return found


def _scope_sentence(name: str) -> str:
    return _HUB_SCOPES.get(name) or str(_definition(name).get("description") or name).rstrip(".")


def scope_service(scope: str) -> str:
    """The part of the platform that a scope is about, as a heading."""
    area = _bare(scope).removeprefix(PREFIX).partition(":")[0]
    return {"casjobs": "Databases (CasJobs)", "files": "Files", "jobs": "Jobs"}.get(area, "The hub and your servers")


def kind_words(kind: str) -> str:
    """What happened, for a kind of activity."""
    return KINDS.get(kind, kind.replace("-", " ").capitalize())


def issuer_words(issuer: str) -> str:
    """A provider's name for people: its host."""
    return urlsplit(issuer).hostname or issuer


def lifetime_words(seconds: int) -> str:
    """A length of time in its largest round unit, e.g. "7 days"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds % length == 0 and seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"
