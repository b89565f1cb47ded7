"""Statements on a real PostgreSQL with q3c: what it contains, values as they are, faults as they are told."""

from __future__ import annotations

import datetime
import math
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from casjobs_service import adopt
from casjobs_service.catalog import Column
from casjobs_service.contexts import Context, ContextError, Contexts
from casjobs_service.engines import explain_remote, run_remote
from casjobs_service.engines.base import Login
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from tests.casjobs.engines_support import PASSWORD, PostgreSQL, shared_server
from tests.support import free_port


@pytest.fixture(scope="module")
def server() -> PostgreSQL:
    return shared_server()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("home") / "casjobs/contexts")


@pytest.fixture(scope="module")
def context(server: PostgreSQL, contexts: Contexts) -> Context:
    return adopt.add(contexts, "PG", server.url, password=PASSWORD, public=True)


async def ask(
    context: Context, sql: str, tmp_path: Path, uploads: dict[str, pa.Table] | None = None, **limits: Any
) -> pa.Table:
    """Run a statement and read what it has written."""
    files = {}
    for name, table in (uploads or {}).items():
        files[name] = tmp_path / f"{len(files)}.arrow"
        with pa.ipc.new_stream(str(files[name]), table.schema) as writer:
            writer.write_table(table)
    target = tmp_path / "result.arrow"
    target.unlink(missing_ok=True)
    result = await run_remote(context.source(), sql, files, target, Limits(**limits))
    with pa.ipc.open_stream(str(target)) as reader:
        table = reader.read_all()
    assert table.num_rows == result.rows
    return table


def test_catalogue_shows_what_the_account_may_read(contexts: Contexts, context: Context) -> None:
    catalog = contexts.catalog("pg")
    assert catalog is not None
    assert (catalog.database, catalog.engine) == ("PG", "postgresql")
    assert {(table.name, table.kind, table.schema) for table in catalog.tables} == {
        ("stars", "table", ""),
        ("bright", "view", ""),
        ("notes", "table", "extra"),
    }
    stars = catalog.table("STARS")
    assert stars is not None
    assert (stars.description, stars.rows) == ("Stars of a test", 100000)
    assert stars.size is not None
    assert stars.size > 1_000_000
    assert stars.columns == [
        Column("id", "BIGINT"),
        Column("ra", "DOUBLE", "deg", "pos.eq.ra;meta.main", "Right ascension"),
        Column("dec", "DOUBLE"),
        Column("mag", "FLOAT", description="Magnitude"),
        Column("flux", "DECIMAL(18,4)"),
        Column("name", "VARCHAR"),
        Column("seen", "TIMESTAMP"),
    ]
    scalar, table = catalog.function("luminosity"), catalog.function("near")
    assert scalar is not None
    assert table is not None
    assert (scalar.kind, scalar.parameters, scalar.returns) == ("scalar", [Column("mag", "DOUBLE")], "DOUBLE")
    assert scalar.description == "Of a magnitude."
    assert (table.kind, table.columns) == ("table", [Column("id", "BIGINT"), Column("distance", "DOUBLE")])
    assert catalog.function("q3c_radial_query") is not None


