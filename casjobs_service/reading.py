"""What the readers of files share."""

from __future__ import annotations

import pyarrow as pa

from casjobs_service.errors import Kind, QueryError

BATCH_ROWS = 50_000
BATCH_BYTES = 8 << 20
"""Size of a record batch: what is reached first."""

MOST_COLUMNS = 2000


def damaged(format: str, why: str) -> QueryError:
    """The file is not what it says to be."""
    return QueryError(f"The {format} file cannot be read: {why}.", Kind.DATA)


def field(name: str, type: pa.DataType, *, unit: str = "", ucd: str = "", description: str = "") -> pa.Field:
    """A field with what is known of it."""
    about = {"unit": unit, "ucd": ucd, "description": " ".join(description.split())}
    return pa.field(name, type, metadata={key: value for key, value in about.items() if value})


def checked_names(schema: pa.Schema) -> pa.Schema:
    """Insist on columns that a table can have.

    Raises
    ------
    QueryError
        There are none, too many, or two with the same name.
    """
    if not len(schema):
        raise QueryError("The file has no columns.", Kind.DATA)
    if len(schema) > MOST_COLUMNS:
        raise QueryError(f"The file has {len(schema)} columns, and a table can have {MOST_COLUMNS}.", Kind.DATA)
    seen: dict[str, str] = {}
    for name in schema.names:
        if not name or "\0" in name or len(name) > 256:
            raise QueryError("Each column needs a name, of 256 characters at most.", Kind.DATA)
        if (other := seen.get(name.lower())) is not None:
            raise QueryError(
                f"Two columns have the names {other} and {name}: SQL does not tell them apart.",
                Kind.DATA,
                hint="Rename one.",
            )
        seen[name.lower()] = name
    return schema
