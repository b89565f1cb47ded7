"""Values that come with a script, beside its text.

What a request sends under ``Parameters`` travels as it is, as JSON, to whoever binds it: the worker for the session's
own engine, the process of a driver for another one. There each value is checked once more and made an object of
Python. None becomes part of a text that anybody parses.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
import struct
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from casjobs_service.errors import Kind, QueryError

SETTING = "casjobs.{}"
"""Name of the setting by which PostgreSQL holds a parameter."""

MOST = 1000
"""Parameters of one request."""

Value = bool | int | float | str | bytes | decimal.Decimal | datetime.date | datetime.time | uuid.UUID | None

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TYPE = re.compile(r"(?P<name>[a-z]+2?)(?:\((?P<size>max|\d{1,4})(?:,(?P<scale>\d{1,2}))?\))?")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value with a name.

    Attributes
    ----------
    name
        As it was sent; case does not count.
    type
        In T-SQL, small letters without blanks; empty for a NULL of which no type was said.
    value
        None for NULL.
    """

    name: str
    type: str
    value: Value

    @property
    def text(self) -> str | None:
        """The value as PostgreSQL reads its types; None for NULL."""
        match self.value:
            case None:
                return None
            case bool():
                return "true" if self.value else "false"
            case float():
                return repr(self.value)
            case bytes():
                return f"\\x{self.value.hex()}"
            case datetime.datetime():
                return self.value.isoformat(" ")
        return str(self.value)


def read(sent: object) -> dict[str, Parameter]:
    """What a request has sent under ``Parameters``; by name in small letters.

    Raises
    ------
    QueryError
        It is no object of names and values, or one of them cannot be a parameter; says which, and what can.
    """
    if sent is None:
        return {}
    if not isinstance(sent, Mapping):
        raise QueryError("Parameters is not an object.", hint='Send names with values, such as {"n": 10}.')
    if len(sent) > MOST:
        raise QueryError(
            f"There are more than {MOST:,} parameters.",
            Kind.LIMIT,
            hint="Upload long lists as a table, and join with it.",
        )
    found: dict[str, Parameter] = {}
    for name, value in sent.items():
        parameter = one(name, value)
        if name.lower() in found:
            raise QueryError(f"The parameter {name} is there twice: names differ by more than case.")
        found[name.lower()] = parameter
    return found


def one(name: str, sent: object) -> Parameter:
    """One value: plain, or with a type as ``{"value": …, "type": "datetime"}``.

    Raises
    ------
    QueryError
        See `read`.
    """
    if not _NAME.fullmatch(name):
        raise QueryError(
            f"{name[:80]!r} cannot be the name of a parameter.",
            hint="Names have up to 64 letters without accents, digits and _, and begin with no digit.",
        )
    if isinstance(sent, Mapping):
        kind = sent.get("type")
        if set(sent) != {"value", "type"} or not isinstance(kind, str):
            raise _refused(name, "an object", 'With a type it is {"value": …, "type": "datetime"}.')
        return _typed(name, sent["value"], re.sub(r"\s", "", kind.lower()))
    match sent:
        case None:
            return Parameter(name, "", None)
        case bool():
            return _typed(name, sent, "bit")
        case int():
            return _typed(name, sent, "bigint")
        case float():
            return _typed(name, sent, "float")
        case str():
            return _typed(name, sent, "nvarchar(max)")
    raise _refused(name, "a list", "Send one parameter for each value, and write IN (@a, @b).")


def _refused(name: str, what: str, hint: str = "") -> QueryError:
    return QueryError(f"The parameter {name} cannot be {what}.", hint=hint)


def _typed(name: str, sent: object, kind: str) -> Parameter:
    match = _TYPE.fullmatch(kind)
    known = _KINDS.get(match["name"]) if match else None
    if match is None or known is None:
        raise QueryError(
            f"The parameter {name} has the type {kind[:40]!r}, which is none.", hint=f"There is: {', '.join(_KINDS)}."
        )
    size, scale = match["size"], int(match["scale"] or 0)
    sized = known in (_text, _binary, _decimal) and match["name"] not in _MONEY
    if (size is not None and not sized and "time" not in match["name"]) or (size == "max" and known is _decimal):
        raise QueryError(f"The type {kind} of the parameter {name} takes no size.")
    if known is _decimal and not (scale <= int(size or 18) <= 38 and int(size or 18)):
        raise QueryError(f"The type {kind} of the parameter {name} is none: decimals have 1 to 38 digits.")
    try:
        value = None if sent is None else known(sent, match["name"], size, scale)
    except _Unfit as error:
        raise QueryError(f"The parameter {name} is no {kind}: {error}") from None
    if known in (_text, _binary):
        # Without a size T-SQL would take the first character alone, and nobody means that.
        kind = kind if size else _UNLIMITED.get(match["name"], f"{match['name']}(max)")
    return Parameter(name, kind if sized else match["name"], value)


class _Unfit(Exception):
    """The value is not of the type; says what would be."""


