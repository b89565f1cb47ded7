"""What the handlers work with: the service's parts, and the few ways in which they are used together."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casjobs_service.catalog import Catalog
from casjobs_service.contexts import Contexts
from casjobs_service.errors import Kind, QueryError
from casjobs_service.feed import Event
from casjobs_service.models import JobKind, User
from casjobs_service.queue import Scheduler
from casjobs_service.quick import Quick
from casjobs_service.store import Store
from casjobs_service.worker.pool import Workers
from casjobs_service.worker.session import Session

UPLOAD = "upload"
"""Name of a file in the session's directory."""


@dataclass
class Parts:
    """The service's parts.

    Attributes
    ----------
    public_url
        Where browsers find the service; no slash at its end.
    uploads
        Directory of files that are on their way.
    upload_bytes
        Largest file that may be sent.
    upload_seconds
        Time for making a table of it.
    uploads_per_user
        Files of one user that may be on their way at once.
    """

    public_url: str
    contexts: Contexts
    store: Store
    workers: Workers
    scheduler: Scheduler
    quick: Quick
    uploads: Path
    upload_bytes: int
    upload_seconds: float
    uploads_per_user: int
    _sending: Counter[str] = field(default_factory=Counter)

    def prepare(self) -> None:
        """Make the directory of uploads; what is in it was left by a service that died."""
        shutil.rmtree(self.uploads, ignore_errors=True)
        self.uploads.mkdir(mode=0o700, parents=True)

    async def ask(
        self, user: User, request: dict[str, Any], groups: Sequence[str] = (), **options: Any
    ) -> dict[str, Any]:
        """Have a worker do something whose answer is its last event; `options` are those of `Quick.ask`."""
        answer: dict[str, Any] = {}
        async with contextlib.aclosing(self.quick.ask(user, request, groups=groups, **options)) as events:
            async for event in events:
                if isinstance(event, dict):
                    answer |= event
        return answer

    async def own_catalog(self, user: User, database: str) -> Catalog:
        """What is in somebody's MyDB or MyScratch."""
        answer = await self.ask(user, {"do": "catalog", "database": database})
        return Catalog.from_json(answer["catalog"])

    async def upload(
        self, user: User, file: Path, *, database: str, table: str, file_format: str, mode: str, task_name: str
    ) -> dict[str, Any]:
        """Make a table from a file, which is gone afterwards; the worker's answer."""

        def lend(session: Session) -> None:
            # Read by the user's own account.
            file.chmod(0o444)
            file.rename(session.directory / UPLOAD)

        return await self.ask(
            user,
            {
                "do": "upload",
                "database": database,
                "table": table,
                "file": UPLOAD,
                "format": file_format,
                "mode": mode,
            },
            seconds=self.upload_seconds,
            prepare=lend,
            record={
                "kind": JobKind.UPLOAD,
                "query": f"-- upload of {database}.{table} ({file_format}, {mode})",
                "context": database,
                "task_name": task_name,
                "output_type": "UPLOAD",
                "params": f"{database}.{table}",
            },
        )

    def kept(
        self, user: User, results: Sequence[dict[str, Any]], output: dict[str, Any]
    ) -> AsyncGenerator[Event, None]:
        """Results of a long job, in another form.

        Raises
        ------
        FileNotFoundError
            They have just been removed.
        """

        def lend(session: Session) -> None:
            self.scheduler.kept.lend(results, session.directory)

        # As `Kept.lend` names them.
        spools = [f"kept-{result['index']}.arrow" for result in results]
        return self.quick.ask(user, {"do": "convert", "spools": spools, "output": output}, prepare=lend)

    @contextlib.contextmanager
    def sending(self, name: str) -> Iterator[None]:
        """Count a file of a user that is on its way.

        Raises
        ------
        QueryError
            There are too many already.
        """
        if self._sending[name] >= self.uploads_per_user:
            raise QueryError(f"{self.uploads_per_user} uploads of yours are on their way already.", Kind.LIMIT)
        self._sending[name] += 1
        try:
            yield
        finally:
            self._sending[name] -= 1
