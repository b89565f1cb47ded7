"""Parameters: values that come with a script, and are no part of its text, in real workers and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from casjobs_service.errors import Kind
from tests.casjobs.worker_support import (
    ALICE,
    LIMITS,
    Bench,
    bench_with_postgresql,
    collect,
    query,
)

HOSTILE = [
    "'; drop table stars; --",
    "'' or 1=1 --",
    "\\'; select 1; --",
    "x'); delete from mydb.t; --",
    '"; drop table "Stars"',
    "/* comment",
    "*/ select 1 /*",
    "-- comment\nselect 2",
    "$1 $name $$body$$ @x ? :y %s %(z)s {0} {{q}}",
    "\\",
    "\\\\'",
    "E'\\047'",
    "N'x'",
    "'",
    "''",
    "",
    " ",
    "grüß \u2018Gott\u2019 😀 \u2028 \ufeff \u202e",
    "\u02bc or 1=1",
    "line\r\nline\ttab",
    "x" * 200_000,
    "'" * 10_000,
    "getvariable('x')",
    "current_setting('casjobs.x')",
    "null",
]
"""Texts that would do something if they were read as SQL."""

GUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"

VALUES: list[tuple[Any, Any]] = [
    (True, True),
    (False, False),
    (0, 0),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    (2**53 + 1, 2**53 + 1),
    (0.1, 0.1),
    (-0.0, 0.0),
    (5e-324, 5e-324),
    (1.7976931348623157e308, 1.7976931348623157e308),
    (None, None),
    ({"value": None, "type": "datetime"}, None),
    ({"value": "9223372036854775807", "type": "bigint"}, 2**63 - 1),
    ({"value": 255, "type": "tinyint"}, 255),
    ({"value": -5, "type": "smallint"}, -5),
    ({"value": 1, "type": "bit"}, True),
    ({"value": 0.5, "type": "real"}, 0.5),
    ({"value": 1.5, "type": "money"}, 1.5),
    ({"value": "2026-01-31T12:30:45.123", "type": "DateTime"}, "2026-01-31T12:30:45.123000"),
    ({"value": "2026-01-31", "type": "date"}, "2026-01-31"),
    ({"value": "12:30:45", "type": "time"}, "12:30:45.000000"),
    ({"value": "2026-01-31T12:30:00+02:00", "type": "datetimeoffset"}, "2026-01-31T10:30:00.000000Z"),
    ({"value": GUID.upper(), "type": "uniqueidentifier"}, GUID),
    ({"value": "ab", "type": "varchar(5)"}, "ab"),
    ({"value": "ab", "type": "char(5)"}, "ab   "),
]
"""What is sent, and what JSON shows of it."""

WAYS = [
    ("MyDB", "tsql", "@", ""),
    ("MyDB", "duckdb", "$", ""),
    ("PG", "tsql", "@", " FROM stars WHERE id = 1"),
    ("PG", "postgresql", "$", ""),
]
"""Of a value through an engine: context, dialect, sign of a parameter, rest of the text."""


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with bench_with_postgresql(tmp_path_factory.mktemp("home") / "casjobs") as made:
        yield made


async def echo(pool: Bench, way: tuple[str, str, str, str], values: list[Any]) -> list[Any]:
    """Values that have gone through an engine."""
    context, dialect, sign, rest = way
    names = [f"v{number}" for number in range(len(values))]
    text = f"SELECT {', '.join(f'{sign}{name} AS {name}' for name in names)}{rest}"
    parameters = dict(zip(names, values, strict=True))
    [row] = await pool.rows(text, context=context, dialect=dialect, parameters=parameters)
    return list(row)


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
async def test_texts_that_look_like_sql(pool: Bench, way: tuple[str, str, str, str]) -> None:
    assert await echo(pool, way, HOSTILE) == HOSTILE
    assert await pool.rows("SELECT count(*) FROM stars", context="PG") == [[100_000]]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
async def test_values_of_all_types(pool: Bench, way: tuple[str, str, str, str]) -> None:
    shown = await echo(pool, way, [sent for sent, _ in VALUES])
    assert shown == [value for _, value in VALUES]
    # 1 is True for Python.
    assert [type(value) for value in shown] == [type(value) for _, value in VALUES]


@pytest.mark.parametrize(("context", "dialect", "sign", "rest"), WAYS)
async def test_decimals_are_exact(pool: Bench, context: str, dialect: str, sign: str, rest: str) -> None:
    value = f"-{'9' * 28}.1234567891"
    sent = {"x": {"value": value, "type": "decimal(38, 10)"}}
    more = {"context": context, "dialect": dialect, "parameters": sent, "output": {"format": "csv"}}
    answer = await pool.query(f"SELECT {sign}x AS x{rest}", **more)
    assert answer.csv == [["x"], [value]]


async def test_a_text_with_a_zero(pool: Bench) -> None:
    for way in WAYS[:2]:
        assert await echo(pool, way, ["a\0b"]) == ["a\0b"]
    for context, dialect, sign, rest in WAYS[2:]:
        error = await pool.failure(
            f"SELECT {sign}x AS x{rest}", context=context, dialect=dialect, parameters={"x": "\0"}
        )
        assert error.message == "The parameter x has a character 0, which PostgreSQL does not know."


@pytest.mark.parametrize("context", ["Sky", "PG"])
async def test_lists(pool: Bench, context: str) -> None:
    column = "objID" if context == "Sky" else "id"
    values = {f"v{number}": number * 3 + 1 for number in range(999)}
    places = ", ".join(f"@{name}" for name in values)
    text = f"SELECT count(*) AS n FROM Stars WHERE {column} IN ({places}) AND {column} <> @out"  # noqa: S608 - our own names
    assert await pool.rows(text, context=context, parameters={**values, "OUT": 4}) == [[998]]


@pytest.mark.parametrize(
    ("context", "dialect", "text"),
    [
        ("Sky", "tsql", "SELECT TOP (@n) objID FROM Stars WHERE class = @c ORDER BY objID"),
        ("Sky", "duckdb", "SELECT objID FROM Stars WHERE class = $c ORDER BY objID LIMIT $n"),
        ("PG", "tsql", "SELECT TOP (@n) id FROM stars WHERE name <> @like ORDER BY id"),
        ("PG", "postgresql", "SELECT id FROM stars WHERE name LIKE $like ORDER BY id LIMIT $n"),
    ],
)
async def test_the_first_rows(pool: Bench, context: str, dialect: str, text: str) -> None:
    sent = {"N": 3, "c": "STAR", "like": "Star %"}
    rows = await pool.rows(text, context=context, dialect=dialect, parameters=sent)
    assert [row[0] for row in rows] == ([0, 2, 4] if context == "Sky" else [1, 2, 3])


async def test_texts_are_compared_as_always(pool: Bench) -> None:
    text = "SELECT count(*) AS n FROM Stars WHERE class = @c"
    assert await pool.rows(text, context="Sky", parameters={"c": "star  "}) == [[5000]]
    assert await pool.rows("SELECT @a / @b, @a + @t, @t + 'x'", parameters={"a": 7, "b": 2, "t": "5"}) == [
        [3, 12, "5x"]
    ]
    assert await pool.rows("SELECT 1 WHERE @x IS NULL AND NOT EXISTS (SELECT 1 WHERE @x = @x)", parameters={"x": None})


async def test_rows_that_are_written(pool: Bench) -> None:
    sent = {"low": 10, "high": 20, "label": "it's"}
    text = "SELECT objID, @label AS label INTO MyDB.some FROM Sky.Stars WHERE objID >= @low AND objID < @high"
    await pool.query(text, parameters=sent)
    await pool.query("INSERT INTO MyDB.some VALUES (@low, @label + '!')", parameters=sent)
    await pool.query("UPDATE MyDB.some SET label = @new WHERE objID = @low", parameters={"low": 10, "new": "'); --"})
    rows = await pool.rows("SELECT label, count(*) AS n FROM MyDB.some GROUP BY label ORDER BY n")
    assert rows == [["'); --", 2], ["it's", 9]]
    await pool.query("DELETE FROM MyDB.some WHERE label = @new", parameters={"new": "'); --"})
    await pool.query("SELECT id INTO MyDB.far FROM PG.stars WHERE id < @n", parameters={"n": 4})
    assert await pool.rows("SELECT count(*) FROM MyDB.some s, MyDB.far f") == [[27]]


async def test_a_join_of_two_engines(pool: Bench) -> None:
    await pool.query("SELECT objID AS id INTO MyDB.mine FROM Sky.Stars WHERE objID < @n", parameters={"n": 100})
    text = "SELECT s.id FROM PG.stars s JOIN MyDB.mine m ON m.id = s.id WHERE s.name IN (@a, @b) AND s.id < @n"
    rows = await pool.rows(text, parameters={"a": "star 5", "b": "STAR 99", "n": 50})
    assert rows == [[5]]


async def test_a_script_goes_on_with_them(pool: Bench) -> None:
    text = """
    DECLARE @y int = @x * 2
    SET @x = @x + 1
    SELECT @x AS x, @y AS y
    GO
    SELECT @X AS x"""
    answer = await pool.query(text, parameters={"x": 20})
    assert [result["Data"] for result in answer.json["Result"]] == [[[21, 40]], [[21]]]
    text = "DECLARE @y bigint = @x + 1 SET @x = 3 SELECT TOP 1 @x AS x, @y AS y FROM stars"
    assert await pool.rows(text, context="PG", parameters={"x": 20}) == [[3, 21]]


async def test_positions_and_regions(pool: Bench) -> None:
    sent = {"ra": 10.0, "dec": -4.0, "r": 30, "region": "CIRCLE J2000 10 -4 30"}
    near = "SELECT count(*) FROM dbo.fGetNearbyObjEq(@ra, @dec, @r)"
    # The context of the tests is no survey: its message shows that the values were taken.
    error = await pool.failure(near, context="Sky", parameters=sent)
    assert "constant" not in error.message
    cover = "SELECT count(*) AS n FROM dbo.fHtmCoverRegion({})"
    [[number]] = await pool.rows(cover.format("@region"), context="Sky", parameters=sent)
    assert [[number]] == await pool.rows(cover.format("'CIRCLE J2000 10 -4 30'"), context="Sky")


MISTAKES: list[tuple[str, str, str, tuple[int, int], str]] = [
    ("MyDB", "tsql", "SELECT 1\nSELECT @radus", (2, 8), "There is no variable @radus. Did you mean @radius?"),
    (
        "MyDB",
        "tsql",
        "SELECT 1\n DECLARE @n int",
        (2, 10),
        "@n is declared here, and it is a parameter of the request.",
    ),
    ("MyDB", "tsql", "SELECT @n, raa FROM Sky.Stars", (1, 12), "There is no column raa"),
    ("MyDB", "tsql", "SELECT @n ORDER FROM", (1, 17), "FROM"),
    ("MyDB", "tsql", "SELECT ?", (1, 1), ""),
    ("MyDB", "tsql", "CREATE VIEW v AS\nSELECT @n AS x", (2, 8), "@n cannot be kept in a definition"),
    ("MyDB", "tsql", "CREATE TABLE t (a int DEFAULT (@n))", (1, 32), "@n cannot be kept in a definition"),
    ("MyDB", "tsql", "SET @z = 1", (1, 5), "@z is a NULL without a type"),
    ("MyDB", "duckdb", "SELECT\n $radus", (2, 2), "There is no parameter $radus. Did you mean $radius?"),
    ("MyDB", "duckdb", "SELECT ?", (1, 1), "SELECT is not allowed here."),
    ("MyDB", "duckdb", "SELECT getvariable('n')", (1, 8), "The function getvariable may not be called."),
    ("MyDB", "duckdb", "SELECT $n, raa FROM Sky.Stars", (1, 12), "raa"),
    ("MyDB", "duckdb", "SELECT * FROM $n", (1, 8), "name of a table"),
    ("PG", "postgresql", "SELECT $n,\n  $x", (2, 3), "There is no parameter $x."),
    ("PG", "postgresql", "SELECT :n", (1, 1), "SELECT is not allowed here."),
    ("PG", "postgresql", "SELECT current_setting('casjobs.n')", (1, 8), "may not be called"),
    ("PG", "postgresql", "SELECT $n, raa FROM stars", (1, 12), "raa"),
    ("PG", "postgresql", "SELECT $n,\n s.raa FROM stars s", (2, 4), "raa"),
    ("PG", "postgresql", "SELECT $n FROM\n starss", (2, 2), "There is no table starss in PG. Did you mean stars?"),
    ("PG", "postgresql", "SELECT $n FRM stars WHERE", (1, 15), "Syntax error"),
    ("PG", "postgresql", "SELECT $n, 'abc", (1, 12), "A text is not closed."),
    ("MyDB", "duckdb", "SELECT $n /* abc", (1, 11), "A comment is not closed."),
    ("PG", "tsql", "SELECT @n, raa FROM stars", (1, 12), "There is no column raa"),
    ("PG", "tsql", "SELECT id FROM stars WHERE 1 / (id - @n) = 0", (1, 1), "Division by zero."),
]


@pytest.mark.parametrize(("context", "dialect", "text", "place", "words"), MISTAKES)
async def test_mistakes_have_a_place(
    pool: Bench, context: str, dialect: str, text: str, place: tuple[int, int], words: str
) -> None:
    error = await pool.failure(text, context=context, dialect=dialect, parameters={"n": 5, "radius": 1, "z": None})
    assert words in str(error)
    assert (error.line, error.column) == place


async def test_what_would_be_done(pool: Bench) -> None:
    asked = {"do": "explain", "text": "SELECT id FROM stars WHERE id = @n AND name = @other", "context": "PG"}
    answer = (await pool.do({**asked, "parameters": {"n": 5}})).event("done")
    assert answer["parameters"] == ["other"]
    assert answer["rows"] == 1
    asked = {"do": "explain", "text": "SELECT objID FROM Stars WHERE class = @c AND objID < @m", "context": "Sky"}
    answer = (await pool.do({**asked, "parameters": {"c": "'; drop"}})).event("done")
    assert (answer["parameters"], "drop" in str(answer["statements"])) == (["m"], False)


async def test_values_count_with_the_text(pool: Bench) -> None:
    error = await pool.failure("SELECT @x AS x", parameters={"x": "x" * 1_000_000})
    assert (error.kind, error.message) == (Kind.LIMIT, "The query and its parameters are longer than 1,000,000 bytes.")


async def test_the_next_query_has_none(pool: Bench) -> None:
    async with pool.session(ALICE, LIMITS) as session:
        await collect(session, query("SELECT @x AS x", parameters={"x": 5}))
        answer = await collect(session, query("SELECT @x AS x", parameters={"x": {"value": None, "type": "int"}}))
        assert answer.rows == [[None]]


@pytest.mark.parametrize(
    ("context", "dialect", "text"),
    [
        ("Sky", "tsql", "SELECT a.id FROM Huge a, Huge b"),
        ("PG", "tsql", "SELECT a.id, a.flux FROM stars a, stars b"),
        ("PG", "postgresql", "SELECT a.id, a.flux * 1 FROM stars a, stars b"),
    ],
)
async def test_no_more_is_read_than_is_wanted(pool: Bench, context: str, dialect: str, text: str) -> None:
    """All rows would be more than a result may have."""
    answer = await pool.query(text, context=context, dialect=dialect, limit=60_001)
    assert (len(answer.rows), answer.json["Result"][0]["Cut"]) == (60_001, True)
    assert answer.event("statement")["rows"] == 60_001
