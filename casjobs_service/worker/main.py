"""A worker: one process, one session of one user."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.worker.databases import SessionDatabases, places
from casjobs_service.worker.engine import Engine
from casjobs_service.worker.failures import explained
from casjobs_service.worker.link import Link
from casjobs_service.worker.protocol import Channel, Closed
from casjobs_service.worker.script import Script


def run(descriptor: int, settings: dict[str, Any]) -> None:
    """Get ready, wait for a session, be locked in, and serve it. Never returns."""
    os.nice(settings["nice"])
    channel = Channel(descriptor)
    engine = Engine()
    try:
        channel.send({"event": "warm"})
        assignment = channel.receive()
        limits = Limits(**assignment["limits"])
        channel.send({"event": "assigned"})
        Worker(channel, engine, limits, assignment).serve()
    except Closed:
        os._exit(0)


class Worker:
    """Serves the requests of a session."""

    def __init__(self, channel: Channel, engine: Engine, limits: Limits, assignment: dict[str, Any]) -> None:
        self.engine = engine
        self.limits = limits
        self.text_bytes = assignment["text_bytes"]
        self.session = Path(assignment["session"])
        self.link = Link(channel, engine.interrupt)
        own = {name: Path(path) for name, path in assignment["own"].items()}
        self.databases = SessionDatabases(engine, self.link, places(assignment["contexts"]), own)

    def serve(self) -> None:
        """Until the service ends it."""
        self.link.start()
        while True:
            request = self.link.next_request()["request"]
            try:
                done = self._do(request)
            except Exception as error:
                failure = self.link.cancelled or explained(error, self.limits)
                if failure.kind is Kind.INTERNAL:
                    self.link.send({"event": "log", "text": traceback.format_exc()})
                self.link.send({"event": "error", "error": failure.to_json()})
            else:
                self.link.send({"event": "done", **done})

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("do"):
            case "query":
                return Script(self, request).run()
            case other:
                raise QueryError(f"A worker cannot do {other}.", Kind.INTERNAL)
