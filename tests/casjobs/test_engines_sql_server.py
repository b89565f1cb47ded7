"""SQL Server, as far as it goes without one: types, catalogue, messages, and a host where none is.

Its protocol is not spoken here: statements, cancelling and estimates of the adapter have run against no server.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pymssql
import pytest

from casjobs_service.catalog import Column
from casjobs_service.contexts import Contexts
from casjobs_service.engines import run_remote
from casjobs_service.engines.dbapi import arrow_type, batches
from casjobs_service.engines.sql_server import (
    SQLServer,
    sql_server_catalog,
    sql_server_complaint,
    sql_server_type,
    with_parameters,
)
from casjobs_service.engines.trino import trino_type
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.parameters import read
from tests.support import free_port


@pytest.mark.parametrize(
    ("name", "type", "arrow"),
    [
        ("bigint", "BIGINT", pa.int64()),
        ("tinyint", "SMALLINT", pa.int16()),
        ("bit", "BOOLEAN", pa.bool_()),
        ("real", "FLOAT", pa.float32()),
        ("float", "DOUBLE", pa.float64()),
        ("decimal(18,4)", "DECIMAL(18,4)", pa.decimal128(18, 4)),
        ("numeric(38,0)", "DECIMAL(38,0)", pa.decimal128(38, 0)),
        ("money", "DECIMAL(19,4)", pa.decimal128(19, 4)),
        ("varchar(max)", "VARCHAR", pa.string()),
        ("nvarchar(20)", "VARCHAR", pa.string()),
        ("varbinary(8)", "BLOB", pa.binary()),
        ("datetime2(7)", "TIMESTAMP", pa.timestamp("us")),
        ("datetimeoffset(7)", "TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC")),
        ("uniqueidentifier", "VARCHAR", pa.string()),
        ("geometry", "VARCHAR", pa.string()),
    ],
)
def test_types(name: str, type: str, arrow: pa.DataType) -> None:
    assert sql_server_type(name) == type
    assert arrow_type(type) == arrow


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("array(array(bigint))", "VARCHAR"),
        ("array(decimal(5,2))", "VARCHAR"),
        ("map(varchar, bigint)", "VARCHAR"),
        ("row(a bigint)", "VARCHAR"),
        ("timestamp(12) with time zone", "TIMESTAMP WITH TIME ZONE"),
    ],
)
def test_types_of_trino_that_have_no_like_are_text(name: str, type: str) -> None:
    assert trino_type(name) == type


def test_rows_become_batches_with_their_types() -> None:
    schema = pa.schema([("i", pa.int64()), ("d", pa.decimal128(19, 4)), ("t", pa.string())])
    pages = [[(1, Decimal("1.5"), "é"), (None, None, None)], [(2**62, Decimal("-0.0001"), {"a": 1})], []]
    found = list(batches(schema, lambda rows: pages.pop(0), lambda error: QueryError(str(error))))
    assert [batch.to_pylist() for batch in found] == [
        [{"i": 1, "d": Decimal("1.5"), "t": "é"}, {"i": None, "d": None, "t": None}],
        [{"i": 2**62, "d": Decimal("-0.0001"), "t": '{"a": 1}'}],
    ]
    with pytest.raises(QueryError, match="The column i has values"):
        list(batches(schema, lambda rows: [(2**63, None, None)], lambda error: QueryError(str(error))))


def test_catalogue_of_its_system_views() -> None:
    about = '{"unit": "deg", "ucd": "pos.eq.ra", "description": "Right ascension"}'
    catalog = sql_server_catalog(
        "DR18",
        [
            ("dbo", "PhotoObjAll", "U ", "objID", "bigint", 19, 0, None, "All objects"),
            ("dbo", "PhotoObjAll", "U ", "ra", "float", 53, 0, about, "All objects"),
            ("dbo", "Galaxy", "V ", "objID", "bigint", 19, 0, None, None),
            ("extra", "Galaxy", "U ", "other", "int", 10, 0, None, None),
            ("extra", "Notes", "U ", "price", "decimal", 9, 2, "Price", None),
        ],
        [
            ("fDistance", "FN", 0, "", "float", 53, 0),
            ("fDistance", "FN", 1, "@ra", "float", 53, 0),
            ("fNearby", "IF", 1, "@radius", "float", 53, 0),
            ("fNothing", "TF", None, None, None, None, None),
        ],
    )
    assert [(table.name, table.kind, table.schema) for table in catalog.tables] == [
        ("PhotoObjAll", "table", ""),
        ("Galaxy", "view", ""),
        ("Notes", "table", "extra"),
    ]
    assert catalog.tables[0].description == "All objects"
    assert catalog.tables[0].columns[1] == Column("ra", "DOUBLE", "deg", "pos.eq.ra", "Right ascension")
    assert catalog.tables[2].columns == [Column("price", "DECIMAL(9,2)", description="Price")]
    assert [(one.name, one.kind, one.returns, len(one.parameters)) for one in catalog.functions] == [
        ("fDistance", "scalar", "DOUBLE", 1),
        ("fNearby", "table", "", 1),
        ("fNothing", "table", "", 0),
    ]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (pymssql.ProgrammingError(208, b"Invalid object name 'x'."), Kind.NAME, "Invalid object name 'x'."),
        (
            pymssql.ProgrammingError(102, b"Incorrect syntax near 'x'.DB-Lib error message 20018, h"),
            Kind.SYNTAX,
            "near 'x'.",
        ),
        (pymssql.OperationalError((229, b"The SELECT permission was denied")), Kind.FORBIDDEN, "denied"),
        (pymssql.OperationalError(8134, b"Divide by zero error encountered."), Kind.DATA, "Divide by zero"),
        (pymssql.OperationalError((20003, b"DBPROCESS is dead, timed out")), Kind.TIMEOUT, "longer than 7 seconds"),
        (pymssql.OperationalError((20047, b"DBPROCESS is dead or not enabled")), Kind.UNAVAILABLE, "does not answer"),
        (pymssql.InterfaceError("Connection is closed."), Kind.UNAVAILABLE, "does not answer"),
    ],
)
def test_messages(error: Exception, kind: Kind, words: str) -> None:
    adapter = SQLServer.__new__(SQLServer)
    adapter._seconds = 7
    explained = adapter._explained(error)
    assert explained.kind == kind
    assert words in explained.message
    assert "DB-Lib" not in explained.message
    assert isinstance(sql_server_complaint(error)[1], str)


def test_parameters_are_variables_of_a_statement_that_is_told_by_itself() -> None:
    sent = {
        "n": 5,
        "c": "it's; drop table t --",
        "none": None,
        "t": {"value": "2026-01-31T12:00:00", "type": "datetime2(3)"},
        "u": {"value": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "type": "uniqueidentifier"},
        "b": {"value": "0x00ff", "type": "varbinary(8)"},
    }
    declared, (call, values) = with_parameters("select @n, @c, '%s'", list(read(sent).values()))
    assert declared == "@n bigint, @c nvarchar(max), @t datetime2, @u uniqueidentifier, @b varbinary(8)"
    # What the driver makes of it.
    assert pymssql._mssql.substitute_params(call, values).decode() == (
        f"EXEC sp_executesql N'select @n, @c, ''%s''', N'{declared}', @n = 5, @c = N'it''s; drop table t --', "
        "@t = '2026-01-31 12:00:00.000', @u = N'6f9619ff-8b86-d011-b42d-00c04fc964ff', @b = 0x00ff"
    )
    assert with_parameters("select '%s'", []) == (None, ("select '%s'", None))


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    contexts = Contexts(tmp_path / "casjobs/contexts")
    context = contexts.create("MS", url=f"mssql://reader@127.0.0.1:{free_port()}/DR18", password="secret")
    with pytest.raises(QueryError) as caught:
        await run_remote(context, "SELECT 1", {}, tmp_path / "1", Limits())
    assert caught.value.kind == Kind.UNAVAILABLE
    assert "127.0.0.1" not in str(caught.value)