async def test_values_come_exactly_as_they_are(context: Context, tmp_path: Path) -> None:
    moment = datetime.datetime(2020, 1, 2, 3, 4, 5, 678901)
    zoned = moment.replace(tzinfo=datetime.UTC)
    expressions: dict[str, tuple[str, pa.DataType, Any]] = {
        "i2": ("(-32768)::int2", pa.int16(), -32768),
        "i4": ("2147483647", pa.int32(), 2147483647),
        "i8": ("9223372036854775807", pa.int64(), 9223372036854775807),
        "f4": ("0.1::real", pa.float32(), pytest.approx(0.1, rel=1e-7)),
        "f8": ("0.1::float8", pa.float64(), 0.1),
        "inf": ("'-inf'::float8", pa.float64(), -math.inf),
        "n": ("12.5::numeric(18,4)", pa.decimal128(38, 4), Decimal("12.5000")),
        "n38": (f"{'9' * 38}::numeric", pa.decimal128(38, 0), Decimal("9" * 38)),
        "b": ("true", pa.bool_(), True),
        "t": ("'é☃😀'''", pa.string(), "é☃😀'"),
        "c": ("'ab'::char(4)", pa.string(), "ab  "),
        "d": ("date '0001-01-01'", pa.date32(), datetime.date(1, 1, 1)),
        "ti": ("time '12:13:14.5'", pa.time64("us"), datetime.time(12, 13, 14, 500000)),
        "ts": ("timestamp '2020-01-02 03:04:05.678901'", pa.timestamp("us"), moment),
        "tz": ("timestamptz '2020-01-02 05:04:05.678901+02'", pa.timestamp("us", "UTC"), zoned),
        "u": ("'9e05e0ac-2c2c-4532-bc14-d10ad705e5c6'::uuid", pa.string(), "9e05e0ac-2c2c-4532-bc14-d10ad705e5c6"),
        "j": ("'{\"a\": 1}'::jsonb", pa.string(), '{"a": 1}'),
        "x": ("'\\x00ff'::bytea", pa.binary(), b"\x00\xff"),
        "iv": ("interval '1 day 2 s'", pa.string(), "1 day 00:00:02"),
        "a": ("array[1,null,3]", pa.list_(pa.int32()), [1, None, 3]),
        "at": ("array['a','é']", pa.list_(pa.string()), ["a", "é"]),
        "an": ("array[1.5,2]", pa.string(), "{1.5,2}"),
        "o": ("4294967295::oid", pa.string(), "4294967295"),
        "p": ("point(1,2)", pa.string(), "(1,2)"),
        "Mixed Case \"x\"": ("1", pa.int32(), 1),
    }  # fmt: skip
    names = [name.replace('"', '""') for name in expressions]
    wanted = ", ".join(
        f'CASE i WHEN 1 THEN {one[0]} END AS "{name}"' for name, one in zip(names, expressions.values(), strict=True)
    )
    table = await ask(context, f"SELECT {wanted} FROM generate_series(1, 2) i ORDER BY i", tmp_path)  # noqa: S608
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        name: one[1] for name, one in expressions.items()
    }
    first, second = table.to_pylist()
    assert first == {name: one[2] for name, one in expressions.items()}
    assert set(second.values()) == {None}
    nan = await ask(context, "SELECT 'nan'::float8 AS x, 'nan'::real AS y", tmp_path)
    assert all(math.isnan(value) for value in nan.to_pylist()[0].values())


@pytest.mark.parametrize(
    ("sql", "type", "values"),
    [
        ("SELECT sum(id) FROM stars", pa.int64(), [5000050000]),
        ("SELECT 9223372036854775807::numeric + 1", pa.decimal128(38, 0), [Decimal(2**63)]),
        ("SELECT * FROM (VALUES (1.5), (-0.125), (NULL)) v", pa.decimal128(38, 3), ["1.500", "-0.125", None]),
        ("SELECT * FROM (VALUES (1.5::numeric), ('NaN')) v", pa.float64(), [1.5, math.nan]),
        ("SELECT 1e40::numeric", pa.float64(), [1e40]),
        ("SELECT 'Infinity'::numeric", pa.float64(), [math.inf]),
        ("SELECT flux FROM stars WHERE false", pa.decimal128(18, 4), []),
        ("SELECT 1.5::numeric WHERE false", pa.decimal128(38, 10), []),
    ],
)
async def test_decimal_numbers_without_a_scale_stay_exact(
    context: Context, tmp_path: Path, sql: str, type: pa.DataType, values: list[Any]
) -> None:
    table = await ask(context, sql, tmp_path)
    assert table.schema.types == [type]
    expected = [Decimal(value) if isinstance(value, str) else value for value in values]
    # NaN is not equal to itself, but is written like itself.
    assert repr(table.column(0).to_pylist()) == repr(expected)


async def test_columns_without_names_or_with_the_same_stay_apart(context: Context, tmp_path: Path) -> None:
    table = await ask(
        context, "SELECT 1 AS a, 2 AS a, gen_random_uuid() IS NULL, point(1,2)::text AS a -- end", tmp_path
    )
    assert table.schema.names == ["a", "a", "?column?", "a"]
    assert [column.to_pylist() for column in table.columns] == [[1], [2], [False], ["(1,2)"]]


