"""What SciServer's client library 2.2 does, request by request: statuses, forms and fields that it relies on."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from tests.casjobs.casjobs_platform import FIRST, STARS, CasJobsPlatform, Client
from tests.support import wait_until

TEST_QUERY = "select 4 as Column1, 5 as Column2 "
TEST_CSV = "Column1,Column2\n4,5\n"
BIG = "select objID, ra, class, visits from Stars where objID < {} order by objID"


@pytest.fixture(scope="module")
def uploaded(ada: Client) -> str:
    """A table that `ada` has uploaded."""
    assert ada.upload("Uploaded", TEST_CSV.encode()).status_code == 200
    return "Uploaded"


def test_schema_name(ada: Client) -> None:
    answer = ada.call("GET", "users/ada-l?TaskName=SciScript-Python.CasJobs.getSchemaName")
    assert answer.status_code == 200
    number = answer.json()["WebServicesId"]
    assert isinstance(number, int)
    assert ada.call("GET", "users/ada-l").json()["WebServicesId"] == number


def test_tables(ada: Client, uploaded: str) -> None:
    answer = ada.call("GET", "contexts/MyDB/tables?TaskName=SciScript-Python.CasJobs.getTables")
    assert answer.status_code == 200
    table = next(table for table in answer.json() if table["Name"] == uploaded)
    assert table["Rows"] == 1
    assert isinstance(table["Size"], int)
    # .NET's ticks at the beginning of 2026 and of 2126
    assert 639_028_224_000_000_000 < table["Date"] < 670_584_960_000_000_000


def test_tables_of_a_context(ada: Client) -> None:
    found = ada.call("GET", "contexts/Sky/Tables").json()
    assert [table["Name"] for table in found] == ["Fields", "Stars"]
    assert [table["Rows"] for table in found] == [10, STARS]
    assert found[1]["Date"] == 639_054_576_000_000_000  # 2026-01-31 12:00 UTC
    assert found[1]["Description"] == "All Stars"


def test_query_as_csv(ada: Client) -> None:
    answer = ada.query(TEST_QUERY, "Sky")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.content.decode("utf-8") == TEST_CSV


def test_query_as_json(ada: Client) -> None:
    answer = ada.query(TEST_QUERY, accept="application/json+array")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json+array")
    assert answer.json() == {"Result": [{"TableName": "Table1", "Columns": ["Column1", "Column2"], "Data": [[4, 5]]}]}


def test_query_as_pandas(ada: Client) -> None:
    answer = ada.query(BIG.format(FIRST + 4), "Sky", "application/json+array")
    # As the client does it.
    found = json.loads(answer.content.decode("utf-8"))["Result"][0]
    frame = pd.DataFrame(found["Data"], columns=found["Columns"])
    assert list(frame.columns) == ["objID", "ra", "class", "visits"]
    assert frame["objID"].tolist() == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
    assert frame["class"].tolist() == ["STAR", "GALAXY", "GALAXY", "STAR"]
    assert frame["ra"].tolist() == pytest.approx([0, 0.36, 0.72, 1.08])
    assert frame["visits"].isna().tolist() == [True, False, False, False]


def test_query_as_frame_by_csv(ada: Client) -> None:
    frame = pd.read_csv(io.StringIO(ada.csv(BIG.format(FIRST + 4), "Sky")))
    assert frame["objID"].tolist() == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]


def test_query_as_fits(ada: Client) -> None:
    answer = ada.query(BIG.format(FIRST + 4), "Sky", "application/fits")
    assert answer.status_code == 200
    with fits.open(io.BytesIO(answer.content)) as file:
        rows = file[1].data
        assert rows["objID"].astype(np.int64).tolist() == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
        assert rows["class"].tolist() == ["STAR", "GALAXY", "GALAXY", "STAR"]
        assert file[1].columns["ra"].unit == "deg"


def test_several_results(ada: Client) -> None:
    answer = ada.query("select 1 as a; select 2 as b, 3 as c", accept="application/json+array")
    assert [(each["Columns"], each["Data"]) for each in answer.json()["Result"]] == [
        (["a"], [[1]]),
        (["b", "c"], [[2, 3]]),
    ]


def test_no_rows(ada: Client) -> None:
    query = "select objID, class from Stars where objID < 0"
    assert ada.query(query, "Sky", "application/json+array").json()["Result"] == [
        {"TableName": "Table1", "Columns": ["objID", "class"], "Data": []}
    ]
    assert ada.csv(query, "Sky") == "objID,class\n"


def test_a_statement_without_result(ada: Client) -> None:
    assert ada.query("select 1 as one into MyDB.ForDropping", "Sky").status_code == 200
    answer = ada.query("DROP TABLE ForDropping")
    assert answer.status_code == 200
    answer = ada.query("select 1 as one into MyDB.ForDropping; drop table MyDB.ForDropping", "Sky", "application/json")
    assert answer.status_code == 200
    assert [(each["Columns"], each["Data"]) for each in answer.json()["Result"]] == [([], [])]


def test_upload_and_read_back(ada: Client) -> None:
    """The client's own test: up, read, drop."""
    assert ada.upload("FromClient", TEST_CSV.encode()).status_code == 200
    assert ada.csv("select * from MyDB.FromClient", "MyDB") == TEST_CSV
    assert ada.query("DROP TABLE FromClient", "MyDB").status_code == 200
    assert "FromClient" not in {table["Name"] for table in ada.call("GET", "contexts/MyDB/Tables").json()}


