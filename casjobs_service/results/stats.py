"""What a format must know of a whole result before its first byte, counted while the rows go by."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.results.kinds import Kind, kind_of, plain
from casjobs_service.results.text import byte_values

_NOT_PRINTABLE = np.ones(256, bool)
_NOT_PRINTABLE[0x20:0x7F] = False
_BACKSLASH = ord("\\")


@dataclass(slots=True)
class ColumnStats:
    """Of one column.

    Attributes
    ----------
    nulls
        Number of NULLs.
    width, total
        Text and binary columns: bytes of the longest value, and of all values, in UTF-8.
    printable
        Text columns: all characters are printable ASCII (32 to 126).
    escaped
        Text columns: bytes of the longest value in the form of `escape`.
    low, high
        Integer columns: smallest and largest value; None if there is none.
    """

    nulls: int = 0
    width: int = 0
    total: int = 0
    printable: bool = True
    escaped: int = 0
    low: int | None = None
    high: int | None = None

    def add(self, array: pa.Array) -> None:
        """Count the values of one more batch."""
        # A dictionary can have its NULLs among its values.
        array = plain(array)
        self.nulls += array.null_count
        kind = kind_of(array.type)
        if kind is Kind.INTEGER:
            self._add_integers(array)
        elif kind is Kind.TEXT:
            self._add_text(array)
        elif kind is Kind.BINARY:
            self._add_width(array)

    def _add_integers(self, array: pa.Array) -> None:
        bounds = pc.min_max(array)
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if low is not None:
            self.low = low if self.low is None else min(low, self.low)
            self.high = high if self.high is None else max(high, self.high)

    def _add_width(self, array: pa.Array) -> int:
        lengths = pc.binary_length(array)
        width = int(pc.max(lengths).as_py() or 0)
        self.width = max(self.width, width)
        self.total += int(pc.sum(lengths).as_py() or 0)
        return width

    def _add_text(self, array: pa.StringArray) -> None:
        width = self._add_width(array)
        values = byte_values(array)
        odd = bool(_NOT_PRINTABLE[values].any())
        if odd or (values == _BACKSLASH).any():
            self.printable = self.printable and not odd
            width = max((len(escape(value)) for value in array.to_pylist() if value is not None), default=0)
        self.escaped = max(self.escaped, width)


@dataclass(slots=True)
class Stats:
    """Of a result.

    Attributes
    ----------
    bytes
        Size as Arrow arrays in memory.
    cut
        More rows were left out, as the client wanted.
    """

    rows: int = 0
    bytes: int = 0
    columns: list[ColumnStats] = field(default_factory=list)
    cut: bool = False

    @classmethod
    def of(cls, schema: pa.Schema) -> Stats:
        """Of no rows yet."""
        return cls(columns=[ColumnStats() for _ in schema])

    def add(self, batch: pa.RecordBatch) -> None:
        """Count one more batch."""
        self.rows += batch.num_rows
        self.bytes += batch.nbytes
        for column, array in zip(self.columns, batch.columns, strict=True):
            column.add(array)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Stats:
        """The opposite of `to_json`."""
        columns = [ColumnStats(**column) for column in value["columns"]]
        # Spools of older versions do not say it.
        return cls(value["rows"], value["bytes"], columns, value.get("cut", False))


def escape(value: str) -> bytes:
    r"""Text as printable ASCII: ``\n``, ``\xe9``, ``\u03b1``, and ``\\`` for the backslash itself.

    Python's codec ``unicode_escape`` reads it back.
    """
    return value.encode("unicode_escape")
