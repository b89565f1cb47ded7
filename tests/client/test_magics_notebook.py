"""The magics in a kernel of their own, as in a notebook: display, progress, interrupts, questions, completion."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from typing import Any

import nbformat
import pexpect
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.casjobs.casjobs_platform import CasJobsPlatform, Client
from tests.client.magics_support import SECONDS, Kernel, environment
from tests.client.support import ENDLESS
from tests.support import wait_until

CANCELLED = 3
RUNNING = 1


def newest(person: Client) -> dict[str, Any]:
    """The last entry of the history; number 0 of an empty one."""
    return dict(next(iter(person.call("GET", "jobs?top=1").json()), {"JobID": 0}))


def started(notebook: Kernel, person: Client, cell: str) -> tuple[str, int]:
    """Start a cell whose query does not end; the cell's number and the job's, which runs."""
    before = newest(person)["JobID"]
    number = notebook.start(cell)
    found = wait_until(
        lambda: (job := newest(person))["JobID"] > before and job["Status"] == RUNNING and job["JobID"],
        what="the query runs",
    )
    return number, found


def test_tables_are_shown_as_html(notebook: Kernel) -> None:
    notebook.run("job = %casjobs --submit select 1 as one")
    for cell in ("%casjobs select top 2 ra from Stars", "%casjobs tables", "%casjobs history", "%casjobs wait job"):
        shown = notebook.run(cell)
        assert shown.status == "ok", shown
        [html] = shown.data("text/html")
        assert "<table" in html
        assert shown.data("text/plain")


def test_an_error_is_short(notebook: Kernel) -> None:
    shown = notebook.run("%%casjobs\nselect ra,\n   raa\nfrom Stars")
    assert (shown.status, shown.ename) == ("error", "QueryError")
    assert shown.traceback.splitlines() == [
        "There is no column raa in Stars.",
        "  3 |    raa",
        "    |    ^",
        "Did you mean the column ra of Stars?",
    ]
    # What follows in "run all" is not run.
    assert "Traceback (most recent call last)" in notebook.run("%tb").traceback


def test_an_interrupt_cancels_a_quick_query(notebook: Kernel, maria: Client) -> None:
    number, job = started(notebook, maria, f"%casjobs {ENDLESS}")
    notebook.interrupt()
    shown = notebook.finish(number)
    assert (shown.status, shown.ename) == ("error", "KeyboardInterrupt")
    assert shown.traceback == "Interrupted. The server cancels the query."
    assert maria.ended(job)["Status"] == CANCELLED
    assert notebook.run("%casjobs select 1 as one").status == "ok"


def test_an_interrupt_cancels_what_is_on_its_way(notebook: Kernel, maria: Client) -> None:
    query = "select a.ra as x, b.ra as y, c.ra as z from Stars a, Stars b, Stars c"
    number, job = started(notebook, maria, f"%casjobs {query}")
    notebook.interrupt()
    assert notebook.finish(number).ename == "KeyboardInterrupt"
    assert maria.ended(job)["Status"] == CANCELLED


def test_an_interrupt_of_a_wait_cancels_the_job(notebook: Kernel, maria: Client) -> None:
    assert notebook.run(f"job = %casjobs --submit {ENDLESS}").status == "ok"
    job = newest(maria)["JobID"]
    for option, said in (("--keep", f"Job {job} goes on: %casjobs wait {job}"), ("", f"Job {job} is cancelled.")):
        number = notebook.start(f"%casjobs wait {option} job")
        wait_until(lambda: maria.job(job)["Status"] == RUNNING, what="the job runs")
        time.sleep(2)
        notebook.interrupt()
        shown = notebook.finish(number)
        assert shown.traceback == f"Interrupted. {said}"
        # It was running before, and with --keep goes on.
        assert option == "" or maria.job(job)["Status"] == RUNNING
    assert maria.ended(job)["Status"] == CANCELLED


def test_an_interrupt_cancels_what_went_on_as_a_job(notebook: Kernel, maria: Client) -> None:
    number, job = started(notebook, maria, f"%casjobs --context Hasty --on-timeout queue {ENDLESS}")
    wait_until(lambda: maria.job(job)["Kind"] == "long", what="the query is in the long queue")
    time.sleep(2)
    notebook.interrupt()
    shown = notebook.finish(number)
    assert shown.traceback == f"Interrupted. Job {job} is cancelled."
    assert maria.ended(job)["Status"] == CANCELLED


def test_progress_of_a_query(notebook: Kernel, maria: Client) -> None:
    number, _ = started(notebook, maria, f"%casjobs {ENDLESS}")
    time.sleep(4)
    notebook.interrupt()
    shown = notebook.finish(number)
    [line] = shown.data("text/plain")
    assert line.startswith("Query in Sky: ")
    assert any(update.startswith("Query in Sky: 2 s") for update in shown.updates)
    # It goes away.
    assert shown.updates[-1] == ""


def test_progress_of_rows_and_of_the_queue(notebook: Kernel, maria: Client) -> None:
    # Ten million rows may come in less than the second that nobody is told of.
    notebook.run("from SciServer.magics import progress\nprogress.FIRST = progress.EVERY = 0.05")
    number = notebook.start("%casjobs -o many select a.ra as x, b.ra as y from Stars a, Stars b, Fields c")
    shown = notebook.finish(number)
    assert shown.status == "ok"
    assert notebook.run("len(many)").text == "10000000"
    lines = [*shown.data("text/plain"), *shown.updates]
    assert any(" rows" in line for line in lines), lines
    notebook.run("progress.FIRST, progress.EVERY = 1.0, 0.5")
    notebook.run(f"first = %casjobs --submit {ENDLESS}\nsecond = %casjobs --submit select 1 as one")
    number = notebook.start("%casjobs wait second")
    time.sleep(4)
    notebook.interrupt()
    shown = notebook.finish(number)
    assert any("waiting, place 1 in the queue" in update for update in shown.updates), shown
    assert notebook.run("%casjobs cancel first").status == "ok"


def test_nobody_watches_where_nobody_can_answer(notebook: Kernel) -> None:
    shown = notebook.run(f"%casjobs {SECONDS}", can_ask=False)
    assert len(shown.outputs) == 1
    assert not shown.updates


def test_a_question_when_the_time_is_over(notebook: Kernel, maria: Client) -> None:
    cell = f"%casjobs --context Hasty --on-timeout ask {SECONDS}"
    shown = notebook.run(cell, answer="")
    [question] = shown.asked
    assert question == f"The time of a quick query is over. Go on with it as job {newest(maria)['JobID']}? [Y/n] "
    assert "999999999" in shown.text
    shown = notebook.run(cell, answer="no")
    assert (len(shown.asked), shown.ename) == (1, "QueryTimeout")
    assert maria.ended(newest(maria)["JobID"])["Status"] == CANCELLED
    shown = notebook.run(cell, can_ask=False)
    assert (shown.asked, shown.ename) == ([], "QueryTimeout")
    assert "Run: %casjobs --submit" in shown.traceback


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%casj|", {"%casjobs"}),
        ("%casjobs ta|", {"tables"}),
        ("found = %casjobs des|", {"describe"}),
        ("%casjobs --con|", {"--context"}),
        ("%casjobs --context |", {"Sky", "Hasty", "MyDB", "MyScratch"}),
        ("%casjobs --format p|", {"pandas", "polars"}),
        ("%casjobs tables H|", {"Hasty"}),
        ("%casjobs tables --s|", {"--search"}),
        ("%casjobs describe S|", {"Stars", "Sky"}),
        ("%casjobs describe Hasty.F|", {"Fields"}),
        ("%casjobs wait some|", {"some_job"}),
        ("%casjobs upload new some|", {"some_frame"}),
        ("%casjobs help up|", {"upload"}),
        ("%casjobs select * from St|", {"Stars"}),
        ("%casjobs select * from Ha|", {"Hasty"}),
        ("%casjobs select * from Hasty.|", {"Stars", "Fields"}),
        ("%casjobs select * from Hasty.dbo.S|", {"Stars"}),
        ("%casjobs -c Hasty select s.m| from Stars s", {"mag"}),
        ("%casjobs select vis| from Stars", {"visits"}),
        ("%casjobs select dbo.fDistanceArc|", {"fDistanceArcMinEq"}),
        ("%%casjobs --conte|", {"--context"}),
        ("%%casjobs\nselect s.|\nfrom Stars s", {"objID", "ra", "dec", "mag", "class", "visits"}),
        ("%%casjobs -c Hasty\nselect *\nfrom Stars s join Fields f on f.|", {"fieldID", "name"}),
        ("%%casjobs\nselect ra from Stars wh|", {"where", "when"}),
        ("%%casjobs\nSELECT ra FROM Stars WH|", {"WHERE", "WHEN"}),
        ("%%casjobs\nselect ra from Stars where mag < {{some_n|}}", {"some_number"}),
        ("%%casjobs\nselect 1 as a into MyS|", {"MyScratch"}),
        ("%scidrive pu|", {"put"}),
        ("%scidrive rm --re|", {"--recursive"}),
    ],
)
def test_completion(notebook: Kernel, cell: str, expected: set[str]) -> None:
    notebook.run("import pandas\nsome_number = 5\nsome_frame = pandas.DataFrame({'a': [1]})")
    notebook.run("some_job = %casjobs --submit select 1 as one")
    # The first time the service may be slower than a completion waits; then there is none.
    found: set[str] = set()
    for _ in range(20):
        found = set(notebook.complete(cell))
        if expected <= found:
            break
        time.sleep(0.3)
    assert expected <= found
    # Nothing of Python's own in between.
    assert "some_number" in expected or "some_number" not in found


def test_completion_elsewhere_is_pythons(notebook: Kernel) -> None:
    notebook.run("alpha_one = 1")
    assert "alpha_one" in notebook.complete("alpha_o|")
    assert "where" not in notebook.complete("wh|")


def test_a_notebook_that_nobody_watches(
    casjobs_site: CasJobsPlatform, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = environment(tmp_path, casjobs_site.token("maria"), CasJobsRESTUri=casjobs_site.rest)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    cells = ["%load_ext SciServer", "%casjobs use Sky", f"%casjobs {SECONDS}", "%%casjobs\nselect raa from Stars"]
    written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(CellExecutionError, match="There is no column raa in Stars"):
        NotebookClient(written, kernel_name="python3", timeout=300).execute()
    [output] = written.cells[2].outputs
    assert "999999999" in output.data["text/plain"]
    assert casjobs_site.token("maria") not in nbformat.writes(written)


def test_a_terminal(casjobs_site: CasJobsPlatform, tmp_path: pathlib.Path) -> None:
    own = environment(tmp_path, casjobs_site.token("maria"), CasJobsRESTUri=casjobs_site.rest)
    command = "-m IPython --simple-prompt --no-banner --colors=NoColor --ext=SciServer"
    terminal = pexpect.spawn(sys.executable, command.split(), env={**os.environ, **own}, encoding="utf-8", timeout=120)
    try:
        terminal.expect(r"In \[1\]: ")
        terminal.sendline("%casjobs use Sky")
        terminal.expect("run in Sky")
        terminal.sendline(f"%casjobs {ENDLESS}")
        terminal.expect(r"\rQuery in Sky: 2 s")
        terminal.sendintr()
        terminal.expect("Interrupted. The server cancels the query.")
        terminal.sendline("%casjobs tables")
        terminal.expect(r"Stars +table +1,000")
    finally:
        terminal.close(force=True)
