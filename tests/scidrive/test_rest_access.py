"""Who must not get in, and what people must not see of each other."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from sciserver_common.scopes import CASJOBS_WRITE, FILES_READ, FILES_SHARE, FILES_WRITE, JOBS_SUBMIT
from sciserver_common.secrets import secret
from tests.common.hub_platform import Visitor
from tests.scidrive.drive_platform import Client, DrivePlatform, error_of
from tests.support import wait_until

MINE = "Storage/ada-l/persistent"
ONE = "vospace-2.0/1"

READING = [
    ("GET", "storem/fileservices"),
    ("GET", "fileservice/api/volumes/"),
    ("GET", f"fileservice/api/volume/{MINE}"),
    ("GET", f"fileservice/api/file/{MINE}/private.txt"),
    ("HEAD", f"fileservice/api/file/{MINE}/private.txt"),
    ("GET", f"fileservice/api/file/{MINE}?format=zip"),
    ("GET", f"fileservice/api/jsontree/{MINE}"),
    ("POST", "fileservice/api/multiple-file/"),
    ("GET", "fileservice/api/usage"),
    ("GET", "vospace-2.0/nodes/private.txt"),
    ("GET", f"{ONE}/metadata/sandbox/private.txt"),
    ("GET", f"{ONE}/files/sandbox/private.txt"),
    ("HEAD", f"{ONE}/files/sandbox/private.txt"),
    ("GET", f"{ONE}/media/sandbox/private.txt"),
    ("POST", f"{ONE}/media/sandbox/private.txt"),
    ("GET", f"{ONE}/search/sandbox/?query=private"),
    ("POST", f"{ONE}/search/sandbox/?query=private"),
    ("GET", f"{ONE}/account/info"),
    ("GET", "api/usage"),
    ("GET", "api/expiring"),
    ("GET", f"api/search?path={MINE}&pattern=private"),
    ("GET", "api/links"),
    ("GET", "api/uploads"),
    ("GET", "api/uploads/none"),
    ("HEAD", "api/uploads/none"),
]
WRITING = [
    ("PUT", "fileservice/api/volume/Storage/ada-l/new"),
    ("PATCH", f"fileservice/api/volume/{MINE}"),
    ("DELETE", "fileservice/api/volume/Storage/ada-l/none"),
    ("PUT", f"fileservice/api/file/{MINE}/private.txt"),
    ("PUT", f"fileservice/api/folder/{MINE}/folder"),
    ("PUT", f"fileservice/api/data/{MINE}/private.txt"),
    ("DELETE", f"fileservice/api/data/{MINE}/private.txt"),
    ("PUT", "vospace-2.0/nodes/folder"),
    ("DELETE", "vospace-2.0/nodes/private.txt"),
    ("PUT", f"{ONE}/files_put/dropbox/private.txt"),
    ("POST", f"{ONE}/fileops/delete?path=private.txt"),
    ("PUT", f"{ONE}/fileops/delete?path=private.txt"),
    ("PUT", f"{ONE}/chunked_upload"),
    ("POST", f"{ONE}/commit_chunked_upload/sandbox/private.txt"),
    ("POST", "api/uploads"),
    ("PATCH", "api/uploads/none"),
    ("POST", "api/uploads/none"),
    ("DELETE", "api/uploads/none"),
]
SHARING = [
    ("PATCH", f"fileservice/api/share/{MINE}"),
    ("GET", f"{ONE}/shares/sandbox/private.txt"),
    ("POST", f"{ONE}/shares/sandbox/private.txt"),
    ("POST", "api/links"),
    ("DELETE", "api/links/none"),
]
EVERYTHING = [*READING, *WRITING, *SHARING]


@pytest.fixture(scope="module", autouse=True)
def private(ada: Client) -> None:
    """A file of Ada's in a volume, and one in her SciDrive."""
    assert ada.put("private.txt", b"Ada's own").status_code == 200
    assert ada.call("PUT", f"{ONE}/files_put/dropbox/private.txt", data=b"Ada's own").status_code == 200


