"""Results as tables of pandas, polars and astropy."""

from __future__ import annotations

import datetime
import decimal
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy import units
from SciServer.core import SciServerError, convert

BIG = 2**53 + 1

TABLE = pa.table(
    {
        "id": pa.array([BIG, None, 3], pa.int64()),
        "whole": pa.array([BIG, 2, 3], pa.int64()),
        "small": pa.array([1, None, 255], pa.uint8()),
        "ra": pa.array([1.5, None, 3.0]),
        "flag": pa.array([True, None, False]),
        "name": pa.array(["a", None, "ü"]),
        "day": pa.array([datetime.date(2026, 1, 2), None, datetime.date(1, 1, 1)]),
        "at": pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5, 6), None, None], pa.timestamp("us")),
        "exact": pa.array([decimal.Decimal("1.20"), None, decimal.Decimal("-3.00")]),
        "odd": pa.array([1.0, 2.0, 3.0]),
        "wrong": pa.array([1.0, 2.0, 3.0]),
        "nothing": pa.nulls(3),
    },
    schema=pa.schema(
        [
            pa.field("id", pa.int64(), metadata={"ucd": "meta.id"}),
            pa.field("whole", pa.int64()),
            pa.field("small", pa.uint8()),
            pa.field("ra", pa.float64(), metadata={"unit": "deg", "description": "Right ascension"}),
            pa.field("flag", pa.bool_()),
            pa.field("name", pa.string()),
            pa.field("day", pa.date32()),
            pa.field("at", pa.timestamp("us")),
            pa.field("exact", pa.decimal128(5, 2)),
            pa.field("odd", pa.float64(), metadata={"unit": "quux"}),
            pa.field("wrong", pa.float64(), metadata={"unit": "not a ? unit"}),
            pa.field("nothing", pa.null()),
        ],
        metadata={"name": "Stars", "description": "All stars"},
    ),
)


def test_pandas() -> None:
    frame = convert.to_pandas(TABLE)
    assert list(frame.columns) == TABLE.column_names
    assert frame["id"].dtype == "Int64"
    assert frame["id"][0] == BIG
    assert frame["id"][1] is pd.NA
    assert frame["whole"].dtype == "int64"
    assert frame["whole"][0] == BIG
    assert (frame["small"].dtype, frame["flag"].dtype, frame["ra"].dtype) == ("UInt8", "boolean", "float64")
    assert frame["at"][0] == pd.Timestamp("2026-01-02T03:04:05.000006")
    assert frame["day"].dtype.kind == "M"
    assert frame["name"].tolist()[2] == "ü"
    assert frame["exact"][0] == decimal.Decimal("1.20")
    assert frame.attrs["units"] == {"ra": "deg", "odd": "quux", "wrong": "not a ? unit"}
    assert frame.attrs["ucds"] == {"id": "meta.id"}
    assert frame.attrs["descriptions"] == {"ra": "Right ascension"}
    # Names may repeat nowhere, but a table may be empty.
    assert convert.to_pandas(TABLE.slice(0, 0))["id"].dtype == "int64"
    assert convert.to_pandas(pa.table({})).shape == (0, 0)


def test_polars() -> None:
    frame = convert.to_polars(TABLE)
    assert frame["id"].to_list() == [BIG, None, 3]
    assert frame.schema["id"] == pl.Int64
    assert convert.to_polars(pa.table({})).shape == (0, 0)


def test_astropy() -> None:
    table = convert.to_astropy(TABLE)
    assert table["ra"].unit == units.deg
    assert table["ra"].description == "Right ascension"
    assert table["id"].meta["ucd"] == "meta.id"
    assert str(table["odd"].unit) == "quux"
    assert isinstance(table["wrong"].unit, units.UnrecognizedUnit)
    assert table["id"][0] == BIG
    assert table["id"].dtype == np.int64
    assert table["id"].mask.tolist() == [False, True, False]
    assert table["name"].tolist() == ["a", None, "ü"]
    assert table["whole"].tolist() == [BIG, 2, 3]
    assert table["at"][0] == np.datetime64("2026-01-02T03:04:05.000006")
    assert table["flag"].mask.tolist() == [False, True, False]
    assert table.meta["name"] == "Stars"
    assert len(convert.to_astropy(TABLE.slice(0, 0))) == 0


@pytest.mark.parametrize(("package", "function"), [("polars", convert.to_polars), ("astropy", convert.to_astropy)])
def test_what_is_not_installed(package: str, function: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SciServerError, match=f"pip install {package}"):
        function(TABLE)  # type: ignore[operator]