def test_upload_of_text(ada: Client) -> None:
    """A ``str`` as payload; names, numbers and text as pandas writes them."""
    frame = pd.DataFrame({"id": [2**60, 2**60 + 1], "Größe": [1.5, np.nan], "name": ['say "hi", x', "ß\nz"]})
    text = frame.to_csv(index=False)
    assert ada.upload("Typed", text.encode()).status_code == 200
    back = pd.read_csv(io.StringIO(ada.csv("select * from Typed order by id")))
    pd.testing.assert_frame_equal(back, frame)


def test_a_job(ada: Client) -> None:
    number = ada.submit("select top 10 objID into MyDB.FromJob from Stars order by objID", "Sky")
    answer = ada.call("GET", f"jobs/{number}?TaskName=SciScript-Python.CasJobs.getJobStatus")
    assert answer.status_code == 200
    job = answer.json()
    assert job["JobID"] == number
    assert isinstance(job["Status"], int)
    job = ada.ended(number)
    assert job["Status"] == 5, job
    assert job["Rows"] == 10
    assert job["Target"] == "Sky"
    assert job["TaskName"] == "SciScript-Python.CasJobs.submitJob"
    assert "FromJob" in job["Created_Table"]
    assert job["Query"].startswith("select top 10")
    assert job["TimeSubmit"] <= job["TimeStart"] <= job["TimeEnd"]
    fields = "JobID Rows WebServicesID TimeSubmit TimeStart TimeEnd SendEmail Status AutoComplete Estimate TaskName"
    fields += " OutputLoc HostIP Message Query ModifiedQuery Target OutputType Params Created_Table"
    assert set(fields.split()) <= set(job)
    assert ada.csv("select count(*) as n from FromJob") == "n\n10\n"
    assert ada.query("drop table FromJob").status_code == 200


def test_the_answer_to_a_submission_is_a_bare_number(ada: Client) -> None:
    answer = ada.call("PUT", "contexts/MyDB/jobs", json={"Query": "select 1"}, headers={"Accept": "text/plain"})
    assert answer.status_code == 200
    assert answer.text.isdigit()
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_all_jobs(ada: Client) -> None:
    number = ada.submit("select 1 as one")
    for address in ("jobs/?TaskName=SciScript-Python.CasJobs.getJobStatus", "jobs/", "jobs"):
        answer = ada.call("GET", address)
        assert answer.status_code == 200
        assert number in {job["JobID"] for job in answer.json()}