def body(method: str, path: str) -> dict[str, Any]:
    if "share/" in path:
        return {"json": [{"name": "bob", "type": "USER", "allowedActions": ["read"]}]}
    if "multiple" in path:
        return {"json": [{"filePath": f"{MINE}/private.txt"}]}
    if path == "api/links":
        return {"json": {"path": f"{MINE}/private.txt"}}
    if "api/data" in path and method == "PUT":
        names = {"RootVolume": "Storage", "OwnerName": "ada-l", "UserVolume": "persistent", "Path": "taken.txt"}
        return {"json": {f"destination{name}": value for name, value in names.items()}}
    if method in {"GET", "HEAD"}:
        return {}
    if "api/volume/" in path:
        return {"json": {"description": "Bob's"}}
    return {"data": b"intruder"}


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
def test_everything_needs_a_token(platform: DrivePlatform, method: str, path: str) -> None:
    for token in ("", "0" * 32, "nonsense!"):
        answer = Client(platform.direct_url, token).call(method, path, **body(method, path))
        assert answer.status_code == 401, answer.text
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "Ada" not in answer.text
        if method != "HEAD":
            error_of(answer, 401)
    # Where logs would keep it.
    token = platform.token("ada-l")
    joined = f"{path}{'&' if '?' in path else '?'}token={token}&access_token={token}&X-Auth-Token={token}"
    assert Client(platform.direct_url).call(method, joined, **body(method, path)).status_code == 401


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
def test_other_services_tokens_do_not_do(platform: DrivePlatform, method: str, path: str) -> None:
    client = platform.client("ada-l", CASJOBS_WRITE, JOBS_SUBMIT, direct=True)
    answer = client.call(method, path, **body(method, path))
    assert answer.status_code == 403, answer.text
    assert "custom:sciserver:files:" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("method", "path"), WRITING + SHARING)
def test_a_token_for_reading_does_not_write_or_share(platform: DrivePlatform, method: str, path: str) -> None:
    answer = platform.client("ada-l", FILES_READ, direct=True).call(method, path, **body(method, path))
    assert FILES_WRITE in error_of(answer, 403) or FILES_SHARE in error_of(answer, 403)


@pytest.mark.parametrize(("method", "path"), SHARING)
def test_a_jobs_token_does_not_share(platform: DrivePlatform, method: str, path: str) -> None:
    answer = platform.client("ada-l", FILES_WRITE, direct=True).call(method, path, **body(method, path))
    assert FILES_SHARE in error_of(answer, 403)


def test_a_token_for_reading_reads(platform: DrivePlatform) -> None:
    reader = platform.client("ada-l", FILES_READ, direct=True)
    for method, path in READING:
        expected = 404 if "uploads/none" in path else 200
        assert reader.call(method, path, **body(method, path)).status_code == expected, path
    # What the client library's download does.
    url = reader.call("GET", f"{ONE}/media/sandbox/private.txt").json()["url"]
    assert requests.get(url, timeout=30).content == b"Ada's own"


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
def test_files_of_others(platform: DrivePlatform, bob: Client, method: str, path: str) -> None:
    """Bob gets to know nothing of Ada's files, nor whether there are any; in SciDrive he has his own."""
    direct = platform.client("bob", direct=True)
    answer = direct.call(method, path, **body(method, path))
    assert "Ada's" not in answer.text
    assert b"QWRhJ3" not in answer.content  # in base64
    if "ada-l" in path and method != "HEAD":
        if "volume/Storage/ada-l/new" in path:
            error_of(answer, 403)
            return
        other = direct.call(method, path.replace("ada-l", "nobody"), **body(method, path))
        assert answer.status_code == other.status_code
        assert answer.text == other.text.replace("nobody", "ada-l")
        assert answer.status_code in {403, 404} or "none" in path, answer.text


def test_nothing_of_that_has_changed_anything(ada: Client) -> None:
    assert ada.get("private.txt").content == b"Ada's own"
    assert ada.call("GET", f"{ONE}/files/sandbox/private.txt").content == b"Ada's own"
    assert set(ada.names()) == {"private.txt"}


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
def test_a_service_is_nobody(platform: DrivePlatform, method: str, path: str) -> None:
    robot = Client(platform.direct_url, secret(platform.deployment, "ada-service"))
    assert robot.call(method, path, **body(method, path)).status_code == 403


