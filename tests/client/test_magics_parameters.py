"""Values of Python in queries: bound by the service, whatever is in them, and told of at their place."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.casjobs.casjobs_platform import FIRST, STARS, Client
from tests.client.magics_support import SECONDS, Shell

HOSTILE = [
    "'; drop table MyDB.victim; --",
    "' or '1'='1",
    "x' union select 'y",
    "*/ select 1 /*",
    "-- ",
    "{{1/0}}",
    "@other",
    "]; drop table victim",
    '"; drop table victim; --',
    "\\'; drop table victim; --",
    "$$; drop table victim; $$",
    "%s %(a)s ? :1 $1 @p1",
    "naïve ☃ \U0001d4b3 \n\t\r x",
    "",
    " " * 10,
    "x" * 10_000,
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_nothing_breaks_out(shell: Shell, maria: Client, value: str) -> None:
    shell.ip.user_ns |= {"value": value, "values": [value, "other"]}
    shell.run("%casjobs -c MyDB select 1 as a into MyDB.victim")
    found = shell.value(
        "%casjobs -c MyDB select {{value}} as v, count(*) as n from victim where {{value}} = {{value}}"
    )
    assert found.to_dict("list") == {"v": [value], "n": [1]}
    found = shell.value("%%casjobs -c MyDB\nselect count(*) as n from victim\nwhere {{value}} in {{values}}")
    assert found["n"][0] == 1
    found = shell.value("%casjobs --dialect duckdb -c MyDB select {{value}} as v")
    assert found["v"][0] == value
    assert maria.csv("select count(*) as n from victim").splitlines() == ["n", "1"]


def test_a_comparison_with_hostile_text_finds_nothing(shell: Shell) -> None:
    shell.ip.user_ns["name"] = "STAR' or '1'='1"
    assert shell.value("%casjobs select count(*) as n from Stars where class = {{name}}")["n"][0] == 0
    shell.ip.user_ns["name"] = "STAR"
    assert shell.value("%casjobs select count(*) as n from Stars where class = {{name}}")["n"][0] > 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (2**62, 2**62),
        (-0.1, -0.1),
        (decimal.Decimal("12.50"), decimal.Decimal("12.50")),
        ("text", "text"),
        (b"\x00'\xff", b"\x00'\xff"),
        (datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.datetime(2026, 1, 2, 3, 4, 5)),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.datetime64("2026-01-02"), datetime.datetime(2026, 1, 2)),
        (pd.Timestamp("2026-01-02 03:04"), datetime.datetime(2026, 1, 2, 3, 4)),
        (None, None),
        (float("nan"), None),
    ],
    ids=repr,
)
def test_types(shell: Shell, value: object, expected: Any) -> None:
    shell.ip.user_ns["value"] = value
    [found] = shell.value("%casjobs --format arrow select {{value}} as v").column("v").to_pylist()
    assert (found, type(found)) == (expected, type(expected))


def test_lists(shell: Shell) -> None:
    shell.ip.user_ns |= {
        "ids": pd.Series([FIRST, FIRST + 2, 5]),
        "names": {"STAR"},
        "many": [FIRST + number for number in range(1000)],
    }
    found = shell.value("%casjobs select objID from Stars where objID in {{ids}} order by objID")
    assert list(found["objID"]) == [FIRST, FIRST + 2]
    assert len(shell.value("%casjobs select objID from Stars where objID in ({{ids}})")) == 2
    assert len(shell.value("%casjobs select objID from Stars where objID not in {{ids}}")) == STARS - 2
    assert len(shell.value("%casjobs select objID from Stars where objID in {{many}}")) == STARS
    assert len(shell.value("%casjobs select objID from Stars where class in {{names}} and objID in {{ids}}")) == 1


def test_expressions_and_places_for_values(shell: Shell) -> None:
    shell.ip.user_ns |= {"settings": {"n": 3}, "faint": 20}
    found = shell.value(
        "%%casjobs\nselect top ({{settings['n']}}) ra, {{faint}} as limit_\nfrom Stars\nwhere mag < {{faint}}"
    )
    assert len(found) == 3
    assert set(found["limit_"]) == {20}
    line = "%casjobs select count(*) as n from Stars where mag < {{limit}}"
    shell.value(f"def bright(limit):\n    found = {line}\n    return found")
    assert shell.value("bright(16)")["n"][0] == STARS // 10
    assert shell.value("[len(f) for f in [get_ipython().run_line_magic('casjobs', 'select {{faint}} as a')]]") == [1]


def test_an_error_behind_a_template_is_at_the_users_place(shell: Shell) -> None:
    shell.ip.user_ns |= {"a_rather_long_name": 1, "values": list(range(50))}
    lines = shell.error(
        "%%casjobs\nselect ra from Stars\nwhere visits in {{values}} and {{a_rather_long_name}} = 1 and raa = 1"
    )
    assert lines[1].startswith("  3 | where visits in {{values}}")
    assert lines[1][lines[2].index("^") :] == "raa = 1"


def test_an_error_of_a_value_is_at_its_template(shell: Shell) -> None:
    shell.ip.user_ns["text"] = "no number"
    lines = shell.error("%%casjobs\nselect ra from Stars\nwhere objID = cast({{text}} as bigint)")
    assert "no number" in lines[0]
    shell.ip.user_ns["value"] = [1, None]
    message, line, caret = shell.error("%%casjobs\nselect ra from Stars where visits in {{value}}")
    assert "{{value}} (line 2, column 38)" in message
    assert line[caret.index("^") :] == "{{value}}"
    shell.ip.user_ns["value"] = 2**70
    assert "value" in shell.error("%casjobs select {{value}} as v")[0]


def test_strings_are_left_alone_and_told_of(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.ip.user_ns["name"] = "STAR"
    assert shell.value("%casjobs select '{{name}}' as v /* {{nope}} */")["v"][0] == "{{name}}"
    assert "'{{name}}' is text, and was left as it is" in capsys.readouterr().err
    assert "{{1+}}" in shell.error("%casjobs select {{1+}}")[0]


def test_a_variable_of_the_script_keeps_its_name(shell: Shell) -> None:
    shell.ip.user_ns["n"] = 5
    found = shell.value("%%casjobs\ndeclare @n int = 2\nselect @n as own, {{n}} as ours")
    assert found.to_dict("list") == {"own": [2], "ours": [5]}


def test_several_results_and_jobs_have_parameters_too(shell: Shell, maria: Client) -> None:
    shell.ip.user_ns |= {"first": 1, "second": "'; --"}
    found = shell.value("%casjobs select {{first}} as a; select {{second}} as b")
    assert found.to_dict("list") == {"b": ["'; --"]}
    job = shell.value("%casjobs --submit select {{second}} as b")
    assert maria.job(job.id)["Parameters"] == {"second": "'; --"}
    assert "'; --" not in maria.job(job.id)["Query"]
    shell.value("%casjobs wait")
    assert shell.value("%casjobs result")["b"][0] == "'; --"
    assert shell.value("%casjobs --into kept select {{first}} as a").rows == 1
    slow = SECONDS.replace("0.1", "{{first}} / 10.0")
    assert shell.value(f"%casjobs -c Hasty --on-timeout queue {slow}")["n"][0] == STARS**3 - 1


def test_tables_and_columns_cannot_be_parameters(shell: Shell) -> None:
    shell.ip.user_ns["table"] = "Stars"
    lines = shell.error("%casjobs select ra from {{table}}")
    assert lines[1][lines[2].index("^") :].startswith("{{table}}")
