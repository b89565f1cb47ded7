"""Databases and tables over HTTP: what there is, rows in every format, one's own tables."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard
from astropy.io import fits
from astropy.io.votable import parse_single_table

from casjobs_service.results import FORMATS
from tests.casjobs.casjobs_platform import FIRST, STARS, Client


def test_contexts(ada: Client) -> None:
    found = {context["Name"]: context for context in ada.call("GET", "contexts").json()}
    assert list(found) == ["Hasty", "Sky", "MyDB", "MyScratch"]
    assert found["Sky"]["Title"] == "The sky"
    assert found["Sky"]["Rights"] == "CC0"
    assert found["Sky"]["Cite"] == "Nobody (2026)"
    assert found["Sky"]["Loaded"] == "2026-01-31T12:00:00Z"
    assert [found[name]["QuickSeconds"] for name in ("Hasty", "Sky")] == [0.5, 60]
    assert [context["Writable"] for context in found.values()] == [False, False, True, True]
    assert ada.call("GET", "contexts/sky").json() == found["Sky"]
    assert ada.call("GET", "contexts/[MyScratch:default]").json() == found["MyScratch"]


def test_an_unknown_context_says_which_there_are(ada: Client) -> None:
    for method, path in [("GET", "Tables"), ("POST", "query"), ("PUT", "jobs"), ("GET", "Functions")]:
        answer = ada.call(method, f"contexts/Skye/{path}", json={"Query": "select 1"})
        assert answer.status_code == 404
        assert "Skye" in answer.json()["error"]
        assert answer.json()["hint"] == "There is: MyDB, MyScratch, Hasty, Sky."


def test_columns(ada: Client) -> None:
    table = ada.call("GET", "contexts/sky/tables/stars").json()
    assert (table["Name"], table["Rows"], table["Type"]) == ("Stars", STARS, "table")
    columns = {column["Name"]: column for column in table["Columns"]}
    assert list(columns) == ["objID", "ra", "dec", "mag", "class", "visits"]
    assert columns["ra"] == {
        "Name": "ra",
        "Type": "DOUBLE",
        "Unit": "deg",
        "UCD": "pos.eq.ra;meta.main",
        "Description": "Right ascension",
    }
    assert columns["mag"]["Description"] == "Größe"
    assert ada.call("GET", "contexts/Sky/Tables/dbo.Stars").json() == table
    answer = ada.call("GET", "contexts/Sky/Tables/NoSuch")
    assert answer.status_code == 404
    assert "NoSuch" in answer.json()["error"]


def test_functions(ada: Client) -> None:
    functions = {function["Name"].lower(): function for function in ada.call("GET", "contexts/Sky/Functions").json()}
    assert {"fdistancearcmineq", "fphotoflags"} <= set(functions)
    assert functions["fdistancearcmineq"]["Parameters"]
    assert all(function["Description"] for function in functions.values())
    assert {function["Kind"] for function in functions.values()} <= {"scalar", "table"}


def test_sample(ada: Client) -> None:
    found = ada.call("GET", "contexts/Sky/Tables/Stars/sample").json()["Result"][0]
    assert found["Columns"][0] == "objID"
    assert len(found["Data"]) == 10
    assert len(ada.call("GET", "contexts/Sky/Tables/Stars/sample?rows=3").json()["Result"][0]["Data"]) == 3
    # No more than a sample, whatever is asked for.
    assert len(ada.call("GET", "contexts/Sky/Tables/Stars/sample?rows=100000").json()["Result"][0]["Data"]) == STARS
    for wrong in ("0", "-1", "many", "1e3", "1.5"):
        assert ada.call("GET", f"contexts/Sky/Tables/Stars/sample?rows={wrong}").status_code == 400, wrong
    assert ada.call("GET", "contexts/Sky/Tables/NoSuch/sample").status_code == 404


def read(format_name: str, data: bytes) -> list[tuple[Any, ...]]:
    """``objID`` and ``class`` of the rows in a file of any format."""
    match format_name:
        case "json-array":
            frame = pd.DataFrame(**_json(data))
        case "csv" | "tsv":
            frame = pd.read_csv(io.BytesIO(data), sep="," if format_name == "csv" else "\t")
        case "ndjson":
            frame = pd.read_json(io.BytesIO(data), lines=True, precise_float=True, dtype={"objID": "int64"})
        case "arrow":
            frame = pa.ipc.open_stream(data).read_pandas()
        case "parquet":
            frame = pa.parquet.read_table(pa.BufferReader(data)).to_pandas()
        case "fits":
            with fits.open(io.BytesIO(data)) as file:
                rows = file[1].data
                return list(zip(rows["objID"].tolist(), rows["class"].tolist(), strict=True))
        case "votable" | "votable-td":
            table = parse_single_table(io.BytesIO(data)).to_table()
            assert str(table["ra"].unit) == "deg"
            return [(int(row["objID"]), str(row["class"])) for row in table]
        case other:
            raise AssertionError(f"no reader for {other}")
    return list(zip(frame["objID"].tolist(), frame["class"].tolist(), strict=True))


def _json(data: bytes) -> dict[str, Any]:
    [found] = json.loads(data)["Result"]
    return {"data": found["Data"], "columns": found["Columns"]}


EXPECTED = [(FIRST + i, "STAR" if i % 3 == 0 else "GALAXY") for i in range(STARS)]


@pytest.mark.parametrize("format_name", list(FORMATS))
def test_every_format(ada: Client, format_name: str) -> None:
    """By parameter and by media type, of a table, of a query, and of a job's result."""
    media_type = FORMATS[format_name].media_type
    by_name = ada.call("GET", "contexts/Sky/Tables/Stars/data", params={"format": format_name})
    by_type = ada.call("GET", "contexts/Sky/Tables/Stars/data", headers={"Accept": media_type})
    queried = ada.query("select objID, ra, class from Stars order by objID", "Sky", media_type)
    for answer in (by_name, by_type, queried):
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == media_type
        assert set(answer.headers["Vary"].split(", ")) >= {"Accept", "Accept-Encoding"}
        assert read(format_name, answer.content) == EXPECTED
    extension = FORMATS[format_name].extension
    assert by_name.headers["Content-Disposition"] == f'attachment; filename="Stars.{extension}"'
    assert queried.headers["Content-Disposition"] == f'attachment; filename="result.{extension}"'


