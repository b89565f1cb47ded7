"""Which names fit at a place in SQL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from SciServer.magics.sqlplaces import Place, Source, place, quoted, sources
from SciServer.magics.sqltext import tokens


def at(sql: str, dialect: str = "tsql") -> Place:
    """The place of the ``|``."""
    before, _, after = sql.partition("|")
    return place(before + after, len(before), dialect)


@pytest.mark.parametrize(
    ("sql", "kind", "prefix", "path"),
    [
        ("|", "value", "", ()),
        ("sel|", "value", "sel", ()),
        ("select |", "value", "", ()),
        ("select a, |", "value", "", ()),
        ("select * from |", "table", "", ()),
        ("select * from St|", "table", "St", ()),
        ("select * from Stars s, |", "table", "", ()),
        ("select * from (select a, | from x) y", "value", "", ()),
        ("select * from a join |", "table", "", ()),
        ("select * from a cross apply dbo.|", "table", "", ("dbo",)),
        ("select * from f(a, |)", "value", "", ()),
        ("select * from Sky.|", "table", "", ("Sky",)),
        ("select * from Sky.dbo.S|", "table", "S", ("Sky", "dbo")),
        ("select * from Sky..S|", "table", "S", ("Sky",)),
        ("select s.| from Stars s", "value", "", ("s",)),
        ("select [my s].m| from Stars [my s]", "value", "m", ("my s",)),
        ("select x into |", "target", "", ()),
        ("select x into MyDB.|", "target", "", ("MyDB",)),
        ("select x from a where b = 1 order by |", "value", "", ()),
        ("update |", "table", "", ()),
        ("select '|'", "nothing", "", ()),
        ("select 'abc|", "nothing", "", ()),
        ("select 'abc'|", "value", "", ()),
        ("select 1 -- from |", "nothing", "", ()),
        ("select 1 /* from | */", "nothing", "", ()),
        ("select 1 /* */ + |", "value", "", ()),
        ("select 12|", "nothing", "", ()),
        ("select {{ab|}}", "python", "ab", ()),
        ("select {{ab|", "python", "ab", ()),
        ("select {{ab}}|", "value", "", ()),
        ("select {{ab}}, s.|", "value", "", ("s",)),
    ],
)
def test_places(sql: str, kind: str, prefix: str, path: tuple[str, ...]) -> None:
    found = at(sql)
    assert (found.kind, found.prefix, found.path) == (kind, prefix, path)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select | from Stars", [(("Stars",), "Stars")]),
        ("select | from Stars s, Fields as f", [(("Stars",), "s"), (("Fields",), "f")]),
        ("select | from Sky.dbo.Stars s where 1 = 1", [(("Sky", "dbo", "Stars"), "s")]),
        ("select | from Sky..Stars order by 1", [(("Sky", "Stars"), "Stars")]),
        ("select | from [My Stars] [m s]", [(("My Stars",), "m s")]),
        (
            "select | from a left outer join b x on a.i = x.i inner join c on 1 = 1",
            [(("a",), "a"), (("b",), "x"), (("c",), "c")],
        ),
        ("select | from dbo.fNear(1, 2, (3)) n join Stars s on 1 = 1", [(("dbo", "fNear"), "n"), (("Stars",), "s")]),
        ("select | from (select * from inside i) x", [(("inside",), "i")]),
        ("select a from old; select | from new", [(("new",), "new")]),
        ("select |, b from x; select a from later", [(("x",), "x")]),
        ("select a, | , c from x group by a, c", [(("x",), "x")]),
        ("select |", []),
        ("select | from", []),
    ],
)
def test_sources(sql: str, expected: list[tuple[tuple[str, ...], str]]) -> None:
    assert [(source.path, source.alias) for source in at(sql).sources] == expected


def test_places_of_sources() -> None:
    assert Source(("Stars",), "s").place("Sky") == ("Sky", "Stars")
    assert Source(("dbo", "Stars"), "s").place("Sky") == ("Sky", "Stars")
    assert Source(("MyDB", "Stars"), "s").place("Sky") == ("MyDB", "Stars")
    assert Source(("MyDB", "dbo", "Stars"), "s").place("Sky") == ("MyDB", "Stars")


def test_quoted() -> None:
    assert [quoted(name) for name in ("ra", "dec", "my ra", "a]b", "order", "1st")] == [
        "ra",
        "dec",
        "[my ra]",
        "[a]]b]",
        "[order]",
        "[1st]",
    ]
    assert quoted('my "ra', "duckdb") == '"my ""ra"'


PIECES = [
    "select",
    " ",
    "from",
    "Stars",
    ".",
    ",",
    "(",
    ")",
    "'",
    '"',
    "[",
    "]",
    "--",
    "\n",
    "/*",
    "*/",
    "{{",
    "}}",
    ";",
    "1",
    "é",
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.sampled_from(["tsql", "duckdb"]), st.data())
def test_any_text_can_be_read(sql: str, dialect: str, data: st.DataObject) -> None:
    found = list(tokens(sql, dialect))
    # Nothing is left out but white space, and nothing is taken twice.
    end = 0
    for token in found:
        assert sql[end : token.start].strip() == ""
        assert sql[token.start : token.end] == token.text
        end = token.end
    assert sql[end:].strip() == ""
    cursor = data.draw(st.integers(0, len(sql)))
    where = place(sql, cursor, dialect)
    assert sql[:cursor].endswith(where.prefix)
    sources(found)
