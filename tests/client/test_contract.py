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

CSV = b"a,b\n1,x\n"
TWO = {"TableName": "Table1", "Columns": ["a", "b"], "Data": [[1, "x"], [2, None]]}
SERVICE = {
    "name": "FileServiceJHU",
    "description": "The one",
    "apiEndpoint": "",
    "rootVolumes": [
        {
            "name": "Storage",
            "description": "Kept",
            "userVolumes": [{"name": "persistent", "owner": "alice", "description": "Hers"}],
        }
    ],
    "dataVolumes": [
        {"name": "sdss", "displayName": "SDSS", "description": "Stars", "url": "", "pathOnFileSystem": "/x"}
    ],
}


@pytest.fixture
def wire(recorder: Recorder, configured: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """All services at the recorder, somebody signed in."""
    url = recorder.url
    configured(
        CasJobsRESTUri=f"{url}/RestApi",
        AuthenticationURL=f"{url}/keystone/v3/tokens",
        SciDriveHost=url,
        RacmApiURL=f"{url}/racm",
    )
    monkeypatch.setenv("SCISERVER_TOKEN", "the-token")
    SERVICE["apiEndpoint"] = f"{url}/fs"
    return recorder


def sent(recorder: Recorder) -> tuple[str, str]:
    """Method and address of the last request; it must have had the token."""
    assert recorder.last.headers["X-Auth-Token"] == "the-token"
    return recorder.last.method, recorder.last.target


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
        lambda: Files.upload(SERVICE, "Storage/alice/persistent/x", "y"),
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
    path.write_text("of the platform\n\n")
    assert Config.isSciServerComputeEnvironment()
    assert Authentication.getToken() == "of the platform"
    with pytest.warns(UserWarning, match="container"):
        Authentication.setToken("mine")
    assert Authentication.getToken() == "of the platform"
    wire.answers = [Reply(200, b"", {"x-subject-token": "of the login"})]
    assert Authentication.login("ada", "secret") == "of the login"
    assert wire.last.target == "/keystone/v3/tokens?TaskName=Compute.SciScript-Python.Authentication.Login"
    wire.default = lambda asked: of_json([])
    CasJobs.getTables()
    assert wire.last.query == {"TaskName": "Compute.SciScript-Python.CasJobs.getTables"}
    assert wire.last.headers["X-Auth-Token"] == "of the platform"
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


# -- SciDrive (contract §4)


def test_scidrive(wire: Recorder, tmp_path: Path) -> None:
    task = "TaskName=SciScript-Python.SciDrive"
    wire.default = lambda asked: of_json({"path": "/a/b", "url": wire.url + "/media/x/b"})
    assert SciDrive.createContainer("/new dir") is True
    assert sent(wire) == ("PUT", f"/vospace-2.0/nodes//new%20dir?{task}.createContainer")
    assert wire.last.headers["Content-Type"] == "application/xml"
    assert b"vos:ContainerNode" in wire.last.body
    assert SciDrive.upload("/a/b", "ü")["path"] == "/a/b"
    assert sent(wire) == ("PUT", f"/vospace-2.0/1/files_put/dropbox//a/b?{task}.upload")
    assert wire.last.body == "ü".encode()
    assert "Content-Type" not in wire.last.headers
    (tmp_path / "local").write_bytes(b"\x00local")
    SciDrive.upload("a/b", localFilePath=str(tmp_path / "local"))
    assert wire.last.body == b"\x00local"
    assert wire.last.headers["Content-Length"] == "6"
    SciDrive.directoryList("/a")
    assert sent(wire) == ("GET", f"/vospace-2.0/1/metadata/sandbox//a?list=True&path=%2Fa&{task}.directoryList")
    assert SciDrive.publicUrl("a/b") == wire.url + "/media/x/b"
    assert sent(wire) == ("GET", f"/vospace-2.0/1/media/sandbox/a/b?{task}.publicUrl")
    SciDrive.delete("/a")
    assert sent(wire) == ("DELETE", f"/vospace-2.0/nodes//a?{task}.delete")
    assert b"vos:node" in wire.last.body


def test_scidrive_downloads_without_the_token(wire: Recorder, elsewhere: Recorder, tmp_path: Path) -> None:
    """The public address carries its own right; it may be anywhere, and lead on."""
    wire.default = lambda asked: of_json({"url": f"{elsewhere.url}/media/secret/x"})
    elsewhere.default = lambda asked: (
        Reply(302, b"", {"Location": "/moved"}) if asked.path != "/moved" else Reply(200, "ü\n".encode())
    )
    assert SciDrive.download("/x") == "ü\n"
    assert wire.last.query == {"TaskName": "SciScript-Python.SciDrive.download"}
    assert SciDrive.download("/x", "StringIO").read() == "ü\n"
    assert SciDrive.download("/x", "BytesIO").read() == "ü\n".encode()
    response = SciDrive.download("/x", "response")
    assert (response.status_code, response.content, response.text) == (200, "ü\n".encode(), "ü\n")
    assert SciDrive.download("/x", localFilePath=str(tmp_path / "x")) is True
    assert (tmp_path / "x").read_text() == "ü\n"
    assert not [asked for asked in elsewhere.asked if {"X-Auth-Token", "Cookie"} & set(asked.headers)]
    with pytest.raises(ValueError, match="no format"):
        SciDrive.download("/x", "excel")


# -- Files (contract §5)


def test_file_services(wire: Recorder, configured: Callable[..., None]) -> None:
    listed = [
        {"name": "FileServiceJHU", "apiEndpoint": f"{wire.url}/fs/"},
        {"name": "b", "apiEndpoint": f"{wire.url}/b/"},
    ]

    def answer(asked: Any) -> Reply:
        if "fileservices" in asked.path:
            return of_json(listed)
        return of_json(SERVICE) if asked.path.startswith("/fs/") else Reply(500, b"broken")

    wire.default = answer
    with pytest.warns(UserWarning, match="broken"):
        services = Files.getFileServices()
    assert services == [SERVICE]
    task = "TaskName=SciScript-Python.Files.getFileServices"
    assert [asked.target for asked in wire.asked] == [
        f"/racm/storem/fileservices?{task}",
        f"/fs/api/volumes/?{task}",
        f"/b/api/volumes/?{task}",
    ]
    # One that cannot be reached is left out too, and nothing is listed twice.
    listed[1]["apiEndpoint"] = "http://127.0.0.1:9/"
    configured(TrustedOrigins=["http://127.0.0.1:9"])
    with pytest.warns(UserWarning, match="cannot be used"):
        assert Files.getFileServices() == [SERVICE]
    assert Files.getFileServicesNames(services) == [{"name": "FileServiceJHU", "description": "The one"}]
    assert Files.getFileServiceFromName("FileServiceJHU", services) is services[0]
    with pytest.warns(UserWarning, match="no file service"):
        assert Files.getFileServiceFromName("other", services) is None
    with pytest.raises(ValueError, match="not defined"):
        Files.getFileServiceFromName("", services)


def test_volumes(wire: Recorder) -> None:
    assert [each["rootVolumeName"] for each in Files.getRootVolumesInfo(SERVICE)] == ["Storage"]
    assert Files.getUserVolumesInfo(SERVICE)[0]["path"] == "/Storage/alice/persistent"
    assert Files.getUserVolumesInfo(SERVICE, "Temporary") == []
    assert Files.getDataVolumesInfo(SERVICE)[0]["displayName"] == "SDSS"
    task = "TaskName=SciScript-Python.Files"
    Files.createUserVolume(SERVICE, "Storage/alice/new")
    assert sent(wire) == ("PUT", f"/fs/api/volume/Storage/alice/new?quiet=True&{task}.createUserVolume")
    Files.deleteUserVolume(SERVICE, "/Storage/alice/new", quiet=False)
    assert sent(wire) == ("DELETE", f"/fs/api/volume/Storage/alice/new?quiet=False&{task}.createUserVolume")
    Files.shareUserVolume(SERVICE, "Storage/alice/new", "bob", ["read"])
    assert sent(wire) == ("PATCH", f"/fs/api/share/Storage/alice/new?{task}.ShareUserVolume")
    assert json.loads(wire.last.body) == [{"name": "bob", "type": "USER", "allowedActions": ["read"]}]
    for call in (Files.createUserVolume, Files.deleteUserVolume):
        with pytest.raises(ValueError, match="no root volume"):
            call(SERVICE, "sdss/x")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Storage/alice/persistent", ("Storage", "alice", "persistent", "")),
        ("/Storage/alice/persistent/a/b", ("Storage", "alice", "persistent", "a/b")),
        ("sdss/dr1/x", ("sdss", None, None, "dr1/x")),
        ("Wrong/alice/x", ("Wrong", None, None, "alice/x")),
    ],
)
def test_paths(path: str, expected: tuple[Any, ...]) -> None:
    assert Files.splitPath(SERVICE, path) == expected


