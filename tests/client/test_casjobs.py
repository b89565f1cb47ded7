"""CasJobs through both clients, against the running service."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from astropy import units
from astropy.table import Table as AstropyTable
from SciServer.core import (
    AsyncClient,
    Client,
    JobStatus,
    NotSignedInError,
    QueryError,
    QueryQueued,
    QueryTimeout,
    SciServerError,
    ServiceError,
    WaitTimeout,
)

from tests.casjobs.casjobs_platform import FIRST, STARS, CasJobsPlatform
from tests.client.conftest import NewClient
from tests.client.support import ENDLESS, MANY, batches, casjobs_settings, got

LATE = f"""
select a.objID as a, b.objID as b,
       cast(case when a.objID + b.objID = {2 * (FIRST + STARS - 1)} then 'x' else '1' end as int) as c
from Stars a, Stars b
"""  # noqa: S608 - our own constants
"""The last of a million rows cannot be converted."""


async def test_what_there_is(queries: Any) -> None:
    contexts = {context.name: context for context in await got(queries.contexts())}
    assert {"Sky", "Hasty", "MyDB", "MyScratch"} <= set(contexts)
    assert contexts["Sky"].title == "The sky"
    assert contexts["MyDB"].writable
    assert not contexts["Sky"].writable
    assert contexts["Hasty"].quick_seconds == 0.5
    tables = {table.name: table for table in await got(queries.tables("Sky"))}
    assert tables["Stars"].rows == STARS
    assert (tables["Stars"].type, tables["Stars"].description) == ("table", "All Stars")
    details = await got(queries.table("sky", "stars"))
    column = next(column for column in details.columns if column.name == "ra")
    assert (column.type, column.unit, column.ucd) == ("DOUBLE", "deg", "pos.eq.ra;meta.main")
    functions = {function.name: function for function in await got(queries.functions("Sky"))}
    distance = functions["fDistanceArcMinEq"]
    assert (distance.kind, len(distance.parameters)) == ("scalar", 4)
    assert distance.returns
    assert functions["fCoordsFromEq"].kind == "table"
    assert functions["fCoordsFromEq"].columns
    with pytest.raises(ServiceError, match="Nowhere") as caught:
        await got(queries.tables("Nowhere"))
    assert caught.value.status == 404


async def test_rows(queries: Any) -> None:
    result = await got(queries.query("select top 5 objID, ra, class, visits from Stars order by objID", "Sky"))
    assert [column.name for column in result.columns] == ["objID", "ra", "class", "visits"]
    assert result.columns[1].unit == "deg"
    frame = await got(result.pandas())
    assert frame["objID"].tolist() == [FIRST + i for i in range(5)]
    assert frame["visits"].dtype == "Int64"
    # Kept, so it can be asked for in another form.
    table = await got(result.astropy())
    assert table["ra"].unit == units.deg
    assert (await got(result.polars()))["class"].to_list() == frame["class"].tolist()
    assert (await got(result.arrow())).num_rows == 5
    assert "5 rows of objID" in repr(result)


async def test_rows_in_pieces(queries: Any) -> None:
    seen: list[Any] = []
    result = await got(queries.query("select a.objID from Stars a, Stars b", "Sky", progress=seen.append))
    found = await batches(result)
    assert sum(batch.num_rows for batch in found) == STARS * STARS
    assert len(found) > 1
    rows = [progress.rows for progress in seen]
    assert rows == sorted(rows)
    assert (seen[-1].state, seen[-1].rows) == ("done", STARS * STARS)
    assert seen[-1].bytes > 8 * STARS * STARS
    with pytest.raises(SciServerError, match="not kept"):
        await got(result.arrow())


@pytest.mark.parametrize(
    "sql", ["declare @x int = 1", "select 1 as a into MyDB.made_by_query; drop table MyDB.made_by_query"]
)
async def test_nothing_comes_back(queries: Any, sql: str) -> None:
    result = await got(queries.query(sql))
    assert (await got(result.pandas())).empty


async def test_no_rows(queries: Any) -> None:
    result = await got(queries.query("select objID, ra from Stars where ra < 0", "Sky"))
    frame = await got(result.pandas())
    assert (list(frame.columns), len(frame)) == (["objID", "ra"], 0)
    assert not result.is_cut


@pytest.mark.parametrize(("limit", "rows", "cut"), [(10, 10, True), (STARS, STARS, False), (0, 0, True)])
async def test_a_limit(queries: Any, limit: int, rows: int, cut: bool) -> None:
    result = await got(queries.query("select objID from Stars", "Sky", limit=limit))
    assert (await got(result.arrow())).num_rows == rows
    assert result.is_cut == cut


async def test_a_limit_that_is_none(queries: Any) -> None:
    with pytest.raises(SciServerError, match="limit"):
        await got(queries.query("select 1", limit=-1))


async def test_an_error_has_its_place(queries: Any) -> None:
    with pytest.raises(QueryError) as caught:
        await got(queries.query("select objID,\n  raa\nfrom Stars", "Sky"))
    error = caught.value
    assert (error.line, error.column, error.kind, error.status) == (2, 3, "name", 400)
    assert "ra" in error.hint
    assert error.request_id


async def test_a_query_that_fails_after_its_first_rows(queries: Any) -> None:
    """There is no status any more that could tell it: the history does."""
    result = await got(queries.query(LATE, "Sky"))
    with pytest.raises(QueryError, match="Conversion failed") as caught:
        await got(result.arrow())
    assert caught.value.kind == "data"
    assert caught.value.line == 3


async def test_the_time_of_a_quick_query(queries: Any) -> None:
    with pytest.raises(QueryTimeout, match=r"long queue|job"):
        await got(queries.query(ENDLESS, "Hasty"))
    with pytest.raises(QueryQueued) as caught:
        await got(queries.query(ENDLESS, "Hasty", on_timeout="queue"))
    job = caught.value.job
    assert (job.kind, job.query) == ("long", ENDLESS)
    assert str(job.id) in str(caught.value)
    assert isinstance(caught.value, QueryError)
    seen: list[Any] = []
    with pytest.raises(WaitTimeout, match=f"Job {job.id} has not ended"):
        await got(queries.wait(job, timeout=0.2, progress=seen.append))
    assert seen
    await got(queries.cancel(job))
    ended = await got(queries.wait(job))
    assert ended.status == JobStatus.CANCELED
    assert ended.error.kind == "cancelled"
    with pytest.raises(QueryError, match="cancelled"):
        await got(queries.job_result(ended))


async def test_a_job(queries: Any) -> None:
    sql = "select top 3 objID, ra from Stars order by objID; select count(*) as n from Stars"
    job = await got(queries.submit(sql, "Sky", name="A test's job", minutes=1))
    seen: list[Any] = []
    ended = await got(queries.wait(job.id, progress=seen.append))
    assert (ended.status, ended.context, ended.query, ended.results) == (JobStatus.FINISHED, "Sky", sql, (1, 2))
    assert ended.submitted <= ended.started <= ended.ended
    assert ended.error is None
    assert seen[-1].state == "done"
    assert (await got((await got(queries.job_result(ended))).pandas()))["objID"][0] == FIRST
    assert (await got((await got(queries.job_result(ended.id, 2))).pandas()))["n"].tolist() == [STARS]
    again = await got(queries.wait(await got(queries.resubmit(ended))))
    assert (again.id != ended.id, again.status) == (True, JobStatus.FINISHED)
    found = await got(queries.jobs(5, status="finished", context="Sky", search="select top 3 objID"))
    assert [each.id for each in found][:2] == [again.id, ended.id]
    assert await got(queries.jobs(status=[JobStatus.FAILED, "canceled"], search="select top 3 objID")) == []
    with pytest.raises(ServiceError, match="no result 3"):
        await got(queries.job_result(ended, 3))


async def test_a_job_into_a_table(queries: Any) -> None:
    job = await got(queries.submit("select top 3 objID from Stars", "Sky", into="from_client"))
    ended = await got(queries.wait(job))
    assert ended.target.lower() == "mydb.from_client"
    assert (await got((await got(queries.read("MyDB", "from_client"))).arrow())).num_rows == 3
    await got(queries.drop("from_client"))
    with pytest.raises(ServiceError) as caught:
        await got(queries.table("MyDB", "from_client"))
    assert caught.value.status == 404


async def test_a_job_that_fails(queries: Any) -> None:
    ended = await got(queries.wait(await got(queries.submit("select 1 / 0 as x from Stars", "Sky"))))
    assert ended.status == JobStatus.FAILED
    assert ended.error.message
    assert ended.error.message in ended.message
    with pytest.raises(QueryError):
        await got(queries.job_result(ended))


async def test_explain(queries: Any) -> None:
    found = await got(queries.explain("select count(*) from Stars where ra < 10", "Sky"))
    assert [(table["database"], table["table"]) for table in found["tables"]] == [("Sky", "Stars")]
    assert found["statements"][0]["action"] == "select"


FRAME = pd.DataFrame({"id": [FIRST, FIRST + 1], "x": [0.5, None], "name": ["ü", "b"], "ok": [True, False]})


def astropy_table() -> AstropyTable:
    table = AstropyTable({"id": [FIRST, FIRST + 1], "x": [0.5, 1.5]})
    table["x"].unit = "deg"
    return table


def in_file(path: Path, write: Any) -> Path:
    write(path)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda path: FRAME,
        lambda path: FRAME.set_index("id"),
        lambda path: pl.from_pandas(FRAME),
        lambda path: pa.Table.from_pandas(FRAME),
        lambda path: pa.RecordBatch.from_pandas(FRAME),
        lambda path: astropy_table(),
        lambda path: in_file(path / "a.csv", lambda place: FRAME.to_csv(place, index=False)),
        lambda path: str(in_file(path / "a.CSV", lambda place: FRAME.to_csv(place, index=False))),
        lambda path: in_file(path / "a.parquet", lambda place: FRAME.to_parquet(place)),
        lambda path: in_file(path / "a.fits", lambda place: astropy_table().write(place)),
        lambda path: in_file(path / "a.vot", lambda place: astropy_table().write(place, format="votable")),
        lambda path: in_file(
            path / "a.arrow", lambda place: pa.feather.write_feather(FRAME, place, compression="uncompressed")
        ),
    ],
    ids=["pandas", "index", "polars", "arrow", "batch", "astropy", "csv", "CSV", "parquet", "fits", "votable", "file"],
)
async def test_upload(queries: Any, tmp_path: Path, make: Any) -> None:
    seen: list[Any] = []
    made = await got(queries.upload("uploaded", make(tmp_path), mode="replace", progress=seen.append))
    assert (made.name.lower(), made.rows) == ("uploaded", 2)
    assert seen[-1].bytes > 0
    frame = await got((await got(queries.query("select * from MyDB.uploaded order by id"))).pandas())
    assert frame["id"].tolist() == [FIRST, FIRST + 1]
    assert frame["x"][0] == 0.5


async def test_ways_to_upload(queries: Any) -> None:
    await got(queries.upload("MyScratch.modes", FRAME, mode="replace"))
    with pytest.raises(QueryError):
        await got(queries.upload("MyScratch.modes", FRAME))
    await got(queries.upload("MyScratch.modes", FRAME, mode="append"))
    assert (await got((await got(queries.read("MyScratch", "modes"))).arrow())).num_rows == 4
    await got(queries.drop("MyScratch.modes"))


@pytest.mark.parametrize(
    "data", [3, [1, 2], "no_extension", pd.Series([1]), io.BytesIO(b"a")], ids=lambda data: type(data).__name__
)
async def test_what_is_no_table(queries: Any, data: Any) -> None:
    with pytest.raises(SciServerError):
        await got(queries.upload("nothing", data))


async def test_a_file_that_is_not_there(queries: Any) -> None:
    with pytest.raises(FileNotFoundError):
        await got(queries.upload("nothing", "missing.csv"))
    with pytest.raises(SciServerError, match="mode"):
        await got(queries.upload("nothing", FRAME, mode="overwrite"))


async def test_a_token_that_is_not_valid(new_client: NewClient, casjobs_site: CasJobsPlatform) -> None:
    client: Any = new_client(casjobs_settings(casjobs_site), token="0" * 32)
    for call in (client.casjobs.contexts, lambda: client.casjobs.query("select 1")):
        with pytest.raises(NotSignedInError, match="does not accept your token") as caught:
            await got(call())
        assert caught.value.status == 401


async def test_a_token_that_may_only_read(new_client: NewClient, casjobs_site: CasJobsPlatform) -> None:
    token = casjobs_site.token("ada-l", "custom:sciserver:casjobs:query")
    client: Any = new_client(casjobs_settings(casjobs_site), token=token)
    assert (await got((await got(client.casjobs.query("select 1 as a"))).arrow())).num_rows == 1
    for call in (lambda: client.casjobs.submit("select 1 as a"), lambda: client.casjobs.upload("x", FRAME)):
        with pytest.raises(ServiceError) as caught:
            await got(call())
        assert caught.value.status == 403


async def test_many_at_once(casjobs_site: CasJobsPlatform) -> None:
    """The asynchronous client waits for several at the same time."""
    settings, token = casjobs_settings(casjobs_site), casjobs_site.token("ada-l")
    async with AsyncClient(settings, token=token) as client:

        async def rows(limit: int) -> int:
            result = await client.casjobs.query("select objID from Stars", "Sky", limit=limit)
            return int((await result.arrow()).num_rows)

        assert await asyncio.gather(*(rows(limit) for limit in range(1, 5))) == [1, 2, 3, 4]


def test_threads_share_a_client(casjobs_site: CasJobsPlatform) -> None:
    settings, token = casjobs_settings(casjobs_site), casjobs_site.token("ada-l")
    with Client(settings, token=token) as client, ThreadPoolExecutor() as pool:

        def rows(limit: int) -> int:
            return len(client.casjobs.query("select objID from Stars", "Sky", limit=limit))

        assert list(pool.map(rows, range(1, 5))) == [1, 2, 3, 4]


def test_rows_that_nobody_wants_cost_nothing(casjobs_site: CasJobsPlatform) -> None:
    """A result that is closed early cannot be taken for a whole one."""
    with Client(casjobs_settings(casjobs_site), token=casjobs_site.token("ada-l")) as client:
        with client.casjobs.query(MANY, "Sky") as result:
            first = next(result.batches())
        assert first.num_rows
        with pytest.raises(SciServerError):
            result.arrow()