@pytest.fixture(scope="module")
def finished(ada: Client) -> int:
    """A job with two results."""
    number = ada.submit("select objID, ra, class from Stars order by objID; select 2 as second", "Sky")
    job = ada.ended(number)
    assert job["Status"] == 5, job["Message"]
    return number


@pytest.mark.parametrize("format_name", list(FORMATS))
def test_every_format_of_a_result(ada: Client, finished: int, format_name: str) -> None:
    answer = ada.call("GET", f"jobs/{finished}/results/1", params={"format": format_name})
    assert answer.status_code == 200, answer.text
    assert read(format_name, answer.content) == EXPECTED
    extension = FORMATS[format_name].extension
    assert answer.headers["Content-Disposition"] == f'attachment; filename="job-{finished}-1.{extension}"'


def test_results_of_a_job(ada: Client, finished: int) -> None:
    job = ada.job(finished)
    assert [(result["index"], result["rows"]) for result in job["Results"]] == [(1, STARS), (2, 1)]
    assert ada.get(job["OutputLoc"], headers={"Accept": "text/csv"}, timeout=60).text.startswith("objID,ra,class\n")
    assert ada.call("GET", f"jobs/{finished}/results/2?format=csv").text == "second\n2\n"
    for wrong in ("3", "0", "x", "-1"):
        assert ada.call("GET", f"jobs/{finished}/results/{wrong}").status_code == 404, wrong
    assert ada.call("GET", f"jobs/{finished}/results/1?format=hdf5").status_code == 406


