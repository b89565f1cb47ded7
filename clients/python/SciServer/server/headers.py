"""Which headers pass between the page in the browser and the service; all others stay behind.

Lists of what passes, not of what does not: who somebody is (cookies, tokens), what concerns one connection only
(RFC 9110 §7.6.1), and what gives a page rights in the notebook's origin are kept back also if they have new names.
"""

from __future__ import annotations

from tornado.httputil import HTTPHeaders

_TO_SERVICE = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-digest",
        "content-encoding",
        "content-language",
        "content-md5",
        "content-range",
        "content-type",
        "digest",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "repr-digest",
        "tus-resumable",
        "upload-defer-length",
        "upload-length",
        "upload-metadata",
        "upload-offset",
        "user-agent",
    }
)

_TO_PAGE = frozenset(
    {
        "accept-ranges",
        "allow",
        "cache-control",
        "content-digest",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "digest",
        "etag",
        "expires",
        "last-modified",
        "repr-digest",
        "retry-after",
        "tus-extension",
        "tus-resumable",
        "tus-version",
        "upload-defer-length",
        "upload-expires",
        "upload-length",
        "upload-offset",
        "vary",
        "x-content-type-options",
    }
)

_PLAIN = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "application/x-ndjson",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "image/webp",
        "text/csv",
        "text/plain",
        "text/tab-separated-values",
    }
)
"""Types in which no script can be, as a browser shows them."""

SANDBOX = "sandbox"
"""Whatever a service sends is no page of the notebook's: nothing of it runs, and it belongs to no origin."""


def to_service(headers: HTTPHeaders) -> HTTPHeaders:
    """The headers of a client's request that the service gets."""
    return _chosen(headers, _TO_SERVICE)


def to_page(headers: HTTPHeaders) -> HTTPHeaders:
    """The headers of a service's answer that the page gets.

    What a browser might show as a page is to be kept as a file. `SANDBOX` would do; the second bolt is for browsers
    and proxies that know it badly.
    """
    chosen = _chosen(headers, _TO_PAGE)
    chosen.setdefault("Content-Type", "application/octet-stream")
    media_type = chosen["Content-Type"].partition(";")[0].strip().lower()
    if media_type not in _PLAIN and not chosen.get("Content-Disposition", "").lower().startswith("attachment"):
        chosen["Content-Disposition"] = "attachment"
    chosen["X-Content-Type-Options"] = "nosniff"
    chosen["Cross-Origin-Resource-Policy"] = "same-origin"
    chosen["Referrer-Policy"] = "no-referrer"
    return chosen


def _chosen(headers: HTTPHeaders, names: frozenset[str]) -> HTTPHeaders:
    chosen = HTTPHeaders()
    # What `Connection` names belongs to this connection, whatever it is.
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    for name, value in headers.get_all():
        if name.lower() in names - named:
            chosen.add(name, value)
    return chosen
