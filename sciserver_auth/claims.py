"""What a provider says about a person, made into the hub's names, groups and permissions. Pure functions, no state.

Providers agree on few claims (OpenID Connect Core 1.0 §5.1), and on none for groups. Keycloak nests them, CILogon
names people like mail addresses, Globus sends neither groups nor verified addresses: the options of
`SciServerAuthenticator` that end up here are what bridges the difference.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

# Claims whose meaning is fixed by OpenID Connect Core 1.0 §5.1. None of them grants anything.
STANDARD_CLAIMS = frozenset(
    {
        "sub",
        "name",
        "given_name",
        "family_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "email",
        "email_verified",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "phone_number",
        "phone_number_verified",
        "address",
        "updated_at",
    }
)

LONGEST_GROUP_NAME = 255  # the hub's column


class NameRefused(Exception):
    """A name cannot be used; the text is for the person and holds nothing that the provider sent."""


def find(claims: Any, path: str) -> Any:
    """The value at `path`, or None.

    Parameters
    ----------
    claims
        What the provider says, as decoded JSON.
    path
        Names joined by dots, e.g. ``realm_access.roles``. A name may contain dots itself (``resource_access.my.client
        .roles``, ``https://example.org/groups``): where several readings are possible, the longest name wins.
    """
    if not isinstance(claims, Mapping):
        return None
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in claims:
            rest = ".".join(parts[length:])
            found = find(claims[name], rest) if rest else claims[name]
            if found is not None:
                return found
    return None


def strings(value: Any) -> list[str]:
    """A claim's value as a list of strings: of a list its strings, of a truth value ``true`` or ``false``.

    What is something else is left out: it cannot have been meant.
    """
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return [item for item in value if isinstance(item, str) and item]
    return []


def satisfied(claims: Mapping[str, Any], rules: Mapping[str, Collection[str]]) -> list[bool]:
    """For each rule, path and wanted values, whether the claim at the path has one of the values."""
    return [bool(set(strings(find(claims, path))) & set(wanted)) for path, wanted in rules.items()]


def group_names(given: Iterable[str], pattern: str) -> tuple[set[str], list[str]]:
    """The hub's groups for the provider's.

    Parameters
    ----------
    given
        Names as the provider sends them.
    pattern
        Regular expression for the whole of a name. Its first group, if it has one, is the hub's name for it; names
        that do not match are none of our business.

    Returns
    -------
    names : set of str
        Names for the hub.
    dropped : list of str
        Names that match and that the hub cannot have: empty, longer than 255 characters, with a slash or a control
        character in them, or with blanks around them. Web servers in front refuse a path that names such a group.
    """
    names: set[str] = set()
    dropped: list[str] = []
    for original in given:
        match = re.fullmatch(pattern, original)
        if match is None:
            continue
        name = match[1] if match.re.groups else match[0]
        # Printable: the hub writes names to logs and pages, and PostgreSQL refuses NUL.
        usable = bool(name) and len(name) <= LONGEST_GROUP_NAME and name.isprintable() and name == name.strip()
        if usable and "/" not in name:
            names.add(name)
        else:
            dropped.append(original)
    return names, dropped


def without_unverified_email(claims: Mapping[str, Any], *, vouched: bool = False) -> dict[str, Any]:
    """The claims, without an e-mail address that nobody has confirmed: anybody may have typed in anything.

    Parameters
    ----------
    claims
        What the provider says.
    vouched
        The provider confirms each address although it does not say so in ``email_verified``. If it says that an
        address is *not* verified, that counts all the same.
    """
    # Some providers send the text "true" (Amazon Cognito does), which Core 1.0 §5.1 does not allow.
    verified = claims.get("email_verified", vouched)
    if verified is True or verified == "true":
        return dict(claims)
    return {name: value for name, value in claims.items() if name != "email"}


def user_name(name: str, *, allowed_domains: Collection[str] = (), strip_domains: Collection[str] = ()) -> str:
    """The hub's name for a person whom the provider calls `name`.

    Parameters
    ----------
    name
        Mostly of the shape ``ada@example.edu``.
    allowed_domains
        Only people of these domains may come in; any if empty.
    strip_domains
        Domains that are left away: ``ada@example.edu`` becomes ``ada``. People of other domains keep theirs.

    Raises
    ------
    NameRefused
        The domain is not allowed, or the name could be taken for another person's after stripping.
    """
    local, at, domain = name.strip().rpartition("@")
    domain = domain.lower()
    if allowed_domains and (not at or domain not in {allowed.lower() for allowed in allowed_domains}):
        raise NameRefused("People of your institution cannot sign in here. Ask an administrator.")
    if not strip_domains:
        return name.strip()
    if not at or not local or "@" in local:
        # "ada" beside "ada@example.edu", or "ada@other.org@example.edu": stripped, they would be somebody else.
        raise NameRefused("Your user name does not belong to one institution, so it cannot be used here.")
    return local if domain in {stripped.lower() for stripped in strip_domains} else name.strip()


def without_paths(claims: Mapping[str, Any], paths: Iterable[str] | None) -> dict[str, Any]:
    """The claims that no path leads into; with None, which is "anywhere", the standard ones only.

    For the claims of an old identity token. A person who has lost the last group or role has no such claim any more,
    and what the old token says about it must not live on.
    """
    if paths is None:
        return {name: value for name, value in claims.items() if name in STANDARD_CLAIMS}
    # The first name of a path, whichever dots it contains.
    return {
        name: value for name, value in claims.items() if not any(f"{path}.".startswith(f"{name}.") for path in paths)
    }
