"""Templates in SQL: which are taken, what becomes of them, and where an error of the server is in the user's text."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy import units
from astropy.table import Column, Table
from hypothesis import given
from hypothesis import strategies as st
from SciServer.magics.errors import MagicError
from SciServer.magics.templates import bind, in_strings

HOSTILE = "'; drop table MyDB.stars; --"


def bound(sql: str, dialect: str = "tsql", **names: Any) -> tuple[str, dict[str, Any]]:
    query = bind(sql, lambda expression: eval(expression, dict(names)), dialect=dialect)  # noqa: S307
    return query.sql, dict(query.parameters)


def refused(sql: str, **names: Any) -> str:
    with pytest.raises(MagicError) as caught:
        bound(sql, **names)
    return str(caught.value)


def test_a_value_never_becomes_text() -> None:
    sql, parameters = bound("select {{a}}, {{ b }} from t where c = {{a}}", a=HOSTILE, b=3)
    assert sql == "select @a, @b from t where c = @a"
    assert parameters == {"a": HOSTILE, "b": 3}


@given(st.text())
def test_no_value_reaches_the_sql(value: str) -> None:
    assert bound("select {{value}} as x", value=value) == ("select @value as x", {"value": value})


def test_other_dialects_have_another_sign() -> None:
    assert bound("select {{a}}", "duckdb", a=1) == ("select $a", {"a": 1})
    assert bound("select {{a}}", "mssql", a=1) == ("select @a", {"a": 1})


@pytest.mark.parametrize(
    ("sql", "dialect"),
    [
        ("select '{{a}}', 'it''s {{a}}'", "tsql"),
        ('select "{{a}}", [{{a}}], [x]]{{a}}]', "tsql"),
        ("select 1 -- {{a}}", "tsql"),
        ("select 1 /* {{a}} /* {{a}} */ {{a}} */", "tsql"),
        ("select /* {{a}}", "tsql"),
        ("select '{{a}}", "tsql"),
        ("select $$ {{a}} $$, $x$ {{a}} $$ $x$, E'\\'{{a}}'", "postgresql"),
    ],
)
def test_left_alone(sql: str, dialect: str) -> None:
    assert bound(sql, dialect, a=1) == (sql, {})


def test_brackets_are_arrays_elsewhere() -> None:
    assert bound("select [{{a}}]", "duckdb", a=1) == ("select [$a]", {"a": 1})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("d['x']", 5),
        ("{1: {2: 3}}[1][2]", 3),
        ("'}}'", "}}"),
        ("'{{'", "{{"),
        ("[n for n in range(3) if n > 1][0]", 2),
        ("(lambda: d['x'])()", 5),
    ],
)
@pytest.mark.parametrize("space", ["", " ", "\n"])
def test_expressions(expression: str, value: object, space: str) -> None:
    sql, parameters = bound("select {{" + space + expression + space + "}} as x", d={"x": 5})
    assert sql == "select @value as x"
    assert parameters == {"value": value}


def test_dictionaries_at_the_end_of_a_template() -> None:
    assert bound("{{len({1: {2: 3}})}}}") == ("@value}", {"value": 1})
    assert bound("{{ {1: 2}[1] }} + {{ {3: {4: 5}} [3][4]}}") == ("@value + @value_2", {"value": 2, "value_2": 5})


def test_names_in_use_are_not_taken() -> None:
    sql, parameters = bound("declare @X int = 1; select @x, {{x}}, {{X}}, {{x + 1}}", x=2, X=3)
    assert sql == "declare @X int = 1; select @x, @x_2, @x_3, @value"
    assert parameters == {"x_2": 2, "x_3": 3, "value": 3}


def test_the_same_expression_is_evaluated_once() -> None:
    numbers = iter(range(9))
    assert bound("select {{next(n)}}, {{ next(n) }}", n=numbers) == ("select @value, @value", {"value": 0})


LISTS: list[Any] = [
    [1, 2],
    (1, 2),
    range(1, 3),
    np.array([1, 2]),
    pd.Series([1, 2]),
    pd.Index([1, 2]),
    pl.Series([1, 2]),
    pa.array([1, 2]),
    Column([1, 2]),
    {1: 0, 2: 0}.keys(),
]


@pytest.mark.parametrize("values", LISTS[:-1], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(("before", "after"), [("in ", ""), ("in (", ")"), ("IN\n", " ")])
def test_lists(values: Any, before: str, after: str) -> None:
    sql, parameters = bound(f"x {before}{{{{v}}}}{after}", v=values)
    assert " ".join(sql.split()).lower() == "x in (@v_1, @v_2)"
    assert parameters == {"v_1": 1, "v_2": 2}
    assert all(type(value) is int for value in parameters.values())


def test_sets_and_one_value() -> None:
    assert bound("x in {{v}}", v={7}) == ("x in (@v)", {"v": 7})
    assert bound("x in {{v}}", v=7) == ("x in (@v)", {"v": 7})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (np.bool_(True), True),
        (np.int64(2**62), 2**62),
        (np.float64(0.5), 0.5),
        (decimal.Decimal("1.5"), decimal.Decimal("1.5")),
        (np.str_("x"), "x"),
        (None, None),
        (float("nan"), None),
        (np.float64("nan"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (np.ma.masked, None),
        (np.datetime64("NaT"), None),
        (datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (pd.Timestamp("2026-01-02 03:04"), datetime.datetime(2026, 1, 2, 3, 4)),
        (np.datetime64("2026-01-02T03:04:05.000000001"), datetime.datetime(2026, 1, 2, 3, 4, 5)),
        (pa.scalar(3), 3),
        (np.array(3), 3),
    ],
    ids=repr,
)
def test_values(value: object, expected: object) -> None:
    [found] = bound("select {{v}}", v=value)[1].values()
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, type(expected))


@pytest.mark.parametrize(
    "values", [pd.Series(["2026-01-02"], dtype="datetime64[ns]"), np.array(["2026-01-02"], "M8[ns]")]
)
def test_times_in_a_list(values: Any) -> None:
    [found] = bound("x in {{v}}", v=values)[1].values()
    assert found == datetime.datetime(2026, 1, 2)


@pytest.mark.parametrize(
    ("sql", "value", "why"),
    [
        ("x = {{v}}", [1, 2], "A list can stand after IN only"),
        ("x in (1, {{v}})", [1, 2], "A list can stand after IN only"),
        ("x in {{v}}", [], "is empty"),
        ("x in {{v}}", [1, None], "missing values"),
        ("x in {{v}}", pd.Series([1, np.nan]), "missing values"),
        ("x in {{v}}", [[1]], "a list of lists"),
        ("x in {{v}}", range(1001), "Upload the values as a table"),
        ("{{v}}", {"a": 1}, "is a dictionary"),
        ("{{v}}", pd.DataFrame({"a": [1]}), "%casjobs upload"),
        ("{{v}}", pl.DataFrame({"a": [1]}), "%casjobs upload"),
        ("{{v}}", pa.table({"a": [1]}), "%casjobs upload"),
        ("{{v}}", Table({"a": [1]}), "%casjobs upload"),
        ("{{v}}", np.zeros((2, 2)), "several dimensions"),
        ("{{v}}", 3 * units.deg, "the unit deg"),
        ("{{v}}", 1j, "complex"),
        ("{{v}}", float("inf"), "infinite"),
        ("{{v}}", object(), "of the type object"),
    ],
    # Not what the value looks like: some have their address in it.
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_refused_values(sql: str, value: object, why: str) -> None:
    said = refused(sql, v=value)
    assert why in said
    assert "{{v}}" in said


def test_the_service_takes_a_thousand() -> None:
    assert len(bound("x in {{v}}", v=range(1000))[1]) == 1000
    assert "1000" in refused("x in {{v}} or y = {{w}}", v=range(1000), w=1)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("select\n  {{nope}}", "{{nope}} (line 2, column 3) cannot be evaluated: NameError"),
        ("select {{1 / 0}}", "{{1 / 0}} (line 1, column 8) cannot be evaluated: ZeroDivisionError"),
        ("select {{1 +}}, {{1}}", "{{1 +}} (line 1, column 8) cannot be evaluated: SyntaxError"),
        ("select {{ }}", "is empty"),
        ("select {{}}", "is empty"),
        ("select {{1", "has no end"),
    ],
)
def test_an_error_names_the_expression_and_its_place(sql: str, why: str) -> None:
    assert why in refused(sql)


def test_the_first_line_of_a_cell_is_counted() -> None:
    with pytest.raises(MagicError) as caught:
        bind("select\n  {{nope}}", lambda expression: eval(expression, {}), first_line=2)  # noqa: S307
    message, line, caret = caught.value._render_traceback_.lines
    assert "line 3, column 3" in message
    assert line == "  3 |   {{nope}}"
    assert caret.index("^") == line.index("{{")


WORDS = ["select", "{{x}}", "{{ longer }}", "'{{x}}'", "a", ",", "\n", "in {{many}}", "/* {{x}} */", "ä"]
NAMES = {"x": 1, "longer": "text", "many": [1, 2, 3]}


@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_places_are_found_again(words: list[str]) -> None:
    sql = " ".join(words)
    query = bind(sql, lambda expression: NAMES[expression.strip()])
    for offset in range(len(query.sql)):
        before = query.sql[:offset]
        line, column = query.origin(before.count("\n") + 1, offset - before.rfind("\n"))
        found = sum(len(each) + 1 for each in sql.split("\n")[: line - 1]) + column - 1
        if sql[found : found + 2] != "{{":
            assert sql[found] == query.sql[offset]


def test_places_inside_and_behind_a_template() -> None:
    query = bind("select {{longer}} +\n{{x}} + raa", NAMES.__getitem__)
    assert query.sql == "select @longer +\n@x + raa"
    assert query.origin(1, 8) == query.origin(1, 10) == (1, 8)
    assert query.origin(1, 16) == (1, 19)
    assert query.origin(2, 6) == (2, 9)
    assert query.origin(9, 99) == (2, 12)


def test_strings_that_look_like_templates_are_told_of() -> None:
    query = bind("select '{{x}}', '{{ }}', 'x', {{x}}", NAMES.__getitem__)
    assert in_strings(query) == ["'{{x}}'"]
