"""The file service as SciServer's client library uses it (contract §5): the same bytes on the wire."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.scidrive.drive_platform import Client, DrivePlatform, error_of

TASK = "TaskName=SciScript-Python.Files"


@pytest.fixture(scope="module")
def own(platform: DrivePlatform) -> Client:
    """Somebody with volumes of their own for this module."""
    client = platform.client("fiona")
    assert client.call("GET", f"fileservice/api/volumes/?{TASK}.getFileServices").status_code == 200
    return client


@pytest.fixture
def volume(own: Client) -> Iterator[str]:
    """A new volume; its path."""
    path = "Storage/fiona/UserVolume1"
    assert own.call("PUT", f"fileservice/api/volume/{path}?quiet=False&{TASK}.createUserVolume").status_code == 200
    yield path
    own.call("DELETE", f"fileservice/api/volume/{path}?quiet=True&{TASK}.createUserVolume")


def tree(client: Client, path: str, level: int = 2, options: str = "") -> dict[str, Any]:
    answer = client.call("GET", f"fileservice/api/jsontree/{path}?options={options}&level={level}&{TASK}.dirList")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_discovery(platform: DrivePlatform, own: Client) -> None:
    """Where RACM would be, and below the service's own address."""
    for address in (
        f"{platform.deployment.public_url}/services/racm/storem/fileservices?{TASK}.getFileServices",
        f"{platform.url}//storem/fileservices",
    ):
        [service] = own.request("GET", address, timeout=30).json()
        assert set(service) == {"identifier", "name", "description", "apiEndpoint"}
        assert service["apiEndpoint"] == f"{platform.url}/fileservice/"
    volumes = own.request("GET", f"{service['apiEndpoint']}api/volumes/?{TASK}.getFileServices", timeout=30).json()
    assert {key: volumes[key] for key in service} == service
    assert isinstance(volumes["rootVolumes"], list)
    assert [each["name"] for each in volumes["dataVolumes"]] == ["Survey"]


def test_containers_get_the_address_by_which_they_came(platform: DrivePlatform) -> None:
    direct = platform.client("fiona", direct=True)
    [service] = direct.call("GET", "storem/fileservices").json()
    assert service["apiEndpoint"] == f"{platform.direct_url}/fileservice/"
    address = f"{platform.deployment.internal_origin('racm')}/services/racm/storem/fileservices"
    assert direct.request("GET", address, timeout=30).json() == [service]
    # Whatever it says, the address is one of ours.
    [service] = direct.call("GET", "storem/fileservices", headers={"Host": "evil.example.org"}).json()
    assert service["apiEndpoint"] == f"{platform.url}/fileservice/"


def test_default_volumes_are_made_at_the_first_listing(platform: DrivePlatform) -> None:
    client = platform.client("newcomer")
    assert not platform.volume("newcomer").exists()
    volumes = client.call("GET", "fileservice/api/volumes/?TaskName=x").json()
    found = {
        (root["name"], volume["owner"], volume["name"])
        for root in volumes["rootVolumes"]
        for volume in root["userVolumes"]
    }
    assert {("Storage", "newcomer", "persistent"), ("Temporary", "newcomer", "scratch")} <= found
    assert platform.volume("newcomer").stat().st_uid == 1000
    for root in volumes["rootVolumes"]:
        for volume in root["userVolumes"]:
            assert volume["allowedActions"] == ["read", "write", "delete", "grant"]


def test_volumes(own: Client, volume: str) -> None:
    address = f"fileservice/api/volume/{volume}"
    assert own.call("PUT", f"{address}?quiet=True&{TASK}.createUserVolume").status_code == 200
    error_of(own.call("PUT", f"{address}?quiet=False&{TASK}.createUserVolume"), 409)
    assert own.call("GET", address).json()["name"] == "UserVolume1"
    answer = own.call("PATCH", address, json={"name": "Renamed", "description": "Ünder a name"})
    assert (answer.json()["name"], answer.json()["description"]) == ("Renamed", "Ünder a name")
    error_of(own.call("GET", address), 404)
    assert own.call("DELETE", "fileservice/api/volume/Storage/fiona/Renamed?quiet=False").status_code == 200
    error_of(own.call("DELETE", f"{address}?quiet=False"), 404)
    assert own.call("DELETE", f"{address}?quiet=True&{TASK}.createUserVolume").status_code == 200


