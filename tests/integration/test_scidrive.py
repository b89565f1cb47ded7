"""SciDrive in a whole deployment: containers and doors see the same files, and shares are mounted as they should."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import docker
import pytest
import requests

from tests.integration.scidrive_support import Doors, Inside
from tests.support import Person, Platform, wait_until

pytestmark = pytest.mark.docker

# What the client library does in a container, in the standard library's words (contract §0.2, §4, §5).
CLIENT = """
import json, urllib.request
settings = json.load(open("/etc/sciserver/sciscript.json"))
token = open(settings["KeystoneTokenPath"]).read().rstrip("\\n")

def ask(method, url, data=None, **headers):
    headers = {"X-Auth-Token": token, **headers}
    return urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30).read()

services = json.loads(ask("GET", settings["RacmApiURL"] + "/storem/fileservices?TaskName=Compute.x"))
api = services[0]["apiEndpoint"]
listing = json.loads(ask("GET", api + "api/volumes/?TaskName=Compute.x"))
names = {f'{root["name"]}/{v["owner"]}/{v["name"]}' for root in listing["rootVolumes"] for v in root["userVolumes"]}
ask("PUT", api + "api/file/Storage/dora/persistent/from/client.txt?quiet=True", b"by the client")
ask("PUT", api + "api/volume/Storage/dora/fromwithin?quiet=True")
share = json.dumps([{"name": "emil", "type": "USER", "allowedActions": ["read"]}]).encode()
ask("PATCH", api + "api/share/Storage/dora/fromwithin", share, **{"Content-Type": "application/json"})
drive = settings["SciDriveHost"] + "/vospace-2.0/1"
ask("PUT", drive + "/files_put/dropbox//library/drive.txt?TaskName=Compute.x", b"in the drive")
media = json.loads(ask("GET", drive + "/media/sandbox//library/drive.txt?TaskName=Compute.x"))
read = urllib.request.urlopen(media["url"], timeout=30).read().decode()
print(json.dumps({"names": sorted(names), "api": api, "read": read}))
"""


@pytest.fixture(scope="module")
def dora(platform: Platform) -> Iterator[Person]:
    person = platform.add_user("dora")
    person.sign_in()
    yield person
    if platform.answers() and person.model().get("servers"):
        person.stop()


@pytest.fixture(scope="module")
def emil(platform: Platform) -> Iterator[Person]:
    person = platform.add_user("emil")
    person.sign_in()
    yield person
    if platform.answers() and person.model().get("servers"):
        person.stop()


@pytest.fixture(scope="module")
def doors(platform: Platform, dora: Person) -> Doors:
    return Doors(platform, dora)


@pytest.fixture
def inside(platform: Platform, dora: Person, engine: docker.DockerClient) -> Inside:
    if not dora.model().get("servers"):
        dora.start(image="base")
    return Inside(platform, engine, "dora")


@pytest.mark.parametrize("place", ["Storage/dora/persistent", "Temporary/dora/scratch", "SciDrive/dora"])
def test_what_a_container_writes_every_door_sees_at_once(inside: Inside, doors: Doors, place: str) -> None:
    for number in range(3):
        inside.sh(f"mkdir -p {place}/made && printf 'turn {number}' > {place}/made/inside.txt")
        for answer in doors.get(place, "made/inside.txt"):
            assert (answer.status_code, answer.text) == (200, f"turn {number}")
    assert "inside.txt" in doors.names(f"{place}/made")
    inside.sh(f"mv {place}/made/inside.txt {place}/made/moved.txt")
    assert doors.names(f"{place}/made") == {"moved.txt"}
    assert [answer.status_code for answer in doors.get(place, "made/inside.txt")] == [404, 404]


@pytest.mark.parametrize("place", ["Storage/dora/persistent", "Temporary/dora/scratch", "SciDrive/dora"])
def test_what_a_door_writes_a_container_sees_at_once_and_owns(inside: Inside, doors: Doors, place: str) -> None:
    assert doors.rest("PUT", f"file/{place}/sent/by-rest.txt", data=b"by rest").ok
    drive = place.replace("SciDrive/dora", "SciDrive")
    assert doors.dav("PUT", f"{drive}/sent/by-dav.txt", data=b"by dav").status_code == 201
    assert inside.sh(f"cat {place}/sent/by-rest.txt {place}/sent/by-dav.txt") == "by restby dav"
    # The account of the container owns folders and files: it may change and remove them.
    owners = inside.sh(f"stat -c '%U:%G' {place}/sent {place}/sent/by-rest.txt {place}/sent/by-dav.txt").split()
    assert set(owners) == {"idies:idies"}
    inside.sh(f"printf ', and more' >> {place}/sent/by-rest.txt && rm {place}/sent/by-dav.txt")
    assert doors.get(place, "sent/by-rest.txt")[1].text == "by rest, and more"
    assert doors.rest("DELETE", f"data/{place}/sent").ok
    assert inside.sh(f"ls -A {place}/sent", check=False).startswith("ls: cannot access")


def test_scidrives_own_interface_is_the_same_directory(inside: Inside, doors: Doors) -> None:
    answer = doors.ask("PUT", "/vospace-2.0/1/files_put/dropbox//plots/m31.csv?TaskName=x", data=b"ra,dec\n")
    assert (answer.status_code, answer.json()["path"]) == (200, "/plots/m31.csv")
    assert inside.run("cat", "SciDrive/dora/plots/m31.csv") == "ra,dec\n"
    inside.sh("printf 'b' > SciDrive/dora/plots/b.txt")
    listed = doors.ask("GET", "/vospace-2.0/1/metadata/sandbox//plots?list=True").json()
    assert {entry["path"] for entry in listed["contents"]} == {"/plots/m31.csv", "/plots/b.txt"}


def test_the_containers_token_and_settings_are_enough_for_the_client_library(
    inside: Inside, doors: Doors, platform: Platform
) -> None:
    told = json.loads(inside.python(CLIENT))
    assert {"Storage/dora/persistent", "Temporary/dora/scratch"} <= set(told["names"])
    assert told["api"] == platform.deployment.internal_url("scidrive") + "/fileservice/"
    assert told["read"] == "in the drive"
    assert inside.run("cat", "Storage/dora/persistent/from/client.txt") == "by the client"
    assert inside.run("cat", "SciDrive/dora/library/drive.txt") == "in the drive"
    shared = doors.rest("GET", "volume/Storage/dora/fromwithin").json()["sharedWith"]
    assert [(each["name"], each["allowedActions"]) for each in shared] == [("emil", ["read"])]


def test_a_laptop_is_led_to_the_public_address(doors: Doors, platform: Platform) -> None:
    services = requests.get(
        f"{platform.url}/services/racm/storem/fileservices", headers={"X-Auth-Token": doors.token}, timeout=20
    ).json()
    assert [service["apiEndpoint"] for service in services] == [f"{doors.url}/fileservice/"]


def test_webdav_is_reached_from_a_container_too(inside: Inside, platform: Platform) -> None:
    script = (
        "import base64, sys, urllib.request; token = open('/home/idies/keystone.token').read().strip();"
        "auth = base64.b64encode(f'dora:{token}'.encode()).decode();"
        "request = urllib.request.Request(sys.argv[1], b'dav', {'Authorization': 'Basic ' + auth}, method='PUT');"
        "print(urllib.request.urlopen(request, timeout=20).status)"
    )
    url = f"{platform.deployment.internal_origin('dav')}/services/scidrive/dav/SciDrive/from-within.txt"
    assert inside.python(script, url).strip() == "201"
    assert inside.run("cat", "SciDrive/dora/from-within.txt") == "dav"


# -- shares


def test_a_share_is_mounted_at_the_next_start_as_it_allows_and_gone_after_it_ends(
    platform: Platform, engine: docker.DockerClient, doors: Doors, emil: Person
) -> None:
    place = "Storage/dora/survey"
    theirs = Doors(platform, emil)
    assert doors.rest("PUT", f"volume/{place}?quiet=False").ok
    assert doors.rest("PUT", f"file/{place}/stars.csv", data=b"1,2,3").ok

    def started() -> Inside:
        if emil.model().get("servers"):
            emil.stop()
        emil.start(image="base")
        return Inside(platform, engine, "emil")

    inside = started()
    assert place not in inside.mounts()
    assert inside.mounts() == {
        "Storage/emil/persistent": True,
        "Temporary/emil/scratch": True,
        "SciDrive/emil": True,
        # Shared by the test of the client library, if that ran before.
        **({"Storage/dora/fromwithin": False} if "Storage/dora/fromwithin" in inside.mounts() else {}),
    }

    doors.share(place, "emil", "read")
    # Doors know at once, running containers do not.
    assert theirs.get(place, "stars.csv")[0].text == "1,2,3"
    assert theirs.rest("PUT", f"file/{place}/x", data=b"").status_code == 403
    assert inside.sh(f"ls {place}", check=False).startswith("ls: cannot access")
    inside = started()
    assert inside.mounts()[place] is False
    assert inside.run("cat", f"{place}/stars.csv") == "1,2,3"
    assert "Read-only file system" in inside.sh(f"echo x > {place}/x", check=False)
    # What is above the volume is not the storage.
    assert inside.sh("ls Storage/dora").split() == sorted({"survey", *inside.sh("ls Storage/dora").split()})
    assert "persistent" not in inside.sh("ls Storage/dora")

    doors.share(place, "emil", "read", "write", "delete")
    inside = started()
    assert inside.mounts()[place] is True
    inside.sh(f"printf 'of emil' > {place}/reply.txt")
    assert doors.get(place, "reply.txt")[1].text == "of emil"

    doors.share(place, "emil")
    assert theirs.get(place, "stars.csv")[0].status_code == 404
    assert started().sh(f"ls {place}", check=False).startswith("ls: cannot access")


def test_a_volume_of_ones_own_is_mounted_at_the_next_start(
    platform: Platform, engine: docker.DockerClient, doors: Doors, dora: Person, inside: Inside
) -> None:
    assert doors.rest("PUT", "volume/Storage/dora/papers").ok
    assert "Storage/dora/papers" not in inside.mounts()
    dora.stop()
    dora.start(image="base")
    inside = Inside(platform, engine, "dora")
    assert inside.mounts()["Storage/dora/papers"] is True
    inside.sh("printf 'draft' > Storage/dora/papers/draft.tex")
    assert doors.get("Storage/dora/papers", "draft.tex")[0].text == "draft"


# -- without the service


def test_a_start_does_not_wait_for_a_service_that_is_silent(
    platform: Platform, engine: docker.DockerClient, doors: Doors, emil: Person
) -> None:
    doors.rest("PUT", "volume/Storage/dora/silent")
    doors.share("Storage/dora/silent", "emil", "read")
    if emil.model().get("servers"):
        emil.stop()
    pid = platform.processes()["scidrive"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        emil.start(image="base")
        assert time.monotonic() - begin < 20
    finally:
        os.kill(pid, signal.SIGCONT)
    assert set(Inside(platform, engine, "emil").mounts()) == {
        "Storage/emil/persistent",
        "Temporary/emil/scratch",
        "SciDrive/emil",
    }
    emil.stop()
    emil.start(image="base")
    assert "Storage/dora/silent" in Inside(platform, engine, "emil").mounts()


def test_an_upload_in_parts_goes_on_after_the_service_was_killed(platform: Platform, doors: Doors) -> None:
    first, second = os.urandom(3_000_000), os.urandom(2_000_000)
    begun = doors.ask("POST", "/api/uploads", headers={"Upload-Length": "5000000"})
    address = f"/api/uploads/{begun.json()['id']}"
    part = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    assert doors.ask("PATCH", address, data=first, headers=part).status_code == 204
    old = platform.processes()["scidrive"]["pid"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: platform.processes()["scidrive"]["pid"] not in {None, old}, what="another process")
    wait_until(lambda: doors.ask("GET", address).status_code == 200, what="the service answers")
    assert doors.ask("GET", address).json()["offset"] == len(first)
    assert doors.ask("PATCH", address, data=second, headers=part | {"Upload-Offset": "3000000"}).status_code == 204
    assert doors.ask("POST", address, json={"path": "Storage/dora/persistent/large.bin"}).ok
    assert doors.get("Storage/dora/persistent", "large.bin")[0].content == first + second


def test_doctor_knows_the_service(platform: Platform) -> None:
    # The test before has killed it, and the supervisor calls it running after two seconds.
    wait_until(lambda: platform.processes()["scidrive"]["state"] == "running", what="SciDrive runs")
    told = json.loads(platform.run("doctor", "--json", check=False).stdout)["checks"]
    checks = {check["name"]: check for check in told}
    assert checks["scidrive"]["ok"], checks
    assert checks["files"]["ok"], checks
