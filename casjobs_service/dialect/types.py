"""SQL Server's types: what an operator's result is, and what they are called in the engines.

Only what changes a result is modelled. Lengths of strings matter where T-SQL cuts or pads.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace

from sqlglot import exp

from casjobs_service.catalog import Column


@dataclass(frozen=True, slots=True)
class Type:
    """A type.

    Attributes
    ----------
    kind
        ``bit tinyint smallint int bigint decimal real float string date time datetime datetimeoffset binary uuid``,
        ``null`` for the bare NULL, ``unknown`` where nothing is known.
    precision, scale
        Of decimals.
    length
        Of strings and binaries; 0 is unlimited. Negative: fixed length, padded with blanks or zeros.
    own
        A column of a table that users fill: its strings may end in blanks.
    """

    kind: str
    precision: int = 0
    scale: int = 0
    length: int = 0
    own: bool = False

    def __deepcopy__(self, memo: object) -> Type:
        return self

    @property
    def is_integer(self) -> bool:
        """A whole number, ``bit`` among them."""
        return self.kind in INTEGERS

    @property
    def is_number(self) -> bool:
        """A number, ``bit`` among them."""
        return self.kind in RANK

    @property
    def is_approximate(self) -> bool:
        """``real`` or ``float``."""
        return self.kind in ("real", "float")

    @property
    def is_string(self) -> bool:
        """Characters of any kind."""
        return self.kind == "string"

    @property
    def is_time(self) -> bool:
        """A date, a time or both."""
        return self.kind in ("date", "time", "datetime", "datetimeoffset")

    @property
    def sql(self) -> str:
        """DuckDB's name."""
        if self.kind == "decimal":
            return f"DECIMAL({self.precision},{self.scale})"
        return DUCKDB.get(self.kind, "VARCHAR")

    def node(self) -> exp.DataType:
        """For a CAST, in every engine's generator."""
        return _node(self.kind, self.precision, self.scale).copy()


