"""A worker: one process, one session at a time, all of one user."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from casjobs_service.catalog import OWN
from casjobs_service.dialect import ENGINE_SETTINGS
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.mydb import DIRECTORIES
from casjobs_service.plan import Statement, Upload
from casjobs_service.worker import kernel, sandbox, tables
from casjobs_service.worker.databases import READ, Place, SessionDatabases
from casjobs_service.worker.engine import Engine
from casjobs_service.worker.explain import explain
from casjobs_service.worker.failures import explained
from casjobs_service.worker.link import Link
from casjobs_service.worker.preload import LateImports
from casjobs_service.worker.protocol import Channel, Closed
from casjobs_service.worker.script import DIALECT, Script
from casjobs_service.worker.warm import warm

UPLOAD_ROWS = 100_000
"""Rows of a table of the user that may be sent to another engine for one statement."""


def run(descriptor: int, settings: dict[str, Any]) -> None:
    """Get ready, wait for a session, be locked in, and serve it. Never returns."""
    os.nice(settings["nice"])
    channel = Channel(descriptor)
    box = sandbox.Sandbox(settings["mode"], Path(settings["jail"]))
    engine = Engine()
    if not settings["urgent"]:
        # Only mounts lock in threads that are there already.
        warm(engine, Limits(**settings["limits"]), formats=box.mode == sandbox.MOUNTS)
    try:
        channel.send({"event": "warm"})
        assignment = channel.receive()
        limits = Limits(**assignment["limits"])
        try:
            places, own, session, folders = lock_in(box, assignment, limits)
        except Exception:
            # Nothing that is printed arrives anywhere any more.
            channel.send({"event": "failed", "text": traceback.format_exc()})
            return
        channel.send({"event": "assigned"})
        Worker(channel, engine, limits, places, own, session, folders, assignment["text_bytes"]).serve(assignment)
    except Closed:
        os._exit(0)


def lock_in(
    box: sandbox.Sandbox, assignment: dict[str, Any], limits: Limits
) -> tuple[list[Place], dict[str, Path], Path, list[Path]]:
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
    box.close(view, limits, uid=assignment["uid"], nice=limits.nice)
    places = [
        Place(
            context["name"],
            context["engine"],
            view.inside(f"contexts/{number}.duckdb", box.mode) if context["data"] else None,
            view.inside(f"contexts/{number}.json", box.mode),
        )
        for number, context in enumerate(contexts)
    ]
    own = {name: view.inside(DIRECTORIES[name], box.mode) for name in assignment["own"]}
    return places, own, view.inside("session", box.mode), list(view.in_place)


REQUESTS: dict[str, Callable[[Worker, dict[str, Any]], dict[str, Any]]] = {
    "explain": explain,
    "catalog": tables.catalog,
    "sample": tables.read,
    "read": tables.read,
    "convert": tables.convert,
    "upload": tables.upload,
    "drop": tables.drop,
    "rename": tables.rename,
    "purge": tables.purge,
}


class Worker:
    """Serves the requests of a session, and then perhaps those of another one that may see exactly the same."""

    def __init__(
        self,
        channel: Channel,
        engine: Engine,
        limits: Limits,
        places: list[Place],
        own: dict[str, Path],
        session: Path,
        folders: list[Path],
        text_bytes: int,
    ) -> None:
        self.engine = engine
        self.limits = limits
        self.session = session
        self.text_bytes = text_bytes
        self.link = Link(channel, engine.interrupt)
        self.databases = SessionDatabases(engine, self.link, places, own)
        files = [self.databases.file(name) for name in own] + [place.data for place in places if place.data]
        self._parameters: dict[str, Any] = {}
        self._arrangement = (limits, session / "temporary", files, folders)

    def serve(self, assignment: dict[str, Any]) -> None:
        """Until the service ends it."""
        self.link.start()
        late = LateImports()
        sys.meta_path.append(late)
        while True:
            message = self.link.next_request()
            match message["do"]:
                case "run":
                    self._run(message["request"], late)
                case "rest":
                    self._rest()
                case "assign":
                    same = message == assignment
                    self.link.send({"event": "assigned"} if same else {"event": "failed", "text": "not the same"})

    def _run(self, request: dict[str, Any], late: LateImports) -> None:
        try:
            try:
                done = self._do(request)
            finally:
                self._tell(late)
        except Exception as error:
            failure = self.link.cancelled or explained(error, self.limits)
            if failure.kind is Kind.INTERNAL:
                self.link.send({"event": "log", "text": traceback.format_exc()})
            self.link.send({"event": "error", "error": failure.to_json()})
        else:
            self.link.send({"event": "done", **done})

    def _rest(self) -> None:
        """Have nothing left of the session, and be as ready as can be for the next."""
        try:
            self.engine.renew()
            # The engine closes its files with the last reference to any of its results.
            if number := sandbox.open_files():
                raise RuntimeError(f"{number} files are open after the end of a session")
            self.databases.begin()
            self.engine.arrange(*self._arrangement, ENGINE_SETTINGS[DIALECT])
            pa.default_memory_pool().release_unused()
            kernel.trim()
        except Exception:
            self.link.send({"event": "failed", "text": traceback.format_exc()})
            os._exit(1)
        self.link.send({"event": "rested"})

    def _tell(self, late: LateImports) -> None:
        if late.names:
            self.link.send({"event": "log", "text": f"Imported too late: {', '.join(late.names)}"})
            late.names.clear()

    def open(self, dialect: str = "") -> None:
        """Have the engine ready for statements that were written in this dialect, and closed for everything else."""
        self.engine.configure(*self._arrangement, ENGINE_SETTINGS.get(dialect, {}))

    def remote(self, statement: Statement, most: int = 0) -> pa.RecordBatchReader:
        """Rows of a statement for an engine that is reached by network: the service asks it.

        With `most`, one row more than that at most: no more are read.
        """
        uploads = {}
        for number, upload in enumerate(statement.uploads):
            uploads[upload.name] = f"upload-{number}.arrow"
            with self.databases.using({table.database: READ for table in statement.reads if table.database in OWN}):
                self._small(upload, self.session / uploads[upload.name])
        asked = {"event": "ask", "ask": "remote", "uploads": uploads, "most": most and most + 1}
        answer = self.link.ask({**asked, **self.remotely(statement)})
        return pa.ipc.open_stream(pa.OSFile(str(self.session / answer["file"])))

    def remotely(self, statement: Statement) -> dict[str, Any]:
        """What the service is told of a statement for another engine."""
        values = {name.lower(): value for name, value in self._parameters.items()}
        return {
            "context": statement.engine,
            "sql": statement.sql,
            # Of a variable that nobody has sent, only the plan is asked for.
            "parameters": [(name, values.get(name)) for name in statement.parameters],
        }

    def _small(self, upload: Upload, file: Path) -> None:
        rows = 0
        with (
            self.engine.stream(upload.sql) as reader,
            pa.OSFile(str(file), "wb") as sink,
            pa.ipc.new_stream(sink, reader.schema) as stream,
        ):
            for batch in reader:
                self.link.check()
                rows += batch.num_rows
                if rows > UPLOAD_ROWS:
                    raise QueryError(
                        f"A table of more than {UPLOAD_ROWS:,} rows cannot be sent to the database of this context.",
                        Kind.LIMIT,
                        hint="Select what you need of the context INTO MyDB first, and join there.",
                    )
                stream.write_batch(batch)

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        self._parameters = request.get("parameters") or {}
        if request.get("do") == "query":
            return Script(self, request).run()
        if (action := REQUESTS.get(request.get("do", ""))) is None:
            raise QueryError(f"A worker cannot do {request.get('do')}.", Kind.INTERNAL)
        if action is not tables.convert:  # which needs no engine, and may follow a query of any dialect
            self.open()
        try:
            return action(self, request)
        finally:
            self.databases.release()
