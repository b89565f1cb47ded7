"""Volumes beside the default ones: what SciDrive's service names is mounted, nothing else, and nobody waits long."""

import asyncio
import json
import time

import pytest
from aiohttp import web

from sciserver_spawner import mounts
from sciserver_spawner.mounts import Mount, MountsUnknown, existing, read
from sciserver_spawner.volumes import UserVolume

WORKSPACE = "/home/idies/workspace"
DEFAULT = {"Storage/ada/persistent", "Temporary/ada/scratch", "SciDrive/ada"}


def entry(root="Storage", owner="ada", volume="papers", mode="rw", **more):
    return {"root": root, "owner": owner, "volume": volume, "mode": mode, **more}


def body(*entries):
    return json.dumps({"mounts": entries}).encode()


# -- what an answer means


def test_each_entry_is_a_mount():
    found, left_out = read(body(entry(), entry(owner="bob", volume="survey", mode="ro")))
    assert found == [
        Mount(UserVolume("Storage", "ada", "papers"), "rw"),
        Mount(UserVolume("Storage", "bob", "survey"), "ro"),
    ]
    assert not left_out


@pytest.mark.parametrize("volume", ["", "bob", "SciDrive", None, "../x"])
def test_scidrive_is_the_owners_directory_whatever_its_volume_is_called(volume):
    found, _ = read(body(entry("SciDrive", "bob", volume)))
    assert found == [Mount(UserVolume("SciDrive", "bob"), "rw")]
    assert found[0].volume.mount_point == f"{WORKSPACE}/SciDrive/bob"


def test_a_path_in_the_answer_does_not_matter():
    found, _ = read(body(entry(path="../../etc")))
    assert found == [Mount(UserVolume("Storage", "ada", "papers"), "rw")]


@pytest.mark.parametrize(
    "name", ["..", ".", "", "/", "/etc", "../bob", "a/b", "a:b", "a\0b", "a\nb", "x" * 64, ".ssh"]
)
@pytest.mark.parametrize("place", ["root", "owner", "volume"])
def test_names_that_lead_elsewhere_are_left_out_and_the_rest_is_mounted(name, place):
    found, left_out = read(body(entry(**{place: name}), entry("Storage", "bob", "survey")))
    assert found == [Mount(UserVolume("Storage", "bob", "survey"), "rw")]
    assert len(left_out) == 1


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        1,
        "Storage/ada/papers",
        [],
        {},
        entry(mode="rwx"),
        entry(mode=None),
        entry(volume=None),
        entry(owner=["a"]),
    ],
)
def test_entries_that_are_none_are_left_out(nonsense):
    found, left_out = read(body(nonsense, entry()))
    assert found == [Mount(UserVolume("Storage", "ada", "papers"), "rw")]
    assert len(left_out) == 1


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b"{}", b'{"mounts": {}}', b'{"mounts": null}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_answer_is_said_to_be_none(answer):
    with pytest.raises(MountsUnknown, match="cannot be read"):
        read(answer)


@pytest.mark.parametrize("modes", [("ro", "rw"), ("rw", "ro"), ("ro", "ro")])
def test_of_two_entries_for_one_volume_the_lesser_right_holds(modes):
    found, _ = read(body(*(entry(mode=mode) for mode in modes)))
    assert found == [Mount(UserVolume("Storage", "ada", "papers"), "ro")]


def test_a_container_has_only_so_many_mounts():
    found, left_out = read(body(*(entry(volume=f"v{number}") for number in range(mounts.MOST + 5))))
    assert len(found) == mounts.MOST
    assert len(left_out) == 5


def test_only_directories_below_directories_are_mounted(tmp_path):
    root = tmp_path / "volumes"
    (root / "Storage" / "ada" / "papers").mkdir(parents=True)
    (root / "Storage" / "ada" / "a-file").write_text("")
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    (root / "Storage" / "ada" / "a-link").symlink_to(tmp_path / "outside")
    (root / "Storage" / "eve").symlink_to(tmp_path / "outside")
    names = [
        ("ada", "papers"),
        ("ada", "a-file"),
        ("ada", "a-link"),
        ("eve", "inner"),
        ("ada", "gone"),
        ("no", "body"),
    ]
    wanted = [Mount(UserVolume("Storage", *pair), "rw") for pair in names]
    assert existing(wanted, root) == wanted[:1]


# -- through the hub


class Service:
    """What answers in SciDrive's place."""

    def __init__(self):
        self.status = 200
        self.body = body()
        self.delay = 0.0
        self.requests = []

    async def answer(self, request):
        self.requests.append(request)
        await asyncio.sleep(self.delay)
        return web.Response(status=self.status, body=self.body, headers={"Location": "/elsewhere"})


@pytest.fixture(scope="module")
async def module_service():
    service = Service()
    application = web.Application()

    async def answer(request):
        return await service.answer(request)

    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/mounts"
    yield service
    await runner.cleanup()


@pytest.fixture(scope="module")
def spawner_settings(module_service):
    return {"mounts_url": module_service.url, "mounts_token": "the-token", "mounts_timeout": 0.5}


@pytest.fixture
def service(module_service):
    url, requests = module_service.url, module_service.requests
    requests.clear()
    module_service.__init__()
    module_service.url, module_service.requests = url, requests
    return module_service


