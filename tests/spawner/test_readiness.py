"""Ready is noticed at once, death too, and neither is imagined."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from sciserver_spawner import readiness
from sciserver_spawner.readiness import ServerDied, wait_ready
from tests.support import free_port


@pytest.fixture
def port():
    return free_port()


async def always():
    return True


@asynccontextmanager
async def server(port, answer):
    """A server that gives each connection's writer to `answer` when the request has come."""
    lines = []

    async def serve(reader, writer):
        try:
            lines.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await answer(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield lines
    finally:
        listening.close()


def says(text):
    async def answer(writer):
        writer.write(text if isinstance(text, bytes) else text.encode())

    return answer


def wait(port, *, limit=20.0, is_running=always):
    return wait_ready("127.0.0.1", port, "/user/ada/api", limit=limit, is_running=is_running)


async def test_an_answer_is_ready(port):
    async with server(port, says("HTTP/1.1 200 OK\r\n\r\n")) as requests:
        await wait(port)
    assert len(requests) == 1
    assert requests[0].startswith("GET /user/ada/api HTTP/1.1\r\nHost: 127.0.0.1\r\n")


@pytest.mark.parametrize("status", ["302 Found", "403 Forbidden", "404 Not Found"])
async def test_any_answer_of_a_healthy_server_is_ready(port, status):
    async with server(port, says(f"HTTP/1.1 {status}\r\n\r\n")):
        await wait(port)


async def test_a_server_is_asked_every_twentieth_of_a_second_and_seen_at_the_next_attempt(port, monkeypatch):
    # Attempts and pauses are counted, not clocked: a loaded machine must not make this fail.
    pauses, attempts = [], 0
    real_sleep = asyncio.sleep

    async def sleep(seconds):
        pauses.append(seconds)
        await real_sleep(0)

    async def answers(*_):
        nonlocal attempts
        attempts += 1
        return attempts == 100

    monkeypatch.setattr(readiness.asyncio, "sleep", sleep)
    monkeypatch.setattr(readiness, "_answers", answers)
    await readiness._wait_for_answer("127.0.0.1", port, "/")
    assert attempts == 100
    assert pauses == [0.05] * 99


async def test_a_slow_server_is_asked_less_often(port, monkeypatch):
    pauses = []
    real_sleep = asyncio.sleep

    async def sleep(seconds):
        pauses.append(seconds)
        await real_sleep(0)

    async def answer(*_):
        if len(pauses) == 2:
            monkeypatch.setattr(readiness, "SLOW_AFTER", -1)
        return len(pauses) == 4

    monkeypatch.setattr(readiness.asyncio, "sleep", sleep)
    monkeypatch.setattr(readiness, "_answers", answer)
    await readiness._wait_for_answer("127.0.0.1", port, "/")
    assert pauses == [0.05, 0.05, 0.25, 0.25]


async def test_a_server_that_listens_late_is_ready_when_it_does(port):
    waiting = asyncio.create_task(wait(port))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    async with server(port, says("HTTP/1.1 200 OK\r\n\r\n")):
        await waiting


async def test_a_server_that_accepts_before_it_is_ready_is_waited_for_on_that_connection(port):
    ready = asyncio.Event()

    async def answer(writer):
        await ready.wait()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async with server(port, answer) as requests:
        waiting = asyncio.create_task(wait(port))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        ready.set()
        await waiting
    assert len(requests) == 1


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
async def test_a_server_in_trouble_is_not_ready(port, status):
    async with server(port, says(f"HTTP/1.1 {status}\r\n\r\n")) as requests:
        with pytest.raises(TimeoutError):
            await wait(port, limit=0.5)
    assert len(requests) > 1


@pytest.mark.parametrize(
    "garbage", [b"", b"\r\n", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1\r\n", b"HTTP/1.1 x\r\n", b"\xff" * 70_000]
)
async def test_what_is_not_http_is_not_ready(port, garbage):
    async with server(port, says(garbage)):
        with pytest.raises(TimeoutError):
            await wait(port, limit=0.3)


async def test_a_half_open_connection_ends_at_the_limit(port):
    async def never(_writer):
        await asyncio.sleep(3600)

    async with server(port, never):
        with pytest.raises(TimeoutError):
            await wait(port, limit=0.3)


async def test_nothing_listening_ends_at_the_limit(port):
    with pytest.raises(TimeoutError):
        await wait(port, limit=0.3)


async def test_a_death_is_seen_long_before_the_limit(port):
    async def dead():
        return False

    begin = time.monotonic()
    with pytest.raises(ServerDied):
        await wait(port, limit=120, is_running=dead)
    # JupyterHub alone would see it at the limit.
    assert time.monotonic() - begin < 120 / 10


async def test_a_death_after_a_while_is_seen(port):
    checks = iter([True, True, False])

    async def dies():
        return next(checks)

    with pytest.raises(ServerDied):
        await wait(port, limit=120, is_running=dies)


async def test_nothing_runs_on_after_the_wait(port):
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        await wait(port, limit=0.1)
    assert asyncio.all_tasks() == before


async def test_a_cancelled_wait_leaves_nothing_behind(port):
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(wait(port))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == before
