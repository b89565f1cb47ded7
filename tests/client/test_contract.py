"""What SciScript-Python's functions send and return: the oddities of the contract, on the wire."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from SciServer import Authentication, CasJobs, Config, Files, Login, LoginPortal, SciDrive
from SciServer.core import NotSignedInError, QueryError, ServiceError

from tests.client.recorder import Recorder, Reply, of_json
from tests.client.support import sent

CSV = b"a,b\n1,x\n"
TWO = {"TableName": "Table1", "Columns": ["a", "b"], "Data": [[1, "x"], [2, None]]}


# -- CasJobs (contract §3)


@pytest.mark.parametrize(
    ("format", "accept", "check"),
    [
        ("pandas", "application/json+array", lambda found: found["a"].tolist() == [1, 2]),
        ("json", "application/json+array", lambda found: json.loads(found) == {"Result": [TWO]}),
        ("dict", "application/json+array", lambda found: found == {"Result": [TWO]}),
        ("csv", "text/plain", lambda found: found == CSV.decode()),
        ("readable", "text/plain", lambda found: found.read() == CSV.decode()),
        ("StringIO", "text/plain", lambda found: isinstance(found, io.StringIO)),
        ("fits", "application/fits", lambda found: found.read() == CSV),
        ("BytesIO", "application/fits", lambda found: isinstance(found, io.BytesIO)),
        ("text/csv", "text/plain", lambda found: found.read() == CSV.decode()),
    ],
)
def test_execute_query(wire: Recorder, format: str, accept: str, check: Callable[[Any], bool]) -> None:
    wire.default = lambda asked: of_json({"Result": [TWO]}) if "json" in asked.headers["Accept"] else Reply(200, CSV)
    found = CasJobs.executeQuery("select 1 as a", "DR7", format)
    assert check(found)
    task = "SciScript-Python.CasJobs.executeQuery"
    assert sent(wire) == ("POST", f"/RestApi/contexts/DR7/query?TaskName={task}")
    assert (wire.last.headers["Accept"], wire.last.headers["Content-Type"]) == (accept, "application/json")
    assert json.loads(wire.last.body) == {"Query": "select 1 as a", "TaskName": task}


def test_what_execute_query_returns(wire: Recorder) -> None:
    wire.default = lambda asked: of_json({"Result": [TWO, TWO]})
    assert [len(frame) for frame in CasJobs.executeQuery("x")] == [2, 2]
    wire.default = lambda asked: of_json({"Result": []})
    with pytest.raises(IndexError):
        CasJobs.executeQuery("x")
    wire.default = lambda asked: of_json({"Result": [{"TableName": "Table1", "Columns": [], "Data": []}]})
    assert CasJobs.executeQuery("drop table x").empty
    asked = len(wire.asked)
    with pytest.raises(ValueError, match="no format 'excel'"):
        CasJobs.executeQuery("x", format="excel")
    assert len(wire.asked) == asked


def test_large_integers_stay_exact(wire: Recorder) -> None:
    """Client issue 10: as 2.2 where a float will do, and exact where it will not."""
    rows = [[2**53 + 1, 2**53 + 1, 1, "a"], [2, None, None, None]]
    wire.default = lambda asked: of_json({"Result": [{"Columns": ["a", "b", "c", "d"], "Data": rows}]})
    frame = CasJobs.executeQuery("x")
    assert frame["a"].tolist() == [2**53 + 1, 2]
    assert frame["b"][0] == 2**53 + 1
    assert (frame["a"].dtype, frame["b"].dtype, frame["c"].dtype) == ("int64", "Int64", "float64")


def test_calls_of_older_notebooks(wire: Recorder) -> None:
    """With ``token=`` a stream comes back, without it a frame; a format that is said wins."""
    wire.default = lambda asked: of_json({"Result": [TWO]}) if "json" in asked.headers["Accept"] else Reply(200, CSV)
    stream = CasJobs.executeQuery("x", "Stripe82", token="another")
    assert pd.read_csv(stream, index_col=None)["b"].tolist() == ["x"]
    assert wire.last.headers["X-Auth-Token"] == "another"
    assert CasJobs.executeQuery("x", "DR12", "text/plain", "another").read() == CSV.decode()
    # As `login.getToken()` gives it when nobody is signed in: what is found elsewhere is used.
    assert CasJobs.executeQuery("x", "DR12", token=None).read() == CSV.decode()
    assert wire.last.headers["X-Auth-Token"] == "the-token"
    assert isinstance(CasJobs.executeQuery("x", format="pandas", token="another"), pd.DataFrame)
    assert isinstance(CasJobs.executeQuery("x", "FragData"), pd.DataFrame)
    assert isinstance(CasJobs.executeQuery(sql="x", context="FragData"), pd.DataFrame)
    wire.default = lambda asked: of_json([])
    CasJobs.getTables("MyDB", "another")
    assert wire.last.headers["X-Auth-Token"] == "another"
    wire.default = lambda asked: Reply(200, b"7")
    assert CasJobs.submitJob("x", "MyDB", token="another") == 7
    assert wire.last.headers["X-Auth-Token"] == "another"


@pytest.mark.filterwarnings("ignore:Authentication token is not defined")
def test_anybody_may_ask(wire: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """`executeQuery` goes on without a token (contract §0); all others do not even ask."""
    monkeypatch.delenv("SCISERVER_TOKEN")
    wire.default = lambda asked: Reply(200, CSV)
    assert CasJobs.executeQuery("x", format="csv") == CSV.decode()
    assert "X-Auth-Token" not in wire.last.headers
    asked = len(wire.asked)
    calls: list[Callable[[], Any]] = [
        CasJobs.getTables,
        CasJobs.getSchemaName,
        lambda: CasJobs.submitJob("x"),
        lambda: CasJobs.getJobStatus(1),
        lambda: CasJobs.waitForJob(1),
        lambda: CasJobs.cancelJob(1),
        lambda: CasJobs.uploadCSVDataToTable("a\n1\n", "x"),
        lambda: SciDrive.createContainer("x"),
        lambda: SciDrive.upload("x", "y"),
        lambda: SciDrive.download("x"),
        SciDrive.directoryList,
        lambda: SciDrive.delete("x"),
        Files.getFileServices,
        lambda: Files.upload("FileServiceJHU", "Storage/alice/persistent/x", "y"),
        lambda: Files.delete("FileServiceJHU", "Storage/alice/persistent/x"),
    ]
    for call in calls:
        with pytest.raises(NotSignedInError, match="User token is not defined"):
            call()
    assert len(wire.asked) == asked


def test_jobs(wire: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(CasJobs.time, "sleep", pauses.append)
    wire.answers = [Reply(200, b" 12\n")]
    assert CasJobs.submitJob("select 1", "DR7") == 12
    assert sent(wire) == ("PUT", "/RestApi/contexts/DR7/jobs?TaskName=SciScript-Python.CasJobs.submitJob")
    assert wire.last.headers["Accept"] == "text/plain"
    wire.answers = [of_json({"JobID": 12, "Status": status}) for status in (0, 1, 2, 5)]
    assert CasJobs.waitForJob(12, verbose=True, pollTime=1)["Status"] == 5
    # The recorder's own are none.
    assert [pause for pause in pauses if pause] == [5, 5, 5]
    assert "Done" in capsys.readouterr().out
    assert sent(wire) == ("GET", "/RestApi/jobs/12?TaskName=SciScript-Python.CasJobs.getJobStatus")
    wire.answers = [of_json([{"JobID": 12, "Status": 4}])]
    assert CasJobs.getJobStatus("")[0]["JobID"] == 12
    assert sent(wire) == ("GET", "/RestApi/jobs/?TaskName=SciScript-Python.CasJobs.getJobStatus")
    assert CasJobs.cancelJob(12) is True
    assert sent(wire) == ("DELETE", "/RestApi/jobs/12?TaskName=SciScript-Python.CasJobs.cancelJob")


def test_wrappers_announce_themselves(wire: Recorder, tmp_path: Path) -> None:
    wire.default = lambda asked: Reply(200, b"a,b\n1,2\n")
    calls: dict[str, Callable[[], Any]] = {
        "writeFitsFileFromQuery": lambda: CasJobs.writeFitsFileFromQuery(str(tmp_path / "x.fits"), "q"),
        "getPandasDataFrameFromQuery": lambda: CasJobs.getPandasDataFrameFromQuery("q"),
        "getNumpyArrayFromQuery": lambda: CasJobs.getNumpyArrayFromQuery("q"),
    }
    found = {}
    for name, call in calls.items():
        found[name] = call()
        task = f"SciScript-Python.CasJobs.{name}"
        assert wire.last.query == {"TaskName": task}
        assert json.loads(wire.last.body)["TaskName"] == task
    assert (tmp_path / "x.fits").read_bytes() == b"a,b\n1,2\n"
    assert found["writeFitsFileFromQuery"] is True
    assert found["getPandasDataFrameFromQuery"]["b"].tolist() == [2]
    assert np.array_equal(found["getNumpyArrayFromQuery"], [[1, 2]])


def test_uploads_have_no_content_type(wire: Recorder) -> None:
    assert CasJobs.uploadCSVDataToTable("a\nü\n", "new") is True
    assert sent(wire) == (
        "POST",
        "/RestApi/contexts/MyDB/Tables/new?TaskName=SciScript-Python.CasJobs.uploadCSVDataToTable",
    )
    assert "Content-Type" not in wire.last.headers
    assert wire.last.body == "a\nü\n".encode()
    frame = pd.DataFrame({"a": [1]}, index=[7])
    CasJobs.uploadPandasDataFrameToTable(frame, "new", "MyScratch")
    assert wire.last.body == b"a\n1\n"
    assert wire.last.query == {"TaskName": "SciScript-Python.CasJobs.uploadPandasDataFrameToTable"}
    CasJobs.uploadPandasDataFrameToTable(frame.rename_axis("id"), "new")
    assert wire.last.body == b"id,a\n7,1\n"


def test_schema_name(wire: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the token in an address, which logs keep."""
    monkeypatch.setattr(Authentication, "_known", {})
    wire.answers = [of_json({"token": {"user": {"name": "alice", "id": "alice"}}}), of_json({"WebServicesId": 7})]
    assert CasJobs.getSchemaName() == "wsid_7"
    assert wire.last.path == "/RestApi/users/alice"
    assert wire.asked[0].headers["X-Auth-Token"] == "the-token"
    assert not [asked for asked in wire.asked if "the-token" in asked.target]
    wire.answers = [of_json({"WebServicesId": 7})]
    CasJobs.getSchemaName()
    assert len(wire.asked) == 3


