"""What is known of a result besides its values, carried by Arrow's own metadata.

Fields have the keys ``unit`` (VOUnits), ``ucd`` (UCD1+) and ``description``; the schema has ``name`` and
``description`` of the table. All are UTF-8 text. Keys of others stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from casjobs_service.catalog import Column

UNIT, UCD, DESCRIPTION, NAME = b"unit", b"ucd", b"description", b"name"


@dataclass(frozen=True, slots=True)
class About:
    """Texts about a column; for a table, only `description`."""

    unit: str = ""
    ucd: str = ""
    description: str = ""


def about(described: pa.Field | pa.Schema) -> About:
    """What the metadata of a field or schema says."""
    metadata = described.metadata or {}
    return About(*(metadata.get(key, b"").decode("utf-8", "replace") for key in (UNIT, UCD, DESCRIPTION)))


def table_name(schema: pa.Schema) -> str:
    """Name of the table in the metadata; empty if there is none."""
    return str((schema.metadata or {}).get(NAME, b"").decode("utf-8", "replace"))


def with_columns(schema: pa.Schema, columns: Sequence[Column], name: str = "", description: str = "") -> pa.Schema:
    """The schema with what the catalogue knows of its columns.

    Parameters
    ----------
    columns
        In the order of the fields, as in `casjobs_service.plan.Statement.columns`; if their number is another one,
        nothing is known. Types are not looked at.
    name, description
        Of the table; empty leaves them out.
    """
    fields = list(schema)
    if len(columns) == len(fields):
        fields = [_with(field, column) for field, column in zip(fields, columns, strict=True)]
    metadata = dict(schema.metadata or {})
    metadata.update({key: value.encode() for key, value in ((NAME, name), (DESCRIPTION, description)) if value})
    return pa.schema(fields, metadata or None)


def _with(field: pa.Field, column: Column) -> pa.Field:
    known = ((UNIT, column.unit), (UCD, column.ucd), (DESCRIPTION, column.description))
    added = {key: value.encode() for key, value in known if value}
    return field.with_metadata({**(field.metadata or {}), **added}) if added else field


def unique_names(names: Sequence[str], *, ignore_case: bool = False) -> list[str]:
    """Names of columns for formats in which each may occur once: ``a, a, b`` becomes ``a, a_1, b``.

    A column without a name is called ``Column`` and its position.
    """

    def folded(name: str) -> str:
        return name.lower() if ignore_case else name

    wanted = [name or f"Column{position}" for position, name in enumerate(names, 1)]
    taken = {folded(name) for name in wanted}
    used: set[str] = set()
    found = []
    for name in wanted:
        candidate, number = name, 0
        while folded(candidate) in used or (number and folded(candidate) in taken):
            number += 1
            candidate = f"{name}_{number}"
        used.add(folded(candidate))
        found.append(candidate)
    return found


def with_unique_names(schema: pa.Schema) -> pa.Schema:
    """The schema with `unique_names`."""
    names = unique_names(schema.names)
    fields = [field.with_name(name) for field, name in zip(schema, names, strict=True)]
    return pa.schema(fields, schema.metadata)
