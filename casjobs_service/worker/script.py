"""Runs a script: translate, then one statement after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from casjobs_service.dialect import translate
from casjobs_service.plan import Action, Statement
from casjobs_service.results import Stats, with_columns
from casjobs_service.worker.databases import READ
from casjobs_service.worker.output import Formatted, Output, Spooled, measured, send

if TYPE_CHECKING:
    from casjobs_service.worker.main import Worker


class Script:
    """One ``query``."""

    def __init__(self, worker: Worker, request: dict[str, Any]) -> None:
        self._worker = worker
        self._engine = worker.engine
        self._link = worker.link
        self._databases = worker.databases
        self._request = request
        self._rows = 0

    def run(self) -> dict[str, Any]:
        """Do it; what the event ``done`` says."""
        request = self._request
        dialect = request.get("dialect") or "tsql"
        statements = translate(
            request["text"],
            self._databases,
            request["context"],
            dialect=dialect,
            may_write=request.get("may_write", False),
        )
        self._engine.configure(
            self._worker.limits,
            self._worker.session,
            [str(self._worker.session.parent.parent)],
            "nocase" if dialect == "tsql" else "",
        )
        self._link.send({"event": "plan", "statements": [asdict(statement) for statement in statements]})
        results = sum(statement.action is Action.SELECT for statement in statements)
        wish = request.get("output") or {}
        if wish.get("spool"):
            for _ in self._pieces(statements, Spooled(self._worker.session)):
                pass
        else:
            output = Formatted(wish, results, self._worker.session)
            send(self._link, self._pieces(statements, output), output.media_type, wish.get("compression") or "")
        return {"rows": self._rows}

    def _pieces(self, statements: list[Statement], output: Output) -> Iterator[bytes]:
        """Run the statements; bytes for the client."""
        yield from output.begin()
        results = 0
        for index, statement in enumerate(statements):
            self._link.check()
            begun = time.monotonic()
            rows: int | None = None
            if statement.action is Action.SELECT:
                results += 1
                stats = Stats()
                with self._databases.using({table.database: READ for table in statement.reads}):
                    self._engine.prepare(statement.prelude)
                    reader = self._engine.stream(statement.sql)
                    schema = with_columns(reader.schema, statement.columns)
                    batches = measured(reader, self._worker.limits, self._link.check, stats)
                    self._link.send(
                        {
                            "event": "result",
                            "index": results,
                            "name": f"Table{results}",
                            "columns": [{"name": f.name, "type": str(f.type)} for f in schema],
                        }
                    )
                    yield from output.result(results, schema, batches)
                rows = stats.rows
                self._rows += rows
            elif statement.action is Action.SESSION:
                self._engine.prepare(statement.prelude)
                self._engine.execute(statement.sql)
            self._link.send(
                {
                    "event": "statement",
                    "index": index,
                    "action": str(statement.action),
                    "rows": rows,
                    "table": str(statement.target) if statement.target else None,
                    "seconds": round(time.monotonic() - begun, 4),
                }
            )
        yield from output.end()
