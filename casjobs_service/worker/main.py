"""A worker: one process, one session of one user."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.mydb import DIRECTORIES
from casjobs_service.worker import sandbox
from casjobs_service.worker.databases import Place, SessionDatabases
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
        places, own, session = lock_in(assignment, limits)
        channel.send({"event": "assigned"})
        Worker(channel, engine, limits, places, own, session, assignment["text_bytes"]).serve()
    except Closed:
        os._exit(0)


def lock_in(assignment: dict[str, Any], limits: Limits) -> tuple[list[Place], dict[str, Path], Path]:
    """Close the sandbox; the contexts, the user's databases and the session's directory as they are in it."""
    contexts = assignment["contexts"]
    writable = {"session": Path(assignment["session"])}
    for name, path in assignment["own"].items():
        writable[DIRECTORIES[name]] = Path(path)
    readable = {}
    for number, context in enumerate(contexts):
        readable[f"contexts/{number}.json"] = Path(context["catalog"])
        if context["data"]:
            readable[f"contexts/{number}.duckdb"] = Path(context["data"])
    view = sandbox.View(
        writable, readable, tuple({Path(context["folder"]) for context in contexts if context["folder"]})
    )
    mode = assignment["mode"]
    sandbox.close(view, limits, mode=mode, jail=Path(assignment["jail"]), uid=assignment["uid"], nice=limits.nice)
    places = [
        Place(
            context["name"],
            context["engine"],
            view.inside(f"contexts/{number}.duckdb", mode) if context["data"] else None,
            view.inside(f"contexts/{number}.json", mode),
        )
        for number, context in enumerate(contexts)
    ]
    own = {name: view.inside(DIRECTORIES[name], mode) for name in assignment["own"]}
    return places, own, view.inside("session", mode)


class Worker:
    """Serves the requests of a session."""

    def __init__(
        self,
        channel: Channel,
        engine: Engine,
        limits: Limits,
        places: list[Place],
        own: dict[str, Path],
        session: Path,
        text_bytes: int,
    ) -> None:
        self.engine = engine
        self.limits = limits
        self.session = session
        self.text_bytes = text_bytes
        self.link = Link(channel, engine.interrupt)
        self.databases = SessionDatabases(engine, self.link, places, own)

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
