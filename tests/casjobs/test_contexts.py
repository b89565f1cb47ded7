"""Contexts: names, access, changes that others see whole, files that others may read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from casjobs_service.catalog import Catalog, Column, Table
from casjobs_service.contexts import ContextError, Contexts
from casjobs_service.draft import edit


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    return Contexts(tmp_path / "casjobs/contexts")


def _catalog(name: str, *tables: str) -> Catalog:
    return Catalog(name, tables=[Table(table, [Column("id", "BIGINT")]) for table in tables])


def test_a_new_context_is_an_empty_database_that_a_worker_can_open(contexts: Contexts) -> None:
    contexts.create("DR7", title="Seven", public=True, groups=("a",), quick_seconds=30.5, rights="CC0", cite="Me")
    context = contexts.get("dr7")
    assert context is not None
    assert (context.name, context.title, context.groups, context.quick_seconds) == ("DR7", "Seven", ("a",), 30.5)
    source = context.source()
    assert (source.name, source.engine, source.folder) == ("DR7", "duckdb", None)
    assert Catalog.load(source.catalog) == Catalog("DR7")
    assert source.data is not None
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{source.data}' AS \"DR7\" (READ_ONLY)")
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]


@pytest.mark.parametrize(
    "name", ["MyDB", "myscratch", "TEMP", "main", "dbo", "Information_Schema", "1st", "a b", "a-b", "é", "", "x" * 64]
)
def test_a_name_that_means_something_else_is_refused(contexts: Contexts, name: str) -> None:
    with pytest.raises(ContextError):
        contexts.create(name)
    assert contexts.all() == []


def test_a_name_is_taken_in_every_case_of_letters(contexts: Contexts) -> None:
    contexts.create("SkyDemo")
    with pytest.raises(ContextError, match="SkyDemo already"):
        contexts.create("skydemo")


def test_who_sees_which(contexts: Contexts) -> None:
    contexts.create("Open", public=True)
    contexts.create("Team", groups=("red", "blue"))
    contexts.create("Nobody")
    assert [context.name for context in contexts.visible(())] == ["Open"]
    assert [context.name for context in contexts.visible(("blue", "x"))] == ["Open", "Team"]


def test_a_password_is_in_a_file_of_its_own_and_nowhere_else(contexts: Contexts, tmp_path: Path) -> None:
    context = contexts.create("PG", url="postgresql://reader@db.example.org/sky", password="very secret")
    assert context.engine == "postgresql"
    assert context.source().data is None
    file = tmp_path / "secrets" / context.password_file
    assert file.read_text() == "very secret" == context.password()
    assert file.stat().st_mode & 0o777 == 0o600
    for path in context.directory.iterdir():
        assert b"very secret" not in path.read_bytes()
    contexts.set_password("pg", "another")
    assert contexts.require("PG").password() == "another"
    contexts.remove("PG")
    assert not file.exists()


@pytest.mark.parametrize(
    "url",
    ["mysql://h/d", "postgresql:///x", "postgresql://u:secret@h/d", "postgresql://u@h/d?password=secret", "http://h"],
)
def test_an_address_that_cannot_be_used_is_refused(contexts: Contexts, url: str) -> None:
    with pytest.raises(ContextError) as caught:
        contexts.create("PG", url=url)
    assert "secret" not in str(caught.value) or "secret" not in url
    assert contexts.all() == []


def test_a_reader_sees_the_old_or_the_new_and_nothing_between(contexts: Contexts) -> None:
    """Settings and catalogue change together: the title names the tables."""
    contexts.create("Sky", title="0", catalog=_catalog("Sky", "t0"))
    ended = threading.Event()
    seen: set[str] = set()
    faults: list[object] = []

    def read() -> None:
        # As another process does: nothing is remembered.
        while not ended.is_set():
            reader = Contexts(contexts.directory)
            context = reader.require("Sky")
            catalog = Catalog.load(context.catalog_file)
            seen.add(context.title)
            if [table.name for table in catalog.tables] != [f"t{context.title}"]:
                faults.append((context, catalog))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for number in range(1, 60):
            contexts.update("Sky", title=str(number), catalog=_catalog("Sky", f"t{number}"))
    finally:
        ended.set()
        thread.join()
    assert faults == []
    assert len(seen) > 1


def test_a_change_by_another_process_is_seen(contexts: Contexts) -> None:
    contexts.create("Sky", title="before", catalog=_catalog("Sky", "old"))
    assert contexts.catalog("sky") is contexts.catalog("Sky")
    script = (
        "import sys, pathlib; from casjobs_service.catalog import *; from casjobs_service.contexts import *; "
        "Contexts(pathlib.Path(sys.argv[1])).update('Sky', title='after', catalog=Catalog('Sky'))"
    )
    subprocess.run([sys.executable, "-c", script, str(contexts.directory)], check=True)
    assert contexts.require("Sky").title == "after"
    catalog = contexts.catalog("Sky")
    assert catalog is not None
    assert catalog.tables == []


def test_a_running_query_keeps_the_data_with_which_it_began(contexts: Contexts) -> None:
    contexts.create("Sky")
    with edit(contexts, "Sky") as draft:
        draft.run("CREATE TABLE t AS SELECT 1 AS x")
    old = contexts.require("Sky").source()
    assert old.data is not None
    with duckdb.connect() as running:
        running.execute(f"ATTACH '{old.data}' AS Sky (READ_ONLY)")
        with edit(contexts, "Sky") as draft:
            draft.run("UPDATE t SET x = 2")
        # One that was told of the old file, and opens it only now.
        with duckdb.connect() as late:
            late.execute(f"ATTACH '{old.data}' AS Sky (READ_ONLY)")
        assert contexts.sweep("Sky", grace=0)
        assert not old.data.exists()
        assert running.execute("SELECT x FROM Sky.main.t").fetchall() == [(1,)]
    new = contexts.require("Sky").source()
    assert {new.data, new.catalog, new.directory / "context.json"} == set(new.directory.iterdir())


def test_data_can_be_read_by_other_accounts_and_settings_only_by_ours(contexts: Contexts) -> None:
    before = os.umask(0o077)
    try:
        contexts.create("Sky", public=True)
        with edit(contexts, "Sky") as draft:
            draft.run("CREATE TABLE t AS SELECT 1 AS x")
    finally:
        os.umask(before)
    source = contexts.require("Sky").source()
    assert source.data is not None
    modes = {path: path.stat().st_mode & 0o777 for path in (source.data, source.catalog, source.directory)}
    assert modes == {source.data: 0o644, source.catalog: 0o644, source.directory: 0o755}
    assert (source.directory / "context.json").stat().st_mode & 0o077 == 0


def test_a_change_that_fails_leaves_all_as_it_was(contexts: Contexts) -> None:
    contexts.create("Sky")
    with edit(contexts, "Sky") as draft:
        draft.run("CREATE TABLE t AS SELECT 1 AS x")
    before = contexts.require("Sky")
    files = set(before.directory.iterdir())
    with pytest.raises(duckdb.CatalogException), edit(contexts, "Sky") as draft:
        draft.run("DROP TABLE t; DROP TABLE nope")
    assert contexts.require("Sky") == before
    assert set(before.directory.iterdir()) == files
    catalog = contexts.catalog("Sky")
    assert catalog is not None
    assert [table.name for table in catalog.tables] == ["t"]


def test_two_changes_at_once_are_refused(contexts: Contexts) -> None:
    contexts.create("Sky")
    script = (
        "import sys, pathlib; from casjobs_service.contexts import *; "
        "Contexts(pathlib.Path(sys.argv[1])).update('Sky', title='x')"
    )
    with edit(contexts, "Sky"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(contexts.directory)], capture_output=True, text=True, check=False
        )
    assert "Another command is changing the context Sky" in done.stderr
    assert contexts.require("Sky").title == ""


def test_files_of_a_load_that_was_killed_go_with_the_next(contexts: Contexts) -> None:
    context = contexts.create("Sky")
    left = context.directory / "data-7.duckdb"
    left.write_bytes(b"half")
    with edit(contexts, "Sky") as draft:
        draft.run("CREATE TABLE t AS SELECT 1 AS x")
    assert contexts.require("Sky").data == "data-8.duckdb"
    assert left.name in contexts.sweep("Sky", grace=0)


def test_one_damaged_context_does_not_hide_the_others(contexts: Contexts, caplog: pytest.LogCaptureFixture) -> None:
    contexts.create("Good")
    bad = contexts.create("Bad")
    (bad.directory / "context.json").write_text("{")
    assert [context.name for context in contexts.all()] == ["Good"]
    assert "Bad" in caplog.text
    caplog.clear()
    contexts.all()
    assert caplog.text == ""


def test_a_finished_file_becomes_the_data(contexts: Contexts, tmp_path: Path) -> None:
    for number in (1, 2):
        file = tmp_path / "made.duckdb"
        with duckdb.connect(str(file)) as connection:
            connection.execute(f"CREATE TABLE t AS SELECT {number} AS x")
        contexts.publish("Made", file, _catalog("Made", f"t{number}"), title=f"Number {number}", public=True)
    context = contexts.require("Made")
    assert (context.title, context.public, context.loaded != "") == ("Number 2", True, True)
    assert json.loads(context.catalog_file.read_text())["tables"][0]["name"] == "t2"
    with duckdb.connect(str(context.data_file), read_only=True) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(2,)]


@pytest.fixture
def attached(contexts: Contexts) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two contexts and a MyDB with tables and views of the same names, as a worker attaches them."""
    for name, value in (("One", 1), ("Two", 2)):
        contexts.create(name)
        with edit(contexts, name) as draft:
            draft.run(f"CREATE TABLE PhotoObjAll AS SELECT {value} AS x, range % 4 AS type, 'a' AS c FROM range(8)")  # noqa: S608
            draft.run("CREATE VIEW PhotoPrimary AS SELECT * FROM PhotoObjAll WHERE type < 3")
            # Written in each of the ways that people write it.
            draft.run("CREATE VIEW Galaxy AS SELECT * FROM PhotoPrimary WHERE type = 2")
            draft.run(f'CREATE VIEW Star AS SELECT * FROM "{name}".main.PhotoObjAll WHERE type = 1')  # noqa: S608
            draft.run("CREATE VIEW Other AS SELECT p.x FROM main.PhotoObjAll p JOIN main.Star s USING (type)")
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS \"MyDB\"")
        connection.execute('CREATE TABLE "MyDB".main.PhotoObjAll AS SELECT 99 AS x, 2 AS type')
        connection.execute('USE "MyDB"')
        for name in ("One", "Two"):
            connection.execute(f"ATTACH '{contexts.require(name).data_file}' AS \"{name}\" (READ_ONLY)")
        yield connection


@pytest.mark.parametrize(("view", "rows"), [("PhotoPrimary", 6), ("Galaxy", 2), ("Star", 2), ("Other", 4)])
def test_views_mean_the_tables_of_their_own_context(attached: duckdb.DuckDBPyConnection, view: str, rows: int) -> None:
    for name, value in (("One", 1), ("Two", 2)):
        found = attached.execute(f'SELECT count(*), min(x), max(x) FROM "{name}".main."{view}"')  # noqa: S608
        assert found.fetchall() == [(rows, value, value)]
