"""SciDrive in an object store: the same interface, and nothing of it on the disk."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator

import pytest
import requests

from tests.scidrive.ceph import Ceph
from tests.scidrive.drive_platform import Client, DrivePlatform, error_of

ONE = "vospace-2.0/1"


@pytest.fixture(scope="module")
def stored(ceph: Ceph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivePlatform]:
    """A deployment whose SciDrive is in a bucket."""
    config = f"c.SciDrive.drive_url = 's3://drive/people'\nc.SciDrive.drive_options = {ceph.options!r}"
    platform = DrivePlatform(tmp_path_factory.mktemp("objects"), config)
    with platform.running():
        yield platform


@pytest.fixture(scope="module")
def olga(stored: DrivePlatform) -> Client:
    return stored.client("olga")


def test_a_file_there_and_back(stored: DrivePlatform, olga: Client) -> None:
    data = os.urandom(12 * 2**20 + 1)
    answer = olga.call("PUT", f"{ONE}/files_put/dropbox//Folder/large.bin", data=data)
    assert (answer.status_code, answer.json()["bytes"]) == (200, len(data)), answer.text
    assert olga.call("GET", f"{ONE}/files/sandbox/Folder/large.bin").content == data
    part = olga.call("GET", f"{ONE}/files/sandbox/Folder/large.bin", headers={"Range": "bytes=5000000-5000009"})
    assert (part.status_code, part.content) == (206, data[5_000_000:5_000_010])
    etag = olga.call("HEAD", f"{ONE}/files/sandbox/Folder/large.bin").headers["ETag"]
    assert etag == answer.headers["ETag"]
    current = {"If-None-Match": etag}
    assert olga.call("GET", f"{ONE}/files/sandbox/Folder/large.bin", headers=current).status_code == 304
    error_of(olga.call("PUT", f"{ONE}/files_put/dropbox/Folder/large.bin", headers={"If-None-Match": "*"}), 412)
    # The file service and WebDAV have the same.
    assert olga.call("GET", "fileservice/api/file/SciDrive/olga/Folder/large.bin").content == data
    address = f"{stored.url}/dav/SciDrive/Folder/large.bin"
    assert requests.get(address, auth=("olga", stored.token("olga")), timeout=60).content == data
    assert not [path for path in stored.deployment.volumes_dir.rglob("*") if path.is_file()]


def test_folders_and_links(olga: Client) -> None:
    for name in ("f/a.txt", "f/g/b.txt"):
        assert olga.call("PUT", f"{ONE}/files_put/sandbox/{name}", data=name.encode()).status_code == 200
    found = olga.call("GET", f"{ONE}/metadata/sandbox/f").json()
    assert [entry["path"] for entry in found["contents"]] == ["/f/a.txt", "/f/g"]
    url = olga.call("GET", f"{ONE}/media/sandbox/f").json()["url"]
    with zipfile.ZipFile(io.BytesIO(requests.get(url, timeout=60).content)) as archive:
        assert sorted(archive.namelist()) == ["a.txt", "g/", "g/b.txt"]
    assert requests.get(f"{url}/g/b.txt", timeout=60).content == b"f/g/b.txt"
    answer = olga.call("POST", f"{ONE}/fileops/move", data={"from_path": "f", "to_path": "moved"})
    assert answer.json()["path"] == "/moved"
    error_of(olga.call("GET", f"{ONE}/metadata/sandbox/f"), 404)
    assert olga.call("GET", f"{ONE}/search/sandbox/?query=b.txt").json()[0]["path"] == "/moved/g/b.txt"
    used = olga.call("GET", f"{ONE}/account/info").json()["quota_info"]["normal"]
    assert olga.call("DELETE", "vospace-2.0/nodes/moved").status_code == 204
    assert olga.call("GET", f"{ONE}/account/info").json()["quota_info"]["normal"] == used - len("f/a.txtf/g/b.txt")


def test_between_the_object_store_and_a_volume(olga: Client) -> None:
    assert olga.put("from.txt", b"from a volume").status_code == 200
    body = {"destinationPath": "copied.txt", "destinationRootVolume": "SciDrive", "destinationOwnerName": "olga"}
    answer = olga.call("PUT", "fileservice/api/data/Storage/olga/persistent/from.txt?doCopy=False", json=body)
    assert answer.status_code == 200, answer.text
    assert olga.call("GET", f"{ONE}/files/sandbox/copied.txt").content == b"from a volume"
    error_of(olga.get("from.txt"), 404)
