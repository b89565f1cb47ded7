"""The door to an engine: nobody waits behind somebody else's slow call, and no answer is always the same error."""

import asyncio
import threading

import docker
import pytest
from docker.errors import APIError, ImageNotFound, NotFound
from jupyterhub.spawner import SpawnException

from sciserver_spawner import engine as engine_module
from sciserver_spawner.engine import LANES, UNREACHABLE, Engine, engine_at
from sciserver_spawner.pull import pull
from tests.fakes.engine import Hung, Refuse, Slow


async def until(condition, seconds=10):
    """Wait for something that happens in the background."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("busy", ["stop", "pull", "create_container"])
async def test_an_inspect_does_not_wait_behind_slow_calls(busy, fake, engine):
    container = fake.place("c")
    fake.registry["site/big:1"] = []
    arguments = {"stop": ["c"], "pull": ["site/big:1"], "create_container": ["site/image:1"]}[busy]
    operation = "create" if busy == "create_container" else busy
    fake.fault(operation, Slow(2))
    # As many as would fill every thread of their lane, and more.
    slow = [asyncio.create_task(engine.call(busy, *arguments)) for _ in range(10)]
    await until(lambda: fake.asked(operation))
    record = await engine.call("inspect_container", "c")
    assert record["Id"] == container
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()


async def test_a_lane_works_in_parallel_up_to_its_threads(fake, engine):
    fake.place("c")
    fake.fault("inspect", Slow(0.1))
    await asyncio.gather(*(engine.call("inspect_container", "c") for _ in range(20)))
    assert fake.most_in_flight["inspect"] == LANES["watch"].threads


async def test_each_thread_has_a_client_of_its_own(engine):
    barrier = threading.Barrier(3)

    def which(client):
        barrier.wait(10)
        return id(client), threading.get_ident()

    seen = await asyncio.gather(*(engine.run(which) for _ in range(3)))
    assert len({client for client, _ in seen}) == len({thread for _, thread in seen}) == 3


async def test_the_api_version_is_asked_for_once(fake, engine):
    fake.place("c")
    for _ in range(3):
        await engine.call("inspect_container", "c")
    await engine.call("stop", "c", timeout=1)
    assert len(fake.asked("version")) == 1


async def test_the_event_loop_runs_on_while_the_engine_hangs(fake, engine, impatient):
    fake.fault("*", Hung())
    ticks = 0
    asking = asyncio.create_task(engine.call("info"))
    while not asking.done():
        ticks += 1
        await asyncio.sleep(0.01)
    assert ticks > 5
    with pytest.raises(UNREACHABLE):
        asking.result()


async def test_an_engine_that_hangs_is_unreachable(fake, engine, impatient):
    fake.place("c")
    await engine.call("inspect_container", "c")
    fake.fault("inspect", Hung())
    with pytest.raises(UNREACHABLE):
        await engine.call("inspect_container", "c")


async def test_an_engine_that_is_down_is_unreachable_and_comes_back(fake, engine):
    fake.place("c")
    await engine.call("inspect_container", "c")
    fake.down()
    with pytest.raises(UNREACHABLE):
        await engine.call("inspect_container", "c")
    fake.up()
    assert (await engine.call("inspect_container", "c"))["Name"] == "/c"


async def test_an_engine_that_was_never_there_is_unreachable(short_directory):
    # Without a first contact docker-py raises another kind of error.
    with pytest.raises(UNREACHABLE):
        await Engine(f"unix://{short_directory}/none.sock").call("info")


async def test_an_engine_that_hangs_at_first_contact_is_unreachable(fake, engine, impatient):
    fake.fault("version", Hung())
    with pytest.raises(UNREACHABLE):
        await engine.call("info")


async def test_an_engine_that_ends_in_the_middle_of_an_answer_is_unreachable(fake, engine):
    fake.registry["site/big:1"] = None
    with pytest.raises(UNREACHABLE):
        await pull(engine, "site/big:1", lambda _: None)


async def test_an_error_answer_is_an_answer(fake, engine):
    fake.fault("info", Refuse(500, "out of order"))
    with pytest.raises(APIError, match="out of order") as caught:
        await engine.call("info")
    assert caught.value.status_code == 500
    with pytest.raises(NotFound):
        await engine.call("inspect_container", "nobody")
    with pytest.raises(ImageNotFound):
        await engine.call("create_container", "no/image:1")


async def test_a_wrong_option_is_not_taken_for_an_engine_that_is_down(engine):
    # Else a typing error in the site's configuration would send the operator to look for the engine.
    with pytest.raises(docker.errors.NullResource):
        await engine.call("inspect_container", "")


async def test_boot_slots_are_one_more_than_the_engine_has_processors(fake, engine):
    fake.cpus = 3
    slots = await engine.boot_slots(0)
    assert [await slots.acquire() for _ in range(4)] == [True] * 4
    assert slots.locked()


async def test_starts_that_come_together_share_their_slots(fake, engine):
    fake.fault("info", Slow(0.05))
    first, *others = await asyncio.gather(*(engine.boot_slots(0) for _ in range(5)))
    assert all(slots is first for slots in others)


def test_there_is_one_engine_per_address():
    assert engine_at("unix:///a.sock") is engine_at("unix:///a.sock")
    assert engine_at("unix:///a.sock") is not engine_at("unix:///b.sock")


async def test_what_cannot_be_removed_now_is_removed_when_the_engine_is_back(fake, engine, monkeypatch):
    monkeypatch.setattr(engine_module, "SWEEP_INTERVAL", 0.05)
    first, second, kept = fake.place("first"), fake.place("second"), fake.place("kept")
    fake.down()
    engine.remove_later(first)
    engine.remove_later(second)
    await asyncio.sleep(0.1)
    fake.up()
    await until(lambda: list(fake.containers) == [kept])


async def test_what_is_gone_already_is_not_removed_for_ever(fake, engine):
    engine.remove_later("0" * 64)
    await until(lambda: engine._sweeper.done())
    assert len(fake.asked("remove")) == 1


async def test_one_container_that_cannot_be_removed_does_not_keep_the_others(fake, engine, monkeypatch):
    monkeypatch.setattr(engine_module, "SWEEP_INTERVAL", 0.05)
    stuck, other = fake.place("stuck"), fake.place("other")
    fake.fault("remove", Refuse(500, "device or resource busy"), on="stuck")
    engine.remove_later(stuck)
    engine.remove_later(other)
    await until(lambda: list(fake.containers) == [stuck])
    fake.heal()
    await until(lambda: not fake.containers)


async def test_a_pull_tells_how_far_it_is(fake, engine):
    fake.registry["site/big:1"] = [
        {"status": "Pulling from site/big", "id": "a"},
        {"status": "Already exists", "id": "b"},
        {"status": "Downloading", "id": "c", "progressDetail": {"current": 1, "total": 2}},
        {"status": "Pull complete", "id": "c"},
        {"status": "Status: Downloaded newer image"},
    ]
    told = []
    await pull(engine, "site/big:1", told.append)
    await until(lambda: "Fetching the image: 2 of 3 layers" in told)
    assert told[0].startswith("Fetching the image; the first time")
    assert "site/big:1" in fake.images


@pytest.mark.parametrize(
    "answer", ["pull access denied for site/big", [{"error": "manifest unknown"}, {"errorDetail": {}}]]
)
async def test_a_refused_pull_names_the_image_and_the_cause(fake, engine, answer):
    fake.registry["site/big:1"] = answer
    with pytest.raises(SpawnException, match="site/big:1 cannot be fetched") as caught:
        await pull(engine, "site/big:1", lambda _: None)
    assert caught.value.reason == "image"
    assert (answer if isinstance(answer, str) else "manifest unknown") in caught.value.message


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_pull_that_fills_the_disk_says_so(fake, engine, streamed):
    message = "write /var/lib/docker/tmp: no space left on device"
    fake.registry["site/big:1"] = [{"error": message}]
    if not streamed:
        fake.fault("pull", Refuse(500, message))
    with pytest.raises(SpawnException, match=r"disk .* is full") as caught:
        await pull(engine, "site/big:1", lambda _: None)
    assert (caught.value.reason, caught.value.status_code) == ("capacity", 507)


def test_a_question_to_the_engine_gives_up_sooner_than_an_order():
    # The hub polls each server: an answer that does not come is "unknown", and soon asked for again.
    assert LANES["watch"].timeout < LANES["control"].timeout
