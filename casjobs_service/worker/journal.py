"""Exactly once: what a job has written is noted in the same file, in the same transaction.

A job that runs again, because its worker or the service was killed, does not repeat what is noted; and it goes on with
the plan of its first run, because its own tables have changed what its text would mean now.
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict
from typing import Any

from casjobs_service.catalog import Column
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Action, Statement, TableName, Upload
from casjobs_service.worker.engine import Engine, quoted

SCHEMA = "sciserver"
"""Hidden from users, who can name only tables of the schema ``main``."""

KEPT = "30 days"
"""No job is started again after so long a time."""


def note(engine: Engine, database: str, job: int, index: int, rows: int | None, plan: list[Statement]) -> None:
    """Note that a statement is done, in the transaction that does it."""
    schema = f"{quoted(database)}.{SCHEMA}"
    engine.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    engine.execute(
        f"CREATE TABLE IF NOT EXISTS {schema}.journal "
        "(job BIGINT, statement INTEGER, row_count BIGINT, done TIMESTAMP, plan VARCHAR)"
    )
    engine.execute(f"DELETE FROM {schema}.journal WHERE done < now()::TIMESTAMP - INTERVAL '{KEPT}'")  # noqa: S608
    [(first,)] = engine.execute(f"SELECT count(*) = 0 FROM {schema}.journal WHERE job = $1", [job])  # noqa: S608
    text = json.dumps([asdict(statement) for statement in plan]) if first else None
    engine.execute(
        f"INSERT INTO {schema}.journal VALUES ($1, $2, $3, now()::TIMESTAMP, $4)",  # noqa: S608 - our own names
        [job, index, rows, text],
    )


def read(engine: Engine, database: str, job: int) -> tuple[dict[int, int | None], list[Statement] | None]:
    """What of a job is done in a database that is open: rows by statement; and the plan, if it is noted here."""
    exists = engine.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2", [database, SCHEMA]
    )
    if not exists:
        return {}, None
    found = engine.execute(
        f"SELECT statement, row_count, plan FROM {quoted(database)}.{SCHEMA}.journal WHERE job = $1",  # noqa: S608
        [job],
    )
    plan = next((text for _, _, text in found if text), None)
    return {index: rows for index, rows, _ in found}, [_statement(item) for item in json.loads(plan)] if plan else None


def repeated(plan: list[Statement], done: Container[int]) -> set[int]:
    """Statements that a second run leaves out, beside those that are done.

    Temporary tables, variables and results have died with the first run. They are made again, unless nothing needs
    them any more.

    Raises
    ------
    QueryError
        Something is needed that cannot be made again: it was read from a table that the job itself has changed since.
    """
    skipped = set()
    for index, statement in enumerate(plan):
        if index in done:
            continue
        later = {plan[other].target for other in range(index + 1, len(plan)) if other in done}
        if not later.intersection(statement.reads):
            continue
        rest = [plan[other] for other in range(index + 1, len(plan)) if other not in done and other not in skipped]
        if statement.action is Action.SELECT or any(_uses_session(other) for other in rest):
            raise QueryError(
                f"The server was restarted while this query ran. What it has written up to line "
                f"{max(plan[other].line for other in range(len(plan)) if other in done)} is there; the rest cannot be "
                "repeated exactly, because it depends on tables that have changed since.",
                Kind.INTERNAL,
                line=statement.line,
                column=statement.column,
                hint="Submit the rest again.",
            )
        skipped.add(index)
    return skipped


def _uses_session(statement: Statement) -> bool:
    text = statement.sql.lower()
    return '"temp"' in text or "temp.main" in text or "getvariable(" in text


def _statement(item: dict[str, Any]) -> Statement:
    return Statement(
        **{
            **item,
            "action": Action(item["action"]),
            "reads": [TableName(**table) for table in item["reads"]],
            "target": TableName(**item["target"]) if item["target"] else None,
            "columns": [Column(*column) for column in item["columns"]],
            "uploads": [Upload(**upload) for upload in item["uploads"]],
            "positions": [tuple(position) for position in item["positions"]],
        }
    )
