"""SDSS's functions between names and values of flags: ``fPhotoFlags('SATURATED')``, ``fPhotoFlagsN(flags)``."""

from __future__ import annotations

from difflib import get_close_matches

from casjobs_service.dialect.functions_constants import FIELDS, ZERO_NAMES, Field
from casjobs_service.dialect.functions_macro import Macro, columns
from casjobs_service.errors import Kind, QueryError

BY_NAME: dict[str, Field] = {f"f{name}".lower(): field for name, field in FIELDS.items()}
"""Functions that take a name."""
BY_VALUE: dict[str, Field] = {f"f{name}N".lower(): field for name, field in FIELDS.items()}
"""Functions that take a value."""


def _bigint(value: int) -> str:
    # The lowest integer cannot be written as a negated positive one.
    return f"CAST('{value}' AS BIGINT)" if value == -(1 << 63) else f"{value}::BIGINT"


def _names(field: Field) -> dict[str, int]:
    zero = ZERO_NAMES.get(field.name)
    return {zero[0]: 0, **field.values} if zero else field.values


def _value_macro(field: Field) -> Macro:
    names = _names(field)
    listed = ", ".join(f"'{name}'" for name in names)
    values = ", ".join(_bigint(value) for value in names.values())
    kind = "BIGINT" if field.bits else "INTEGER"
    return Macro(
        f"f{field.name}",
        columns("name VARCHAR"),
        kind,
        f"{'Bit' if field.bits else 'Value'} of {field.name} by name ({field.description[0].lower()}"
        f"{field.description[1:]}); NULL if there is none of that name",
        f"CAST(map([{listed}], [{values}])[upper(trim(name_))] AS {kind})",
    )


def _name_macro(field: Field) -> Macro:
    if not field.bits:
        # Names and values are both small lists of constants: DuckDB builds the map once.
        values = ", ".join(str(constant.value) for constant in field.constants)
        names = ", ".join(f"'{constant.name}'" for constant in field.constants)
        body = f"map([{values}], [{names}])[CAST(value_ AS INTEGER)]"
        return Macro(f"f{field.name}N", columns("value INTEGER"), "VARCHAR", f"Name of a value of {field.name}", body)
    # From the highest bit, each name with a blank behind it, as SDSS writes them.
    bits = ", ".join(f"{{'n': '{c.name} ', 'm': {_bigint(c.value)}}}" for c in reversed(field.constants))
    joined = f"array_to_string([bit.n FOR bit IN [{bits}] IF CAST(value_ AS BIGINT) & bit.m <> 0], '')"
    zero = ZERO_NAMES.get(field.name)
    nothing = f" WHEN CAST(value_ AS BIGINT) = 0 THEN '{zero[0]}'" if zero else ""
    return Macro(
        f"f{field.name}N",
        columns("value BIGINT"),
        "VARCHAR",
        f"Names of the bits of {field.name} that are set, the highest first",
        f"CASE WHEN value_ IS NULL THEN NULL{nothing} ELSE {joined} END",
    )


MACROS: tuple[Macro, ...] = tuple(
    macro for field in FIELDS.values() for macro in (_value_macro(field), _name_macro(field))
)

REFUSED: dict[str, str] = {
    name: f"{shown} belongs to data releases up to 7; its names are not known here. Compare with the number instead."
    for shown in ("fSpecZStatus", "fSpecZStatusN", "fSpecLineNames", "fSpecLineNamesN", "fFieldMask", "fImageMask")
    for name in (shown.lower(),)
}


def value(function: str, name: str) -> int | None:
    """Value of ``function('name')``; None if it is not a function of this module that takes a name.

    Raises
    ------
    QueryError
        There is no such name: SDSS would answer NULL, and no row would be found, silently.
    """
    field = BY_NAME.get(function.lower())
    if field is None:
        return None
    names = _names(field)
    found = names.get(name.strip().upper())
    if found is None:
        near = get_close_matches(name.strip().upper(), names, 3, 0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Its names are {', '.join(sorted(names)[:20])} …"
        raise QueryError(f"{field.name} has no value named '{name.strip()}'.", Kind.NAME, hint=hint)
    return found
