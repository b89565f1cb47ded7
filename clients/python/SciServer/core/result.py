"""What a query returns, for the synchronous and the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from SciServer.core import convert
from SciServer.core.errors import SciServerError
from SciServer.core.models import Column
from SciServer.core.rows import Rows

if TYPE_CHECKING:
    import astropy.table
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from SciServer.core.asynchronous import AsyncDriver
    from SciServer.core.blocking import BlockingDriver


class _Common:
    """What both have."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._table: pa.Table | None = None
        self._is_taken = False

    @property
    def columns(self) -> list[Column]:
        """Names, Arrow types, units, UCDs and descriptions; empty if the query has no result."""
        return self._rows.columns

    @property
    def schema(self) -> pa.Schema:
        """The columns as Arrow's schema, with ``unit``, ``ucd`` and ``description`` in their metadata."""
        return self._rows.schema

    @property
    def is_cut(self) -> bool:
        """Whether there were more rows than the limit; known when all are read."""
        return self._rows.is_cut

    def _take(self) -> None:
        if self._is_taken:
            raise SciServerError("The rows went through batches() and are not kept: run the query again.")

    def __repr__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        rows = f"{self._rows.rows} rows" + ("" if self._rows.is_done else " so far")
        return f"<{type(self).__name__}: {rows} of {names or 'nothing'}>"


class Result(_Common):
    """Rows of a query.

    They come from the service while it makes them. `arrow` and those below wait for all of them and keep them;
    `batches` gives them as they come and keeps nothing. To stop early, call `close` or use it in ``with``: then a
    query that still runs is cancelled.
    """

    def __init__(self, rows: Rows, driver: BlockingDriver) -> None:
        super().__init__(rows)
        self._driver = driver

    def arrow(self) -> pa.Table:
        """All rows, as an Arrow table.

        Raises
        ------
        TransferError
            The query failed after it had sent rows, or the connection broke.
        """
        if self._table is None:
            self._take()
            self._table = self._driver.run(self._rows.table())
        return self._table

    def pandas(self) -> pd.DataFrame:
        """All rows, as a DataFrame; see `convert.to_pandas`."""
        return convert.to_pandas(self.arrow())

    def polars(self) -> pl.DataFrame:
        """All rows, as a DataFrame of polars."""
        return convert.to_polars(self.arrow())

    def astropy(self) -> astropy.table.Table:
        """All rows, as a Table with units."""
        return convert.to_astropy(self.arrow())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in pieces, as they come."""
        if self._table is not None:
            yield from self._table.to_batches()
            return
        self._take()
        self._is_taken = True
        try:
            while (batch := self._driver.run(self._rows.next())) is not None:
                yield batch
        finally:
            self.close()

    def close(self) -> None:
        """Want no more rows."""
        self._driver.run(self._rows.close())

    def __len__(self) -> int:
        return int(self.arrow().num_rows)

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncResult(_Common):
    """Rows of a query; as `Result`, with coroutines."""

    def __init__(self, rows: Rows, driver: AsyncDriver) -> None:
        super().__init__(rows)
        self._driver = driver

    async def arrow(self) -> pa.Table:
        """All rows, as an Arrow table."""
        if self._table is None:
            self._take()
            self._table = await self._driver.run(self._rows.table())
        return self._table

    async def pandas(self) -> pd.DataFrame:
        """All rows, as a DataFrame."""
        return convert.to_pandas(await self.arrow())

    async def polars(self) -> pl.DataFrame:
        """All rows, as a DataFrame of polars."""
        return convert.to_polars(await self.arrow())

    async def astropy(self) -> astropy.table.Table:
        """All rows, as a Table with units."""
        return convert.to_astropy(await self.arrow())

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """The rows in pieces, as they come."""
        if self._table is not None:
            for batch in self._table.to_batches():
                yield batch
            return
        self._take()
        self._is_taken = True
        try:
            while (batch := await self._driver.run(self._rows.next())) is not None:
                yield batch
        finally:
            await self.close()

    async def close(self) -> None:
        """Want no more rows."""
        await self._driver.run(self._rows.close())

    async def __aenter__(self) -> AsyncResult:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()
