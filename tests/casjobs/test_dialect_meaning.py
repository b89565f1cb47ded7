"""T-SQL answers as SQL Server does: each construct is translated, run in DuckDB, and its result compared."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from casjobs_service.parameters import read
from casjobs_service.plan import Action
from tests.casjobs.dialect_cases import ERRORS, TRUE, VALUES
from tests.casjobs.dialect_support import Laboratory, corpus


@pytest.fixture(scope="module")
def shared() -> Laboratory:
    """For what changes nothing."""
    return Laboratory()


@pytest.fixture
def laboratory(shared: Laboratory) -> Iterator[Laboratory]:
    """Tables as they were, whatever the case before has done."""
    yield shared
    if shared.changed:
        shared.engine.close()
        shared.__init__()  # type: ignore[misc]


@pytest.mark.parametrize(("expression", "expected"), VALUES)
def test_value(shared: Laboratory, expression: str, expected: Any) -> None:
    value = shared.run(f"select {expression}").value
    if isinstance(expected, float):
        assert isinstance(value, float)
        assert value == pytest.approx(expected, rel=1e-14)
    else:
        assert (value, type(value)) == (expected, type(expected))
        # Decimals are equal whatever their scale; users see it.
        assert not isinstance(expected, Decimal) or str(value) == str(expected)


@pytest.mark.parametrize("condition", TRUE)
def test_true(shared: Laboratory, condition: str) -> None:
    assert shared.run(f"select case when {condition} then 1 else 0 end").value == 1
    assert shared.run(f"select case when not ({condition}) then 1 else 0 end").value == 0


@pytest.mark.parametrize(("expression", "complaint"), ERRORS)
def test_error(shared: Laboratory, expression: str, complaint: str) -> None:
    with pytest.raises(Exception, match=f"(?i){complaint}"):
        shared.run(f"select {expression}")


@pytest.mark.parametrize(("script", "expected"), [*corpus("queries.txt"), *corpus("changes.txt")])
def test_rows(laboratory: Laboratory, script: str, expected: list[tuple[Any, ...]]) -> None:
    assert laboratory.run(script).rows == expected
    # Whatever a script does, it leaves the contexts alone.
    assert laboratory.engine.execute('SELECT count(*), sum(run) FROM "Sky".main.Photo').fetchall() == [(4, 3582)]


def test_unnamed_columns_are_numbered(shared: Laboratory) -> None:
    assert shared.run("select 1, 2 as b, 3, count(*) from photo").names == [["Column1", "b", "Column2", "Column3"]]


def test_columns_are_called_as_they_were_written(shared: Laboratory) -> None:
    outcome = shared.run("select RA, q.DEC, x from (select ra as X, * from photo) q where objid = 1237648720693755918")
    assert outcome.names == [["RA", "DEC", "x"]]


def test_metadata_of_plain_columns_is_kept(shared: Laboratory) -> None:
    columns = shared.translate("select p.RA as alpha, ra * 2 as b, count(*) over () from photo p")[0].columns
    assert [(c.name, c.type, c.unit, c.ucd) for c in columns] == [
        ("alpha", "DOUBLE", "deg", "pos.eq.ra"),
        ("b", "DOUBLE", "", ""),
        ("Column1", "INTEGER", "", ""),
    ]
    plan = shared.translate("select ra into #t from photo select * from (select t.ra from #t t) q")
    assert plan[1].columns[0].unit == "deg"


def test_plan_says_what_is_read_and_written(shared: Laboratory) -> None:
    into, gone = shared.translate("select m.id, p.ra into mydb.New from photo p, MYDB.mine m\ndrop table mydb.new")
    assert into.action is Action.INTO
    assert str(into.target) == "MyDB.New"
    assert sorted(map(str, into.reads)) == ["MyDB.mine", "Sky.Photo"]
    assert into.sql.startswith("SELECT")
    assert (gone.action, gone.frees, gone.line, gone.column) == (Action.CHANGE, True, 2, 1)
    assert gone.source == "drop table mydb.new"
    temporary = shared.translate("select 1 as a into #t update #t set a = 2 drop table #t")
    assert [(s.action, str(s.target)) for s in temporary] == [
        (Action.INTO, "temp.#t"),
        (Action.SESSION, "temp.#t"),
        (Action.SESSION, "temp.#t"),
    ]


def test_temporary_table_is_never_a_table_of_the_user(laboratory: Laboratory) -> None:
    laboratory.run("select 1 as id into #mine delete from #mine drop table #mine")
    assert laboratory.engine.execute('SELECT count(*) FROM "MyDB".main.mine').fetchall() == [(4,)]


def test_without_the_right_to_write_only_temporary_tables(shared: Laboratory) -> None:
    with pytest.raises(Exception, match="may not write"):
        shared.translate("select ra into mydb.t from photo", may_write=False)
    assert shared.translate("select ra into #t from photo drop table #t", may_write=False)


def test_parameters_stand_for_declared_variables(shared: Laboratory) -> None:
    plan = shared.translate("select class from spec where bestobjid = @id", parameters=read({"id": 5}))
    shared.engine.execute('SET VARIABLE "id" = 1237648720693755919')
    assert shared.engine.execute(plan[0].sql).fetchall() == [("STAR",)]


def test_statements_without_effect_say_so(shared: Laboratory) -> None:
    plan = shared.translate("begin tran create index i on mydb.mine (id) select 1 commit set nocount on")
    assert [bool(statement.note) for statement in plan] == [True, True, False, True, False]
    assert "index is not made" in plan[1].note


def test_hundreds_of_terms(shared: Laboratory) -> None:
    terms = " or ".join(f"objid = {number}" for number in range(2000))
    assert shared.run(f"select count(*) from photo where {terms}").value == 0  # noqa: S608 - our own texts
    values = ", ".join(str(number) for number in range(5000))
    assert shared.run(f"select count(*) from photo where run in ({values})").value == 4  # noqa: S608 - our own texts
