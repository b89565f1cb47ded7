"""In which form an answer is sent: by ``format=``, ``Accept`` and ``Accept-Encoding`` (RFC 9110, section 12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

JSON = "json-array"

OTHER_NAMES = {
    "json": JSON,
    "dict": JSON,
    "pandas": JSON,
    "text": "csv",
    "readable": "csv",
    "bytesio": "fits",
    "vot": "votable",
    "jsonl": "ndjson",
}
"""What ``format=`` also understands: the client libraries' words, and usual extensions of file names."""

OTHER_TYPES = {"application/json": JSON, "text/plain": "csv", "text/json": JSON}
"""Media types that are not a format's own. SciServer's clients ask for CSV as ``text/plain``."""

BINARY = {"arrow", "parquet", "fits"}
"""Formats that compression makes slower rather than smaller."""

ENCODINGS = ("zstd", "gzip")
"""What answers can be compressed with, the better one first."""


class NotAcceptable(Exception):
    """There is no form that the client takes; the text lists what there is."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a result is sent.

    Attributes
    ----------
    format
        Name of a format of `casjobs_service.results`.
    media_type
        As the client has asked for it, without parameters.
    """

    format: str
    media_type: str


@dataclass(frozen=True, slots=True)
class _Range:
    """One element of ``Accept``, e.g. ``text/*;q=0.5``."""

    kind: str
    subtype: str
    quality: float
    serialization: str = ""

    def fits(self, kind: str, subtype: str, serialization: str) -> int:
        """0: not; else the more specific, the larger."""
        if (self.kind, self.subtype) == (kind, subtype):
            if serialization:
                return 4 if self.serialization == serialization else 0
            return 3
        if serialization:
            # Another form of a type that is offered: only for those who ask for it.
            return 0
        if self.kind == kind and self.subtype == "*":
            return 2
        return int(self.kind == self.subtype == "*")


def choose(media_types: Mapping[str, str], accept: str | None, wanted: str | None = None) -> Form:
    """The form that the client likes best; of equal ones, the one that it names first.

    Parameters
    ----------
    media_types
        Of each format; the first one is taken by clients that take anything.
    accept
        The header; None and ``""`` take anything.
    wanted
        The parameter ``format=``; it wins over the header.

    Raises
    ------
    NotAcceptable
    """
    if wanted:
        name = wanted.strip().lower()
        name = OTHER_NAMES.get(name, name)
        if name not in media_types:
            raise NotAcceptable(f"There is no format {wanted.strip()[:40]!r}. {_offer(media_types)}")
        return Form(name, _parse(media_types[name])[0])
    offered = [(*_parse(media_type), name) for name, media_type in media_types.items()]
    offered += [(media_type, "", name) for media_type, name in OTHER_TYPES.items() if name in media_types]
    ranges = _ranges(accept or "") or [_Range("*", "*", 1.0)]
    best: tuple[float, int, int] | None = None
    form = None
    for media_type, serialization, name in offered:
        kind, _, subtype = media_type.partition("/")
        specific, place, range_ = max(
            ((range_.fits(kind, subtype, serialization), -place, range_) for place, range_ in enumerate(ranges)),
            key=lambda fit: fit[:2],
        )
        rank = (range_.quality, specific, place)
        if specific and range_.quality > 0 and (best is None or rank > best):
            best, form = rank, Form(name, media_type)
    if form is None:
        raise NotAcceptable(f"The header Accept names no format that there is. {_offer(media_types)}")
    return form


def encoding(accept_encoding: str | None, format_name: str) -> str:
    """``zstd``, ``gzip`` or ``identity``.

    Binary formats are compressed only for clients that put a compression before ``identity`` explicitly: libraries
    name what they can undo in every request, and the time that it costs is longer than the way.
    """
    qualities: dict[str, float] = {}
    for element in (accept_encoding or "").split(","):
        name, _, parameters = element.partition(";")
        if name.strip():
            qualities[name.strip().lower()] = _quality(parameters)
    anything = qualities.get("*", 0.0)
    plain = qualities.get("identity", anything if "*" in qualities and anything == 0 else None)
    best = max(ENCODINGS, key=lambda name: qualities.get(name, anything))
    quality = qualities.get(best, anything)
    if quality <= 0:
        return "identity"
    if plain is None:
        return "identity" if format_name in BINARY else best
    return best if quality > plain or (quality == plain and format_name not in BINARY) else "identity"


def _parse(media_type: str) -> tuple[str, str]:
    """A media type without parameters, and its parameter ``serialization`` (VOTable has two)."""
    name, _, parameters = media_type.lower().partition(";")
    return name.strip(), _parameter(parameters, "serialization")


def _parameter(parameters: str, wanted: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == wanted:
            return value.strip().strip('"')
    return ""


def _ranges(accept: str) -> list[_Range]:
    ranges = []
    for element in accept.split(","):
        name, _, parameters = element.lower().partition(";")
        # Java's URLConnection sends a single star.
        kind, slash, subtype = (name.strip() if name.strip() != "*" else "*/*").partition("/")
        if kind and slash and subtype:
            ranges.append(_Range(kind, subtype, _quality(parameters), _parameter(parameters, "serialization")))
    return ranges


def _quality(parameters: str) -> float:
    try:
        return min(max(float(_parameter(parameters, "q") or 1.0), 0.0), 1.0)
    except ValueError:
        return 0.0


def _offer(media_types: Mapping[str, str]) -> str:
    return f"There is: {', '.join(f'{name} ({_parse(media_type)[0]})' for name, media_type in media_types.items())}."
