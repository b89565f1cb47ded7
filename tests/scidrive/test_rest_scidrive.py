"""SciDrive as SciServer's client library uses it (contract §4): the same bytes on the wire."""

from __future__ import annotations

import datetime
import email.utils
import io
import zipfile
from typing import Any

import pytest
import requests
from defusedxml import ElementTree

from tests.scidrive.drive_platform import Client, DrivePlatform, error_of

TASK = "TaskName=SciScript-Python.SciDrive"
NODES = "vospace-2.0/nodes"
ONE = "vospace-2.0/1"
VOS = "{http://www.ivoa.net/xml/VOSpace/v2.0}"


def node(path: str, host: str, kind: str = "ContainerNode") -> bytes:
    """The body that the client sends, with its namespace that there is not."""
    return (
        f'<vos:node xmlns:xsi="http://www.w3.org/2001/thisSchema-instance" xsi:type="vos:{kind}" '
        f'xmlns:vos="http://www.ivoa.net/xml/VOSpace/v2.0" uri="vos://{host}!vospace/{path}">'
        "<vos:properties/><vos:accepts/><vos:provides/><vos:capabilities/></vos:node>"
    ).encode()


@pytest.fixture
def dora(platform: DrivePlatform) -> Client:
    """Somebody whose SciDrive has nothing of an earlier test."""
    client = platform.client("dora")
    found = client.call("GET", f"{ONE}/metadata/sandbox/?list=True&path=&{TASK}.directoryList").json()
    for entry in found["contents"]:
        assert client.call("DELETE", f"{NODES}{entry['path']}").status_code == 204
    return client


def make(client: Client, path: str, kind: str = "ContainerNode") -> requests.Response:
    """The client's ``createContainer``."""
    return client.call(
        "PUT",
        f"{NODES}/{path}?{TASK}.createContainer",
        data=node(path, client.url, kind),
        headers={"Content-Type": "application/xml"},
    )


def upload(client: Client, path: str, data: Any) -> requests.Response:
    """The client's ``upload``: no Content-Type."""
    return client.call("PUT", f"{ONE}/files_put/dropbox/{path}?{TASK}.upload", data=data)


def listing(client: Client, path: str) -> dict[str, Any]:
    """The client's ``directoryList``."""
    answer = client.call("GET", f"{ONE}/metadata/sandbox/{path}?list=True&path={path}&{TASK}.directoryList")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def delete(client: Client, path: str) -> requests.Response:
    """The client's ``delete``, with a body."""
    return client.call(
        "DELETE",
        f"{NODES}/{path}?{TASK}.delete",
        data=node(path, client.url),
        headers={"Content-Type": "application/xml"},
    )


def public_url(client: Client, path: str) -> str:
    answer = client.call("GET", f"{ONE}/media/sandbox/{path}?{TASK}.publicUrl")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


def test_the_official_sequence(dora: Client) -> None:
    """What the unit tests of SciScript-Python do, with their leading slash."""
    folder, file = "/SciScriptPython", "/SciScriptPython/TestFile.csv"
    content = "Column1,Column2\n4.5,5.5\n"
    assert delete(dora, folder).status_code == 404
    assert make(dora, folder).status_code == 201
    assert public_url(dora, folder).startswith("http")
    assert delete(dora, folder).status_code == 204
    assert make(dora, folder).status_code == 201
    assert delete(dora, folder).status_code == 204
    # Into a container that was just deleted.
    answer = upload(dora, file, content)
    assert answer.status_code == 200
    assert answer.json()["path"] == "/SciScriptPython/TestFile.csv"
    assert "/SciScriptPython" in listing(dora, folder)["path"]
    answer = requests.get(public_url(dora, file), timeout=30)
    assert (answer.status_code, answer.content.decode()) == (200, content)
    assert upload(dora, file, b"other").json()["bytes"] == 5
    assert requests.get(public_url(dora, file), timeout=30).content == b"other"
    assert delete(dora, file).status_code == 204
    assert delete(dora, folder).status_code == 204


