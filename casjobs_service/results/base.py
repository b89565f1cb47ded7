"""What a writer of a format is."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import ClassVar

import pyarrow as pa

from casjobs_service.results.cut import Rows
from casjobs_service.results.metadata import table_name
from casjobs_service.results.stats import Stats

NO_COLUMNS = pa.schema([])
"""Schema of what a statement without a result set returns."""


class Writer(abc.ABC):
    """Makes one file of a format, in order: `begin`, `table` for each result, `end`.

    A writer keeps no rows: it needs memory for one batch. A file without a call of `table` is a valid, empty one.

    Attributes
    ----------
    name
        In `casjobs_service.results.formats.FORMATS`, and in ``?format=``.
    media_type
        Of the file.
    extension
        Of the file's name, without a dot.
    needs_spool
        `table` reads its batches more than once and needs `stats`: they come from `open_spool`.
    many
        The file can hold several tables. With the others, a second call of `table` is an error of the caller.
    """

    name: ClassVar[str]
    media_type: ClassVar[str]
    extension: ClassVar[str]
    needs_spool: ClassVar[bool] = False
    many: ClassVar[bool] = False

    def __init__(self) -> None:
        self.tables = 0
        self._read = Rows(())

    @property
    def cut(self) -> bool:
        """Whether rows were left out of the table, known when its last batch was read; see `Rows`."""
        return self._read.cut

    def begin(self) -> bytes:
        """First bytes of the file; may be empty."""
        return b""

    def table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None = None
    ) -> Iterator[bytes]:
        """Bytes of one table, about one piece per batch.

        Parameters
        ----------
        name
            Empty: that of the metadata, else ``Table1``, ``Table2`` …
        schema
            Names of the columns, and the metadata. Without fields for a statement without a result set.
        batches
            With the types of `schema`; names and metadata may differ. The last may be that of `results.cut`.
        stats
            Where they are known. VOTable is smaller with them.
        """
        self.tables += 1
        if self.tables > 1 and not self.many:
            raise ValueError(f"{self.name} holds one table")
        self._read = Rows(batches)
        return self._table(name or table_name(schema) or f"Table{self.tables}", schema, self._read, stats)

    def end(self) -> bytes:
        """Last bytes of the file; may be empty."""
        empty = b"" if self.tables else b"".join(self.table("", NO_COLUMNS, (), Stats()))
        return empty + self._tail()

    @abc.abstractmethod
    def _table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None
    ) -> Iterator[bytes]: ...

    def _tail(self) -> bytes:
        return b""
