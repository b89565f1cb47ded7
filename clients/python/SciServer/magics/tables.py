"""Lists that are shown as tables: HTML in a notebook, text in a terminal; and are lists of objects for programs."""

from __future__ import annotations

import datetime
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

WIDE = 60
"""Characters of a cell in a terminal; of a longer one the beginning."""


@dataclass(frozen=True)
class Field(Generic[Item]):
    """A column of a table.

    Attributes
    ----------
    value
        Of an item; None is shown as nothing.
    number
        Aligned to the right.
    """

    title: str
    value: Callable[[Item], object]
    number: bool = False


class Listing(list[Item]):
    """A list with a table.

    Parameters
    ----------
    empty
        What to say where there is nothing.
    note
        A line below the table.
    """

    def __init__(self, items: Iterable[Item], fields: Sequence[Field[Item]], *, empty: str, note: str = "") -> None:
        super().__init__(items)
        self.fields = fields
        self.empty = empty
        self.note = note

    def cells(self) -> list[list[str]]:
        """The texts of the table, without its head."""
        return [[text(field.value(item)) for field in self.fields] for item in self]

    def __repr__(self) -> str:
        if not self:
            return self.empty
        rows = [[_one_line(cell) for cell in row] for row in self.cells()]
        titles = [field.title for field in self.fields]
        widths = [max(len(row[place]) for row in [titles, *rows]) for place in range(len(titles))]
        lines = [self._line(row, widths) for row in [titles, ["-" * width for width in widths], *rows]]
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        aligned = [
            cell.rjust(width) if field.number else cell.ljust(width)
            for cell, width, field in zip(cells, widths, self.fields, strict=True)
        ]
        return "  ".join(aligned).rstrip()

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{html.escape(self.empty)}</p>"
        styles = [f' style="text-align: {"right" if field.number else "left"}"' for field in self.fields]
        head = "".join(
            f"<th{style}>{html.escape(field.title)}</th>" for style, field in zip(styles, self.fields, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(f"<td{style}>{html.escape(cell)}</td>" for style, cell in zip(styles, row, strict=True))
            + "</tr>"
            for row in self.cells()
        )
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # IPython would show a list of objects.
        printer.text(repr(self))


def text(value: object) -> str:
    """A value as people read it: numbers with commas, times in UTC to the second."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def _one_line(cell: str) -> str:
    # What a terminal would obey is not for a table.
    cell = " ".join("".join(letter if letter.isprintable() else " " for letter in cell).split())
    return cell if len(cell) <= WIDE else cell[: WIDE - 1] + "…"


def size(count: float | None) -> str:
    """Bytes with a decimal unit."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            break
        count /= 1000
    decimals = 0 if count >= 100 else 1 if count >= 10 else 2
    shown = f"{count:,.{decimals}f}"
    return f"{shown.rstrip('0').rstrip('.') if decimals else shown} {unit}"


def duration(seconds: float) -> str:
    """``4 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