def test_metadata_is_dropboxs(dora: Client) -> None:
    assert make(dora, "folder").status_code == 201
    for name in ("table.csv", "picture.png", "page.html"):
        upload(dora, f"folder/{name}", b"x" * 1500)
    found = listing(dora, "folder")
    contents = {entry.pop("path"): entry for entry in found.pop("contents")}
    assert list(contents) == ["/folder/page.html", "/folder/picture.png", "/folder/table.csv"]
    assert (found["path"], found["is_dir"], found["items"], found["icon"]) == ("/folder", True, 3, "folder_public")
    assert found["root"] == "sandbox"
    entry = contents["/folder/table.csv"]
    assert (entry["bytes"], entry["size"], entry["is_dir"], entry["thumb_exists"]) == (1500, "1.5 KB", False, False)
    assert (entry["icon"], entry["mime_type"]) == ("table", "text/csv")
    assert isinstance(entry["rev"], int)
    age = datetime.datetime.now(datetime.UTC) - email.utils.parsedate_to_datetime(entry["modified"])
    assert abs(age.total_seconds()) < 120
    assert contents["/folder/page.html"]["mime_type"] == "application/octet-stream"
    again = dora.call("GET", f"{ONE}/metadata/dropbox/folder?hash={found['hash']}")
    assert again.status_code == 304
    assert "contents" not in dora.call("GET", f"{ONE}/metadata/dropbox/folder?list=False").json()
    upload(dora, "folder/new", b"")
    assert listing(dora, "folder")["hash"] != found["hash"]


def test_both_roots_are_the_same(dora: Client) -> None:
    for root in ("dropbox", "sandbox", "Sandbox"):
        assert dora.call("PUT", f"{ONE}/files_put/{root}/{root}.txt", data=b"x").status_code == 200
    names = [entry["path"] for entry in listing(dora, "")["contents"]]
    assert names == ["/Sandbox.txt", "/dropbox.txt", "/sandbox.txt"]
    error_of(dora.call("GET", f"{ONE}/metadata/attic/"), 404)


def test_the_r_client(dora: Client) -> None:
    """Its address has a second question mark."""
    upload(dora, "r/file.csv", b"a\n")
    answer = dora.call("GET", f"{ONE}/metadata/sandbox/r?list=True&path=r?TaskName=SciScript-R.SciDrive.directoryList")
    assert answer.json()["items"] == 1
    answer = dora.call("GET", f"{ONE}/metadata/sandbox/r?list=True?TaskName=SciScript-R.SciDrive.directoryList")
    assert answer.json()["items"] == 1


def test_nodes(dora: Client) -> None:
    answer = make(dora, "one")
    root = ElementTree.fromstring(answer.content)
    assert answer.headers["Content-Type"] == "application/xml"
    assert root.get("uri", "").endswith("!vospace/one")
    assert root.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "vos:ContainerNode"
    assert "already" in error_of(make(dora, "one"), 409)
    error_of(make(dora, "no/parent"), 404)
    error_of(make(dora, ""), 409)
    assert make(dora, "one/empty.dat", "DataNode").status_code == 201
    error_of(make(dora, "one/empty.dat", "DataNode"), 409)
    error_of(make(dora, "one/empty.dat"), 409)
    error_of(make(dora, "one/empty.dat/below"), 409)
    error_of(make(dora, "link", "LinkNode"), 400)
    upload(dora, "one/star &<>\"' 星.txt", b"12345")
    root = ElementTree.fromstring(dora.call("GET", f"{NODES}/one").content)
    children = root.findall(f"{VOS}nodes/{VOS}node")
    assert [child.get("uri", "").rpartition("/")[2] for child in children] == [
        "empty.dat",
        "star%20%26%3C%3E%22%27%20%E6%98%9F.txt",
    ]
    error_of(dora.call("GET", f"{NODES}/nothing"), 404)
    error_of(delete(dora, ""), 403)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"\xff\xfe\x00",
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><vos:node>&b;</vos:node>',
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><vos:node xsi:type="vos:ContainerNode">&f;</vos:node>',
        b"<x>" * 200_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_bodies_are_not_parsed(dora: Client, body: bytes) -> None:
    answer = dora.call("PUT", f"{NODES}/folder", data=body, headers={"Content-Type": "application/xml"})
    assert answer.status_code == 201
    assert b"root:" not in answer.content
    answer = dora.call("DELETE", f"{NODES}/folder", data=body, headers={"Content-Type": "application/xml"})
    assert answer.status_code == 204
    assert answer.content == b""