def test_paths_that_are_too_short() -> None:
    with pytest.raises(ValueError, match="no owner and volume"):
        Files.splitPath(SERVICE, "Storage/alice")


def test_files(wire: Recorder, tmp_path: Path) -> None:
    task = "TaskName=SciScript-Python.Files"
    place = "Storage/alice/persistent"
    Files.createDir(SERVICE, f"/{place}/a b")
    assert sent(wire) == ("PUT", f"/fs/api/folder/{place}/a%20b?quiet=True&{task}.createDir")
    Files.upload(SERVICE, f"{place}/x.txt", "ü", quiet=False)
    assert sent(wire) == ("PUT", f"/fs/api/file/{place}/x.txt?quiet=False&{task}.UploadFile")
    assert wire.last.body == "ü".encode()
    assert "Content-Type" not in wire.last.headers
    wire.default = lambda asked: of_json({"root": {"name": "x"}})
    assert Files.dirList(SERVICE, place) == {"root": {"name": "x"}}
    assert sent(wire) == ("GET", f"/fs/api/jsontree/{place}/?options=&level=1&{task}.dirList")
    Files.delete(SERVICE, "sdss/x#1%41")
    assert sent(wire) == ("DELETE", f"/fs/api/data/sdss/x%231%41?quiet=True&{task}.delete")
    wire.default = lambda asked: Reply(200, b"data")
    assert Files.download(SERVICE, f"{place}/x.txt") == "data"
    assert sent(wire) == ("GET", f"/fs/api/file/{place}/x.txt?{task}.DownloadFile")
    assert Files.download(SERVICE, f"{place}/x.txt", format="BytesIO").read() == b"data"
    target = tmp_path / "x"
    assert Files.download(SERVICE, f"{place}/x.txt", str(target)) is True
    assert target.read_bytes() == b"data"
    with pytest.raises(FileExistsError):
        Files.download(SERVICE, f"{place}/x.txt", str(target), quiet=False)
    with pytest.raises(ValueError, match="no format"):
        Files.download(SERVICE, f"{place}/x.txt", format="excel")


