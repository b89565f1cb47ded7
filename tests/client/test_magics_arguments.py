"""The words behind a magic, errors and lists as they are shown: what needs no service."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from SciServer.magics import casjobs_commands, scidrive_commands
from SciServer.magics.arguments import Command, Given, Option, Positional, Word, leading, text_of, words
from SciServer.magics.errors import MagicError, excerpt, offset_of, place_of
from SciServer.magics.namespace import Namespace
from SciServer.magics.tables import Field, Listing, duration, size


class Shell:
    """As much of IPython's as a namespace needs."""

    def __init__(self, **variables: Any) -> None:
        self.user_ns = variables


def texts(line: str) -> list[str]:
    return [word.text for word in words(line)]


def test_words() -> None:
    assert texts("  a  b\tc ") == ["a", "b", "c"]
    assert texts("'a b' \"c 'd'\" e'f g'h") == ["a b", "c 'd'", "ef gh"]
    assert texts("{{ a['x y'] }} {{d}}/{{e f}}.csv {x} a\\b") == ["{{ a['x y'] }}", "{{d}}/{{e f}}.csv", "{x}", "a\\b"]
    assert list(words("ab 'c'")) == [Word("ab", 0, 2), Word("c", 3, 6)]
    with pytest.raises(MagicError, match="not closed"):
        texts("a 'b c")


def test_options_end_where_sql_begins() -> None:
    for line, given, rest in [
        ("--context Sky --submit select -1", ["--context", "Sky", "--submit"], "select -1"),
        ("-c 'my db' select 'x'", ["-c", "my db"], "select 'x'"),
        ("--limit {{n + 1}} select 1", ["--limit", "{{n + 1}}"], "select 1"),
        ("--context --submit select 1", ["--context", "--submit"], "select 1"),
        ("select 1 --context Sky", [], "select 1 --context Sky"),
        ("-- a comment", [], "-- a comment"),
        ("--unknown select 1", ["--unknown"], "select 1"),
        ("select 'not closed", [], "select 'not closed"),
        ("", [], ""),
    ]:
        found = leading(line, casjobs_commands.QUERY)
        assert [word.text for word in found.words] == given
        assert line[found.rest :] == rest


COMMAND = Command(
    "go",
    "Somewhere.",
    (Positional("place", "Where.", "+"),),
    (Option(("--fast", "-f"), "Soon."), Option(("--to",), "", "X")),
)


def test_commands() -> None:
    found = COMMAND.parse(["a", "--fast", "b", "--to", "c"], "%magic")
    assert (found.place, found.fast, found.to) == (["a", "b"], True, "c")
    assert COMMAND.usage("%magic").startswith("usage: %magic go [--fast] [--to X] PLACE")
    for wrong in ([], ["a", "--fas"], ["a", "--to"], ["a", "--unknown"]):
        with pytest.raises(MagicError) as caught:
            COMMAND.parse(wrong, "%magic")
        assert caught.value._render_traceback_.lines[-1].startswith("Usage: %magic go")


def test_values_of_python_are_never_options() -> None:
    namespace = Namespace(Shell(flag="--fast", name="x.csv"))
    given = [namespace.given(Word(text, 0, 0)) for text in ("{{flag}}", "{{name}}", "a/{{flag}}", "--to", "{{flag}}")]
    found = COMMAND.parse(given, "%magic")
    assert found.fast is False
    assert [text_of(word) for word in found.place] == ["--fast", "x.csv", "a/--fast"]
    assert found.to == "--fast"


def test_words_and_what_they_hold() -> None:
    namespace = Namespace(Shell(a=[1], b="text"), {"b": "local"})
    assert namespace.object_of("a") == [1]
    assert namespace.object_of("b") == "local"
    assert namespace.object_of("c") == "c"
    assert namespace.object_of("a.csv") == "a.csv"
    whole = namespace.given(Word("{{a}}", 0, 0))
    assert isinstance(whole, Given)
    assert namespace.object_of(whole) == [1]
    assert namespace.evaluate("[b for _ in a]") == ["local"]
    with pytest.raises(MagicError, match="NameError"):
        namespace.given(Word("{{nope}}", 0, 0))


def test_every_command_has_a_page_and_an_action() -> None:
    from SciServer.magics import casjobs_actions, scidrive_actions

    for declared, actions in (
        (casjobs_commands, casjobs_actions.Actions),
        (scidrive_commands, scidrive_actions.Actions),
    ):
        for command in declared.COMMANDS:
            assert command.name in declared.page()
            assert command.help in command.usage("%magic")
            assert command.name == "help" or callable(getattr(actions, command.name))


def test_excerpts() -> None:
    assert excerpt("a\nbc\nd", 2, 2) == ["  2 | bc", "    |  ^"]
    assert excerpt("a\nbc", 2, 2, first_line=9) == ["  10 | bc", "     |  ^"]
    assert excerpt("\tab", 1, 3) == ["  1 |  ab", "    |   ^"]
    # Wide letters take two cells, accents that are letters of their own none.
    assert excerpt("星e\u0301x", 1, 4)[1] == "    |    ^"
    assert excerpt("", 1, 1) == ["  1 | ", "    | ^"]
    assert excerpt("ab", 7, 7) == ["  1 | ab", "    |   ^"]
    line, caret = excerpt("x" * 300 + "y" + "x" * 300, 1, 301)
    assert len(line) < 120
    assert line[caret.index("^")] == "y"
    assert line.count("…") == 2
    for text, column in (("x" * 300 + "y", 301), ("y" + "x" * 300, 1), ("x" * 20 + "y" + "x" * 300, 21)):
        line, caret = excerpt(text, 1, column)
        assert line[caret.index("^")] == "y"
        assert line.count("…") == 1


def test_places() -> None:
    text = "ab\n\nc"
    for offset in range(len(text) + 1):
        assert offset_of(text, *place_of(text, offset)) == offset
    assert offset_of(text, 99, 99) == len(text)


def test_lists_are_escaped_in_html_and_cut_in_text() -> None:
    fields = [Field[str]("<Name>", lambda item: item), Field[str]("Letters", len, number=True)]
    listing = Listing(["<script>", "x" * 100, "a\nb"], fields, empty="Nothing.", note="<note>")
    html = listing._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;Name&gt;" in html
    assert "&lt;note&gt;" in html
    assert "x" * 100 in html
    head, line, *rows, note = repr(listing).splitlines()
    assert head.split() == ["<Name>", "Letters"]
    assert set(line) <= {"-", " "}
    assert rows[1].split() == ["x" * 59 + "…", "100"]
    assert rows[2].split() == ["a", "b", "3"]
    assert note == "<note>"
    empty = Listing([], fields, empty="Nothing <here>.")
    assert repr(empty) == "Nothing <here>."
    assert empty._repr_html_() == "<p>Nothing &lt;here&gt;.</p>"


def test_numbers_for_people() -> None:
    assert [size(count) for count in (None, 0, 999, 1234, 5e6, 7.25e15)] == [
        "",
        "0 B",
        "999 B",
        "1.23 kB",
        "5 MB",
        "7,250 TB",
    ]
    assert [duration(seconds) for seconds in (0.9, 59, 60, 3599, 3600, 90_061)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
        "25 h 1 min",
    ]
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    cells = Listing(
        [0], [Field("a", lambda _: when), Field("b", lambda _: True), Field("c", lambda _: 1234567)], empty=""
    )
    assert cells.cells() == [["2026-01-02 02:04:05", "yes", "1,234,567"]]