def test_files_are_downloaded_directly_too(dora: Client) -> None:
    upload(dora, "a/b.txt", b"0123456789")
    assert dora.call("GET", f"{ONE}/files/dropbox/a/b.txt").content == b"0123456789"
    answer = dora.call("GET", f"{ONE}/files/sandbox//a/b.txt", headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
    assert dora.call("HEAD", f"{ONE}/files/sandbox/a/b.txt").headers["Content-Length"] == "10"
    error_of(dora.call("GET", f"{ONE}/files/sandbox/a"), 409)
    error_of(dora.call("GET", f"{ONE}/files/sandbox/none"), 404)


def test_the_address_of_a_folder_opens_an_archive(platform: DrivePlatform, dora: Client) -> None:
    for name in ("f/a.txt", "f/g/ü.txt"):
        upload(dora, name, name.encode())
    make(dora, "f/empty")
    upload(dora, "secret.txt", b"not in the folder")
    drive = platform.drive("dora")
    (drive / "f" / "out").symlink_to("../secret.txt")
    (drive / "f" / "passwd").symlink_to("/etc/passwd")
    url = public_url(dora, "f")
    answer = requests.get(url, timeout=30)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="f.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a.txt", "empty/", "g/", "g/ü.txt"]
        assert archive.read("g/ü.txt") == "f/g/ü.txt".encode()
    # One file below it.
    assert requests.get(f"{url}/g/ü.txt", timeout=30).content == "f/g/ü.txt".encode()
    for outside in ("out", "passwd", "none"):
        assert requests.get(f"{url}/{outside}", timeout=30).status_code in {400, 403, 404}, outside
    assert requests.head(url, timeout=30).status_code == 200
    # Of the file service.
    path = "fileservice/api/file/SciDrive/dora/f?format=zip"
    with zipfile.ZipFile(io.BytesIO(dora.call("GET", path).content)) as archive:
        assert len(archive.namelist()) == 4
    error_of(dora.call("GET", "fileservice/api/file/SciDrive/dora/f/a.txt?format=zip"), 409)


def test_file_operations(dora: Client) -> None:
    upload(dora, "a.txt", b"a")
    params = {"root": "dropbox", "from_path": "/a.txt", "to_path": "/copies/b.txt"}
    answer = dora.call("POST", f"{ONE}/fileops/copy", params=params)
    assert (answer.json()["path"], answer.json()["bytes"]) == ("/copies/b.txt", 1)
    error_of(dora.call("POST", f"{ONE}/fileops/copy", params=params), 409)
    # As a form.
    answer = dora.call("POST", f"{ONE}/fileops/move", data={"from_path": "/copies/b.txt", "to_path": "ü.txt"})
    assert answer.json()["path"] == "/ü.txt"
    answer = dora.call("POST", f"{ONE}/fileops/create_folder", data={"root": "sandbox", "path": "/new"})
    assert answer.json()["is_dir"] is True
    error_of(dora.call("POST", f"{ONE}/fileops/create_folder", data={"path": "/new"}), 409)
    assert dora.call("POST", f"{ONE}/fileops/delete", data={"path": "/copies"}).json()["is_deleted"] is True
    assert [entry["path"] for entry in listing(dora, "")["contents"]] == ["/a.txt", "/new", "/ü.txt"]
    for operation, data, status in [
        ("copy", {"from_path": "x"}, 400),
        ("copy", {"from_path": "none", "to_path": "x"}, 404),
        ("move", {"from_path": "new", "to_path": "new/inside"}, 400),
        ("delete", {"path": "/"}, 403),
        ("delete", {"path": "none"}, 404),
        ("delete", {"path": "../x"}, 400),
        ("explode", {"path": "x"}, 404),
    ]:
        error_of(dora.call("POST", f"{ONE}/fileops/{operation}", data=data), status)


def test_the_account(dora: Client) -> None:
    before = dora.call("GET", f"{ONE}/account/info").json()
    assert (before["uid"], before["display_name"]) == ("dora", "dora")
    upload(dora, "a", b"x" * 1000)
    after = dora.call("GET", f"{ONE}/account/info").json()["quota_info"]
    assert after["normal"] == before["quota_info"]["normal"] + 1000
    assert after["quota"] == before["quota_info"]["quota"] > 10**9