def test_mounts_are_for_the_spawner(platform: DrivePlatform, ada: Client) -> None:
    path = "api/mounts?user=ada-l&group=friends&group=others"
    for client in (Client(platform.url), ada, Client(platform.url, secret(platform.deployment, "ada-service"))):
        assert client.call("GET", path).status_code in {401, 403}
    # Another service that may watch the hub.
    assert Client(platform.url, secret(platform.deployment, "tests-service")).call("GET", path).status_code == 403
    spawner = Client(platform.direct_url, secret(platform.deployment, "scidrive-service"))
    mounts = spawner.call("GET", path).json()["mounts"]
    assert {"root": "Storage", "owner": "ada-l", "volume": "persistent", "mode": "rw"} in mounts
    assert {"root": "SciDrive", "owner": "ada-l", "volume": "", "mode": "rw"} in mounts
    assert {mount["owner"] for mount in mounts} == {"ada-l"}
    error_of(spawner.call("GET", "api/mounts"), 400)


def test_a_revoked_token(platform: DrivePlatform) -> None:
    model = platform.new_token("carl", FILES_READ)
    client = Client(platform.direct_url, model["token"])
    assert client.call("GET", "api/usage").status_code == 200
    platform.revoke("carl", model["id"])
    wait_until(lambda: client.call("GET", "api/usage").status_code == 401, limit=10, what="it is refused")


def test_an_expired_token(platform: DrivePlatform) -> None:
    client = Client(platform.direct_url, platform.new_token("carl", FILES_READ, expires_in=2)["token"])
    assert client.call("GET", "api/usage").status_code == 200
    wait_until(lambda: client.call("GET", "api/usage").status_code == 401, limit=10, what="it is refused")


def test_somebody_who_leaves_a_group(platform: DrivePlatform, ada: Client) -> None:
    platform.join("linus", "insiders")
    linus = platform.client("linus", direct=True)
    sharees = [{"name": "insiders", "type": "GROUP", "allowedActions": ["read"]}]
    assert ada.call("PATCH", f"fileservice/api/share/{MINE}", json=sharees).status_code == 200
    path = f"fileservice/api/file/{MINE}/private.txt"
    assert linus.call("GET", path).content == b"Ada's own"
    link = linus.call("POST", "api/links", json={"path": f"{MINE}/private.txt"}).json()["url"]
    assert requests.get(link, timeout=30).content == b"Ada's own"
    assert platform.hub_api("DELETE", "/groups/insiders/users", json={"users": ["linus"]}).status_code == 200
    wait_until(lambda: linus.call("GET", path).status_code == 404, limit=10, what="it is refused")
    # The link that was made while it was allowed has ended, too.
    assert requests.get(link, timeout=30).status_code == 404
    sharees[0]["allowedActions"] = []
    assert ada.call("PATCH", f"fileservice/api/share/{MINE}", json=sharees).status_code == 200


def test_links_are_listed_and_closed(platform: DrivePlatform, ada: Client, bob: Client) -> None:
    answer = ada.call("POST", "api/links", json={"path": f"{MINE}/private.txt", "seconds": 60}).json()
    url = answer["url"]
    assert requests.get(url, timeout=30).content == b"Ada's own"
    # The name in the address does not matter, the id does.
    number = url.split("/media/")[1].split("/")[0]
    for wrong in (number[:-1], number[:-1] + ("A" if number[-1] != "A" else "B"), number.swapcase(), "x", "%00"):
        error_of(requests.get(f"{platform.url}/media/{wrong}/private.txt", timeout=30), 404)
    assert requests.get(f"{platform.url}/media/{number}/any%20name", timeout=30).status_code == 200
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        assert requests.request(method, url, data=b"x", timeout=30).status_code in {403, 405}
    link = ada.call("GET", "api/links").json()["links"][0]
    assert (link["expires"], link["path"]) == (answer["expires"], f"{MINE}/private.txt")
    assert number not in str(link)
    error_of(bob.call("DELETE", f"api/links/{link['id']}"), 404)
    assert ada.call("DELETE", f"api/links/{link['id']}").status_code == 200
    error_of(requests.get(url, timeout=30), 404)
    error_of(ada.call("DELETE", f"api/links/{link['id']}"), 404)
    for wrong in ({}, {"path": f"{MINE}/none"}, {"path": MINE, "seconds": 0}, {"path": MINE, "seconds": 1e9}):
        assert ada.call("POST", "api/links", json=wrong).status_code in {400, 404}


