"""Turns to boot: no more containers at once than the machine boots well, and none waits behind one that hangs."""

import asyncio

import pytest

from tests.fakes.engine import Boot, Refuse
from tests.fakes.hub import until


@pytest.fixture(scope="module")
def spawner_settings():
    return {"concurrent_boots": 2}


@pytest.fixture(autouse=True)
def count(hub):
    hub.engine.most_booting = 0


async def start_all(hub, names):
    with hub.slow_after(0.001):
        await asyncio.gather(*(hub.start(name) for name in names))


async def test_two_users_at_once_both_get_their_own_server(hub):
    hub.engine.boot = Boot(delay=0.1)
    answers = await asyncio.gather(hub.start("ada"), hub.start("bob"))
    assert [answer.status for answer in answers] == [201, 201]
    assert await hub.served_by("ada") == hub.container("ada").id != hub.container("bob").id
    assert await hub.served_by("bob") == hub.container("bob").id


async def test_only_so_many_boot_at_once_and_all_get_ready(hub):
    hub.engine.boot = Boot(delay=0.1)
    names = [f"user-{number}" for number in range(8)]
    await start_all(hub, names)
    await until(lambda: all(hub.spawner(name).ready for name in names))
    assert hub.engine.most_booting == 2


async def test_who_waits_is_told_so_and_comes_next(hub):
    hub.engine.boot = Boot(delay=2)
    await start_all(hub, ["ada", "bob"])
    await until(lambda: hub.engine.booting == 2)
    await start_all(hub, ["carol"])
    messages = [event["message"] for event in await hub.progress("carol")]
    assert "Waiting for other servers that are starting" in messages
    assert "Starting JupyterLab" in messages
    assert await hub.runs("carol")


async def test_a_boot_that_hangs_gives_up_its_turn(hub):
    for name in ("hung-1", "hung-2"):
        hub.engine.boots[f"sciserver-test-{name}"] = Boot(hangs=True)
        spawner = hub.user(name).get_or_create_spawner("", "")
        spawner.boot_slot_timeout = 0.5
        spawner.ready_timeout = 60
    await start_all(hub, ["hung-1", "hung-2"])
    await until(lambda: len(hub.engine.asked("start")) == 2)
    assert (await hub.start("ada")).status == 201
    # They were not given up: one may be slow for a reason.
    assert [hub.spawner(name).pending for name in ("hung-1", "hung-2")] == ["spawn"] * 2


async def test_a_boot_that_outlasts_its_turn_gives_it_back_once(hub):
    # Given back twice, the limit would be one higher from then on.
    hub.engine.boot = Boot(delay=0.2)
    hub.user("ada").get_or_create_spawner("", "").boot_slot_timeout = 0.01
    assert (await hub.start("ada")).status == 201
    hub.engine.most_booting = 0
    names = [f"user-{number}" for number in range(6)]
    await start_all(hub, names)
    await until(lambda: all(hub.spawner(name).ready for name in names))
    assert hub.engine.most_booting == 2


@pytest.mark.parametrize("trouble", ["refused", "died", "stopped"])
async def test_a_failed_start_gives_its_turn_back(hub, trouble):
    if trouble == "refused":
        hub.engine.fault("start", Refuse())
    hub.engine.boot = Boot(dies=1) if trouble == "died" else Boot(hangs=True)
    names = ["ada", "bob"]
    if trouble == "stopped":
        await start_all(hub, names)
        await until(lambda: len(hub.engine.asked("start")) == 2)
        await asyncio.gather(*(hub.stop(name) for name in names))
    else:
        await asyncio.gather(*(hub.start(name) for name in names))
    hub.engine.heal()
    hub.engine.boot = Boot()
    assert (await hub.start("carol")).status == (await hub.start("dave")).status == 201


async def test_who_stops_waiting_leaves_the_queue(hub):
    hub.engine.boot = Boot(hangs=True)
    await start_all(hub, ["hung-1", "hung-2"])
    await until(lambda: len(hub.engine.asked("start")) == 2)
    hub.engine.boot = Boot()
    await start_all(hub, ["ada", "bob"])
    await hub.stop("ada")
    await hub.stop("hung-1")
    await until(lambda: hub.runs("bob"))
    assert not hub.engine.asked("create", "test-ada")
