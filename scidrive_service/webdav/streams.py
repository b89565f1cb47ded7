"""The two directions of a client's connection."""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class Source(socket.SocketIO):
    """A client's socket.

    Attributes
    ----------
    is_quiet
        Say at once that there is nothing.
    until
        When what is read now must be here, by `time.monotonic`; None: whenever it comes.
    """

    is_quiet = False
    until: float | None = None

    def readinto(self, buffer: Any) -> int | None:
        if self.is_quiet:
            return None
        if self.until is not None and time.monotonic() > self.until:
            raise TimeoutError("timed out")
        return super().readinto(buffer)


class Reader(io.BufferedReader):
    """What comes from a client. cheroot's own is written in Python, and takes its time."""

    def __init__(self, client: socket.socket) -> None:
        self.source = Source(client, "rb")
        super().__init__(self.source, 16 * 1024)

    def has_data(self) -> bool:
        """Whether something of the next request is here already; cheroot asks as well."""
        return bool(self.here())

    def here(self) -> bytes:
        """What is here already, without waiting for more."""
        self.source.is_quiet = True
        try:
            return self.peek(1)
        finally:
            self.source.is_quiet = False


class Writer:
    """What goes to a client, at once."""

    def __init__(self, client: socket.socket) -> None:
        self.write = client.sendall


def make_file(client: socket.socket, mode: str, size: int = 0) -> Reader | Writer:
    return Reader(client) if "r" in mode else Writer(client)
