"""Queries in an engine's own SQL: names are resolved, and nothing but data is in reach, in any dialect."""

from __future__ import annotations

from typing import Any

import pytest

from casjobs_service.catalog import Catalog, Column, Function, Table
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import read
from casjobs_service.plan import Action
from tests.casjobs.dialect_support import CORPUS, DATA, Laboratory

COLUMNS = [Column("id", "BIGINT"), Column("ra", "DOUBLE"), Column("Name", "VARCHAR")]
REMOTE = [
    Catalog("Pg", "postgresql", [Table("Stars", COLUMNS, schema="cat"), Table("photo", COLUMNS)]),
    Catalog("Presto", "trino", [Table("stars", COLUMNS, schema="cat"), Table("photo", COLUMNS)]),
    Catalog(
        "Server",
        "mssql",
        [Table("stars", COLUMNS, schema="dbo"), Table("photo", COLUMNS)],
        [Function("fNear", "scalar", [Column("x", "DOUBLE")], "DOUBLE")],
    ),
]
CONTEXTS = {"tsql": "Sky", "duckdb": "Sky", "postgresql": "Pg", "trino": "Presto", "mssql": "Server"}


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory(DATA, *REMOTE)


@pytest.mark.parametrize("dialect", CONTEXTS)
@pytest.mark.parametrize("text", (CORPUS / "locked.txt").read_text().splitlines())
def test_no_way_out(laboratory: Laboratory, dialect: str, text: str) -> None:
    with pytest.raises(QueryError) as caught:
        laboratory.translate(text, CONTEXTS[dialect], dialect=dialect)
    assert caught.value.kind is not Kind.INTERNAL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select count(*) from photo", [(4,)]),
        ("from photo select max(run) as m", [(1035,)]),
        (
            "select p.objid % 10 from Sky.photo p join Sky.main.spec s on s.bestobjid = p.objid order by 1",
            [(0,), (8,), (9,)],
        ),
        ("with a as (select run from photo), b as (from a) select list(run order by run)[1] from b", [(756,)]),
        ("select 7 / 2, 'a' = 'A'", [(3.5, False)]),
        ("select [x + 1 for x in range(3)]", [([1, 2, 3],)]),
        ("select * from (values (1, 2)) as v(a, b)", [(1, 2)]),
        ("select run, count(*) from photo group by all having count(*) > 1 order by all limit 1", [(756, 2)]),
        ("select * exclude (name, x) from mydb.mine where id = 1", [(1,)]),
        ("select (select max(r) from photo), q.n from (select count(*) as n from spec) q", [(21.5, 4)]),
        ("create table mydb.made as select run from photo; select count(*) from mydb.made", [(4,)]),
        ("insert into mydb.mine (id) select 9; select max(id) from mydb.mine; drop table mydb.mine", [(9,)]),
    ],
)
def test_duckdb(text: str, expected: list[tuple[Any, ...]]) -> None:
    laboratory = Laboratory()
    laboratory.engine.execute("SET default_collation = ''")
    laboratory.engine.execute("SET ieee_floating_point_ops = true")
    assert laboratory.run(text, dialect="duckdb").rows == expected


def test_postgresql(laboratory: Laboratory) -> None:
    (statement,) = laboratory.translate(
        "select s.id, q3c_dist(s.ra, 0, 1, 2) from stars s where \"Name\" ~* 'x'", "Pg", dialect="postgresql"
    )
    assert statement.engine == "Pg"
    assert '"cat"."Stars" AS s' in statement.sql
    assert [str(read) for read in statement.reads] == ["Pg.Stars"]
    (into,) = laboratory.translate("create table mydb.t as select * from cat.stars", "Pg", dialect="postgresql")
    assert (into.action, str(into.target), into.engine) == (Action.INTO, "MyDB.t", "Pg")


def test_trino_and_sql_server(laboratory: Laboratory) -> None:
    (statement,) = laboratory.translate("select approx_distinct(id) from cat.stars", "Presto", dialect="trino")
    assert (statement.engine, '"cat"."stars"' in statement.sql) == ("Presto", True)
    (statement,) = laboratory.translate("select top 3 dbo.fNear(ra), len(Name) from stars", "Server", dialect="mssql")
    assert statement.engine == "Server"
    assert "TOP 3" in statement.sql
    assert "[dbo].[stars]" in statement.sql


SENT = {"n": 5, "limit": 2, "c": "'; --", "none": None, "small": {"value": 1, "type": "tinyint"}}


@pytest.mark.parametrize(
    ("context", "dialect", "text", "sql", "names"),
    [
        (
            "Presto",
            "trino",
            "select $N, $none, ra > $n, '$n @n' from photo where Name in ($c, $small) limit $limit",
            'SELECT CAST(? AS BIGINT), NULL, ra > CAST(? AS BIGINT), \'$n @n\' FROM "photo" AS "photo" '
            "WHERE Name IN (CAST(? AS VARCHAR), CAST(? AS SMALLINT)) LIMIT ?",
            ["n", "n", "c", "small", "limit"],
        ),
        (
            "Presto",
            "tsql",
            "select top (@limit) @n as n from photo where ra > @n",
            'SELECT CAST(? AS BIGINT) AS "n" FROM "photo" AS "photo" WHERE "photo"."ra" > CAST(? AS BIGINT) LIMIT ?',
            ["n", "n", "limit"],
        ),
        (
            "Server",
            "mssql",
            "select top ($limit) $none, $n from photo where Name = $c",
            "SELECT TOP (@limit) NULL, @n FROM [photo] AS [photo] WHERE Name = @c",
            list(SENT),
        ),
    ],
)
def test_parameters(laboratory: Laboratory, context: str, dialect: str, text: str, sql: str, names: list[str]) -> None:
    (statement,) = laboratory.translate(text, context, dialect=dialect, parameters=read(SENT))
    assert (statement.sql, statement.parameters) == (sql, names)


@pytest.mark.parametrize(
    ("context", "dialect", "words"),
    [
        ("Sky", "postgresql", "use the dialect tsql or duckdb"),
        ("Pg", "duckdb", "use the dialect tsql or postgresql"),
        ("Sky", "mysql", "no dialect"),
    ],
)
def test_dialect_must_be_the_engine_s(laboratory: Laboratory, context: str, dialect: str, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        laboratory.translate("select 1", context, dialect=dialect)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("select *\nfrom Fhoto", 2, 6, "Did you mean Photo"),
        ("select *\nfrom nowhere.main.t", 2, 6, "no database nowhere"),
        ("select 1,\n getenv('x')", 2, 2, "may not be called"),
        ("select 1 from where", 1, 15, "Syntax error near where"),
        ("select * from Pg.stars", 1, 15, "another engine"),
    ],
)
def test_places(laboratory: Laboratory, text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        laboratory.translate(text, "Sky", dialect="duckdb")
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert words in f"{error.message} {error.hint}"
