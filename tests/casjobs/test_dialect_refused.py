"""What cannot be done faithfully is refused: with a kind, a place in the user's text and a hint."""

from __future__ import annotations

import pytest

from casjobs_service.dialect import locate
from casjobs_service.errors import Kind, QueryError
from tests.casjobs.dialect_support import Laboratory, corpus, quoted


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory()


@pytest.mark.parametrize(("script", "expected"), corpus("refused.txt"))
def test_refused(laboratory: Laboratory, script: str, expected: tuple[str, int, int, str]) -> None:
    kind, line, column, words = expected
    with pytest.raises(QueryError) as caught:
        laboratory.translate(script)
    error = caught.value
    assert (str(error.kind), error.line, error.column) == (kind, line, column)
    assert words in f"{error.message} {error.hint}"
    for internal in ("sqlglot", "duckdb", "cj_", "ss_", "main.", "Traceback"):
        assert internal not in str(error)


@pytest.mark.parametrize(
    ("script", "kind", "line", "column", "words"),
    [
        ("select 1,\n  u/0 from photo", Kind.DATA, 2, 3, "Division by zero"),
        ("select 1\nselect cast(name as int) from photo", Kind.DATA, 2, 1, "Conversion failed when converting"),
        ("select objid * objid from photo", Kind.DATA, 1, 1, "Overflow"),
        ("select (select objid from photo)", Kind.DATA, 1, 1, "more than one row"),
        ("select log(r - r) from photo", Kind.DATA, 1, 1, "logarithm of zero"),
        ("create table #k (a int primary key)\ninsert into #k values (1), (1)", Kind.DATA, 2, 1, "duplicate key"),
        ("create table #k (a int not null)\ninsert into #k values (null)", Kind.DATA, 2, 1, "NOT NULL"),
    ],
)
def test_complaints_of_the_engine(
    laboratory: Laboratory, script: str, kind: Kind, line: int, column: int, words: str
) -> None:
    statement = None
    try:
        for statement in laboratory.translate(script):
            for text in statement.prelude:
                laboratory.engine.execute(text)
            sql = statement.sql
            if statement.target is not None and statement.action == "insert":
                sql = f"INSERT INTO {quoted(statement.target)} {sql}"
            laboratory.engine.execute(sql).fetchall()
    except Exception as error:
        assert statement is not None
        found = locate(f"{error}", statement)
        assert (found.kind, found.line, found.column) == (kind, line, column)
        assert words in found.message
        for internal in ("Error:", "SET ", "TRY(", "LINE", "cj_", "value_", "rowid"):
            assert internal not in str(found)
    else:
        pytest.fail("no error")
    finally:
        laboratory.engine.execute('DROP TABLE IF EXISTS temp.main."#k"')


@pytest.mark.parametrize(
    ("text", "kind", "line", "column"),
    [
        ('column "raa" does not exist\nLINE 1: SELECT raa\n        ^', Kind.NAME, 2, 2),
        ("ERROR: division by zero", Kind.DATA, 1, 1),
        ("line 1:8: Column 'raa' cannot be resolved", Kind.NAME, 2, 2),
        ("canceling statement due to statement timeout", Kind.TIMEOUT, 1, 1),
        ("Invalid column name 'raa'.", Kind.NAME, 2, 2),
        ("permission denied for table stars", Kind.FORBIDDEN, 1, 1),
        ("server closed the connection unexpectedly", Kind.UNAVAILABLE, 1, 1),
    ],
)
def test_complaints_of_other_engines(laboratory: Laboratory, text: str, kind: Kind, line: int, column: int) -> None:
    statement = laboratory.translate("select\n raa from (select ra as raa from photo) q")[0]
    found = locate(text, statement)
    assert (found.kind, found.line, found.column) == (kind, line, column)
