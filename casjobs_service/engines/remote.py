"""Statements for engines that are reached by network, seen from the service: one process for each.

A driver can hang in a system call, a server can stop answering, a result can be larger than memory: whatever happens
is ended with the process, within a second.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from casjobs_service.catalog import Catalog
from casjobs_service.contexts import Context, ContextError, Contexts, ContextSource
from casjobs_service.engines.base import CONNECT_SECONDS, Explanation, too_long, unavailable
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits

log = logging.getLogger(__name__)

_KILL_SECONDS = 0.6
"""After the end of standard input; the process ends by itself before, if it can."""

_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class RemoteResult:
    """What `run_remote` has written: rows, and their size as Arrow in bytes."""

    rows: int
    bytes: int


Sent = Sequence[tuple[str, Any]]
"""Parameters in the order of their places: names, and values as `casjobs_service.parameters.one` reads them."""


async def run_remote(
    context: Context | ContextSource,
    sql: str,
    uploads: Mapping[str, Path],
    target: Path,
    limits: Limits,
    parameters: Sent = (),
    *,
    most: int = 0,
) -> RemoteResult:
    """Run a statement on the engine of a context and write its rows as an Arrow IPC stream.

    To cancel it, cancel the task that waits: the server is told, and the process is gone within a second.

    Parameters
    ----------
    uploads
        Arrow IPC stream files by the name of the temporary table that each becomes.
    target
        File to be made; must not exist. It, and the files of `uploads`, may be in a directory that belongs to the
        user: links are not followed.
    most
        Rows to read, if not all: the rest is left at the engine.

    Raises
    ------
    QueryError
        With its `detail`, which is for the log, as a note.
    """
    task: dict[str, Any] = {
        "do": "run",
        "sql": sql,
        "parameters": parameters,
        "result": limits.result,
        "rows": limits.rows,
        "most": most,
        "uploads": [],
    }
    files: list[int] = []
    try:
        for name, path in uploads.items():
            files.append(_open(path, os.O_RDONLY | os.O_NONBLOCK))
            task["uploads"].append((name, files[-1]))
        files.append(_open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        task["target"] = files[-1]
        # The worker reads it under the user's account, whatever our umask is.
        os.fchmod(files[-1], 0o644)
        with tempfile.TemporaryFile(dir=target.parent) as scratch:
            task["scratch"] = scratch.fileno()
            answer = await _ask(context, task, limits, (*files, scratch.fileno()))
    finally:
        for descriptor in files:
            os.close(descriptor)
    return RemoteResult(answer["rows"], answer["bytes"])


def _open(path: Path, flags: int) -> int:
    """Open a file in a directory where the user's processes can put links, pipes and whatever else."""
    try:
        # Not to wait: for the other end of a pipe.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    except OSError as error:
        raise QueryError("A file of the session is not what it should be.", Kind.INTERNAL) from error
    raise QueryError("A file of the session is not what it should be.", Kind.INTERNAL)


async def explain_remote(
    context: Context | ContextSource, sql: str, limits: Limits, parameters: Sent = ()
) -> Explanation:
    """How the engine of a context would run a statement.

    Raises
    ------
    QueryError
        The engine refuses the statement, or does not answer.
    """
    answer = await _ask(context, {"do": "explain", "sql": sql, "parameters": parameters}, limits)
    return Explanation(**answer["explanation"])


def catalog_of(context: Context, password: str | None = None, seconds: float = 120.0) -> Catalog:
    """What the database of a context contains, asked of its engine; for the operator's command.

    Parameters
    ----------
    password
        In place of the one that is kept.

    Raises
    ------
    ContextError
        The engine does not answer or refuses; with the driver's own words.
    """
    task = {"do": "catalog", "database": context.name}
    try:
        answer = asyncio.run(_ask(context, task, Limits(seconds=seconds), password=password))
    except QueryError as error:
        detail = " ".join(getattr(error, "__notes__", []))
        raise ContextError(f"{error.message} {detail}".strip()) from error
    return Catalog.from_json(answer["catalog"])


async def _ask(
    context: Context | ContextSource,
    task: dict[str, Any],
    limits: Limits,
    files: tuple[int, ...] = (),
    password: str | None = None,
) -> dict[str, Any]:
    settings = _settings(context)
    if password is None:
        try:
            password = settings.password()
        except ContextError as error:
            log.error("%s", error)
            raise unavailable() from error
    task |= {
        "engine": settings.engine,
        "url": settings.url,
        "password": password,
        "seconds": limits.seconds,
        "memory": limits.memory,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-m", "casjobs_service.engines.runner"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=files,
        cwd="/",
        env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
        limit=64 << 20,
    )
    errors = asyncio.ensure_future(_tail(cast(asyncio.StreamReader, process.stderr)))
    answer: dict[str, Any] = {}
    connected = asyncio.Event()
    try:
        cast(asyncio.StreamWriter, process.stdin).write(json.dumps(task).encode() + b"\n")
        # One second more than the server has: it ends the statement in an orderly way.
        async with asyncio.timeout(limits.seconds + 1):
            answer = await _answer(process, connected)
    except TimeoutError as error:
        raise (too_long(limits.seconds) if connected.is_set() else unavailable()) from error
    finally:
        await _end(process)
        complaint = await errors
    if "error" in answer:
        failure = QueryError.from_json(answer["error"])
        if detail := answer.get("detail"):
            failure.add_note(detail)
            if failure.kind == Kind.UNAVAILABLE:
                log.warning("The engine of the context %s: %s", settings.name, detail)
        raise failure
    if not answer:
        log.error("The process for the context %s ended with %s: %s", settings.name, process.returncode, complaint)
        raise QueryError("The query could not be run at the database of this context.", Kind.INTERNAL)
    return answer


async def _answer(process: asyncio.subprocess.Process, connected: asyncio.Event) -> dict[str, Any]:
    stdout = cast(asyncio.StreamReader, process.stdout)
    # Some drivers do not count every step of a connection, so we do.
    async with asyncio.timeout(CONNECT_SECONDS + 5):
        first = await stdout.readline()
    answer = json.loads(first) if first else {}
    if "connected" in answer:
        connected.set()
        last = await stdout.readline()
        answer = json.loads(last) if last else {}
    return dict(answer)


async def _end(process: asyncio.subprocess.Process) -> None:
    cast(asyncio.StreamWriter, process.stdin).close()
    # Also when the waiting task is cancelled once more: a process that nobody waits for would stay.
    await asyncio.shield(asyncio.ensure_future(_wait_or_kill(process)))


async def _wait_or_kill(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_KILL_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _tail(stream: asyncio.StreamReader) -> str:
    kept = b""
    while part := await stream.read(4096):
        kept = (kept + part)[-2000:]
    return kept.decode(errors="replace").strip()


def _settings(context: Context | ContextSource) -> Context:
    if isinstance(context, ContextSource):
        found = Contexts(context.directory.parent).get(context.name)
        if found is None:
            raise QueryError(f"There is no context {context.name} any more.", Kind.NAME)
        context = found
    return context
