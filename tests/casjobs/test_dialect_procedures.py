"""Procedures whose rows go into a table, and variables that a script leaves to whoever runs it."""

from __future__ import annotations

import pytest

from casjobs_service.catalog import Catalog, Column, Sky, Table
from casjobs_service.dialect import translate, undeclared
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import read
from casjobs_service.plan import Action, TableName

STARS = Table(
    "PhotoObjAll", [Column("objID", "BIGINT"), Column("ra", "DOUBLE"), Column("dec", "DOUBLE")], sky=Sky("ra", "dec")
)


class Databases:
    def catalog(self, name: str) -> Catalog | None:
        return {"sky": Catalog("Sky", tables=[STARS]), "mydb": Catalog("MyDB")}.get(name.lower())

    def names(self) -> list[str]:
        return ["Sky", "MyDB"]


def test_rows_of_a_procedure_are_inserted() -> None:
    *_, last = translate(
        """create table #upload (up_id int, up_ra float, up_dec float)
        create table #x (up_id int, objID bigint)
        insert into #x exec spGetNeighbors 0.1""",
        Databases(),
        "Sky",
    )
    assert (last.action, last.target, last.line) == (Action.INSERT, TableName("temp", "#x"), 3)
    assert "#upload" in last.sql


def test_unknown_procedure_is_refused_at_its_place() -> None:
    with pytest.raises(QueryError) as caught:
        translate("create table #x (a int)\ninsert #x exec spNothing 1", Databases(), "Sky")
    assert (caught.value.kind, caught.value.line, caught.value.column) == (Kind.UNSUPPORTED, 2, 16)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select * from t where a = @ID and b > @ra and c = @id", ["id", "ra"]),
        ("declare @a int, @b float = 2; set @a = @c; select @a, @b", ["c"]),
        ("exec SQLxMatch @table1 = 'x', @radius = @r", ["r"]),
        ("select '@no', [@neither] -- @comment", []),
    ],
)
def test_variables_that_are_not_declared(text: str, expected: list[str]) -> None:
    assert undeclared(text) == expected


def test_they_can_be_given_a_type_and_are_an_error_otherwise() -> None:
    text = "select objID from PhotoObjAll where objID = @objid"
    [statement] = translate(text, Databases(), "Sky", parameters=read({"objID": {"value": None, "type": "bigint"}}))
    assert "objid" in statement.sql
    with pytest.raises(QueryError, match="no variable @objid"):
        translate(text, Databases(), "Sky")
