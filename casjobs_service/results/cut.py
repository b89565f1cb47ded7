"""Results of which the client wants no more than so many rows: what is left out is said, behind the last row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

CUT = b"casjobs.cut"
"""Metadata of a batch without rows that stands for those that were left out; ``true``."""


def cut(batches: Iterable[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """The first rows, and if there are more, a batch that says so. No more is read than is needed to know that."""
    left = most
    for batch in batches:
        if batch.num_rows > left:
            yield batch.slice(0, left)
            yield mark(batch.schema)
            return
        left -= batch.num_rows
        yield batch


def mark(schema: pa.Schema) -> pa.RecordBatch:
    """The batch that says so."""
    return pa.RecordBatch.from_pylist([], schema.with_metadata({CUT: b"true"}))


def is_mark(batch: pa.RecordBatch) -> bool:
    """Whether it is that batch."""
    return not batch.num_rows and CUT in (batch.schema.metadata or {})


class Rows:
    """Batches without the one that says that there are more.

    Attributes
    ----------
    cut
        It was there; known after the last batch.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.cut = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            if is_mark(batch):
                self.cut = True
            else:
                yield batch
