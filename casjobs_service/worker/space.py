"""How large the user's databases may grow, enforced by the kernel while DuckDB writes."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import duckdb

from casjobs_service.catalog import MYDB
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.worker.engine import Engine
from casjobs_service.worker.sandbox import SLACK


class Space:
    """Room in one of the user's databases, which is open for writing.

    DuckDB knows no quota. A file that the kernel does not let grow any more makes the statement fail, and DuckDB then
    rolls back; what was there before stays readable.
    """

    def __init__(self, engine: Engine, limits: Limits, database: str, file: Path) -> None:
        self._engine = engine
        self._database = database
        self._file = file
        self._quota = limits.quota if database == MYDB else limits.scratch

    @contextlib.contextmanager
    def limited(self, *, frees: bool) -> Iterator[None]:
        """Let the file grow up to the quota, or a little more if the statement only removes something.

        To be closed before the transaction is: DuckDB sets the file's length then, and takes a refusal badly.

        Raises
        ------
        QueryError
            The quota is used up.
        """
        if not frees and self.used() >= self._quota:
            raise self._full()
        # It may be longer already, with free places in it that can be written again.
        most = max(self._quota, self._file.stat().st_size) + (SLACK if frees else 0)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (most, before[1]) if before[1] < 0 else (min(most, before[1]), before[1])
        )
        try:
            yield
        except duckdb.IOException as error:
            if "File too large" in str(error):
                raise self._full() from error
            raise
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def used(self) -> int:
        """Bytes of the database's contents, without what is free in its file."""
        rows = self._engine.execute(
            "SELECT used_blocks * block_size FROM pragma_database_size() WHERE database_name = $1", [self._database]
        )
        return int(rows[0][0])

    def _full(self) -> QueryError:
        used = min(self.used(), self._quota) / 1e6
        return QueryError(
            f"There is not enough room in {self._database}: {used:,.0f} MB of {self._quota / 1e6:,.0f} MB are used, "
            "and this needs more than what is left. Nothing was changed.",
            Kind.QUOTA,
            hint="Drop tables that you do not need any more, or select fewer rows or columns.",
        )
