"""DuckDB's types that are not themselves in Arrow.

DuckDB hands over BIT and GEOMETRY as its internal bytes, TIME WITH TIME ZONE without its zone, UHUGEINT beyond 2^127
as a negative number, BIGNUM and VARIANT in forms that only DuckDB reads. They leave the engine as text instead.
HUGEINT is a decimal128(38, 0) that keeps all its 39 digits.
"""

from __future__ import annotations

import duckdb

_LOST = {"bit", "time with time zone", "uhugeint", "bignum", "variant", "geometry"}
_NESTED = {"list", "array", "struct", "tuple", "map", "union"}


def exact(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The same rows, with columns as text whose values, or inner values, Arrow would not hold."""
    lost = [_is_lost(data_type) for data_type in relation.types]
    if not any(lost):
        return relation
    columns = []
    for number, (name, is_lost) in enumerate(zip(relation.columns, lost, strict=True), 1):
        quoted = name.replace('"', '""')
        columns.append(f'CAST(#{number} AS VARCHAR) AS "{quoted}"' if is_lost else f"#{number}")
    return relation.project(", ".join(columns))


def _is_lost(data_type: duckdb.sqltypes.DuckDBPyType) -> bool:
    if data_type.id in _LOST:
        return True
    if data_type.id not in _NESTED:
        return False
    # An array has its size among its children, which is a number.
    types = (child for _, child in data_type.children)
    return any(_is_lost(child) for child in types if isinstance(child, duckdb.sqltypes.DuckDBPyType))