def test_volumes_that_cannot_be(own: Client) -> None:
    for path, status in [
        ("Storage/bob/mine", 403),
        ("Nowhere/fiona/mine", 404),
        ("SciDrive/fiona/mine", 404),
        ("Survey/fiona/mine", 404),
        ("Storage/fiona/.hidden", 400),
        ("Storage/fiona/a%3Ab", 400),
        ("Storage/fiona/" + "x" * 300, 400),
    ]:
        error_of(own.call("PUT", f"fileservice/api/volume/{path}?quiet=True"), status)
    error_of(own.call("DELETE", "fileservice/api/volume/Storage/bob/persistent?quiet=False"), 404)
    error_of(own.call("PATCH", "fileservice/api/volume/Storage/fiona/persistent", json={"name": "../x"}), 400)
    error_of(own.call("PATCH", "fileservice/api/volume/Storage/fiona/persistent", json={"name": 7}), 400)


def test_a_file_there_and_back(own: Client, volume: str) -> None:
    """As the client does it: no Content-Type, parents are made, the body is what was sent."""
    address = f"fileservice/api/file/{volume}/dir/HelloWorld.txt"
    sent = requests.Request(
        "PUT", f"{own.url}/{address}?quiet=True&{TASK}.UploadFile", data="Column1,Column2\n4.5,5.5\n"
    )
    prepared = own.prepare_request(sent)
    assert "Content-Type" not in prepared.headers
    assert own.send(prepared, timeout=30).status_code == 200
    answer = own.call("GET", f"{address}?{TASK}.DownloadFile")
    assert (answer.status_code, answer.text) == (200, "Column1,Column2\n4.5,5.5\n")
    error_of(own.call("PUT", f"{address}?quiet=False", data=b"other"), 409)
    assert own.call("GET", address).text == "Column1,Column2\n4.5,5.5\n"
    assert own.call("PUT", f"{address}?quiet=True", data=b"other").status_code == 200
    assert own.call("GET", address).content == b"other"
    head = own.call("HEAD", address)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "5", b"")
    assert head.headers["ETag"] == own.call("GET", address).headers["ETag"]


def test_what_is_missing_is_said_to_be(own: Client, volume: str) -> None:
    for path in ("nothing.txt", "no/folder/nothing.txt"):
        error_of(own.call("GET", f"fileservice/api/file/{volume}/{path}"), 404)
        assert own.call("HEAD", f"fileservice/api/file/{volume}/{path}").status_code == 404
        error_of(own.call("GET", f"fileservice/api/jsontree/{volume}/{path}?level=2"), 404)
        error_of(own.call("DELETE", f"fileservice/api/data/{volume}/{path}?quiet=False"), 404)
        assert own.call("DELETE", f"fileservice/api/data/{volume}/{path}?quiet=True").status_code == 200
    # A wrong root volume: the client takes it for a data volume.
    error_of(own.call("GET", "fileservice/api/file/Storrage/fiona/persistent/x"), 404)
    error_of(own.call("GET", f"fileservice/api/file/{volume}?x"), 409)


def test_folders(own: Client, volume: str) -> None:
    address = f"fileservice/api/folder/{volume}/one/two"
    assert own.call("PUT", f"{address}?quiet=True&{TASK}.createDir").status_code == 200
    assert own.call("PUT", f"{address}?quiet=True&{TASK}.createDir").status_code == 200
    error_of(own.call("PUT", f"{address}?quiet=False&{TASK}.createDir"), 409)
    own.call("PUT", f"fileservice/api/file/{volume}/file", data=b"x")
    error_of(own.call("PUT", f"fileservice/api/folder/{volume}/file?quiet=True"), 409)
    error_of(own.call("PUT", f"fileservice/api/file/{volume}/file/below", data=b"x"), 409)
    error_of(own.call("PUT", f"fileservice/api/file/{volume}/one", data=b"x"), 409)


def test_listing(own: Client, volume: str) -> None:
    assert own.call("PUT", f"fileservice/api/folder/{volume}/empty").status_code == 200
    for name in ("a/b/deep.txt", "a/one.csv", "top.csv", "top.txt"):
        own.call("PUT", f"fileservice/api/file/{volume}/{name}", data=b"12345")
    whole = tree(own, f"{volume}/", 10)
    assert whole["queryPath"] == volume
    assert whole["root"]["name"] == "UserVolume1"
    assert [file["name"] for file in whole["root"]["files"]] == ["top.csv", "top.txt"]
    folders = {folder["name"]: folder for folder in whole["root"]["folders"]}
    # The official test wants nothing there rather than an empty list.
    assert set(folders["empty"]) == {"name", "lastModified", "creationTime"}
    assert folders["a"]["folders"][0]["files"][0]["size"] == 5
    assert set(tree(own, volume, 1)["root"]) == {"name", "lastModified", "creationTime"}
    assert "folders" not in tree(own, volume, 2)["root"]["folders"][0]
    assert tree(own, f"{volume}/a", 2)["root"]["name"] == "a"
    found = tree(own, volume, 10, "*.csv")["root"]
    assert [file["name"] for file in found["files"]] == ["top.csv"]
    assert [folder["name"] for folder in found["folders"]] == ["a"]
    assert "folders" not in found["folders"][0]
    error_of(own.call("GET", f"fileservice/api/jsontree/{volume}/top.csv?level=2"), 409)
    error_of(own.call("GET", f"fileservice/api/jsontree/{volume}?level=two"), 400)


