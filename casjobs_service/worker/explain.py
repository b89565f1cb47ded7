"""What a script would do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from casjobs_service.dialect import undeclared
from casjobs_service.parameters import Parameter, read
from casjobs_service.plan import Action, Statement
from casjobs_service.worker.databases import READ
from casjobs_service.worker.failures import located
from casjobs_service.worker.script import plan

if TYPE_CHECKING:
    from casjobs_service.worker.main import Worker

_PLANNED = (Action.SELECT, Action.INTO, Action.INSERT)


def explain(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Translate a script without running it.

    Returns
    -------
    dict
        ``statements`` (`casjobs_service.plan.Statement`, each with ``plan``: the engine's text, and ``estimate``:
        about how many rows it returns or writes; None where nobody can know), ``tables`` that are touched, each with
        ``rows`` where known, ``rows``: the largest estimate, ``parameters``: variables that the script uses, that it
        does not declare and the request does not send. They are taken for numbers; to run it, one must.
    """
    given = read(request.get("parameters"))
    tsql = (request.get("dialect") or "tsql") == "tsql"
    parameters = [name for name in undeclared(request["text"]) if name not in given] if tsql else []
    statements = plan(worker, request, [Parameter(name, "bigint", None) for name in parameters])
    worker.engine.bind(given)
    described = []
    made = False
    for statement in statements:
        text, estimate = "", None
        # A plan needs the tables: those that the script would make are not there.
        if statement.action in _PLANNED and not made:
            text, estimate = _remote(worker, statement) if statement.engine else _local(worker, statement)
        made = made or statement.action not in (Action.SELECT, Action.NOTHING)
        described.append({**asdict(statement), "plan": text, "estimate": estimate})
    estimates = [item["estimate"] for item in described if item["estimate"] is not None]
    return {
        "statements": described,
        "tables": _tables(worker, statements),
        "rows": max(estimates, default=None),
        "parameters": parameters,
    }


def _local(worker: Worker, statement: Statement) -> tuple[str, int | None]:
    try:
        with worker.databases.using({table.database: READ for table in statement.reads}):
            worker.engine.prepare(statement.prelude)
            [(_, text)] = worker.engine.execute(f"EXPLAIN {statement.sql}")
            [(_, tree)] = worker.engine.execute(f"EXPLAIN (FORMAT json) {statement.sql}")
    except Exception as error:
        raise located(error, statement, worker.limits) from error
    return text, _estimate(json.loads(tree))


def _estimate(tree: list[dict[str, Any]]) -> int | None:
    """Rows of the uppermost operator for which the engine has an estimate."""
    while tree:
        node = tree[0]
        value = node.get("extra_info", {}).get("Estimated Cardinality")
        if value is not None:
            return int(str(value).lstrip("~"))
        tree = node.get("children", [])
    return None


def _remote(worker: Worker, statement: Statement) -> tuple[str, int | None]:
    answer = worker.link.ask({"event": "ask", "ask": "explain", **worker.remotely(statement)})
    return answer["plan"], answer["rows"]


def _tables(worker: Worker, statements: list[Statement]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for statement in statements:
        for table, access in [(name, "read") for name in statement.reads] + [(statement.target, "write")]:
            if table is None or table.database == "temp":
                continue
            catalog = worker.databases.catalog(table.database)
            known = catalog.table(table.table) if catalog else None
            item = found.setdefault(
                (table.database, table.table),
                {
                    "database": table.database,
                    "table": table.table,
                    "rows": known.rows if known else None,
                    "access": [],
                },
            )
            if access not in item["access"]:
                item["access"].append(access)
    return list(found.values())