def test_move_copies_by_default(wire: Recorder) -> None:
    place = "Storage/alice/persistent"
    Files.move(SERVICE, f"{place}/x", SERVICE, f"{place}/y")
    assert sent(wire) == (
        "PUT",
        f"/fs/api/data/{place}/x?replaceExisting=True&doCopy=True&TaskName=SciScript-Python.Files.Move",
    )
    assert json.loads(wire.last.body) == {
        "destinationPath": "y",
        "destinationRootVolume": "Storage",
        "destinationUserVolume": "persistent",
        "destinationOwnerName": "alice",
        "destinationFileService": "FileServiceJHU",
    }
    # 2.2 chose the form by the source, and lost the owner on this way.
    Files.move(SERVICE, "sdss/x", SERVICE, f"{place}/y", doCopy=False)
    assert json.loads(wire.last.body)["destinationOwnerName"] == "alice"
    assert wire.last.query["doCopy"] == "False"


def test_a_file_service_by_its_name(wire: Recorder) -> None:
    listed = [{"name": "FileServiceJHU", "apiEndpoint": f"{wire.url}/fs/"}]
    wire.default = lambda asked: of_json(listed if "fileservices" in asked.path else SERVICE)
    Files.createDir("FileServiceJHU", "Storage/alice/persistent/x")
    assert wire.last.path == "/fs/api/folder/Storage/alice/persistent/x"
    with pytest.raises(ValueError, match="There is: FileServiceJHU"):
        Files.createDir("Other", "Storage/alice/persistent/x")


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