def test_errors_are_told(wire: Recorder) -> None:
    wire.default = lambda asked: of_json({"Error Code": 400, "Error Type": "syntax", "Error Message": "Bad SQL."}, 400)
    with pytest.raises(QueryError, match="Bad SQL"):
        CasJobs.executeQuery("selct")
    wire.default = lambda asked: Reply(500, b"oh no")
    with pytest.raises(Exception, match="oh no"):
        CasJobs.getTables()


# -- inside a container (contract §0, §0.2)


def test_inside_a_container(wire: Recorder) -> None:
    path = Path(Config.KeystoneTokenPath)
    path.write_text("of-the-platform\n\n")
    assert Config.isSciServerComputeEnvironment()
    assert Authentication.getToken() == "of-the-platform"
    with pytest.warns(UserWarning, match="container"):
        Authentication.setToken("mine")
    assert Authentication.getToken() == "of-the-platform"
    wire.answers = [Reply(200, b"", {"x-subject-token": "of-the-login"})]
    assert Authentication.login("ada", "secret") == "of-the-login"
    assert wire.last.target == "/keystone/v3/tokens?TaskName=Compute.SciScript-Python.Authentication.Login"
    wire.default = lambda asked: of_json([])
    CasJobs.getTables()
    assert wire.last.query == {"TaskName": "Compute.SciScript-Python.CasJobs.getTables"}
    assert wire.last.headers["X-Auth-Token"] == "of-the-platform"
    path.write_text("renewed")
    CasJobs.getTables()
    assert wire.last.headers["X-Auth-Token"] == "renewed"
    path.write_text("")
    with pytest.warns(UserWarning, match="no token in the file"):
        assert Authentication.getToken() is None


