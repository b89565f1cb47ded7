"""Reading of the compact schema files of `SkyDemo`; ``schema/README.md`` describes their form."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from casjobs_service.catalog import Column

DIRECTORY = Path(__file__).parent / "schema"
_ORDER = ("photo", "spectro", "survey", "products", "apogee_manga", "external", "regions", "legacy", "meta")

TYPES = {
    "bigint": "BIGINT",
    "int": "INTEGER",
    "smallint": "SMALLINT",
    # SQL Server's has 8 bits without a sign, and so would overflow where scripts subtract.
    "tinyint": "SMALLINT",
    "bit": "BOOLEAN",
    "real": "FLOAT",
    "float": "DOUBLE",
    "text": "VARCHAR",
    "datetime": "TIMESTAMP",
    "binary": "BLOB",
}

# Units of the files in VOUnits, where a unit that is not of the standard is quoted.
UNITS = {
    "nmgy": "'nmgy'",
    "nmgy**-2": "'nmgy'**-2",
    "nmgy/arcsec2": "'nmgy'.arcsec**-2",
    "nmgy/ct": "'nmgy'/ct",
    "Mpc/h": "Mpc.'littleh'**-1",
    "1e10Msun/h": "10**10.solMass.'littleh'**-1",
}

_BAND_UCD = {"u": "em.opt.U", "g": "em.opt.B", "r": "em.opt.R", "i": "em.opt.I", "z": "em.opt.I"}
_HEADER = re.compile(r"(table|view) (\w+)(?: (?:from|of) (\w+))?(?: where ([^:]*))?: (.*)")
_PATTERN = re.compile(r"\{([^{}]*)\}")
_SPLIT = re.compile(r",\s*(?![^{]*\})")


class SchemaError(ValueError):
    """A schema file cannot be read."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column and DuckDB's SQL for its value; an empty value is NULL.

    Attributes
    ----------
    taken
        A column of another table as it is.
    computed
        Not stored: worked out from other columns of the table when it is read.
    """

    column: Column
    value: str
    taken: bool = False
    computed: bool = False


@dataclass(slots=True)
class Definition:
    """A table or view of the schema.

    Attributes
    ----------
    kind
        ``table`` or ``view``.
    base
        The relation that gives a table's rows (empty: it has none), or the table of a view.
    whole
        A view with all columns of its table.
    """

    name: str
    kind: str
    base: str
    where: str
    description: str
    fields: list[Field] = field(default_factory=list)
    whole: bool = False


def files() -> list[Path]:
    """The files of `SkyDemo`'s schema; first those that others refer to."""
    return [DIRECTORY / f"{name}.txt" for name in _ORDER]


def read(paths: Iterable[Path], words: Mapping[str, str] | None = None) -> dict[str, Definition]:
    """Tables and views in the order of the files and of their lines; `words` stand for ``{name}`` in them."""
    found: dict[str, Definition] = {}
    lower: dict[str, Definition] = {}
    for path in paths:
        current: Definition | None = None
        for number, text in enumerate(path.read_text().splitlines(), 1):
            line = text
            if not line.strip() or line.startswith("#"):
                continue
            for word, meaning in (words or {}).items():
                line = line.replace(f"{{{word}}}", meaning)
            try:
                if match := _HEADER.fullmatch(line):
                    kind, name, base, where, description = match.groups()
                    current = Definition(name, kind, base or "", (where or "").strip(), description)
                    if name.lower() in lower:
                        raise SchemaError(f"{name} is there twice")
                    found[name] = lower[name.lower()] = current
                elif current is None:
                    raise SchemaError("a column before the first table")
                else:
                    current.fields += _fields(line, current, lower)
            except (SchemaError, ValueError, KeyError) as error:
                raise SchemaError(f"{path.name}, line {number}: {error}") from error
    for definition in found.values():
        _finish(definition, lower)
    return found


def _finish(definition: Definition, known: dict[str, Definition]) -> None:
    if definition.kind == "view" and not definition.fields:
        definition.whole = True
        base = known[definition.base.lower()]
        definition.fields = [Field(one.column, f'"{base.name}"."{one.column.name}"', True) for one in base.fields]
    names = [one.column.name.lower() for one in definition.fields]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SchemaError(f"{definition.name} has twice: {', '.join(sorted(twice))}")
    if not names:
        raise SchemaError(f"{definition.name} has no columns")
    if definition.kind == "table" and not definition.base:
        definition.description = f"Empty in this demonstration: {definition.description}"


def _fields(line: str, current: Definition, known: dict[str, Definition]) -> list[Field]:
    if " like " in line and "|" not in line:
        names, _, source = line.rpartition(" like ")
        if names == "*":
            return list(known[source.lower()].fields)
        return _taken(names, known[source.strip().lower()])
    parts = [part.strip() for part in line.split("|")]
    if len(parts) == 1:
        return _taken(line, known[current.base.lower()])
    parts += [""] * (6 - len(parts))
    names, type_, unit, ucd, value, description = parts
    if len(parts) > 6:
        # DuckDB's || in a value.
        raise SchemaError("more than six parts")
    fields = []
    for name, letter in expand(names):
        ucd_here = ucd.replace("{B}", _BAND_UCD.get(letter, "em.opt"))
        column = Column(name, TYPES[type_], UNITS.get(unit, unit), ucd_here, description.replace("{b}", letter))
        text = value.replace("{b}", letter)
        fields.append(Field(column, text.removeprefix("="), computed=text.startswith("=")))
    return fields


def _taken(names: str, source: Definition) -> list[Field]:
    columns = {one.column.name.lower(): one.column for one in source.fields}
    taken = []
    for name, _ in expand(names):
        column = columns.get(name.lower())
        if column is None:
            raise SchemaError(f"{source.name} has no column {name}")
        taken.append(Field(column, f'"{source.name}"."{column.name}"', True))
    return taken


def expand(text: str) -> list[tuple[str, str]]:
    """Names that a list of patterns stands for, each with the value of its first pattern (else with itself)."""
    expanded = []
    for pattern in _SPLIT.split(text.strip()):
        pieces = _PATTERN.split(pattern.strip())
        choices = [_choices(piece) if index % 2 else [piece] for index, piece in enumerate(pieces)]
        for combination in itertools.product(*choices):
            name = "".join(combination)
            if not re.fullmatch(r"\w+", name):
                raise SchemaError(f"{name!r} is no name of a column")
            expanded.append((name, combination[1] if len(combination) > 1 else name))
    return expanded


def _choices(pattern: str) -> list[str]:
    if ".." in pattern:
        first, last = pattern.split("..")
        return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return pattern.split(",") if "," in pattern else list(pattern)
