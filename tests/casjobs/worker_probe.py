"""The process that forks workers, with two requests more: what a user would do who is past the translator.

``raw`` runs a statement on the worker's own, locked connection; ``python`` runs code in the worker's process.
"""

from __future__ import annotations

import os
from typing import Any

from casjobs_service.catalog import OWN
from casjobs_service.worker import forkserver, main
from casjobs_service.worker.databases import READ


def raw(worker: main.Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Run ``sql`` with everything attached that the session may see."""
    wishes = dict.fromkeys((*OWN, *request.get("contexts", [])), READ)
    with worker.databases.using(wishes):
        return {"rows": repr(worker.engine.execute(request["sql"]))[:2000]}


def python(worker: main.Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Run ``code``; what it leaves in ``result``, or its error."""
    names: dict[str, Any] = {"os": os, "worker": worker}
    try:
        exec(request["code"], names)  # noqa: S102
    except BaseException as error:
        return {"error_class": type(error).__name__, "text": str(error), "errno": getattr(error, "errno", None)}
    return {"result": repr(names.get("result"))[:60_000]}


if __name__ == "__main__":
    main.REQUESTS |= {"raw": raw, "python": python}
    forkserver.main()
