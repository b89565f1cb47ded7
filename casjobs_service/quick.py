"""Quick queries: somebody holds the line, so they start soon, end soon, and are streamed."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from casjobs_service.feed import Event
from casjobs_service.limits import Limits
from casjobs_service.models import User
from casjobs_service.queue import Scheduler


class Quick(LoggingConfigurable):
    """Runs quick queries, and whatever else needs a session of somebody who waits.

    Parameters
    ----------
    scheduler
        Its store, workers and sources are used; it takes over what runs out of time.
    limits
        Of each query; the time is this class's.
    """

    seconds = Float(60.0, help="Time limit of quick queries. Seconds.").tag(config=True)
    running = Integer(
        max(4, 2 * (os.cpu_count() or 1)), help="Quick queries that run at once, all users together."
    ).tag(config=True)
    per_user = Integer(2, help="Quick queries of one user that run at once.").tag(config=True)
    waiting = Integer(1000, help="Quick queries that may wait for their turn, all users together.").tag(config=True)
    waiting_per_user = Integer(100, help="Quick queries of one user that may wait for their turn.").tag(config=True)
    wait_seconds = Float(60.0, help="A quick query waits no longer for its turn. Seconds.").tag(config=True)

    def __init__(self, scheduler: Scheduler, limits: Limits, **traits: Any) -> None:
        super().__init__(**traits)
        self.scheduler = scheduler
        self.limits = limits

    async def run_quick(
        self,
        user: User,
        *,
        query: str,
        context: str,
        groups: Iterable[str] = (),
        may_write: bool = True,
        dialect: str = "tsql",
        task_name: str = "",
        output: dict[str, Any],
        seconds: float | None = None,
        longest: float | None = None,
        queue_on_timeout: bool = False,
        host_ip: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Run a query and stream its result; close the generator when the client has gone.

        Parameters
        ----------
        output
            ``format``, ``compression``, ``result``, for the worker.
        seconds, longest
            The context's own limits of quick and of long queries.
        queue_on_timeout
            Go on in the long queue when the time is over. The result is then complete before its first byte is sent.

        Yields
        ------
        The session's events and bytes; with `queue_on_timeout` possibly a last ``{"event": "queued", "job": id,
        "continues": bool}``.

        Raises
        ------
        QueryError
            `places.Busy` if there are too many.
        """
        raise NotImplementedError
        yield {}

    async def ask(
        self, user: User, request: dict[str, Any], *, groups: Iterable[str] = (), seconds: float | None = None
    ) -> AsyncGenerator[Event, None]:
        """Have a session do `request` (``explain``, ``sample``, ``read``, …), under the same limits, without a
        record in the history."""
        raise NotImplementedError
        yield {}

    async def stop(self) -> None:
        """End what runs."""
