"""Every reader of a start's progress sees all of it."""

import asyncio

from sciserver_spawner.progress import Progress


async def read(progress):
    return [(event["progress"], event["message"]) async for event in progress]


async def test_a_late_reader_sees_everything():
    progress = Progress()
    progress.step(5, "a")
    progress.step(20, "b")
    progress.finish()
    assert await read(progress) == [(5, "a"), (20, "b")]


async def test_several_readers_each_see_everything():
    progress = Progress()
    early = asyncio.create_task(read(progress))
    await asyncio.sleep(0)
    progress.step(5, "a")
    await asyncio.sleep(0)
    middle = asyncio.create_task(read(progress))
    await asyncio.sleep(0)
    progress.step(20, "b")
    progress.finish()
    assert await early == await middle == await read(progress) == [(5, "a"), (20, "b")]


async def test_an_event_arrives_while_the_start_goes_on():
    progress = Progress()
    events = aiter(progress)
    progress.step(5, "a")
    assert (await anext(events))["message"] == "a"
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    assert not waiting.done()
    progress.step(20, "b")
    assert (await waiting)["message"] == "b"
    await events.aclose()


async def test_no_event_is_lost_between_two_that_come_at_once():
    progress = Progress()
    reader = asyncio.create_task(read(progress))
    for percent in range(50):
        progress.step(percent, "x")
        if percent % 3 == 0:
            await asyncio.sleep(0)
    progress.finish()
    assert [percent for percent, _ in await reader] == list(range(50))


async def test_the_same_step_twice_is_one_event():
    progress = Progress()
    progress.step(20, "1 of 2 layers")
    progress.step(20, "1 of 2 layers")
    progress.step(20, "2 of 2 layers")
    progress.finish()
    assert len(await read(progress)) == 2


async def test_a_reader_that_leaves_does_not_disturb_the_others():
    progress = Progress()
    leaving, staying = asyncio.create_task(read(progress)), asyncio.create_task(read(progress))
    await asyncio.sleep(0)
    leaving.cancel()
    progress.step(5, "a")
    progress.finish()
    assert await staying == [(5, "a")]


async def test_nothing_happened_reads_as_nothing():
    progress = Progress()
    progress.finish()
    assert progress.finished
    assert await read(progress) == []
