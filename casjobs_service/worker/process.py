"""One worker process, and the process that forks them, as the service sees them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from typing import Any

from casjobs_service.worker.forkserver import MESSAGE
from casjobs_service.worker.protocol import CHUNK, Closed, encode, receive

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # Threads that libraries start for themselves at import would not survive the fork.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""All of it: nothing of the service's environment, which may hold secrets, reaches a worker."""


class ForkServerGone(Exception):
    """The process that forks workers has ended; a new one can be started."""


def _spawn(program: str, control: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", program, str(control.fileno())],
        pass_fds=[control.fileno()],
        stdin=subprocess.DEVNULL,
        env=ENVIRONMENT,
        # A Ctrl-C, or a signal to the service's group, is for the service to answer.
        start_new_session=True,
    )


class WorkerProcess:
    """A worker: its socket, and a pidfd, which never means another process that has got the same number.

    Attributes
    ----------
    assignment
        What it is locked in for; empty before.
    sessions
        How many it has served, or serves.
    ended
        Done when the process is dead. Its result is the status of `os.waitpid`, or None if nobody can know it.
    """

    def __init__(self, pid: int, pidfd: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._reader = reader
        self._writer = writer
        self.assignment: dict[str, Any] = {}
        self.sessions = 0
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def receive(self) -> dict[str, Any] | bytes:
        """The next message or piece of output.

        Raises
        ------
        protocol.Closed
            The worker has ended.
        """
        return await receive(self._reader)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; a worker that has ended is noticed by `receive`."""
        self._writer.write(encode(message))

    def kill(self) -> None:
        """End it, whatever it is doing."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def urge(self) -> None:
        """Somebody waits for it: no longer behind all others on the processor. Only root may say so."""
        if os.geteuid() == 0:
            self.renice(0)

    def renice(self, nice: int) -> None:
        """Set the niceness of all its threads; does nothing if it has ended, or may not be changed."""
        if not self.ended.done():
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{self.pid}/task"):  # noqa: PTH208
                    os.setpriority(os.PRIO_PROCESS, int(thread), nice)

    def set_ended(self, status: int | None) -> None:
        """The process is dead."""
        if not self.ended.done():
            self.ended.set_result(status)
            os.close(self._pidfd)
            self._writer.transport.abort()


class ForkServer:
    """The process that forks workers: start, order, watch.

    Use `start`. When it dies, the kernel kills its workers.

    Attributes
    ----------
    protections
        What its workers are locked in with; see `sandbox.protections`.
    gone
        Done when it has ended.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, log: logging.Logger | Any) -> None:
        self._process = process
        self._control = control
        self._log = log
        self._workers: dict[int, WorkerProcess] = {}
        self._orders: deque[asyncio.Future[tuple[int, int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.protections: dict[str, Any] = {}
        self._loop.add_reader(control, self._readable)

    @classmethod
    async def start(cls, program: str, log: logging.Logger | Any) -> ForkServer:
        """Start one, and wait until it has imported everything.

        Parameters
        ----------
        program
            Name of the module that it runs.

        Raises
        ------
        ForkServerGone
            It has ended instead; the log says why.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = await asyncio.to_thread(_spawn, program, theirs)
        ours.setblocking(False)
        server = cls(process, ours, log)
        server.protections = await server._ready
        return server

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def fork(self, settings: dict[str, Any]) -> WorkerProcess:
        """Make a worker with these settings.

        Raises
        ------
        ForkServerGone
            The process has ended.
        """
        if self.gone.done():
            raise ForkServerGone
        ours, theirs = socket.socketpair()
        # Bytes on the way are not lost to a client that is a little slower.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=2 * CHUNK)
        order: asyncio.Future[tuple[int, int]] = self._loop.create_future()
        with theirs:
            try:
                socket.send_fds(self._control, [json.dumps({"fork": settings}).encode()], [theirs.fileno()])
            except OSError as error:
                writer.transport.abort()
                raise ForkServerGone from error
        self._orders.append(order)
        pid, pidfd = await order
        worker = WorkerProcess(pid, pidfd, reader, writer)
        self._workers[pid] = worker
        return worker

    async def stop(self) -> None:
        """End it, and with it all workers."""
        self._control.close() if self.gone.done() else self._lost()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    def _readable(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE, 1)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            message = json.loads(data)
            if "pid" in message:
                self._orders.popleft().set_result((message["pid"], descriptors[0]))
            elif "exit" in message:
                self._workers.pop(message["exit"]).set_ended(message["status"])
            else:
                self._ready.set_result(message["ready"])

    def _lost(self) -> None:
        if self.gone.done():
            return
        self._loop.remove_reader(self._control)
        self._control.close()
        self.gone.set_result(None)
        if not self._ready.done():
            self._ready.set_exception(ForkServerGone())
        for order in self._orders:
            order.set_exception(ForkServerGone())
        for worker in self._workers.values():
            worker.kill()
            worker.set_ended(None)


__all__ = ["Closed", "ForkServer", "ForkServerGone", "WorkerProcess"]
