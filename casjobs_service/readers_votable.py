"""VOTable: TABLEDATA, BINARY and BINARY2, read as the XML comes, without keeping it.

Only what is in the file itself is read: data that a STREAM names elsewhere is refused, and so are entities that the
document declares. NULL is NaN in a floating-point field, the value that VALUES names in an integer one, an empty cell
of TABLEDATA, and a flag in BINARY2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from xml.parsers import expat

import pyarrow as pa

from casjobs_service.errors import Kind, QueryError
from casjobs_service.readers_votable_data import LETTERS, LONGEST_ROW, NUMBERS, Cells, Field, Rows
from casjobs_service.reading import MOST_COLUMNS, checked_names, damaged, field

_PIECE = 1 << 18


@contextmanager
def open_votable(path: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Schema and batches of the first table in a VOTable document.

    Raises
    ------
    QueryError
        There is none, or it has what cannot be read.
    """
    with path.open("rb") as file:
        document = _Document()

        def batches() -> Iterator[pa.RecordBatch]:
            while True:
                while document.ready:
                    yield document.ready.popleft()
                if document.ended:
                    return
                read()

        def read() -> None:
            piece = file.read(_PIECE)
            try:
                document.parser.Parse(piece, not piece)
            except expat.ExpatError as error:
                raise damaged("VOTable", f"line {error.lineno} is not XML") from error
            if not piece and not document.ended:
                raise damaged("VOTable", "it has no table")

        while document.schema is None and not document.ended:
            read()
        if document.schema is None:
            raise damaged("VOTable", "it has no table")
        yield document.schema, batches()


class _Document:
    """What the parser has found so far."""

    def __init__(self) -> None:
        self.schema: pa.Schema | None = None
        self.ready: deque[pa.RecordBatch] = deque()
        self.ended = False
        self._fields: list[Field] = []
        self._in_table = False
        self._path: list[str] = []
        self._text: list[str] = []
        self._keep = False
        self._data: Rows | Cells | None = None
        self._name = self._description = ""
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._entity

    def _entity(self, *_: Any) -> None:
        raise damaged("VOTable", "it declares entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        self._path.append(name)
        if len(self._path) > 100:
            raise damaged("VOTable", "its elements are nested too deeply")
        if self.ended:
            return
        if name == "TABLE":
            if self._in_table:
                raise damaged("VOTable", "it has a table within a table")
            self._in_table, self._name = True, attributes.get("name", "")
        elif not self._in_table:
            return
        elif name == "FIELD":
            if len(self._fields) >= MOST_COLUMNS:
                raise damaged("VOTable", f"it has more than {MOST_COLUMNS} columns")
            self._fields.append(_field(attributes, len(self._fields) + 1))
        elif name == "VALUES" and self._path[-2] == "FIELD":
            self._fields[-1].null = attributes.get("null", "")
        elif name == "DATA":
            self._open_schema()
        elif name == "TABLEDATA":
            self._data = Cells(self._fields, self.schema)
            # Millions of cells: only what they need.
            self.parser.StartElementHandler = self._start_of_cell
            self.parser.EndElementHandler = self._end_of_cell
            self._keep = True
            return
        elif name in ("BINARY", "BINARY2"):
            self._data = Rows(self._fields, self.schema, flags=name == "BINARY2")
        elif name == "STREAM":
            if attributes.get("href"):
                raise damaged("VOTable", "its data is elsewhere, and only the file itself is read")
            if attributes.get("encoding", "base64") != "base64":
                raise damaged("VOTable", "its data is not in base64")
        elif name == "FITS":
            raise damaged("VOTable", "its data is FITS; upload that")
        self._keep = name in ("STREAM", "DESCRIPTION")

    def _start_of_cell(self, _: str, attributes: dict[str, str]) -> None:
        if attributes.get("encoding"):
            raise damaged("VOTable", "its cells are encoded")
        self._text.clear()

    def _end_of_cell(self, name: str) -> None:
        cells = cast(Cells, self._data)
        if name.endswith("TD"):
            cells.cell("".join(self._text))
        elif name.endswith("TR"):
            self.ready.extend(cells.row_end())
        else:
            self.parser.StartElementHandler = self._start
            self.parser.EndElementHandler = self._end
            self._end(name)

    def _characters(self, text: str) -> None:
        if not self._keep or self.ended:
            return
        if isinstance(self._data, Rows):
            self.ready.extend(self._data.feed(text))
        else:
            self._text.append(text)

    def _end(self, name: str) -> None:
        name = self._path.pop()
        if self.ended or not self._in_table:
            return
        self._keep = False
        if name == "DESCRIPTION" and self.schema is None:
            text = "".join(self._text)
            self._text.clear()
            if self._path[-1] == "FIELD":
                self._fields[-1].description = text
            elif self._path[-1] == "TABLE":
                self._description = text
        if name in ("TABLEDATA", "BINARY", "BINARY2") and self._data is not None:
            self.ready.extend(self._data.finish())
            self._data = None
        elif name == "TABLE":
            # A table may have no DATA.
            self._open_schema()
            self.ended = True

    def _open_schema(self) -> None:
        if self.schema is None:
            about = {"name": self._name, "description": " ".join(self._description.split())}
            self.schema = checked_names(
                pa.schema(
                    [
                        field(one.name, one.arrow, unit=one.unit, ucd=one.ucd, description=one.description)
                        for one in self._fields
                    ],
                    {key: value for key, value in about.items() if value} or None,
                )
            )
            self._text.clear()


def _field(attributes: dict[str, str], number: int) -> Field:
    name = attributes.get("name") or attributes.get("ID") or f"Column{number}"
    datatype = attributes.get("datatype", "")
    size = attributes.get("arraysize", "").strip()
    if (datatype not in NUMBERS and datatype not in LETTERS) or (datatype == "bit" and size not in ("", "1")):
        raise QueryError(
            f"The column {name} is of the type {datatype or '(none)'}, which tables cannot hold.",
            Kind.UNSUPPORTED,
            hint="Leave it out, or take it apart into several columns.",
        )
    variable, count = size.endswith("*"), 1
    try:
        for factor in size.removesuffix("*").removesuffix("x").split("x"):
            count *= int(factor or 1)
    except ValueError:
        raise damaged("VOTable", f"the column {name} has the size {size}") from None
    if not 0 <= count <= LONGEST_ROW:
        raise damaged("VOTable", f"a value of the column {name} is too long")
    if datatype in LETTERS and "x" in size:
        raise QueryError(
            f"The column {name} has arrays of strings, which tables cannot hold.",
            Kind.UNSUPPORTED,
            hint="Leave it out.",
        )
    return Field(
        name,
        datatype,
        count,
        variable,
        # An arraysize of 1 means a scalar to almost everybody who writes it.
        bool(size) and size != "1",
        attributes.get("unit", ""),
        attributes.get("ucd", ""),
        is_time=datatype in LETTERS and attributes.get("xtype", "") in ("timestamp", "adql:TIMESTAMP"),
    )
