"""Values of Python as parameters of a query. No library is imported: a value says by itself what it can do."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any


class Refused(Exception):
    """A value that cannot be a parameter; the text follows the name of the expression."""


SIMPLE = (
    bool,
    int,
    float,
    str,
    bytes,
    decimal.Decimal,
    datetime.datetime,
    datetime.date,
    datetime.time,
)


def plain(value: object) -> object:
    """A value that the client can send, or a list of such.

    Lists, tuples, sets, ranges, and arrays of one dimension become lists. Missing values (None, NaN, NaT, masked ones)
    become None.

    Raises
    ------
    Refused
        It is something else.
    """
    if isinstance(value, dict):
        raise Refused("is a dictionary. Take a value of it.")
    if isinstance(value, list | tuple | set | frozenset | range):
        return [_scalar(each) for each in value]
    if hasattr(value, "columns") or hasattr(value, "colnames"):
        raise Refused("is a table. Upload it and join it: %casjobs upload NAME VARIABLE")
    unit = getattr(value, "unit", None)
    # Times of pandas have one too, which says how fine they are.
    if unit is not None and not isinstance(unit, str):
        raise Refused(
            f"has the unit {unit}, of which SQL knows nothing. Take its number in the column's unit: .to_value(…)"
        )
    if getattr(value, "ndim", 1) > 1:
        raise Refused("has several dimensions, and a list has one.")
    unpacked = _unpacked(value)
    return [_scalar(each) for each in unpacked] if isinstance(unpacked, list) else _scalar(unpacked)


def _unpacked(value: Any) -> Any:
    """Arrays and scalars of NumPy, pandas, polars, Arrow and astropy, as Python's own."""
    if isinstance(value, SIMPLE):
        return value
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in {"M", "m"} and hasattr(value, "astype") and not hasattr(value, "to_list"):
        # Of nanoseconds NumPy gives numbers.
        return value.astype(f"{kind}8[us]").tolist()
    for method in ("to_pylist", "as_py", "to_list", "tolist"):
        if hasattr(value, method):
            return getattr(value, method)()
    return value


def _scalar(value: object) -> object:
    value = _unpacked(value)
    if value is None or _missing(value):
        return None
    if isinstance(value, float | decimal.Decimal) and math.isinf(value):
        raise Refused("is infinite, which SQL has not.")
    if isinstance(value, SIMPLE):
        return value
    if isinstance(value, list | tuple | set):
        raise Refused("is a list of lists, and SQL takes one list.")
    if isinstance(value, complex):
        raise Refused("is a complex number, which SQL has not.")
    raise Refused(f"is of the type {type(value).__name__}. Numbers, text, times and lists of them can be sent.")


def _missing(value: Any) -> bool:
    if isinstance(value, float | decimal.Decimal):
        return math.isnan(value)
    # NaT is a datetime of its own kind that differs from itself; NA and masked values say who they are.
    return type(value).__name__ in {"NaTType", "NAType", "MaskedConstant"}