def test_search(dora: Client) -> None:
    for name in ("one/Stars.csv", "one/two/stars.txt", "moon.txt", "three/stars.txt"):
        upload(dora, name, b"x")
    found = dora.call("GET", f"{ONE}/search/sandbox/?query=STARS").json()
    assert sorted(entry["path"] for entry in found) == ["/one/Stars.csv", "/one/two/stars.txt", "/three/stars.txt"]
    found = dora.call("POST", f"{ONE}/search/dropbox/one", data={"query": "*.txt"}).json()
    assert [entry["path"] for entry in found] == ["/one/two/stars.txt"]
    assert len(dora.call("GET", f"{ONE}/search/dropbox/?query=s&file_limit=1").json()) == 1
    error_of(dora.call("GET", f"{ONE}/search/sandbox/"), 400)
    answer = dora.call("GET", "api/search?path=SciDrive/dora/one&pattern=star").json()
    assert [(entry["name"], entry["above"]) for entry in answer["entries"]] == [
        ("Stars.csv", []),
        ("stars.txt", ["two"]),
    ]
    assert answer["more"] is False
    assert answer["entries"][1]["path"] == "SciDrive/dora/one/two/stars.txt"
    assert dora.call("GET", "api/search?path=SciDrive/dora&pattern=star&limit=1").json()["more"] is True


def test_chunked_uploads(dora: Client) -> None:
    answer = dora.call("PUT", f"{ONE}/chunked_upload", data=b"0123").json()
    number = answer["upload_id"]
    assert answer["offset"] == 4
    wrong = dora.call("PUT", f"{ONE}/chunked_upload?upload_id={number}&offset=2", data=b"xx")
    assert wrong.status_code == 400
    assert (wrong.json()["offset"], wrong.json()["upload_id"]) == (4, number)
    answer = dora.call("PUT", f"{ONE}/chunked_upload?upload_id={number}&offset=4", data=b"456" * 200_000).json()
    assert answer["offset"] == 600_004
    error_of(dora.call("GET", f"{ONE}/metadata/sandbox/big.bin"), 404)
    commit = f"{ONE}/commit_chunked_upload/sandbox/big.bin"
    answer = dora.call("POST", commit, data={"upload_id": number})
    assert answer.json()["bytes"] == 600_004
    assert dora.call("GET", f"{ONE}/files/sandbox/big.bin").content == b"0123" + b"456" * 200_000
    error_of(dora.call("POST", commit, data={"upload_id": number}), 404)
    error_of(dora.call("POST", commit), 400)
    second = dora.call("PUT", f"{ONE}/chunked_upload", data=b"second").json()["upload_id"]
    error_of(dora.call("POST", f"{commit}?overwrite=false", data={"upload_id": second}), 409)
    assert dora.call("POST", f"{commit}?overwrite=True", data={"upload_id": second}).json()["bytes"] == 6


def test_the_same_bytes_at_every_door(platform: DrivePlatform, dora: Client) -> None:
    upload(dora, "door/file.txt", b"from SciDrive")
    assert dora.call("GET", "fileservice/api/file/SciDrive/dora/door/file.txt").content == b"from SciDrive"
    dav = requests.get(f"{platform.url}/dav/SciDrive/door/file.txt", auth=("dora", platform.token("dora")), timeout=30)
    assert (dav.status_code, dav.content) == (200, b"from SciDrive"), dav.text
    (platform.drive("dora") / "door" / "file.txt").write_bytes(b"from a container")
    assert dora.call("GET", f"{ONE}/files/sandbox/door/file.txt").content == b"from a container"
    assert dora.call("GET", f"{ONE}/metadata/sandbox/door/file.txt").json()["bytes"] == 16


def test_errors_have_dropboxs_form(dora: Client) -> None:
    for method, path in [("GET", f"{ONE}/metadata/sandbox/none"), ("PUT", f"{ONE}/files_put/attic/x")]:
        answer = dora.call(method, path)
        assert answer.status_code == 404
        assert list(answer.json()) == ["error"]
    error_of(dora.call("PUT", f"{ONE}/files_put/sandbox/", data=b"x"), 403)
    error_of(dora.call("PUT", f"{ONE}/files_put/sandbox/x?overwrite=maybe", data=b"x"), 400)