def test_links_expire(ada: Client) -> None:
    url = ada.call("POST", "api/links", json={"path": f"{MINE}/private.txt", "seconds": 2}).json()["url"]
    assert requests.get(url, timeout=30).status_code == 200
    wait_until(lambda: requests.get(url, timeout=30).status_code == 404, limit=15, what="it has expired")


def test_a_page_needs_the_xsrf_token(platform: DrivePlatform, ada: Client) -> None:
    """Scripts of the service's page come with the cookie; another site's requests would, too."""
    visitor = Visitor(platform)
    visitor.sign_in("bob")
    page = visitor.visit("/services/scidrive/")
    assert page.status_code == 200, page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    address = f"{platform.url}/fileservice/api/file/Storage/bob/persistent/by-page.txt"
    same = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Accept": "*/*"}
    cross = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site", "Accept": "*/*"}
    xsrf = next(cookie.value for cookie in visitor.cookies if cookie.name == "_xsrf" and "scidrive" in cookie.path)
    for headers in (cross, same | {"X-XSRFToken": "wrong"}, same):
        assert visitor.put(address, data=b"forged", headers=headers, timeout=30).status_code in {401, 403}
    assert visitor.get(address, headers=same | {"X-XSRFToken": xsrf}, timeout=30).status_code == 404
    assert visitor.put(address, data=b"mine", headers=same | {"X-XSRFToken": xsrf}, timeout=30).status_code == 200
    # A download by navigation.
    answer = visitor.visit(address)
    assert answer.content == b"mine"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_the_log_says_nothing_of_tokens_and_links(platform: DrivePlatform, ada: Client) -> None:
    url = ada.call("GET", f"{ONE}/media/sandbox/private.txt?word=xyzzy-in-the-query").json()["url"]
    number = url.split("/media/")[1].split("/")[0]
    requests.get(url, timeout=30)
    requests.get(f"{url}/none", timeout=30)
    requests.delete(url, timeout=30)
    requests.get(url.replace("/services/scidrive/", "/services/scidrive//"), timeout=30)
    log = "".join(file.read_text() for file in platform.deployment.logs_dir.glob("*.log"))
    assert "GET /services/scidrive/vospace-2.0/1/media/sandbox/private.txt" in log
    assert number not in log
    assert "xyzzy" not in log
    assert ada.headers["X-Auth-Token"] not in log


def test_nothing_of_the_service_itself_is_told(platform: DrivePlatform, ada: Client) -> None:
    answer = ada.call("GET", "fileservice/api/volumes/")
    assert "Server" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert str(platform.home) not in answer.text


def test_what_there_is_not(platform: DrivePlatform, ada: Client) -> None:
    for path in ("nosuch", "fileservice/api/nosuch", "vospace-2.0/2/metadata", "fileservice/api/volume/Storage/x"):
        for method in ("GET", "PUT", "DELETE"):
            error_of(ada.call(method, path, data=b"x"), 404)
    for method, path, allowed in [
        ("DELETE", "fileservice/api/volumes/", "GET"),
        ("POST", f"fileservice/api/file/{MINE}/x", "GET, HEAD, PUT"),
        ("PUT", f"{ONE}/metadata/sandbox/x", "GET"),
    ]:
        answer = ada.call(method, path, data=b"x" * 100_000)
        assert sorted(answer.headers["Allow"].split(", ")) == sorted(allowed.split(", "))
        error_of(answer, 405)
    answer = requests.get(f"{platform.deployment.public_url}/services/racm/jobm/rest/jobs", timeout=30)
    error_of(answer, 404)
