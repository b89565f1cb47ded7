"""SciScript-Python's functions for files: what they send and return (contract §4, §5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from SciServer import Files, SciDrive

from tests.client.recorder import Recorder, Reply, of_json
from tests.client.support import sent

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
def service(wire: Recorder) -> dict[str, Any]:
    """A file service, as it is listed."""
    return SERVICE | {"apiEndpoint": f"{wire.url}/fs"}


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


def test_file_services(wire: Recorder, configured: Callable[..., None], service: dict[str, Any]) -> None:
    listed = [
        {"name": "FileServiceJHU", "apiEndpoint": f"{wire.url}/fs/"},
        {"name": "b", "apiEndpoint": f"{wire.url}/b/"},
    ]

    def answer(asked: Any) -> Reply:
        if "fileservices" in asked.path:
            return of_json(listed)
        return of_json(service) if asked.path.startswith("/fs/") else Reply(500, b"broken")

    wire.default = answer
    with pytest.warns(UserWarning, match="broken"):
        services = Files.getFileServices()
    assert services == [service]
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
        assert Files.getFileServices() == [service]
    assert Files.getFileServicesNames(services) == [{"name": "FileServiceJHU", "description": "The one"}]
    assert Files.getFileServiceFromName("FileServiceJHU", services) is services[0]
    with pytest.warns(UserWarning, match="no file service"):
        assert Files.getFileServiceFromName("other", services) is None
    with pytest.raises(ValueError, match="not defined"):
        Files.getFileServiceFromName("", services)


def test_volumes(wire: Recorder, service: dict[str, Any]) -> None:
    assert [each["rootVolumeName"] for each in Files.getRootVolumesInfo(service)] == ["Storage"]
    assert Files.getUserVolumesInfo(service)[0]["path"] == "/Storage/alice/persistent"
    assert Files.getUserVolumesInfo(service, "Temporary") == []
    assert Files.getDataVolumesInfo(service)[0]["displayName"] == "SDSS"
    task = "TaskName=SciScript-Python.Files"
    Files.createUserVolume(service, "Storage/alice/new")
    assert sent(wire) == ("PUT", f"/fs/api/volume/Storage/alice/new?quiet=True&{task}.createUserVolume")
    Files.deleteUserVolume(service, "/Storage/alice/new", quiet=False)
    assert sent(wire) == ("DELETE", f"/fs/api/volume/Storage/alice/new?quiet=False&{task}.createUserVolume")
    Files.shareUserVolume(service, "Storage/alice/new", "bob", ["read"])
    assert sent(wire) == ("PATCH", f"/fs/api/share/Storage/alice/new?{task}.ShareUserVolume")
    assert json.loads(wire.last.body) == [{"name": "bob", "type": "USER", "allowedActions": ["read"]}]
    for call in (Files.createUserVolume, Files.deleteUserVolume):
        with pytest.raises(ValueError, match="no root volume"):
            call(service, "sdss/x")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Storage/alice/persistent", ("Storage", "alice", "persistent", "")),
        ("/Storage/alice/persistent/a/b", ("Storage", "alice", "persistent", "a/b")),
        ("sdss/dr1/x", ("sdss", None, None, "dr1/x")),
        ("Wrong/alice/x", ("Wrong", None, None, "alice/x")),
    ],
)
def test_paths(path: str, expected: tuple[Any, ...], service: dict[str, Any]) -> None:
    assert Files.splitPath(service, path) == expected


def test_paths_that_are_too_short(service: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no owner and volume"):
        Files.splitPath(service, "Storage/alice")


def test_files(wire: Recorder, tmp_path: Path, service: dict[str, Any]) -> None:
    task = "TaskName=SciScript-Python.Files"
    place = "Storage/alice/persistent"
    Files.createDir(service, f"/{place}/a b")
    assert sent(wire) == ("PUT", f"/fs/api/folder/{place}/a%20b?quiet=True&{task}.createDir")
    Files.upload(service, f"{place}/x.txt", "ü", quiet=False)
    assert sent(wire) == ("PUT", f"/fs/api/file/{place}/x.txt?quiet=False&{task}.UploadFile")
    assert wire.last.body == "ü".encode()
    assert "Content-Type" not in wire.last.headers
    wire.default = lambda asked: of_json({"root": {"name": "x"}})
    assert Files.dirList(service, place) == {"root": {"name": "x"}}
    assert sent(wire) == ("GET", f"/fs/api/jsontree/{place}/?options=&level=1&{task}.dirList")
    Files.delete(service, "sdss/x#1%41")
    assert sent(wire) == ("DELETE", f"/fs/api/data/sdss/x%231%41?quiet=True&{task}.delete")
    wire.default = lambda asked: Reply(200, b"data")
    assert Files.download(service, f"{place}/x.txt") == "data"
    assert sent(wire) == ("GET", f"/fs/api/file/{place}/x.txt?{task}.DownloadFile")
    assert Files.download(service, f"{place}/x.txt", format="BytesIO").read() == b"data"
    target = tmp_path / "x"
    assert Files.download(service, f"{place}/x.txt", str(target)) is True
    assert target.read_bytes() == b"data"
    with pytest.raises(FileExistsError):
        Files.download(service, f"{place}/x.txt", str(target), quiet=False)
    with pytest.raises(ValueError, match="no format"):
        Files.download(service, f"{place}/x.txt", format="excel")


def test_move_copies_by_default(wire: Recorder, service: dict[str, Any]) -> None:
    place = "Storage/alice/persistent"
    Files.move(service, f"{place}/x", service, f"{place}/y")
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
    Files.move(service, "sdss/x", service, f"{place}/y", doCopy=False)
    assert json.loads(wire.last.body)["destinationOwnerName"] == "alice"
    assert wire.last.query["doCopy"] == "False"


def test_a_file_service_by_its_name(wire: Recorder, service: dict[str, Any]) -> None:
    listed = [{"name": "FileServiceJHU", "apiEndpoint": f"{wire.url}/fs/"}]
    wire.default = lambda asked: of_json(listed if "fileservices" in asked.path else service)
    Files.createDir("FileServiceJHU", "Storage/alice/persistent/x")
    assert wire.last.path == "/fs/api/folder/Storage/alice/persistent/x"
    with pytest.raises(ValueError, match="There is: FileServiceJHU"):
        Files.createDir("Other", "Storage/alice/persistent/x")
