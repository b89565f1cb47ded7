"""T-SQL on a real PostgreSQL: the same answers as on DuckDB, or a refusal; never another answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from casjobs_service.errors import Kind, QueryError
from tests.casjobs.dialect_cases import ERRORS, TRUE, VALUES
from tests.casjobs.dialect_postgresql import Remote, same
from tests.casjobs.dialect_support import corpus
from tests.casjobs.engines_support import shared_server

LOCAL = ("mydb", "#", "sky", "_schema", "sys", "@t ", "with ties")
QUERIES = [
    (script, expected)
    for script, expected in corpus("queries.txt")
    if not any(word in script.lower() for word in LOCAL)
    and any(f" {table}" in script.lower() for table in ("photo", "spec", "pairs"))
]
REFUSED = ("datename", "str(", "cast(ra as varchar(10))", "like '%' + @p")


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    found = Remote(shared_server())
    yield found
    found.connection.close()


def test_values(remote: Remote) -> None:
    refused = []
    for expression, expected in VALUES:
        try:
            value = remote.rows(f"select {expression} from one")[0][0]  # noqa: S608 - our own texts
        except QueryError as error:
            refused.append(error.kind)
        else:
            assert same(value, expected), expression
    assert set(refused) == {Kind.UNSUPPORTED}
    assert len(refused) < len(VALUES) / 4


def test_conditions(remote: Remote) -> None:
    for condition in TRUE:
        assert remote.rows(f"select case when {condition} then 1 else 0 end from one") == [(1,)], condition  # noqa: S608


def test_errors(remote: Remote) -> None:
    for expression, _ in ERRORS:
        with pytest.raises(Exception, match=r"\w"):
            remote.rows(f"select {expression} from one")  # noqa: S608 - our own texts


@pytest.mark.parametrize(("script", "expected"), QUERIES)
def test_rows(remote: Remote, script: str, expected: list[tuple[Any, ...]]) -> None:
    if any(word in script for word in REFUSED):
        with pytest.raises(QueryError, match="PostgreSQL runs"):
            remote.rows(script)
    else:
        assert same(remote.rows(script), expected)


def test_own_tables_are_sent_along(remote: Remote) -> None:
    from casjobs_service.dialect import translate

    plan = translate(
        "select id into #ids from mydb.mine select p.objid, m.name from photo p join mydb.mine m on m.id = p.camcol"
        " join #ids i on i.id = m.id",
        remote.databases,
        "Pg",
    )
    assert [upload.sql for upload in plan[1].uploads] == [
        'SELECT * FROM "MyDB"."main"."mine"',
        'SELECT * FROM "temp"."main"."#ids"',
    ]
    with remote.connection.cursor() as cursor:
        for upload in plan[1].uploads:
            cursor.execute(f"CREATE TEMP TABLE {upload.name} (id int, name text, x double precision)")
            cursor.execute(f"INSERT INTO {upload.name} VALUES (1, 'one', 0), (2, 'two', 0)")  # noqa: S608
        cursor.execute(plan[1].sql)
        assert [name for _, name in sorted(cursor.fetchall())] == ["one", "two"]
    remote.connection.rollback()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("select * from photo p join sky.dbo.spec s on s.bestobjid = p.objid", "Copy the rows of Sky"),
        ("select dbo.fPhotoFlagsN(flags) from photo", "Copy the rows that you need INTO MyDB first"),
        ("update mydb.mine set x = p.ra from mydb.mine m join photo p on p.camcol = m.id", "Copy the rows of Pg"),
        ("declare @x int select @x = max(run) from photo", "Copy the rows"),
        ("select distinct name, count(*) over () from photo", "regards their case"),
        ("select name from photo union select class from spec", "regards their case"),
    ],
)
def test_refused(remote: Remote, script: str, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        remote.rows(script)
    assert caught.value.kind is Kind.UNSUPPORTED
    assert words in str(caught.value)
