"""Arrow tables as those of pandas, polars and astropy; units and descriptions go along where they can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from SciServer.core.errors import SciServerError
from SciServer.core.rows import text

if TYPE_CHECKING:
    import astropy.table
    import pandas as pd
    import polars as pl
    import pyarrow as pa


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """A DataFrame in which integers stay integers, also where values are missing.

    Such columns are of pandas' types ``Int64`` and the like. ``frame.attrs`` has ``units``, ``ucds`` and
    ``descriptions`` by column, those that are known.
    """
    import pandas as pd
    import pyarrow as pa

    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        **{
            getattr(pa, name.lower())(): getattr(pd, f"{name}Dtype")()
            for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
        },
    }
    # pandas' own way makes floats of them, in which 64-bit identifiers lose their last digits.
    frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count and column.type in nullable:
            frame[name] = column.to_pandas(types_mapper=nullable.get)
    for key, plural in (("unit", "units"), ("ucd", "ucds"), ("description", "descriptions")):
        if known := {field.name: found for field in table.schema if (found := text(field.metadata, key))}:
            frame.attrs[plural] = known
    return frame


def to_polars(table: pa.Table) -> pl.DataFrame:
    """A DataFrame of polars, which keeps no units.

    Raises
    ------
    SciServerError
        polars is not installed.
    """
    try:
        import polars as pl
    except ImportError:
        raise missing("polars") from None
    frame = pl.from_arrow(table)
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def to_astropy(table: pa.Table) -> astropy.table.Table:
    """A Table with units, descriptions, and UCDs under ``meta["ucd"]`` of a column. Missing values are masked.

    A unit that astropy does not know keeps its name, and cannot be converted.

    Raises
    ------
    SciServerError
        astropy is not installed.
    """
    try:
        from astropy import units
        from astropy.table import Table
    except ImportError:
        raise missing("astropy") from None
    found = Table()
    for field, column in zip(table.schema, table.columns, strict=True):
        found[field.name] = _values(column)
        if unit := text(field.metadata, "unit"):
            found[field.name].unit = units.Unit(unit, format="vounit", parse_strict="silent")
        found[field.name].description = text(field.metadata, "description") or None
        if ucd := text(field.metadata, "ucd"):
            found[field.name].meta["ucd"] = ucd
    found.meta.update({key: value for key in ("name", "description") if (value := text(table.schema.metadata, key))})
    return found


def _values(column: pa.ChunkedArray) -> Any:
    """An array of numpy, masked where values are missing."""
    import numpy as np
    import pyarrow as pa

    kinds = pa.types
    is_text = kinds.is_string(column.type) or kinds.is_large_string(column.type)
    filled = column
    # Others have NaN, NaT or None for what is missing.
    if column.null_count and (is_text or kinds.is_integer(column.type) or kinds.is_boolean(column.type)):
        filled = column.fill_null("" if is_text else False if kinds.is_boolean(column.type) else 0)
    array = np.asarray(filled.to_numpy(zero_copy_only=False))
    if is_text:
        array = array.astype(str)
    if not column.null_count:
        return array
    return np.ma.MaskedArray(array, mask=column.is_null().to_numpy(zero_copy_only=False))


def missing(package: str) -> SciServerError:
    """A package that is wanted and not there."""
    return SciServerError(f"{package} is not installed: pip install {package}, or take another format.")
