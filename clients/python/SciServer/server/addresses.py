"""Where a service is, and what of a request's address may go there.

The machine and the first part of the path come from configuration only. Nothing that a client sends is ever parsed as
an address: its path and query are checked as text and put behind the configured ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus, unquote_to_bytes, urlsplit

_PORTS = {"http": 80, "https": 443}

_PATH_SAFE = "/%!$&'()*+,;=:@-._~"
_QUERY_SAFE = _PATH_SAFE + "?"

_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")

OURS = frozenset({"_xsrf", "token", "no_track_activity"})
"""Parameters that are meant for the Jupyter server, two of them secret."""


class AddressError(ValueError):
    """An address that cannot be used; the text says why."""


@dataclass(frozen=True)
class Address:
    """The address of a service.

    Attributes
    ----------
    path
        Begins with a slash, or is empty; does not end with one.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address out of the configuration.

        Raises
        ------
        AddressError
            It is no plain address of a service.
        """
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise AddressError(f"{text!r} is not an address.") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise AddressError(f"{text!r} is not an address that begins with http:// or https://.")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise AddressError("The address of a service has no user name, no parameters and no fragment.")
        path = parts.path.rstrip("/")
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], f"/{clean_path(path)}" if path else "")

    @property
    def netloc(self) -> str:
        """Host and port as the header ``Host`` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"

    def target(self, path: str, query: str = "") -> str:
        """The request's target (RFC 9112 §3.2.1) for a path below this address.

        Parameters
        ----------
        path, query
            As a client wrote them, percent-encoded.

        Raises
        ------
        AddressError
            See `clean_path`.
        """
        query = clean_query(query)
        return f"{self.path}/{clean_path(path)}" + (f"?{query}" if query else "")

    def below(self, location: str) -> str | None:
        """The part of a ``Location`` that is below this address, percent-encoded; None if it leads elsewhere.

        The machine is not compared: a service that is reached by two names may call itself by the other one.
        """
        try:
            parts = urlsplit(location)
            inner = clean_path(parts.path)
        except ValueError:
            return None
        above = self.path.lstrip("/")
        if parts.scheme not in ("", *_PORTS) or not f"{inner}/".startswith(f"{above}/" if above else ""):
            return None
        return inner[len(above) :].lstrip("/") + (f"?{parts.query}" if parts.query else "")


def clean_path(path: str) -> str:
    """A path as it may stand behind a service's address, without a slash at its beginning.

    Raises
    ------
    AddressError
        It could be understood to lead out of the service: ``.`` or ``..`` as a name, a slash in a name, an unfinished
        escape; however they are written.
    """
    if _BROKEN_ESCAPE.search(path):
        raise AddressError("The path has a % that is not the beginning of an escape.")
    # Browsers leave some characters as they are which others escape; servers agree on the escaped form.
    escaped = quote(path.encode("latin-1", "replace"), safe=_PATH_SAFE).lstrip("/")
    for name in escaped.split("/"):
        plain = unquote_to_bytes(name)
        # The backslash is a letter of a name, but some proxies take it for a slash.
        if b"/" in plain or b"\0" in plain or {b".", b".."} & set(plain.replace(b"\\", b"/").split(b"/")):
            raise AddressError("The path has a name that is . or .. or has a slash in it.")
    return escaped


def clean_query(query: str) -> str:
    """A query without the parameters that are meant for the Jupyter server (`OURS`); the rest as it was written.

    Raises
    ------
    AddressError
        An unfinished escape.
    """
    if _BROKEN_ESCAPE.search(query):
        raise AddressError("The query has a % that is not the beginning of an escape.")
    kept = [part for part in query.split("&") if unquote_plus(part.partition("=")[0]) not in OURS]
    return quote("&".join(kept).encode("latin-1", "replace"), safe=_QUERY_SAFE)
