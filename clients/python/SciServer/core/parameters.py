"""Python values as parameters of a query: in JSON, and of the type that T-SQL is to see."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Mapping
from typing import Any

from SciServer.core.errors import SciServerError

_MISSING = frozenset({"NAType", "NaTType"})
"""pandas' values for what is missing; by name, so that pandas is not imported for it."""


def to_json(parameters: Mapping[str, object]) -> dict[str, Any]:
    """The body's ``Parameters``.

    bool, int, float, str and None are bound as bit, bigint, float, nvarchar and NULL. Dates and times, `Decimal` and
    bytes become ``{"value": …, "type": …}``, which may also be given. numpy's and pandas' single values are taken as
    Python's.

    Raises
    ------
    SciServerError
        A value cannot be a parameter.
    """
    return {name: _value(name, value) for name, value in parameters.items()}


def _value(name: str, value: object) -> Any:
    if value is None or isinstance(value, bool) or type(value).__name__ in _MISSING:
        return value if isinstance(value, bool) else None
    if isinstance(value, str | Mapping):
        return str(value) if isinstance(value, str) else dict(value)
    if isinstance(value, bytes):
        return {"value": f"0x{value.hex()}", "type": "varbinary(max)"}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise SciServerError(f"The parameter {name} is {value}, which SQL has not. Use None for NULL.")
        return float(value)
    if isinstance(value, decimal.Decimal) and value.is_finite():
        scale = max(0, -int(value.as_tuple().exponent))
        digits = max(len(value.as_tuple().digits), scale) + max(0, int(value.as_tuple().exponent))
        return {"value": format(value, "f"), "type": f"decimal({digits},{scale})"}
    if isinstance(value, datetime.datetime):
        kind = "datetime2" if value.tzinfo is None else "datetimeoffset"
        return {"value": value.isoformat(), "type": kind}
    if isinstance(value, datetime.date | datetime.time):
        return {"value": value.isoformat(), "type": "date" if isinstance(value, datetime.date) else "time"}
    if hasattr(value, "item") and getattr(value, "size", 1) == 1 and not hasattr(value, "columns"):
        return _value(name, value.item())
    raise SciServerError(
        f"The parameter {name} is a {type(value).__name__}, which cannot be bound. Give a number, text, date or None; "
        "upload tables with casjobs.upload."
    )
