"""Servers that start and stop as they should, through the real hub."""

import asyncio

import pytest
from bs4 import BeautifulSoup

from tests.fakes.engine import Boot, Slow
from tests.fakes.hub import until


async def test_a_server_starts_serves_and_stops(hub):
    assert (await hub.start("ada")).status == 201
    assert await hub.runs("ada")
    assert await hub.served_by("ada") == hub.container("ada").id
    assert (await hub.stop("ada")).status == 204
    assert not await hub.runs("ada")
    assert hub.engine.containers == {}


async def test_a_start_does_things_in_their_order(hub):
    await hub.start("ada")
    wanted = ["create", "archive", "start"]
    assert [item for item in hub.engine.operations if item in {*wanted, "pull", "remove", "inspect_image"}] == wanted


async def test_a_stop_gives_kernels_time_to_save(hub):
    await hub.start("ada")
    await hub.stop("ada")
    (stop,) = hub.engine.asked("stop")
    assert stop.query["t"] == "10"


async def test_the_token_and_the_client_settings_are_there_before_the_server_runs(hub):
    await hub.start("ada")
    container = hub.container("ada")
    _, token = container.files["/home/idies/keystone.token"]
    assert token.decode() == container.environment["JUPYTERHUB_API_TOKEN"]
    _, settings = container.files["/etc/sciserver/sciscript.json"]
    assert b"http://portal/keystone/v3/tokens" in settings


async def test_the_environment_names_the_user(hub):
    await hub.start("ada")
    environment = hub.container("ada").environment
    assert environment["SCISERVER_USER_NAME"] == "ada"
    assert environment["SCISERVER_USER_ID"] == str(hub.user("ada").id)
    assert environment["JUPYTERHUB_USER"] == "ada"


async def test_no_secret_of_the_hub_gets_into_the_environment(hub, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "hub-secret")
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "proxy-secret")
    await hub.start("ada")
    assert not {"hub-secret", "proxy-secret"} & set(hub.container("ada").environment.values())


async def test_the_container_is_hardened(hub):
    await hub.start("ada")
    host = hub.container("ada").spec["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == "sciserver-test"
    assert not host.get("Privileged")
    assert not host.get("CapAdd")
    # Nothing on the machine's own addresses leads to it.
    assert not host.get("PortBindings")
    assert host["Memory"] == host["MemorySwap"] == 2 * 2**30
    assert host["CpuQuota"] == 2 * host["CpuPeriod"]
    assert host["PidsLimit"] == 2048
    assert host["Init"] is True
    assert not any("docker.sock" in bind for bind in host["Binds"])


async def test_the_users_own_storage_is_mounted_and_nobody_elses(hub, short_directory):
    await hub.start("ada")
    await hub.start("bob")
    root = short_directory / "volumes"
    assert sorted(hub.container("ada").spec["HostConfig"]["Binds"]) == [
        f"{root}/SciDrive/ada:/home/idies/workspace/SciDrive/ada:rw",
        f"{root}/Storage/ada/persistent:/home/idies/workspace/Storage/ada/persistent:rw",
        f"{root}/Temporary/ada/scratch:/home/idies/workspace/Temporary/ada/scratch:rw",
    ]
    assert (root / "Storage" / "ada" / "persistent").is_dir()


async def test_containers_carry_labels_by_which_an_operator_finds_them(hub):
    await hub.start("ada", "survey")
    assert hub.container("ada", "survey").labels == {
        "org.sciserver.deployment": "test",
        "org.sciserver.user": "ada",
        "org.sciserver.server": "survey",
        "org.sciserver.image": "site/python:1",
    }


async def test_the_first_image_is_the_default(hub):
    await hub.start("ada")
    assert hub.container("ada").spec["Image"] == "site/python:1"


async def test_an_image_can_be_asked_for_and_is_remembered(hub):
    await hub.start("ada", image="r")
    assert hub.container("ada").spec["Image"] == "site/r:1"
    await hub.stop("ada")
    await hub.start("ada")
    assert hub.container("ada").spec["Image"] == "site/r:1"


async def test_the_start_page_offers_the_images_and_takes_the_choice(hub):
    page = BeautifulSoup((await hub.page("ada", "hub/spawn/ada")).text, "html.parser")
    offered = [field["value"] for field in page.select("input[name=image]")]
    assert offered == ["python", "r", "missing", "unbuilt"]
    jar = await hub.app.login_user("ada")
    cookies = {cookie.name: cookie.value for cookie in jar}
    answer = await hub.fetch(
        "POST",
        f"{hub.url}hub/spawn/ada?_xsrf={cookies['_xsrf']}",
        data={"image": "r"},
        headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())},
    )
    assert answer.status == 302, answer.text
    await until(lambda: hub.runs("ada"))
    assert hub.container("ada").spec["Image"] == "site/r:1"


