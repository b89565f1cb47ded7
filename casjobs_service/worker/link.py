"""A worker's conversation with the service, while its main thread is busy in an engine."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from casjobs_service.errors import Kind, QueryError
from casjobs_service.worker.protocol import Channel, Closed


class Link:
    """Reads what the service says in a thread of its own, so that a running query hears of it.

    The end of the service, or of the session, ends the process at once: whatever DuckDB is writing is then as after a
    power failure, which its files survive.

    Parameters
    ----------
    interrupt
        Called, in the reader's thread, when the session is cancelled.
    """

    def __init__(self, channel: Channel, interrupt: Callable[[], None]) -> None:
        self._channel = channel
        self._interrupt = interrupt
        self._sending = threading.Lock()
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.cancelled: QueryError | None = None
        self._reader = threading.Thread(target=self._read, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._reader.start()

    def next_request(self) -> dict[str, Any]:
        """Wait for what to do next."""
        return self._requests.get()

    def send(self, message: dict[str, Any]) -> None:
        """An event for the service."""
        with self._sending:
            self._channel.send(message)

    def send_data(self, data: bytes | memoryview) -> None:
        """Output for the client; waits while the client is slow."""
        with self._sending:
            self._channel.send_data(data)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Ask the service for something that only it can do, and wait.

        Raises
        ------
        QueryError
            The answer, or that the session was cancelled while it waited.
        """
        self.send(message)
        answer = self._answers.get()
        self.check()
        if answer is None:
            raise QueryError("The query was cancelled.", Kind.CANCELLED)
        if "error" in answer:
            raise QueryError.from_json(answer["error"])
        return answer

    def check(self) -> None:
        """Raise the reason if the session was cancelled."""
        if self.cancelled is not None:
            raise self.cancelled

    def _read(self) -> None:
        try:
            while True:
                message = self._channel.receive()
                match message.get("do"):
                    case "cancel":
                        self.cancelled = QueryError.from_json(message["error"])
                        self._answers.put(None)
                        self._interrupt()
                    case "answer":
                        self._answers.put(message)
                    case _:
                        self._requests.put(message)
        except (Closed, OSError):
            pass
        finally:
            os._exit(0)
