# ruff: noqa: S608 - SQL of constants
"""MyDB and MyScratch: room, sharing between sessions, tables out of files."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import MEGABYTE
from casjobs_service.mydb import UserSpace
from casjobs_service.worker import kernel
from casjobs_service.worker.locks import READ, WRITE, LockTable
from tests.casjobs.worker_support import (
    ALICE,
    BOB,
    LIMITS,
    Answer,
    Bench,
    bench,
    collect,
    eventually,
    make_context,
    query,
)

FULL, BUSY = UserSpace(21, "full"), UserSpace(22, "busy")


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    directory = tmp_path_factory.mktemp("casjobs")
    async with bench(directory, [make_context(directory, "Sky")]) as made:
        yield made


async def test_a_database_is_made_at_its_first_use_and_belongs_to_its_user(pool: Bench) -> None:
    user = UserSpace(30, "new")
    file = pool.workers.files.file(user, "MyDB")
    assert (await pool.do({"do": "catalog", "database": "MyDB"}, user)).event("done")["catalog"]["tables"] == []
    assert not file.exists()
    assert (await pool.failure("SELECT * FROM nothing", user)).kind is Kind.NAME
    await pool.query("CREATE TABLE mine (a INT, b VARCHAR(20))", user)
    for path, mode in ((file, 0o600), (file.parent, 0o700)):
        assert path.stat().st_mode & 0o777 == mode
        assert path.stat().st_uid == (1_900_000_030 if os.geteuid() == 0 else os.geteuid())
    assert (await pool.failure("SELECT * FROM MyDB.mine", BOB)).kind is Kind.NAME


async def test_a_full_database_says_what_to_do_and_keeps_what_it_has(pool: Bench) -> None:
    limits = replace(LIMITS, quota=8 * MEGABYTE)
    await pool.query("SELECT TOP 100000 id, h INTO MyDB.old FROM Sky.Huge", FULL, limits)
    error = await pool.failure("SELECT id, h INTO MyDB.toomuch FROM Sky.Huge", FULL, limits)
    assert error.kind is Kind.QUOTA
    assert "8 MB" in error.message
    assert "Drop" in error.hint
    assert (await pool.query("SELECT count(*), sum(id) FROM old", FULL, limits)).rows == [[100_000, 4_999_950_000]]
    assert (await pool.failure("SELECT * FROM toomuch", FULL, limits)).kind is Kind.NAME
    # In small steps until nothing goes any more.
    kind = None
    for number in range(20):
        try:
            await pool.query(f"SELECT TOP 100000 id, h INTO MyDB.step{number} FROM Sky.Huge", FULL, limits)
        except QueryError as caught:
            kind = caught.kind
            break
    assert kind is Kind.QUOTA
    assert pool.workers.files.size(FULL, "MyDB") <= 9 * MEGABYTE
    assert (await pool.failure("INSERT INTO old SELECT id, h FROM Sky.Huge", FULL, limits)).kind is Kind.QUOTA
    assert (await pool.failure("UPDATE old SET h = h + id", FULL, replace(limits, quota=MEGABYTE))).kind is Kind.QUOTA
    # MyScratch has its own.
    await pool.query("SELECT TOP 1000 id INTO MyScratch.elsewhere FROM Sky.Huge", FULL, limits)
    # What only removes is possible, and makes room.
    await pool.query("DROP TABLE old", FULL, limits)
    await pool.query("SELECT TOP 50000 id, h INTO MyDB.again FROM Sky.Huge", FULL, limits)
    assert (await pool.query("SELECT count(*) FROM again", FULL, limits)).rows == [[50_000]]


async def test_a_file_that_was_left_with_its_log_is_read(pool: Bench) -> None:
    """As after a kill: the last transactions are in the log beside the file."""
    user = UserSpace(31, "log")
    await pool.query("SELECT 1 AS a INTO MyDB.t", user)
    file = pool.workers.files.file(user, "MyDB")
    script = f"import duckdb, os; c = duckdb.connect('{file}'); c.execute('INSERT INTO t VALUES (2)'); os._exit(1)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == 1
    for path in file.parent.iterdir():
        os.chown(path, file.parent.stat().st_uid, file.parent.stat().st_gid)
    assert len(list(file.parent.iterdir())) == 2
    both = await asyncio.gather(*(pool.rows("SELECT count(*) FROM t", user) for _ in range(3)))
    assert both == [[[2]]] * 3
    await pool.query("INSERT INTO t VALUES (3)", user)
    assert await pool.rows("SELECT sum(a) FROM t", user) == [[6]]


async def test_sessions_of_a_user_take_turns(pool: Bench) -> None:
    await pool.query("SELECT 0 AS n INTO MyDB.counter", BUSY)
    writers = [pool.query(f"INSERT INTO counter VALUES ({number})", BUSY) for number in range(6)]
    readers = [pool.rows("SELECT count(*) FROM counter", BUSY) for _ in range(6)]
    makers = [pool.query(f"SELECT TOP 1000 id INTO MyDB.made{number} FROM Sky.Huge", BUSY) for number in range(4)]
    results = await asyncio.gather(*writers, *readers, *makers)
    assert all(isinstance(result, list | Answer) for result in results)
    assert await pool.rows("SELECT count(*), sum(n) FROM counter", BUSY) == [[7, 15]]


async def test_one_name_is_made_once_by_two_at_the_same_time(pool: Bench) -> None:
    text = "SELECT TOP 300000 id INTO MyDB.race FROM Sky.Huge"
    results = await asyncio.gather(*(pool.query(text, BUSY) for _ in range(3)), return_exceptions=True)
    errors = [result for result in results if isinstance(result, QueryError)]
    assert len(errors) == 2
    assert {error.kind for error in errors} == {Kind.DATA}


async def test_a_long_reader_does_not_keep_others_waiting_who_has_all_its_rows(pool: Bench) -> None:
    """A client that takes its time over a small result holds no lock."""
    await pool.query("SELECT TOP 50000 id, h INTO MyDB.slow FROM Sky.Huge", BUSY)
    async with pool.workers.session(BUSY, LIMITS, pool.contexts) as session:
        events = session.run(query("SELECT * FROM slow", output={"format": "csv"}))
        async for event in events:
            if isinstance(event, bytes):
                break
        await asyncio.wait_for(pool.query("INSERT INTO slow VALUES (1, 2)", BUSY), 20)
        await events.aclose()


async def test_locks_are_fair_and_free_when_their_holder_ends() -> None:
    table = LockTable()
    order: list[str] = []

    async def hold(name: str, mode: str) -> None:
        await table.acquire(name, {"file": mode})
        order.append(name)

    await hold("reader 1", READ)
    writer = asyncio.ensure_future(hold("writer", WRITE))
    await asyncio.sleep(0)
    late = asyncio.ensure_future(hold("reader 2", READ))
    gone = asyncio.ensure_future(hold("gone", WRITE))
    await asyncio.sleep(0)
    assert order == ["reader 1"]
    gone.cancel()
    table.release("reader 1")
    await writer
    assert order == ["reader 1", "writer"]
    table.release("writer")
    await late
    table.release("reader 2")
    assert not table.busy("file")


async def test_readers_go_together_and_two_files_are_taken_without_a_deadlock() -> None:
    table = LockTable()
    await asyncio.gather(*(table.acquire(number, {"a": READ}) for number in range(5)))

    async def both(holder: str, first: str, second: str) -> None:
        for _ in range(50):
            await table.acquire(holder, {first: WRITE, second: WRITE})
            await asyncio.sleep(0)
            table.release(holder)

    for number in range(5):
        table.release(number)
    await asyncio.wait_for(asyncio.gather(both("x", "a", "b"), both("y", "b", "a")), 10)


async def upload(
    pool: Bench, file: Path | bytes, table: str, format: str = "csv", mode: str = "create", **more: Any
) -> Answer:
    """A file becomes a table."""
    async with pool.workers.session(ALICE, more.get("limits", LIMITS), pool.contexts) as session:
        target = session.directory / "upload"
        target.write_bytes(file if isinstance(file, bytes) else file.read_bytes())
        target.chmod(0o444)
        asked = {"do": "upload", "database": "MyDB", "table": table, "file": "upload", "format": format, "mode": mode}
        return await collect(session, asked)


CSV = '''objID,ra dec,Größe,when,flag,code,mixed,note
1,1.5,3,2020-01-02T03:04:05,true,007,1, a
9007199254740993,-2e-3,,2020-01-02T03:04:06,false,008,x,"b, ""c"""
,,5,,,009,,
'''


async def test_csv_becomes_a_table_with_the_names_and_types_it_has(pool: Bench) -> None:
    made = await upload(pool, CSV.encode(), "Uploaded")
    assert made.event("done")["rows"] == 3
    catalog = (await pool.do({"do": "catalog", "database": "MyDB"})).event("done")["catalog"]
    [table] = [table for table in catalog["tables"] if table["name"] == "Uploaded"]
    assert [tuple(column[:2]) for column in table["columns"]] == [
        ("objID", "BIGINT"),
        ("ra dec", "DOUBLE"),
        ("Größe", "BIGINT"),
        ("when", "TIMESTAMP"),
        ("flag", "BOOLEAN"),
        ("code", "VARCHAR"),
        ("mixed", "VARCHAR"),
        ("note", "VARCHAR"),
    ]
    assert await pool.rows("SELECT objID, [ra dec], code, mixed, note FROM uploaded") == [
        [1, 1.5, "007", "1", " a"],
        [9007199254740993, -0.002, "008", "x", 'b, "c"'],
        [None, None, "009", None, None],
    ]


async def test_uploads_create_append_or_replace(pool: Bench) -> None:
    await upload(pool, b"a,b\n1,x\n", "modes")
    with pytest.raises(QueryError) as caught:
        await upload(pool, b"a,b\n2,y\n", "MODES")
    assert caught.value.kind is Kind.DATA
    await upload(pool, b"B,A\ny,2\n", "modes", mode="append")
    assert await pool.rows("SELECT a, b FROM modes ORDER BY a") == [[1, "x"], [2, "y"]]
    with pytest.raises(QueryError) as caught:
        await upload(pool, b"a,c\n2,y\n", "modes", mode="append")
    assert "column c" in caught.value.message
    with pytest.raises(QueryError) as caught:
        await upload(pool, b"a,b\nxyz,y\n", "modes", mode="append")
    assert caught.value.kind is Kind.DATA
    await upload(pool, b"z\n5\n", "modes", mode="replace")
    assert await pool.rows("SELECT * FROM modes") == [[5]]
    with pytest.raises(QueryError) as caught:
        await upload(pool, b"z\n5\n", "notthere", mode="append")
    assert caught.value.kind is Kind.NAME


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a,b\n1,2\n3\n4,5\n", "ine 3"),
        (b"a,b\n1,2\n3,4,5\n", "ine 3"),
        (b"a,b\n1,2\n3,\xff\xfe\n", "UTF-8"),
        (b"", "empty"),
        (b"a,A\n1,2\n", "names"),
    ],
)
async def test_what_is_wrong_with_a_file_is_said(pool: Bench, data: bytes, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        await upload(pool, data, "wrong")
    assert caught.value.kind is Kind.DATA
    assert words in str(caught.value)
    assert (await pool.failure("SELECT * FROM wrong")).kind is Kind.NAME


async def test_files_of_other_formats_with_their_units(
    pool: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table({"id": [1, 2, 3], "ra": [1.5, 2.5, math.pi], "name": ["a", "bc", "ü"]})
    table["ra"].unit = "deg"
    arrow = pa.table({"id": [1, 2, 3], "ra": [1.5, 2.5, math.pi], "name": ["a", "bc", "ü"]})
    table.write(tmp_path / "t.vot", format="votable")
    table.write(tmp_path / "t.vot2", format="votable", tabledata_format="binary2")
    ascii_table = table.copy()
    ascii_table["name"] = ["a", "bc", "u"]
    ascii_table.write(tmp_path / "t.fits", format="fits")
    pq.write_table(arrow, tmp_path / "t.parquet")
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_stream(sink, arrow.schema) as stream:
        stream.write_table(arrow)
    for number, (file, format) in enumerate(
        [
            ("t.vot", "votable"),
            ("t.vot2", "votable"),
            ("t.fits", "fits"),
            ("t.parquet", "parquet"),
            ("t.arrow", "arrow"),
        ]
    ):
        await upload(pool, tmp_path / file, f"other{number}", format)
        rows = await pool.rows(f"SELECT id, ra FROM other{number} ORDER BY id")
        assert rows == [[1, 1.5], [2, 2.5], [3, math.pi]]
    catalog = (await pool.do({"do": "catalog", "database": "MyDB"})).event("done")["catalog"]
    units = {item["name"]: item["columns"][1][2] for item in catalog["tables"] if item["name"].startswith("other")}
    assert units == {"other0": "deg", "other1": "deg", "other2": "deg", "other3": "", "other4": ""}
    assert "too late" not in caplog.text


async def test_an_upload_is_bound_by_the_quota(pool: Bench) -> None:
    lines = "".join(f"{number},{number * 0x9E3779B97F4A7C15 % 2**63}\n" for number in range(400_000))
    with pytest.raises(QueryError) as caught:
        await upload(pool, f"a,b\n{lines}".encode(), "large", limits=replace(LIMITS, quota=MEGABYTE))
    assert caught.value.kind is Kind.QUOTA


async def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    """A real one: a file system of 10 MB."""
    context = make_context(tmp_path / "elsewhere", "Sky")
    # Files that are not ours to change: their operator must make them readable.
    context.catalog.chmod(0o644)
    home = tmp_path / "casjobs"
    home.mkdir()
    kernel.mount("full", str(home), "tmpfs", data="size=10m")
    ballast = home / "ballast"
    ballast.write_bytes(bytes(3 * MEGABYTE))
    try:
        async with bench(home, [context]) as pool:
            limits = replace(LIMITS, quota=500 * MEGABYTE)
            await pool.query("SELECT TOP 100000 id, h INTO MyDB.old FROM Sky.Huge", ALICE, limits)
            for text in (
                "SELECT a.id, b.h INTO MyDB.toomuch FROM Sky.Huge a JOIN Sky.Huge b ON a.id = b.id",
                "SELECT a.id, b.h, a.h + b.id AS s, b.h % 77 AS t INTO MyDB.toomuch FROM Sky.Huge a JOIN Sky.Huge b "
                "ON a.id = b.id ORDER BY t",
            ):
                error = await pool.failure(text, ALICE, replace(limits, memory=100 * MEGABYTE))
                assert error.kind is Kind.UNAVAILABLE
                assert "disk is full" in error.message
            assert await pool.rows("SELECT count(*), sum(id) FROM old") == [[100_000, 4_999_950_000]]
            # The operator makes room.
            ballast.unlink()
            await pool.query("INSERT INTO old VALUES (1, 2)")
            assert pool.workers.files.size(ALICE, "MyDB") < 4 * MEGABYTE, "what the failed ones took is given back"
    finally:
        subprocess.run(["umount", str(home)], check=True)


async def test_locks_of_a_cancelled_wait_are_not_kept(pool: Bench) -> None:
    """A session that gives up while it waits for a file leaves the way free."""
    await pool.query("SELECT 1 AS a INTO MyDB.waiting", BUSY)
    await pool.workers.locks.acquire("test", {f"{BUSY.id}/MyDB": WRITE})
    async with pool.workers.session(BUSY, replace(LIMITS, seconds=1.0), pool.contexts) as session:
        with pytest.raises(QueryError) as caught:
            await collect(session, query("SELECT a FROM waiting"))
        assert caught.value.kind is Kind.TIMEOUT
        assert "another of your queries" in caught.value.message
    pool.workers.locks.release("test")
    assert await pool.rows("SELECT a FROM waiting", BUSY) == [[1]]
    await eventually(lambda: not pool.workers.locks.busy(f"{BUSY.id}/MyDB"), "nobody has the file")