@pytest.mark.parametrize(("encoding", "unpack"), [("gzip", gzip.decompress), ("zstd", None)])
def test_compression(ada: Client, encoding: str, unpack: Any) -> None:
    answer = ada.call(
        "GET",
        "contexts/Sky/Tables/Stars/data?format=csv",
        headers={"Accept-Encoding": encoding},
        stream=True,
    )
    assert answer.headers["Content-Encoding"] == encoding
    data = answer.raw.read(decode_content=False)
    unpack = unpack or (lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data))
    plain = ada.call("GET", "contexts/Sky/Tables/Stars/data?format=csv", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert unpack(data) == plain.content
    assert len(data) < len(plain.content)


def test_what_there_is_not(ada: Client) -> None:
    for answer in (
        ada.query("select 1", accept="image/png"),
        ada.query("select 1", params={"format": "hdf5"}),
        ada.call("GET", "contexts/Sky/Tables/Stars/data", headers={"Accept": "text/html"}),
    ):
        assert answer.status_code == 406
        for format_name, writer in FORMATS.items():
            assert f"{format_name} ({writer.media_type.partition(';')[0]})" in answer.json()["error"]


def test_a_name_for_the_file(ada: Client) -> None:
    assert ada.upload("Größe", b"a\n1\n").status_code == 200
    answer = ada.call("GET", "contexts/MyDB/Tables/Größe/data?format=csv")
    assert answer.text == "a\n1\n"
    assert (
        answer.headers["Content-Disposition"]
        == "attachment; filename=\"Gr__e.csv\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.csv"
    )
    assert ada.call("DELETE", "contexts/MyDB/Tables/gröSSe").status_code == 404
    assert ada.call("DELETE", "contexts/MyDB/Tables/größe").status_code == 200


def test_renaming_and_dropping(ada: Client) -> None:
    assert ada.upload("Before", b"a\n1\n").status_code == 200
    assert ada.upload("Other", b"a\n2\n").status_code == 200
    answer = ada.call("PATCH", "contexts/MyDB/Tables/before", json={"Name": "After"})
    assert (answer.status_code, answer.json()["Name"]) == (200, "After")
    assert ada.csv("select * from After") == "a\n1\n"
    assert ada.call("GET", "contexts/MyDB/Tables/Before").status_code == 404
    taken = ada.call("PATCH", "contexts/MyDB/Tables/After", json={"Name": "other"})
    assert taken.status_code == 400
    assert "Other" in taken.json()["error"]
    for body in (b"", b"[]", b'{"Name": ""}', b'{"Name": 1}', b"{", b"\xff"):
        assert ada.call("PATCH", "contexts/MyDB/Tables/After", data=body).status_code == 400, body
    for table in ("After", "Other"):
        assert ada.call("DELETE", f"contexts/MyDB/Tables/{table}").json() == {"status": "success"}
        assert ada.call("DELETE", f"contexts/MyDB/Tables/{table}").status_code == 404


def test_a_context_is_not_written(ada: Client) -> None:
    for method, body in [("POST", b"a\n1\n"), ("PATCH", b'{"Name": "x"}'), ("DELETE", b"")]:
        answer = ada.call(method, "contexts/Sky/Tables/Stars", data=body)
        assert answer.status_code == 403
        assert "MyDB" in answer.json()["error"]
    assert len(ada.call("GET", "contexts/Sky/Tables").json()) == 2


def test_scratch(ada: Client) -> None:
    assert ada.upload("Rough", b"a\n1\n", context="myscratch").status_code == 200
    assert ada.csv("select * from MyScratch.Rough") == "a\n1\n"
    assert [table["Name"] for table in ada.call("GET", "contexts/MyScratch/Tables").json()] == ["Rough"]
    assert ada.call("DELETE", "contexts/MyScratch/Tables/Rough").status_code == 200


def test_limits(ada: Client) -> None:
    before = ada.call("GET", "limits").json()
    assert before["MyDB"]["quota"] == 500_000_000
    ada.upload("Filling", b"a\n" + b"".join(b"%d\n" % (i * 7919 % 1_000_003) for i in range(200_000)))
    after = ada.call("GET", "limits").json()
    assert after["MyDB"]["used"] > before["MyDB"]["used"]
    assert ada.call("DELETE", "contexts/MyDB/Tables/Filling").status_code == 200
