"""A PostgreSQL that is asked to stop, is killed, hangs, and comes back: nothing hangs with it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from casjobs_service import adopt
from casjobs_service.contexts import Context, Contexts
from casjobs_service.engines import run_remote
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from tests.casjobs.engines_support import PASSWORD, PostgreSQL, shared_server

ENDLESS = "SELECT count(*) FROM stars a, stars b, stars c"
ACTIVE = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active'"


@pytest.fixture(scope="module")
def server() -> PostgreSQL:
    return shared_server()


@pytest.fixture(scope="module")
def context(server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Context:
    contexts = Contexts(tmp_path_factory.mktemp("home") / "casjobs/contexts")
    return adopt.add(contexts, "PG", server.url, password=PASSWORD)


def runners() -> list[psutil.Process]:
    """Our processes in which statements run."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.is_running() and "casjobs_service.engines.runner" in " ".join(_command(child))
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


async def started(server: PostgreSQL, context: Context, tmp_path: Path, **limits: float) -> asyncio.Task[object]:
    """A statement without end that the server works on."""
    task = asyncio.create_task(run_remote(context, ENDLESS, {}, tmp_path / "result.arrow", Limits(**limits)))  # type: ignore[arg-type]
    deadline = time.monotonic() + 30
    while server.sql(ACTIVE) == "0":
        assert time.monotonic() < deadline
        assert not task.done()
        await asyncio.sleep(0.05)
    return task


async def one(context: Context, path: Path) -> int:
    """A statement that works."""
    await run_remote(context, "SELECT 1", {}, path, Limits())
    with pa.ipc.open_stream(str(path)) as reader:
        value: int = reader.read_all().column(0)[0].as_py()
    return value


async def until(condition: object, limit: float = 60) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + limit
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_cancelled_statement_ends_here_and_at_the_server(
    server: PostgreSQL, context: Context, tmp_path: Path
) -> None:
    needed = []
    # A machine that does something else at that moment must not make this fail.
    while len(needed) < 3 and not any(seconds < 1 for seconds in needed):
        task = await started(server, context, tmp_path)
        (runner,) = runners()
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        needed.append(time.monotonic() - began)
        assert not runner.is_running()
        await until(lambda: server.sql(ACTIVE) == "0")
    # What was promised to the users, and not a measure of speed.
    assert min(needed) < 1


async def test_a_password_is_in_no_argument_and_no_environment(
    server: PostgreSQL, context: Context, tmp_path: Path
) -> None:
    task = await started(server, context, tmp_path)
    (runner,) = runners()
    shown = " ".join(runner.cmdline()) + str(runner.environ())
    assert PASSWORD not in shown
    assert "reader@" not in shown
    assert set(runner.environ()) <= {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ"} | {
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
    }
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_server_that_is_killed_and_comes_back(server: PostgreSQL, context: Context, tmp_path: Path) -> None:
    task = await started(server, context, tmp_path)
    server.kill()
    with pytest.raises(QueryError) as caught:
        await asyncio.wait_for(task, 60)
    assert caught.value.kind == Kind.UNAVAILABLE
    assert "127.0.0.1" not in str(caught.value)
    with pytest.raises(QueryError) as caught:
        await run_remote(context, "SELECT 1", {}, tmp_path / "2.arrow", Limits())
    assert caught.value.kind == Kind.UNAVAILABLE
    server.start()
    assert await one(context, tmp_path / "3.arrow") == 1


async def test_a_statement_that_the_administrator_ends(server: PostgreSQL, context: Context, tmp_path: Path) -> None:
    task = await started(server, context, tmp_path)
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
    with pytest.raises(QueryError) as caught:
        await asyncio.wait_for(task, 60)
    assert caught.value.kind == Kind.UNAVAILABLE


async def test_a_server_that_hangs_is_not_waited_for(server: PostgreSQL, context: Context, tmp_path: Path) -> None:
    """Its processes are stopped, so that connections stay open and nothing answers, not even a request to cancel."""
    task = await started(server, context, tmp_path, seconds=3)
    (runner,) = runners()
    server.pause()
    try:
        with pytest.raises(QueryError) as caught:
            await asyncio.wait_for(task, 60)
        assert caught.value.kind == Kind.TIMEOUT
        assert not runner.is_running()
        # A new connection is not answered either: that is no long query.
        with pytest.raises(QueryError) as caught:
            await asyncio.wait_for(run_remote(context, "SELECT 1", {}, tmp_path / "2", Limits(seconds=1)), 60)
        assert caught.value.kind == Kind.UNAVAILABLE
    finally:
        server.resume()
    assert await one(context, tmp_path / "3.arrow") == 1


async def test_a_cancelled_statement_ends_also_when_the_server_hangs(
    server: PostgreSQL, context: Context, tmp_path: Path
) -> None:
    task = await started(server, context, tmp_path)
    (runner,) = runners()
    server.pause()
    try:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)
        assert not runner.is_running()
    finally:
        server.resume()
    await until(lambda: server.sql(ACTIVE) == "0")


async def test_a_process_that_is_killed_is_told(server: PostgreSQL, context: Context, tmp_path: Path) -> None:
    task = await started(server, context, tmp_path)
    (runner,) = runners()
    runner.kill()
    with pytest.raises(QueryError) as caught:
        await asyncio.wait_for(task, 60)
    assert caught.value.kind == Kind.INTERNAL
    # The server sees that nobody waits.
    await until(lambda: server.sql(ACTIVE) == "0")


async def test_the_end_of_the_service_ends_its_statements(
    server: PostgreSQL, context: Context, tmp_path: Path
) -> None:
    script = (
        "import asyncio, pathlib, sys; from casjobs_service.contexts import *; from casjobs_service.engines import *; "
        "from casjobs_service.limits import Limits; p = pathlib.Path; "
        "asyncio.run(run_remote(Contexts(p(sys.argv[1])).get('PG'), sys.argv[2], {}, p(sys.argv[3]), Limits()))"
    )
    arguments = [str(context.directory.parent), ENDLESS, str(tmp_path / "result.arrow")]
    service = subprocess.Popen([sys.executable, "-c", script, *arguments])
    await until(lambda: server.sql(ACTIVE) != "0")
    service.send_signal(signal.SIGKILL)
    service.wait()
    await until(lambda: server.sql(ACTIVE) == "0")


async def test_a_host_that_takes_connections_and_says_nothing(context: Context, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        contexts = Contexts(tmp_path / "casjobs/contexts")
        other = contexts.create("Silent", url=f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x")
        with pytest.raises(QueryError) as caught:
            await asyncio.wait_for(run_remote(other, "SELECT 1", {}, tmp_path / "1", Limits(seconds=1)), 60)
    assert caught.value.kind == Kind.UNAVAILABLE
