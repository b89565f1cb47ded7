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
    def transaction(self, *, frees: bool) -> Iterator[None]:
        """A transaction during which the file may grow up to the quota.

        Or a little more if it only removes something, and while it is committed: DuckDB writes what it knows about the
        new rows then, and sets the file's length, and takes a refusal badly.

        Raises
        ------
        QueryError
            The quota is used up. Nothing was changed.
        """
        used = self.used()
        if not frees and used >= self._quota:
            raise self._full(used)
        # It may be longer already, with free places in it that can be written again.
        most = max(self._quota, self._file.stat().st_size)
        try:
            with _longest_file(most + SLACK), self._engine.transaction(), _longest_file(most + SLACK * frees):
                yield
        except duckdb.Error as error:
            if "File too large" in str(error):
                raise self._full(used) from error
            raise

    def used(self) -> int:
        """Bytes of the database's contents, without what is free in its file."""
        rows = self._engine.execute(
            "SELECT used_blocks * block_size FROM pragma_database_size() WHERE database_name = $1", [self._database]
        )
        return int(rows[0][0])

    def _full(self, used: int) -> QueryError:
        return QueryError(
            f"There is not enough room in {self._database}: {used / 1e6:,.1f} MB of {self._quota / 1e6:,.0f} MB "
            "are used, and this needs more than what is left. Nothing was changed.",
            Kind.QUOTA,
            hint="Drop tables that you do not need any more, or select fewer rows or columns.",
        )


@contextlib.contextmanager
def _longest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size if before[1] < 0 else min(size, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