def test_on_a_laptop(wire: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCISERVER_TOKEN")
    with pytest.warns(UserWarning, match="not defined"):
        assert Authentication.getToken() is None
    with pytest.warns(UserWarning, match="empty"):
        Authentication.setToken("")
    arguments = ["notebook", f"{Authentication.identArgIdentifier()}from-the-command-line"]
    monkeypatch.setattr(sys, "argv", list(arguments))
    assert Authentication.getToken() == "from-the-command-line"
    Authentication.setToken("mine")
    for module in (Authentication, LoginPortal, Login):
        assert module.getToken() == "mine"
        with pytest.warns(UserWarning, match="deprecated"):
            assert module.getKeystoneToken() == "mine"
    with pytest.warns(UserWarning, match="deprecated"):
        LoginPortal.setKeystoneToken("newer")
    assert Login.getToken() == "newer"
    # In 2.2, everybody on the machine could read it there.
    assert sys.argv == arguments


def test_login(wire: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCISERVER_TOKEN")
    wire.answers = [Reply(200, b"x", {"x-subject-token": "fresh"})]
    assert Login.login("ada", "secret") == "fresh"
    assert wire.last.method == "POST"
    assert wire.last.headers["Content-Type"] == "application/json"
    assert json.loads(wire.last.body) == {
        "auth": {"identity": {"password": {"user": {"name": "ada", "password": "secret"}}}}
    }
    assert Authentication.getToken() == "fresh"
    # Asked for if they are not given.
    monkeypatch.setattr("builtins.input", lambda prompt: "bob")
    monkeypatch.setattr("getpass.getpass", lambda prompt: "hidden")
    wire.answers = [Reply(200, b"x", {"x-subject-token": "other"})]
    Authentication.login()
    assert b'"bob"' in wire.last.body
    assert b'"hidden"' in wire.last.body
    wire.answers = [of_json({"error": {"message": "no"}}, 401)]
    with pytest.raises(NotSignedInError, match="wrong"):
        Authentication.login("ada", "wrong")
    assert Authentication.getToken() == "other"


def test_whose_token(wire: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authentication, "_known", {})
    wire.answers = [of_json({"token": {"user": {"name": "alice", "id": "17"}}})]
    user = Authentication.getKeystoneUserWithToken("secret-token")
    assert (user.id, user.userName, user.token) == ("17", "alice", "secret-token")
    assert "secret-token" not in repr(user)
    assert wire.last.query == {"TaskName": "SciScript-Python.Authentication.getKeystoneUserWithToken"}
    assert Authentication.getKeystoneUserWithToken("secret-token") is user
    assert len(wire.asked) == 1


def test_config_may_be_changed_at_run_time(
    wire: Recorder, elsewhere: Recorder, configured: Callable[..., None]
) -> None:
    elsewhere.default = lambda asked: of_json([])
    configured(CasJobsRESTUri=f"{elsewhere.url}/other/")
    CasJobs.getTables()
    assert elsewhere.last.path == "/other/contexts/MyDB/Tables"
    assert not wire.asked
    configured(CasJobsRESTUri="nothing")
    with pytest.raises(Exception, match="no address"):
        CasJobs.getTables()


def test_service_errors_are_exceptions() -> None:
    """Notebooks catch `Exception`, as 2.2 raised it."""
    assert issubclass(ServiceError, Exception)