def test_a_job_that_fails(ada: Client) -> None:
    job = ada.ended(ada.submit("select nothing from NoSuchTable", "Sky"))
    assert job["Status"] == 4
    assert "NoSuchTable" in job["Message"]


def test_a_job_that_keeps_its_result_as_a_table(ada: Client) -> None:
    """Older clients; Python's spelling of booleans."""
    for created in (True, "True"):
        job = ada.ended(
            ada.submit("select top 3 objID from Stars order by objID", "Sky", CreateTable=created, TableName="Kept")
        )
        assert job["Status"] == 5, job["Message"]
        assert ada.csv("select count(*) as n from Kept") == "n\n3\n"
        assert ada.query("drop table Kept").status_code == 200


def test_cancelling(ada: Client, platform: CasJobsPlatform) -> None:
    endless = "select count(*) from Stars a, Stars b, Stars c, Stars d where a.ra + b.ra + c.ra + d.ra > 1"
    running, waiting = ada.submit(endless, "Sky"), ada.submit("select 1 as one", "Sky")
    wait_until(lambda: ada.job(running)["Status"] == 1, what="the job runs")
    assert ada.job(waiting)["Status"] == 0
    for number in (waiting, running):
        assert ada.call("DELETE", f"jobs/{number}?TaskName=SciScript-Python.CasJobs.cancelJob").status_code == 200
    assert ada.ended(waiting)["Status"] == 3
    assert ada.ended(running)["Status"] == 3
    done = ada.submit("select 1 as one")
    assert ada.ended(done)["Status"] == 5
    for number in (done, running):
        assert ada.call("DELETE", f"jobs/{number}").status_code == 200
    assert ada.ended(done)["Status"] == 5


@pytest.mark.parametrize(
    "path",
    [
        "contexts/sky/TABLES",
        "Contexts/SKY/tables/",
        "/contexts//Sky///Tables",
        "contexts/Sky/Tables?TaskName=x&unknown=True&quiet=False&",
    ],
)
def test_spellings_of_addresses(ada: Client, path: str) -> None:
    answer = ada.call("GET", path, allow_redirects=False)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()) == 2


def test_spelling_of_the_interface(platform: CasJobsPlatform, ada: Client) -> None:
    for base in ("RestApi", "restapi", "RESTAPI", "/RestApi/"):
        client = Client(f"{platform.url}/{base}")
        client.headers.update(ada.headers)
        assert client.csv(TEST_QUERY, "/mydb") == TEST_CSV


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("select 1 +", 400, "+"),
        ("select nosuchcolumn from Stars", 400, "nosuchcolumn"),
        ("select 'ä' + nosuch from Stars", 400, "nosuch"),
        ("select cast('x' as int)", 400, "x"),
    ],
)
def test_errors_are_text_for_people(ada: Client, query: str, status: int, word: str) -> None:
    for accept in ("text/plain", "application/json+array", "application/fits"):
        answer = ada.query(query, "Sky", accept)
        assert answer.status_code == status
        value = json.loads(answer.content.decode("utf-8"))
        assert value["status"] == "error"
        assert word in value["error"]
        assert value["Error Message"] == value["error"]
        assert value["Error Code"] == status
        assert value["Error Type"]
        assert value["LogMessageID"]
        assert "Traceback" not in answer.text
        assert "/tmp" not in answer.text


def test_an_error_names_the_place(ada: Client) -> None:
    value = ada.query("select ra\nfrom Stars\nwhere nosuch = 1", "Sky").json()
    assert (value["line"], value["column"]) == (3, 7)


def test_a_failed_quick_query_is_in_the_history(ada: Client) -> None:
    ada.query("select 77 as n from NoSuch77")
    job = ada.call("GET", "jobs", params={"search": "NoSuch77"}).json()[0]
    assert (job["Status"], job["Kind"]) == (4, "quick")


def test_without_a_token(platform: CasJobsPlatform) -> None:
    answer = Client(platform.rest).query(TEST_QUERY)
    assert answer.status_code == 401
    assert "Sign in" in answer.json()["error"]