@pytest.fixture
def volume(short_directory):
    """Makes a volume's directory."""

    def make(*names):
        path = short_directory.joinpath("volumes", *names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    return make


def binds(hub, name="ada"):
    """Place below the workspace and mode of each mount."""
    found = {}
    for bind in hub.container(name).spec["HostConfig"]["Binds"]:
        source, target, mode = bind.split(":")
        place = target.removeprefix(WORKSPACE + "/")
        assert source.endswith("/volumes/" + place)
        found[place] = mode
    return found


async def test_the_volumes_that_the_service_names_are_mounted(hub, service, volume):
    volume("Storage", "ada", "papers")
    volume("Storage", "bob", "survey")
    volume("Projects", "bob", "shared")
    service.body = body(
        entry(),
        entry(owner="bob", volume="survey", mode="ro"),
        entry("Projects", "bob", "shared"),
        entry(volume="persistent"),
    )
    await hub.start("ada")
    assert binds(hub) == dict.fromkeys(DEFAULT, "rw") | {
        "Storage/ada/papers": "rw",
        "Storage/bob/survey": "ro",
        "Projects/bob/shared": "rw",
    }


async def test_the_service_is_asked_with_its_own_token_for_the_person_and_the_persons_groups(hub, service):
    user = hub.user("ada")
    await hub.api("POST", "/groups/astro & co", (admin := hub.user("root", admin=True)).new_api_token())
    await hub.api("POST", "/groups/astro & co/users", admin.new_api_token(), {"users": ["ada"]})
    await hub.start("ada")
    (request,) = service.requests
    assert request.headers["Authorization"] == "token the-token"
    assert request.query.getall("user") == [user.name]
    assert request.query.getall("group") == ["astro & co"]


async def test_what_was_revoked_is_gone_at_the_next_start(hub, service, volume):
    volume("Storage", "bob", "survey")
    service.body = body(entry(owner="bob", volume="survey", mode="ro"))
    await hub.start("ada")
    assert "Storage/bob/survey" in binds(hub)
    await hub.stop("ada")
    service.body = body()
    await hub.start("ada")
    assert binds(hub).keys() == DEFAULT


async def test_a_volume_that_vanished_is_not_made_by_the_engine(hub, service, short_directory, caplog):
    service.body = body(entry(volume="vanished"))
    await hub.start("ada")
    assert binds(hub).keys() == DEFAULT
    assert not (short_directory / "volumes" / "Storage" / "ada" / "vanished").exists()


@pytest.mark.parametrize(
    ("status", "answer"),
    [(500, b"{}"), (403, body(entry())), (302, body()), (404, b"<html>"), (200, b"<html>"), (200, b'{"mounts": 1}')],
)
async def test_without_a_proper_answer_the_default_volumes_are_mounted(hub, service, volume, status, answer):
    volume("Storage", "ada", "papers")
    service.status, service.body = status, answer
    assert (await hub.start("ada")).status == 201
    assert binds(hub) == dict.fromkeys(DEFAULT, "rw")
    assert len(service.requests) == 1  # a redirection would take the token elsewhere


async def test_an_answer_without_end_is_given_up(hub, service):
    service.body = b" " * (2**22 + 1)
    await hub.start("ada")
    assert binds(hub).keys() == DEFAULT


async def test_a_silent_service_delays_a_start_by_its_limit_and_the_hub_not_at_all(hub, service):
    service.delay = 30
    begin = time.monotonic()
    start = asyncio.create_task(hub.start("ada"))
    longest = 0.0
    while not start.done():
        before = time.monotonic()
        await hub.fetch("GET", f"{hub.url}hub/api/")
        longest = max(longest, time.monotonic() - before)
        await asyncio.sleep(0.02)
    assert (await start).status == 201
    assert time.monotonic() - begin < 5
    assert longest < 0.4, f"the hub answered after {longest:.2f} s"
    assert binds(hub).keys() == DEFAULT


async def test_the_person_is_told_when_volumes_may_be_missing(hub, service):
    service.status = 500
    with hub.slow_after(0.01):
        assert (await hub.start("ada")).status == 202
    assert any("SciDrive does not answer" in event["message"] for event in await hub.progress("ada"))


async def test_nobody_there_is_as_good_as_silence(hub, service):
    spawner = hub.spawner("ada")
    spawner.mounts_url = "http://127.0.0.1:1/api/mounts"
    assert (await hub.start("ada")).status == 201
    assert binds(hub).keys() == DEFAULT


async def test_scidrive_in_an_object_store_is_not_mounted(hub, service, volume):
    volume("SciDrive", "bob")
    service.body = body(entry("SciDrive", "ada", ""), entry("SciDrive", "bob", ""))
    hub.spawner("ada").scidrive = False
    await hub.start("ada")
    assert binds(hub).keys() == DEFAULT - {"SciDrive/ada"}


async def test_a_data_volume_does_not_hide_a_root_volume(hub, service, volume, short_directory):
    data = short_directory / "data"
    for name in ("SciDrive", "Projects", "Storage", "Gaia"):
        (data / name).mkdir(parents=True)
    volume("Projects", "bob", "shared")
    service.body = body(entry("Projects", "bob", "shared"))
    hub.spawner("ada").data_root = str(data)
    await hub.start("ada")
    targets = {bind.split(":")[1] for bind in hub.container("ada").spec["HostConfig"]["Binds"]}
    assert f"{WORKSPACE}/Gaia" in targets
    assert not {f"{WORKSPACE}/{name}" for name in ("SciDrive", "Projects", "Storage")} & targets