async def test_a_user_has_several_servers_side_by_side(hub):
    assert (await hub.start("ada")).status == (await hub.start("ada", "survey")).status == 201
    assert len(hub.engine.containers) == 2
    assert await hub.served_by("ada", "survey") == hub.container("ada", "survey").id
    assert await hub.served_by("ada") == hub.container("ada").id


async def test_the_progress_page_shows_every_step(hub):
    hub.engine.boot = Boot(delay=0.3)
    with hub.slow_after(0.01):
        assert (await hub.start("ada")).status == 202
    events = await hub.progress("ada")
    assert [event["message"] for event in events[1:-1]] == [
        "Preparing your storage",
        "Creating a container of “Python”",
        "Starting the container",
        "Starting JupyterLab",
        "Opening the route to your server",
    ]
    percents = [event["progress"] for event in events]
    assert percents == sorted(percents)
    assert events[-1]["ready"] is True


async def test_a_page_opened_before_the_start_and_one_opened_late_see_the_same(hub):
    # Between the request and the start the hub does work of its own; a page may open in that time.
    hub.engine.boot = Boot(delay=0.3)
    spawner = hub.user("ada").get_or_create_spawner("", "")
    early = asyncio.create_task(collect(spawner))
    await asyncio.sleep(0)
    await hub.start("ada")
    assert await early == await collect(spawner)
    assert len(await early) == 5


async def collect(spawner):
    return [event async for event in spawner.progress()]


async def test_a_missing_image_is_pulled_with_its_progress_shown(hub):
    hub.engine.registry["site/missing:1"] = [
        {"status": "Pulling fs layer", "id": "a"},
        {"status": "Pulling fs layer", "id": "b"},
        {"status": "Pull complete", "id": "a"},
        {"status": "Pull complete", "id": "b"},
    ]
    try:
        with hub.slow_after(0.001):
            assert (await hub.start("ada", image="missing")).status == 202
        messages = [event["message"] for event in await hub.progress("ada")]
    finally:
        hub.engine.images.discard("site/missing:1")
        hub.engine.registry.clear()
    assert "Fetching the image; the first time this can take minutes" in messages
    assert "Fetching the image: 2 of 2 layers" in messages
    assert await hub.runs("ada")


async def test_a_stale_container_of_the_same_name_is_replaced(hub):
    # Left by a hub that was killed between creation and its note of it.
    stale = hub.engine.place("sciserver-test-ada")
    assert (await hub.start("ada")).status == 201
    assert stale not in hub.engine.containers
    assert await hub.served_by("ada") == hub.container("ada").id


async def test_a_users_container_is_never_taken_for_a_stale_one_of_another(hub):
    # The readable part of the first name is all of the second.
    await hub.start("ada@example.org")
    await hub.start("ada-example-org")
    assert hub.container("ada@example.org").running
    assert hub.container("ada-example-org").running


async def test_many_users_start_while_one_call_to_the_engine_is_slow(hub):
    names = [f"user-{number}" for number in range(20)]
    hub.engine.fault("create", Slow(60), on="test-user-7")
    with hub.slow_after(0.001):
        await asyncio.gather(*(hub.start(name) for name in names))
    others = [name for name in names if name != "user-7"]
    await until(lambda: all(hub.spawner(name).ready for name in others), 30)
    assert not hub.spawner("user-7").ready
    assert hub.engine.asked("create", "test-user-7")
    assert len({hub.container(name).address for name in others}) == 19
    served = await asyncio.gather(*(hub.served_by(name) for name in others))
    assert served == [hub.container(name).id for name in others]


async def test_many_users_start_while_another_stop_is_slow(hub):
    await hub.start("slow")
    hub.engine.fault("stop", Slow(60))
    stopping = asyncio.create_task(hub.stop("slow"))
    await until(lambda: hub.engine.asked("stop"))
    statuses = [(await hub.start(f"user-{number}")).status for number in range(5)]
    assert statuses == [201] * 5
    assert not stopping.done()
    hub.engine.down()
    await stopping


@pytest.mark.parametrize("step", ["create", "archive", "start", "boot"])
async def test_a_start_that_is_stopped_leaves_no_container(hub, step):
    if step == "boot":
        hub.engine.boot = Boot(delay=60)
    else:
        hub.engine.fault(step, Slow(0.5))
    with hub.slow_after(0.001):
        assert (await hub.start("ada")).status == 202
    await until(lambda: hub.engine.asked("start" if step == "boot" else step))
    assert (await hub.stop("ada")).status in {202, 204}
    await until(lambda: not hub.engine.containers)
    assert not await hub.runs("ada")
    hub.engine.heal()
    hub.engine.boot = Boot()
    # The call that was slow has come to its end by now: it brings nothing back.
    assert (await hub.start("ada")).status == 201
    assert len(hub.engine.containers) == 1
