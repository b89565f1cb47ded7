"""The process from which workers are forked: everything is imported once, and each worker costs milliseconds.

It is run as ``python -m casjobs_service.worker.forkserver DESCRIPTOR`` with one end of a ``SOCK_SEQPACKET`` pair. Its
first message is ``{"ready": protections}``. The service sends ``{"fork": settings}`` with the worker's socket; the
answer is ``{"pid": n}`` with a pidfd, so that the service never signals a process that only has the number of one.
``{"exit": pid, "status": n}`` tells of an end.

It is a program of its own, not multiprocessing's: that one imports the parent's main module again, passes on the
parent's environment, and leaves its children alive when it is killed.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any

from casjobs_service.worker import kernel, sandbox

MESSAGE = 65536
"""Longest message in both directions, bytes."""


class ForkServer:
    """Forks workers when the service asks, and tells it when they end.

    Parameters
    ----------
    found
        Of `sandbox.probe`.
    """

    def __init__(self, control: socket.socket, found: dict[str, Any]) -> None:
        self._control = control
        self._found = found
        self._children: dict[int, int] = {}
        """pidfd to pid."""
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Until the service closes its end, or dies: then the workers end too, by `kernel.die_with_parent`."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._control.fileno():
                    if not self._request():
                        return
                else:
                    self._ended(descriptor)

    def _request(self) -> bool:
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE, 1)
        except ConnectionError:
            return False
        if not message:
            return False
        channel = descriptors[0]
        pid = os.fork()
        if pid == 0:
            self._child(channel, json.loads(message)["fork"])
        os.close(channel)
        descriptor = os.pidfd_open(pid)
        self._children[descriptor] = pid
        self._poll.register(descriptor, select.POLLIN)
        return self._tell({"pid": pid}, [descriptor])

    def _child(self, channel: int, settings: dict[str, Any]) -> None:
        """What the new process does; it never returns."""
        try:
            server = os.getppid()
            kernel.die_with_parent(signal.SIGKILL)
            # It may have died between fork and prctl.
            if os.getppid() == server:
                self._control.close()
                for descriptor in self._children:
                    os.close(descriptor)
                from casjobs_service.worker import main

                main.run(channel, {**settings, "mode": self._found["files"]})
        except BaseException:
            traceback.print_exc()
        finally:
            # No clean-up of the interpreter: threads of engines may be running.
            os._exit(0)

    def _ended(self, descriptor: int) -> None:
        pid = self._children.pop(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        self._tell({"exit": pid, "status": status}, [])

    def _tell(self, message: dict[str, Any], descriptors: list[int]) -> bool:
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)
        except OSError:
            return False
        return True


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    found = sandbox.probe()
    if found["files"] == sandbox.MOUNTS:
        sandbox.prepare()
    from casjobs_service.worker.preload import preload

    preload()
    # The collector would write to every object's header, and so copy every page in every worker.
    gc.collect()
    gc.freeze()
    socket.send_fds(control, [json.dumps({"ready": found}).encode()], [])
    ForkServer(control, found).serve()
    # Libraries have much to say at the end of the interpreter, and nobody to say it to.
    os._exit(0)


if __name__ == "__main__":
    main()