INTEGERS = ("bit", "tinyint", "smallint", "int", "bigint")
RANK = {kind: index for index, kind in enumerate((*INTEGERS, "decimal", "real", "float"))}
"""Precedence of numbers: the higher of two is the type of an operation on both."""
DIGITS = {"bit": 1, "tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
DUCKDB = {
    "bit": "BOOLEAN",
    "tinyint": "UTINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "float": "DOUBLE",
    "string": "VARCHAR",
    "date": "DATE",
    "time": "TIME",
    "datetime": "TIMESTAMP",
    "datetimeoffset": "TIMESTAMP WITH TIME ZONE",
    "binary": "BLOB",
    "uuid": "UUID",
    "null": "INTEGER",
    "unknown": "",
}
_NODES = {
    "bit": exp.DType.BOOLEAN,
    "tinyint": exp.DType.UTINYINT,
    "smallint": exp.DType.SMALLINT,
    "int": exp.DType.INT,
    "bigint": exp.DType.BIGINT,
    "real": exp.DType.FLOAT,
    "float": exp.DType.DOUBLE,
    "string": exp.DType.TEXT,
    "date": exp.DType.DATE,
    "time": exp.DType.TIME,
    "datetime": exp.DType.TIMESTAMP,
    "datetimeoffset": exp.DType.TIMESTAMPTZ,
    "binary": exp.DType.VARBINARY,
    "uuid": exp.DType.UUID,
    "huge": exp.DType.INT128,
}

BIT = Type("bit")
TINYINT = Type("tinyint")
SMALLINT = Type("smallint")
INT = Type("int")
BIGINT = Type("bigint")
REAL = Type("real")
FLOAT = Type("float")
STRING = Type("string")
DATE = Type("date")
TIME = Type("time")
DATETIME = Type("datetime")
BINARY = Type("binary")
UUID = Type("uuid")
NULL = Type("null")
UNKNOWN = Type("unknown")
HUGE = Type("huge")
"""128-bit integers: only inside an expression."""


def decimal(precision: int, scale: int) -> Type:
    """``decimal``, cut to 38 digits."""
    return Type("decimal", min(precision, 38), min(scale, 38))


@functools.cache
def _node(kind: str, precision: int, scale: int) -> exp.DataType:
    if kind == "decimal":
        return exp.DataType(
            this=exp.DType.DECIMAL,
            expressions=[
                exp.DataTypeParam(this=exp.Literal.number(precision)),
                exp.DataTypeParam(this=exp.Literal.number(scale)),
            ],
        )
    return exp.DataType(this=_NODES[kind])


_FROM_DUCKDB = {
    "BOOLEAN": BIT,
    "UTINYINT": TINYINT,
    "TINYINT": SMALLINT,
    "SMALLINT": SMALLINT,
    "USMALLINT": INT,
    "INTEGER": INT,
    "INT": INT,
    "UINTEGER": BIGINT,
    "BIGINT": BIGINT,
    "UBIGINT": Type("decimal", 20, 0),
    "HUGEINT": Type("decimal", 38, 0),
    "UHUGEINT": Type("decimal", 38, 0),
    "FLOAT": REAL,
    "REAL": REAL,
    "DOUBLE": FLOAT,
    "VARCHAR": STRING,
    "TEXT": STRING,
    "DATE": DATE,
    "TIME": TIME,
    "TIMESTAMP": DATETIME,
    "TIMESTAMP_S": DATETIME,
    "TIMESTAMP_MS": DATETIME,
    "TIMESTAMP_NS": DATETIME,
    "TIMESTAMP WITH TIME ZONE": Type("datetimeoffset"),
    "TIMESTAMPTZ": Type("datetimeoffset"),
    "BLOB": BINARY,
    "UUID": UUID,
    '"NULL"': NULL,
}


@functools.lru_cache(4096)
def from_duckdb(name: str, own: bool = False) -> Type:
    """From a catalogue's type."""
    upper = name.upper().strip()
    if upper.startswith("ENUM"):
        return STRING
    if match := re.fullmatch(r"(?:DECIMAL|NUMERIC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", upper):
        return decimal(int(match[1]), int(match[2] or 0))
    if match := re.fullmatch(r"(?:VARCHAR|CHAR|BPCHAR|TEXT)\s*\(\s*(\d+)\s*\)", upper):
        return Type("string", length=int(match[1]), own=own)
    found = _FROM_DUCKDB.get(upper, UNKNOWN)
    return replace(found, own=True) if own and found.is_string else found


def of_column(column: Column, own: bool = False) -> Type:
    """Of a catalogue's column."""
    return from_duckdb(column.type, own)


_FROM_DTYPE = {
    exp.DType.BIT: BIT,
    exp.DType.BOOLEAN: BIT,
    exp.DType.UTINYINT: TINYINT,
    exp.DType.TINYINT: SMALLINT,
    exp.DType.SMALLINT: SMALLINT,
    exp.DType.INT: INT,
    exp.DType.BIGINT: BIGINT,
    exp.DType.DOUBLE: FLOAT,
    exp.DType.DECIMAL32: REAL,
    exp.DType.DATE: DATE,
    exp.DType.TIME: TIME,
    exp.DType.DATETIME: DATETIME,
    exp.DType.DATETIME2: DATETIME,
    exp.DType.SMALLDATETIME: DATETIME,
    exp.DType.TIMESTAMP: DATETIME,
    exp.DType.TIMESTAMPTZ: Type("datetimeoffset"),
    exp.DType.UUID: UUID,
    exp.DType.MONEY: Type("decimal", 19, 4),
    exp.DType.SMALLMONEY: Type("decimal", 10, 4),
}
_STRINGS = (exp.DType.VARCHAR, exp.DType.NVARCHAR, exp.DType.TEXT)
_FIXED = (exp.DType.CHAR, exp.DType.NCHAR)
_BINARIES = (exp.DType.BINARY, exp.DType.VARBINARY, exp.DType.IMAGE)


def written(data_type: exp.DataType, *, cast: bool = False) -> Type | None:
    """From a type in the user's text; None if there is no such type here.

    Parameters
    ----------
    cast
        In CAST and CONVERT a string without length has 30 characters, in a declaration 1.
    """
    kind = data_type.this
    sizes = [parameter.name.lower() for parameter in data_type.expressions]
    numbers = [int(size) for size in sizes if size.isdigit()]
    if kind == exp.DType.FLOAT:
        return REAL if numbers and numbers[0] <= 24 else FLOAT
    if kind == exp.DType.DECIMAL:
        precision = numbers[0] if numbers else 18
        return Type("decimal", precision, numbers[1] if len(numbers) > 1 else 0) if precision <= 38 else None
    if kind in _STRINGS or kind in _FIXED:
        if "max" in sizes or kind == exp.DType.TEXT:
            return STRING
        length = numbers[0] if numbers else (30 if cast else 1)
        return Type("string", length=-length if kind in _FIXED else length)
    if kind in _BINARIES:
        length = numbers[0] if numbers else 0
        return Type("binary", length=-length if kind == exp.DType.BINARY else length)
    if kind == exp.DType.USERDEFINED and str(data_type.args.get("kind", "")).lower() == "sysname":
        return Type("string", length=128)
    return _FROM_DTYPE.get(kind)


def integer_digits(value: str) -> int:
    """Digits of a literal, as decimal arithmetic counts them."""
    return max(1, len(value.lstrip("0")))


def as_decimal(kind: Type, literal: exp.Expr | None = None) -> Type:
    """The decimal that a number becomes beside another decimal."""
    if kind.kind == "decimal":
        return kind
    while isinstance(literal, exp.Neg | exp.Paren):
        literal = literal.this
    if isinstance(literal, exp.Literal) and literal.name.isdigit():
        return Type("decimal", integer_digits(literal.name), 0)
    return Type("decimal", DIGITS[kind.kind], 0)


def wider(left: Type, right: Type) -> Type:
    """Type of CASE, COALESCE, UNION and comparisons over both (SQL Server's order of precedence)."""
    if left == right:
        return left
    if left.kind == "null":
        return right
    if right.kind == "null":
        return left
    if "unknown" in (left.kind, right.kind):
        return UNKNOWN
    if left.is_number and right.is_number:
        if "decimal" in (left.kind, right.kind) and not (left.is_approximate or right.is_approximate):
            first, second = as_decimal(left), as_decimal(right)
            scale = max(first.scale, second.scale)
            return decimal(max(first.precision - first.scale, second.precision - second.scale) + scale, scale)
        return left if RANK[left.kind] >= RANK[right.kind] else right
    if left.is_string and right.is_string:
        unlimited = not left.length or not right.length
        return Type("string", length=0 if unlimited else max(abs(left.length), abs(right.length)))
    for kind in ("datetimeoffset", "datetime", "date", "time"):
        for one in (left, right):
            if one.kind == kind:
                return DATETIME if {left.kind, right.kind} == {"date", "time"} else one
    for one in (left, right):
        if one.is_number:
            return one
    for one in (left, right):
        if one.kind == "uuid":
            return one
    return left if left.is_string else right