MOVES = [(True, True), (True, False), (False, True), (False, False)]


@pytest.mark.parametrize(("replace", "copy"), MOVES)
def test_copies_and_moves(own: Client, volume: str, replace: bool, copy: bool) -> None:
    own.call("PUT", f"fileservice/api/file/{volume}/source.txt", data=b"source")
    body = {
        "destinationPath": "far/away/target.txt",
        "destinationRootVolume": "Temporary",
        "destinationUserVolume": "scratch",
        "destinationOwnerName": "fiona",
        "destinationFileService": "SciServer",
    }
    target = "fileservice/api/file/Temporary/fiona/scratch/far/away/target.txt"
    own.call("DELETE", "fileservice/api/data/Temporary/fiona/scratch/far?quiet=True")
    for _ in range(2):
        answer = own.call(
            "PUT",
            f"fileservice/api/data/{volume}/source.txt?replaceExisting={replace}&doCopy={copy}&{TASK}.Move",
            data=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        if own.call("GET", target).text == "old":
            error_of(answer, 409)
            assert not replace
        else:
            assert answer.status_code == 200, answer.text
            assert own.call("GET", target).content == b"source"
            assert own.call("GET", f"fileservice/api/file/{volume}/source.txt").status_code == (200 if copy else 404)
        own.call("PUT", target, data=b"old")
        own.call("PUT", f"fileservice/api/file/{volume}/source.txt", data=b"source")


def move(client: Client, path: str, body: dict[str, Any], query: str = "") -> requests.Response:
    return client.call("PUT", f"fileservice/api/data/{path}{query}", json=body)


def test_bodies_of_moves_as_the_client_makes_them(own: Client, volume: str) -> None:
    own.call("PUT", f"fileservice/api/file/{volume}/source.txt", data=b"source")
    # From a user volume to a data volume: two names are null, and it cannot be.
    body = {
        "destinationPath": "x",
        "destinationRootVolume": "Survey",
        "destinationUserVolume": None,
        "destinationOwnerName": None,
        "destinationFileService": "SciServer",
    }
    assert "only be read" in error_of(move(own, f"{volume}/source.txt", body), 403)
    # From a data volume to a user volume: the owner and the volume are lost.
    body = {"destinationPath": "x", "destinationDataVolume": "Storage", "destinationFileService": "SciServer"}
    assert "owner" in error_of(move(own, "Survey/readme.txt", body), 400)
    # Clients without that mistake.
    body = {
        "destinationPath": "from survey.txt",
        "destinationRootVolume": "Storage",
        "destinationOwnerName": "fiona",
        "destinationUserVolume": "UserVolume1",
        # The whole description, as the client sends it if the source's service was given by its name.
        "destinationFileService": own.call("GET", "fileservice/api/volumes/").json(),
    }
    assert move(own, "Survey/readme.txt", body).status_code == 200
    assert own.call("GET", f"fileservice/api/file/{volume}/from survey.txt").text == "All of the sky.\n"
    error_of(move(own, f"{volume}/source.txt", body | {"destinationFileService": "Elsewhere"}), 404)
    error_of(move(own, f"{volume}/source.txt", {}), 400)
    error_of(move(own, f"{volume}/source.txt", body | {"destinationPath": 7}), 400)
    error_of(own.call("PUT", f"fileservice/api/data/{volume}/source.txt", data=b"["), 400)
    error_of(move(own, "Survey/readme.txt", body, "?doCopy=False"), 403)
    error_of(move(own, "Survey/readme.txt", body, "?doCopy=perhaps"), 400)


def test_folders_are_copied_and_moved_whole(own: Client, volume: str) -> None:
    for name in ("f/a", "f/g/b"):
        own.call("PUT", f"fileservice/api/file/{volume}/{name}", data=name.encode())
    body = {
        "destinationPath": "copy",
        "destinationRootVolume": "Storage",
        "destinationOwnerName": "fiona",
        "destinationUserVolume": "UserVolume1",
        "destinationFileService": "SciServer",
    }
    assert move(own, f"{volume}/f", body).status_code == 200
    assert own.call("GET", f"fileservice/api/file/{volume}/copy/g/b").content == b"f/g/b"
    error_of(move(own, f"{volume}/f", body | {"destinationPath": "f/inside"}), 400)
    assert move(own, f"{volume}/f", body | {"destinationPath": "moved"}, "?doCopy=False").status_code == 200
    assert {folder["name"] for folder in tree(own, volume)["root"]["folders"]} == {"copy", "moved"}
    assert own.call("DELETE", f"fileservice/api/data/{volume}/moved?quiet=True").status_code == 200
    error_of(own.call("DELETE", f"fileservice/api/data/{volume}?quiet=True"), 403)


def test_sharing(platform: DrivePlatform, own: Client, volume: str) -> None:
    friend = platform.client("gina")
    address = f"fileservice/api/share/{volume}?{TASK}.ShareUserVolume"
    own.call("PUT", f"fileservice/api/file/{volume}/shared.txt", data=b"shared")
    error_of(friend.call("GET", f"fileservice/api/file/{volume}/shared.txt"), 404)
    sharees = [{"name": "gina", "type": "USER", "allowedActions": ["read"]}]
    assert own.call("PATCH", address, json=sharees).status_code == 200
    assert friend.call("GET", f"fileservice/api/file/{volume}/shared.txt").content == b"shared"
    error_of(friend.call("PUT", f"fileservice/api/file/{volume}/x", data=b"x"), 403)
    error_of(friend.call("DELETE", f"fileservice/api/data/{volume}/shared.txt?quiet=True"), 403)
    error_of(friend.call("PATCH", address, json=sharees), 403)
    listed = friend.call("GET", "fileservice/api/volumes/").json()["rootVolumes"]
    [entry] = [each for root in listed for each in root["userVolumes"] if each["owner"] == "fiona"]
    assert entry["allowedActions"] == ["read"]
    sharees[0]["allowedActions"] = ["read", "write"]
    assert own.call("PATCH", address, json=sharees).status_code == 200
    assert friend.call("PUT", f"fileservice/api/file/{volume}/x", data=b"x").status_code == 200
    # Others keep what they have.
    platform.join("gina", "friends")
    group = [{"name": "friends", "type": "GROUP", "allowedActions": ["read"]}]
    assert own.call("PATCH", address, json=group).status_code == 200
    assert friend.call("PUT", f"fileservice/api/file/{volume}/x", data=b"x").status_code == 200
    sharees[0]["allowedActions"] = []
    assert own.call("PATCH", address, json=sharees).status_code == 200
    assert friend.call("GET", f"fileservice/api/file/{volume}/x").status_code == 200
    error_of(friend.call("PUT", f"fileservice/api/file/{volume}/x", data=b"x"), 403)
    group[0]["allowedActions"] = []
    assert own.call("PATCH", address, json=group).status_code == 200
    error_of(friend.call("GET", f"fileservice/api/file/{volume}/x"), 404)
    for wrong in (b"", b"[7]", b'"x"', b'[{"name": "gina", "allowedActions": ["fly"]}]', b'[{"allowedActions": []}]'):
        error_of(own.call("PATCH", address, data=wrong), 400)


def test_data_volumes_are_read_only(own: Client) -> None:
    assert own.call("GET", "fileservice/api/file/Survey/dr1/stars.csv").text == "a,b\n1,2\n"
    assert tree(own, "Survey/", 3)["root"]["name"] == "Survey"
    for method, path in [
        ("PUT", "file/Survey/new.txt"),
        ("PUT", "folder/Survey/new"),
        ("DELETE", "data/Survey/readme.txt?quiet=True"),
    ]:
        error_of(own.call(method, f"fileservice/api/{path}", data=b"x"), 403)


def test_several_files_in_one_answer(own: Client, volume: str) -> None:
    own.call("PUT", f"fileservice/api/file/{volume}/a", data=b"\x00\xff")
    etag = own.call("HEAD", f"fileservice/api/file/{volume}/a").headers["ETag"]
    wanted = [
        {"filePath": f"{volume}/a"},
        {"filePath": f"{volume}/none"},
        {"filePath": f"{volume}/a", "etag": etag},
        {"filePath": f"{volume}/a", "maxSize": 1},
        {"filePath": 7},
    ]
    answer = own.call("POST", "fileservice/api/multiple-file/", json=wanted).json()
    found = answer["fileDataResponse"]
    assert base64.b64decode(found[0]["data"]) == b"\x00\xff"
    statuses = ["OK", "NOT_FOUND", "NOT_MODIFIED", "REQUEST_ENTITY_TOO_LARGE", "BAD_REQUEST"]
    assert [each["statusCode"] for each in found] == statuses
    error_of(own.call("POST", "fileservice/api/multiple-file/", json=[{}] * 101), 400)
    error_of(own.call("POST", "fileservice/api/multiple-file/", json={}), 400)


def test_usage(own: Client, volume: str) -> None:
    own.call("PUT", f"fileservice/api/file/{volume}/a", data=b"x" * 1234)
    listed = own.call("GET", "fileservice/api/volumes/").json()["rootVolumes"]
    [number] = [v["id"] for r in listed for v in r["userVolumes"] if v["name"] == "UserVolume1"]
    usage = own.call("GET", f"fileservice/api/usage?{TASK}").json()
    [entry] = [each for each in usage if each.get("userVolumeId") == number]
    assert (entry["numberOfBytesUsed"], entry["numberOfFilesUsed"]) == (1234, 1)
    assert {each["type"] for each in usage} == {"PER_USER", "PER_VOLUME"}
    assert own.call("GET", "api/usage").json() == usage


def test_ping_and_health(platform: DrivePlatform) -> None:
    for path in ("fileservice/api/ping", "fileservice/api/health", "health"):
        assert requests.get(f"{platform.url}/{path}", timeout=20).json()["status"] == "ok"
        assert requests.head(f"{platform.url}/{path}", timeout=20).status_code == 200
    assert str(platform.home) not in requests.get(f"{platform.url}/health", timeout=20).text


def test_slashes_and_spellings(own: Client, volume: str) -> None:
    for address in (
        f"fileservice//api///file/{volume}//a//b.txt",
        f"fileservice/api/file/{volume}/a/b.txt/",
        f"/fileservice/api/file//{volume}/a/b.txt?quiet=TRUE&unknown=%ff&&=",
    ):
        answer = own.call("PUT", address, data=address.encode())
        assert (answer.status_code, answer.history) == (200, []), answer.text
        assert own.call("GET", f"fileservice/api/file/{volume}/a/b.txt").content == address.encode()
    error_of(own.call("PUT", f"fileservice/api/file/{volume}/a?quiet=perhaps", data=b""), 400)


NAMES = [
    "ü.txt",
    "u\u0308.txt",
    "星 and space.txt",
    "a&b#c?d%41+e.txt",
    "new\nline.txt",
    "quote\"and'and\\.txt",
    "-rf",
    "*",
    ".hidden",
    "x" * 255,
    "\U0001f600",
    "\u202egpj.exe",
    b"not\xffutf8",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_odd_names(platform: DrivePlatform, own: Client, volume: str, name: str | bytes) -> None:
    """They come back as they were, in listings, on the disk and as the name of the download."""
    raw = name if isinstance(name, bytes) else name.encode()
    quoted = requests.utils.quote(raw, safe="")
    address = f"fileservice/api/file/{volume}/{quoted}"
    assert own.call("PUT", address, data=raw).status_code == 200
    answer = own.call("GET", address)
    assert answer.content == raw
    disposition = answer.headers["Content-Disposition"]
    assert "\n" not in disposition
    if isinstance(name, str) and not name.isascii():
        assert f"filename*=UTF-8''{quoted}" in disposition
    [file] = tree(own, volume)["root"]["files"]
    assert os.fsencode(file["name"]) == raw
    assert [os.fsencode(each.name) for each in platform.volume("fiona", "UserVolume1").iterdir()] == [raw]


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "a/../b", "a%2f..%2fb", ".", "%00", "a%00b", "x" * 256, ".~sciserver-x", "x/" * 3000]
)
def test_names_that_cannot_be(platform: DrivePlatform, volume: str, name: str) -> None:
    # By hand: clients and the proxy resolve dots themselves.
    with platform.connect() as connection:
        address = f"fileservice/api/file/{volume}/{name}"
        connection.sendall(platform.head("PUT", address, platform.token("fiona"), "Content-Length: 1") + b"x")
        assert connection.recv(10_000).split(b" ")[1] == b"400"
    assert list(platform.volume("fiona", "UserVolume1").iterdir()) == []


def test_files_belong_to_the_containers_account(platform: DrivePlatform, own: Client, volume: str) -> None:
    own.call("PUT", f"fileservice/api/file/{volume}/a/b", data=b"x")
    path = platform.volume("fiona", "UserVolume1")
    for each in (path / "a", path / "a" / "b"):
        assert (each.stat().st_uid, each.stat().st_gid) == (1000, 1000)
    # What a container writes is there at once.
    (path / "a" / "c").write_text("from a container")
    assert own.call("GET", f"fileservice/api/file/{volume}/a/c").text == "from a container"