async def test_many_rows_and_a_search_by_position(context: Context, tmp_path: Path) -> None:
    table = await ask(context, "SELECT * FROM stars ORDER BY id", tmp_path)
    assert table.column("id").to_pylist() == list(range(1, 100001))
    assert table.schema.field("flux").type == pa.decimal128(18, 4)
    assert table.column("flux")[0].as_py() == Decimal("0.3333")
    near = await ask(context, "SELECT id FROM stars WHERE q3c_radial_query(ra, dec, 70, -60, 0.1)", tmp_path)
    assert 100 in near.column(0).to_pylist()


async def test_own_tables_are_joined(context: Context, tmp_path: Path) -> None:
    upload = pa.table(
        {
            "Key": pa.array([3, 1, 7], pa.int64()),
            "u64": pa.array([1, 2**64 - 1, None], pa.uint64()),
            "text": ["é", None, "x"],
            "dec": pa.array([Decimal("1.25"), None, Decimal("-7.00")], pa.decimal128(9, 2)),
            "flag": [True, None, False],
            "day": pa.array([0, 1, None], pa.date32()),
            "when": pa.array([1_500, None, 0], pa.timestamp("ns")),
            "list": [[1, 2], [], None],
            "code": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    table = await ask(
        context,
        'SELECT s.name, m.* FROM stars s JOIN "My Table" m ON m."Key" = s.id ORDER BY s.id',
        tmp_path,
        {"My Table": upload, "empty": upload.slice(0, 0)},
    )
    rows = table.to_pylist()
    assert [(row["name"], row["text"], row["flag"], row["code"]) for row in rows] == [
        ("Star 1", None, None, "b"),
        ("Star 3", "é", True, "a"),
        ("Star 7", "x", False, "a"),
    ]
    assert [row["u64"] for row in rows] == [Decimal(2**64 - 1), 1, None]
    assert [row["dec"] for row in rows] == [None, Decimal("1.25"), Decimal("-7.00")]
    assert [row["list"] for row in rows] == [[], [1, 2], None]
    assert rows[1]["when"] == datetime.datetime(1970, 1, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("sql", ["INSERT INTO stars (id) VALUES (0) RETURNING id", "DELETE FROM stars RETURNING id"])
async def test_nothing_can_be_changed_even_with_the_right_to(
    context: Context, server: PostgreSQL, tmp_path: Path, sql: str
) -> None:
    with pytest.raises(QueryError) as caught:
        await ask(context, f"WITH changed AS ({sql}) SELECT * FROM changed", tmp_path)  # noqa: S608 - our own texts
    assert caught.value.kind == Kind.FORBIDDEN
    assert server.sql("SELECT count(*), min(id) FROM stars") == "100000|1"


@pytest.mark.parametrize(
    ("sql", "kind", "words"),
    [
        ("SELEC 1", Kind.SYNTAX, 'Syntax error at or near "SELEC".'),
        ("SELECT nope FROM stars", Kind.NAME, 'Column "nope" does not exist.'),
        ("SELECT * FROM nope", Kind.NAME, 'Relation "nope" does not exist.'),
        ("SELECT * FROM hidden", Kind.FORBIDDEN, "Permission denied for table hidden."),
        ("SELECT 1 / (id - 50000) FROM stars", Kind.DATA, "Division by zero."),
        ("SELECT array[[1,2],[3,4]]", Kind.DATA, "Arrays of several dimensions"),
        ("SELECT date 'infinity' AS d", Kind.DATA, "The column d has dates that are infinite"),
        ("SELECT timestamp '20000-01-01' AS d", Kind.DATA, "outside the years 1 to 9999"),
    ],
)
async def test_faults_are_told_in_the_servers_words(
    context: Context, tmp_path: Path, sql: str, kind: Kind, words: str
) -> None:
    with pytest.raises(QueryError) as caught:
        await ask(context, sql, tmp_path)
    assert caught.value.kind == kind
    assert words in caught.value.message


async def test_limits_are_an_error_and_never_a_cut(context: Context, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="more than 1000 rows") as caught:
        await ask(context, "SELECT id FROM stars", tmp_path, rows=1000)
    assert caught.value.kind == Kind.LIMIT
    with pytest.raises(QueryError, match=r"larger than 0\.1 MB") as caught:
        await ask(context, "SELECT * FROM stars", tmp_path, result=100_000)
    assert caught.value.kind == Kind.LIMIT
    assert (tmp_path / "result.arrow").stat().st_size < 100_000
    with pytest.raises(QueryError, match=r"longer than 0\.5 seconds") as caught:
        await ask(context, "SELECT count(*) FROM stars a, stars b", tmp_path, seconds=0.5)
    assert caught.value.kind == Kind.TIMEOUT


async def test_plan_and_estimate(context: Context, tmp_path: Path) -> None:
    explanation = await explain_remote(context, "SELECT * FROM stars WHERE mag = 3", Limits())
    assert "Seq Scan on stars" in explanation.text
    assert explanation.rows == pytest.approx(4000, rel=0.5)
    with pytest.raises(QueryError, match="does not exist"):
        await explain_remote(context, "SELECT * FROM nope", Limits())


async def test_links_that_somebody_has_put_in_the_place_of_files_are_not_followed(
    context: Context, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "link").symlink_to(precious)
    os.mkfifo(tmp_path / "pipe")
    for target, uploads in (
        ("link", {}),
        ("precious", {}),
        ("new", {"u": tmp_path / "link"}),
        ("new", {"u": tmp_path / "pipe"}),
        ("new", {"u": tmp_path}),
    ):
        with pytest.raises(QueryError, match="not what it should be"):
            await run_remote(context, "SELECT 1", uploads, tmp_path / target, Limits())
    assert precious.read_text() == "precious"


async def test_an_upload_that_is_damaged_is_refused(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "upload.arrow"
    table = pa.table({"text": ["one", "two"]})
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        writer.write_table(table)
    content = file.read_bytes()
    # The offsets of the strings: to far outside.
    offsets = b"\x00\x00\x00\x00\x03\x00\x00\x00\x06\x00\x00\x00"
    assert content.count(offsets) == 1
    file.write_bytes(content.replace(offsets, b"\x00\x00\x00\x00\xff\xff\xff\x7f\xff\xff\xff\x7f"))
    with pytest.raises(QueryError, match="The table u cannot be sent"):
        await run_remote(context, "SELECT * FROM u", {"u": file}, tmp_path / "result.arrow", Limits())


@pytest.mark.parametrize(
    ("change", "password", "words"),
    [
        (("reader@", "reader@"), "wrong", "does not let this service in"),
        (("reader@", "nobody@"), PASSWORD, "does not let this service in"),
        (("/science", "/nope"), PASSWORD, "does not answer"),
    ],
)
def test_a_context_that_cannot_be_reached_is_not_made(
    server: PostgreSQL, contexts: Contexts, change: tuple[str, str], password: str, words: str
) -> None:
    with pytest.raises(ContextError, match=words) as caught:
        adopt.add(contexts, "Other", server.url.replace(*change), password=password)
    # The operator is told what the server has said, and nobody the password.
    assert "FATAL" in str(caught.value)
    assert password not in str(caught.value)
    assert contexts.get("Other") is None


def test_nobody_there_is_told(contexts: Contexts) -> None:
    with pytest.raises(ContextError, match="Connection refused"):
        adopt.add(contexts, "Other", f"postgresql://reader@127.0.0.1:{free_port()}/science")


def test_refresh_sees_what_has_come(server: PostgreSQL, contexts: Contexts, context: Context) -> None:
    server.sql("CREATE TABLE later AS SELECT 1 AS x; GRANT SELECT ON later TO reader")
    adopt.refresh(contexts, "PG")
    catalog = contexts.catalog("PG")
    assert catalog is not None
    assert catalog.table("later") is not None


def test_a_login_does_not_show_its_password() -> None:
    assert "secret" not in repr(Login("postgresql://u@h/d", "secret"))