def _integer(sent: object, kind: str, size: str | None, scale: int) -> int:
    if isinstance(sent, str) and re.fullmatch(r"[+-]?\d{1,19}", sent.strip()):
        sent = int(sent)
    if isinstance(sent, bool) or not isinstance(sent, int):
        raise _Unfit("send a whole number, or its digits as text.")
    low, high = _RANGES[kind]
    if not low <= sent <= high:
        more = 'as text with {"type": "decimal(38)"}' if kind == "bigint" else "as bigint"
        raise _Unfit(f"it is outside of {low:,} to {high:,}. Send it {more}.")
    return sent


def _bit(sent: object, kind: str, size: str | None, scale: int) -> bool:
    if not isinstance(sent, bool | int) or sent not in (0, 1):
        raise _Unfit("send true, false, 0 or 1.")
    return bool(sent)


def _decimal(sent: object, kind: str, size: str | None, scale: int) -> decimal.Decimal:
    if kind in _MONEY:
        digits, scale = _MONEY[kind]
    else:
        digits = int(size or 18)
    if isinstance(sent, bool) or not isinstance(sent, int | float | str) or len(str(sent)) > 100:
        raise _Unfit("send a number, or its digits as text.")
    try:
        value = decimal.Decimal(str(sent).strip())
        if not value.is_finite():
            raise _Unfit("send a number that is finite.")
        with decimal.localcontext(prec=digits):
            return value.quantize(decimal.Decimal(1).scaleb(-scale), decimal.ROUND_HALF_UP)
    except decimal.InvalidOperation:
        raise _Unfit(f"it has {digits - scale} digits before the point and {scale} after it.") from None


def _float(sent: object, kind: str, size: str | None, scale: int) -> float:
    if isinstance(sent, bool) or not isinstance(sent, int | float):
        raise _Unfit("send a number.")
    try:
        value = float(sent)
        if kind == "real" and math.isfinite(value):
            struct.pack("<f", value)
    except OverflowError:
        raise _Unfit("it is too large.") from None
    if not math.isfinite(value):
        raise _Unfit("SQL Server's numbers are neither infinite nor NaN. Send null instead.")
    return value


def _text(sent: object, kind: str, size: str | None, scale: int) -> str:
    if not isinstance(sent, str):
        raise _Unfit("send text.")
    if size in (None, "max"):
        return sent
    if len(sent) > int(size):
        raise _Unfit(f"it has {len(sent):,} characters.")
    return sent.ljust(int(size)) if kind in _FIXED else sent


def _binary(sent: object, kind: str, size: str | None, scale: int) -> bytes:
    digits = sent.strip().lower().removeprefix("0x") if isinstance(sent, str) else "?"
    if not re.fullmatch(r"(?:[0-9a-f]{2})*", digits):
        raise _Unfit("send text such as 0x1fe0, with two digits for each byte.")
    value = bytes.fromhex(digits)
    if size in (None, "max"):
        return value
    if len(value) > int(size):
        raise _Unfit(f"it has {len(value):,} bytes.")
    return value.ljust(int(size), b"\0") if kind in _FIXED else value


def _date(sent: object, kind: str, size: str | None, scale: int) -> datetime.date:
    try:
        return datetime.date.fromisoformat(str(sent).strip())
    except ValueError:
        raise _Unfit("send text such as 2026-01-31.") from None


def _time(sent: object, kind: str, size: str | None, scale: int) -> datetime.time:
    try:
        value = datetime.time.fromisoformat(str(sent).strip())
    except ValueError:
        raise _Unfit("send text such as 12:30:00.5.") from None
    if value.tzinfo is not None:
        raise _Unfit("it has a zone.")
    return value


def _datetime(sent: object, kind: str, size: str | None, scale: int) -> datetime.datetime:
    try:
        value = datetime.datetime.fromisoformat(str(sent).strip())
        if kind == "datetimeoffset":
            return value.replace(tzinfo=value.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise _Unfit("send text such as 2026-01-31T12:30:00.") from None
    if value.tzinfo is not None:
        raise _Unfit("it has a zone. Send the type datetimeoffset, or the time without it.")
    return value


def _uuid(sent: object, kind: str, size: str | None, scale: int) -> uuid.UUID:
    try:
        return uuid.UUID(str(sent).strip())
    except ValueError:
        raise _Unfit("send text such as 6f9619ff-8b86-d011-b42d-00c04fc964ff.") from None


_RANGES = {
    "tinyint": (0, 255),
    "smallint": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_MONEY = {"money": (19, 4), "smallmoney": (10, 4)}
_FIXED = ("char", "nchar", "binary")
_UNLIMITED = {
    "text": "varchar(max)",
    "ntext": "nvarchar(max)",
    "char": "varchar(max)",
    "nchar": "nvarchar(max)",
    "binary": "varbinary(max)",
}
_KINDS: dict[str, Callable[[object, str, str | None, int], Value]] = {
    "bit": _bit,
    **dict.fromkeys(_RANGES, _integer),
    **dict.fromkeys(("decimal", "numeric", *_MONEY), _decimal),
    **dict.fromkeys(("real", "float"), _float),
    **dict.fromkeys(("char", "varchar", "nchar", "nvarchar", "text", "ntext"), _text),
    **dict.fromkeys(("binary", "varbinary"), _binary),
    "date": _date,
    "time": _time,
    **dict.fromkeys(("datetime", "datetime2", "smalldatetime", "datetimeoffset"), _datetime),
    "uniqueidentifier": _uuid,
}
"""T-SQL's types: what makes a value of each."""
