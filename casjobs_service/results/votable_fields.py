"""How each kind of value is stored in a VOTable, and the XML that says so.

====================================  ==========================================================================
boolean                               ``boolean``
uint8; int8, int16; uint16, int32     ``unsignedByte``; ``short``; ``int``
uint32, int64; float32; float64       ``long``; ``float``; ``double``
text                                  ``char`` if it is known that all of it is printable ASCII, else
                                      ``unicodeChar``
binary                                ``unsignedByte`` array
date, timestamp                       ``char`` with ``xtype="timestamp"`` (DALI)
uint64, decimal, 128-bit integer,     ``char``: their text (`casjobs_service.results.text`), which loses nothing
time, interval
list, struct, map                     ``unicodeChar``: JSON
====================================  ==========================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa

from casjobs_service.results.kinds import Kind, kind_of, plain_type
from casjobs_service.results.metadata import about
from casjobs_service.results.stats import ColumnStats, Stats

_INTEGERS = {
    pa.int8(): "short",
    pa.uint8(): "unsignedByte",
    pa.int16(): "short",
    pa.uint16(): "int",
    pa.int32(): "int",
    pa.uint32(): "long",
    pa.int64(): "long",
}
_UCD = re.compile(r"[A-Za-z0-9_.;-]*")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

CHAR, UNICODE, BYTES = "char", "unicodeChar", "bytes"
"""Types of variable length; `BYTES` is an ``unsignedByte`` array."""

VARIABLE = (CHAR, UNICODE, BYTES)


@dataclass(frozen=True, slots=True)
class VoField:
    """A column: name of its datatype, one of `VARIABLE` for those of variable length, and of its xtype."""

    datatype: str
    xtype: str = ""

    @property
    def variable(self) -> bool:
        """Whether it needs a length in each row."""
        return self.datatype in VARIABLE


def vo_field(data_type: pa.DataType, stats: ColumnStats | None) -> VoField:
    """How a column is stored."""
    match kind_of(data_type):
        case Kind.BOOLEAN:
            return VoField("boolean")
        case Kind.INTEGER:
            return VoField(_INTEGERS.get(plain_type(data_type), CHAR))
        case Kind.FLOAT:
            return VoField("float" if plain_type(data_type) == pa.float32() else "double")
        case Kind.TEXT:
            return VoField(CHAR if stats and stats.printable else UNICODE)
        case Kind.BINARY:
            return VoField(BYTES)
        case Kind.DATE | Kind.TIMESTAMP:
            return VoField(CHAR, "timestamp")
        case Kind.NESTED:
            return VoField(UNICODE)
        case _:
            return VoField(CHAR)


def table_start(name: str, schema: pa.Schema, fields: list[VoField], stats: Stats | None) -> str:
    """XML from ``<TABLE>`` to the last ``FIELD``."""
    attributes = f" name={attribute(name)}" + (f' nrows="{stats.rows}"' if stats else "")
    lines = [f"<TABLE{attributes}>", *_description(about(schema).description)]
    for column, field in zip(schema, fields, strict=True):
        lines.append(_field(column, field))
    return "\n".join(lines) + "\n"


def attribute(value: str) -> str:
    """Text as an attribute's value, with its quotes."""
    return quoteattr(_xml(value))


def _field(column: pa.Field, field: VoField) -> str:
    known = about(column)
    description = known.description
    attributes = {
        "name": column.name,
        "datatype": "unsignedByte" if field.datatype == BYTES else field.datatype,
        "arraysize": "*" if field.variable else "",
        "xtype": field.xtype,
        "unit": known.unit,
        "ucd": known.ucd,
    }
    if not _UCD.fullmatch(known.ucd):
        # A strict parser would refuse the whole file.
        attributes["ucd"] = ""
        description = f"{description} (UCD: {known.ucd})".strip()
    start = "<FIELD" + "".join(f" {key}={attribute(text)}" for key, text in attributes.items() if text)
    inner = "".join(_description(description))
    return f"{start}>{inner}</FIELD>" if inner else f"{start}/>"


def _description(text: str) -> list[str]:
    return [f"<DESCRIPTION>{escape(_xml(text))}</DESCRIPTION>"] if text else []


def _xml(text: str) -> str:
    """Names and descriptions without the characters that XML has not."""
    return _NOT_XML.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)
