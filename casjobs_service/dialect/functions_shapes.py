"""Shapes in a periodic box, as the Millennium simulation's database makes them: ``Sphere::New(x, y, z, r)``.

There a shape is a value of a type of its own, whose ``ToString()`` gives a text, and functions that take a shape take
that text (Lemson, Budavari and Szalay 2011, *Implementing a general spatial indexing library for relational databases
of large numerical simulations*). Here a shape is the text from the beginning: ``SPHERE x y z r`` or ``BOX x1 y1 z1 x2
y2 z2``, with numbers that are exact.
"""

from __future__ import annotations

import re

from casjobs_service.dialect.functions_macro import Macro, columns, failing

NUMBERS = {"SPHERE": 4, "BOX": 6}
"""How many each shape has."""
FORM = "MillenniumParticles takes a SPHERE x y z r or a BOX x1 y1 z1 x2 y2 z2"
NEGATIVE = "The radius of a Sphere must not be negative"
TURNED = "A Box goes from its least x, y and z to its greatest"
WIDE = "MillenniumParticles takes no shape that is wider than the box of the simulation"

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


def _pattern(name: str) -> str:
    return rf"{name}(?:\s+{_NUMBER}){{{NUMBERS[name]}}}"


class ShapeError(ValueError):
    """A text is no shape; says what is wrong with it."""


def check_shape(text: str, widest: float) -> None:
    """Look at a shape that is known before the query runs, as the macro `_shape` does at others.

    Parameters
    ----------
    widest
        Greatest width, along x, y or z, that it may have.

    Raises
    ------
    ShapeError
        It is none.
    """
    if not any(re.fullmatch(_pattern(name), text.strip(), re.IGNORECASE) for name in NUMBERS):
        raise ShapeError(f"{FORM}, not {text}.")
    numbers = [float(part) for part in text.split()[1:]]
    if len(numbers) == NUMBERS["SPHERE"]:
        widths = [2 * numbers[3]]
        if numbers[3] < 0:
            raise ShapeError(f"{NEGATIVE}: {numbers[3]:g}.")
    else:
        widths = [high - low for low, high in zip(numbers[:3], numbers[3:], strict=True)]
        if min(widths) < 0:
            raise ShapeError(f"{TURNED}, not {text.strip()}.")
    if max(widths) > widest:
        raise ShapeError(f"{WIDE}, {widest:g}.")


def _new(name: str, parameters: str, description: str) -> Macro:
    values = ", ".join(f"{column.name}_" for column in columns(parameters))
    return Macro(
        f"{name}::New",
        columns(parameters),
        "VARCHAR",
        description,
        f"'{name.upper()} ' || array_to_string(ss__checked([{values}], 'inf'), ' ')",
        ("_checked",),
        sdss=False,
        boxed=True,
    )


_WIDTHS = [f"n[{place + 3}] - n[{place}]" for place in (1, 2, 3)]
_IS_NEGATIVE = failing(f"'{NEGATIVE}: ' || n[4] || '.'")
_IS_TURNED = failing(f"'{TURNED}, not BOX ' || array_to_string(n, ' ') || '.'")
_IS_WIDE = failing(f"'{WIDE}, ' || format('{{:g}}', widest_) || '.'")
_IS_ONE = " OR ".join(f"regexp_full_match(upper(trim(t)), '{_pattern(name)}')" for name in NUMBERS)
_NO_SHAPE = failing(f"'{FORM}, not ' || t || '.'")

# A lambda holds a value that is used often: a macro's argument is planned again wherever it stands.
MACROS: tuple[Macro, ...] = (
    Macro(
        "_checked",
        columns("numbers DOUBLE[], widest DOUBLE"),
        "DOUBLE[]",
        "Numbers of a sphere or box, if it is one and not too wide; NULL if one of them is",
        "list_transform([numbers_], lambda n: CASE WHEN list_count(n) < len(n) THEN NULL"
        f" WHEN len(n) = 4 AND n[4] < 0 THEN [{_IS_NEGATIVE}]"
        f" WHEN len(n) = 6 AND ({' OR '.join(f'{width} < 0' for width in _WIDTHS)}) THEN [{_IS_TURNED}]"
        f" WHEN len(n) = 4 AND 2 * n[4] > widest_ THEN [{_IS_WIDE}]"
        f" WHEN len(n) = 6 AND ({' OR '.join(f'{width} > widest_' for width in _WIDTHS)}) THEN [{_IS_WIDE}]"
        " ELSE n END)[1]",
        sdss=False,
    ),
    Macro(
        "_shape",
        columns("text VARCHAR, widest DOUBLE"),
        "DOUBLE[]",
        "Numbers of a shape: four of a sphere, six of a box",
        f"list_transform([text_], lambda t: CASE WHEN t IS NULL THEN NULL WHEN NOT ({_IS_ONE}) THEN [{_NO_SHAPE}]"
        r" ELSE ss__checked(CAST(regexp_split_to_array(trim(t), '\s+')[2:] AS DOUBLE[]), widest_) END)[1]",
        ("_checked",),
        sdss=False,
    ),
    _new(
        "Sphere",
        "x DOUBLE, y DOUBLE, z DOUBLE, r DOUBLE",
        "Sphere around a place, for MillenniumParticles: Sphere::New(x, y, z, r).ToString()",
    ),
    _new(
        "Box",
        "x1 DOUBLE, y1 DOUBLE, z1 DOUBLE, x2 DOUBLE, y2 DOUBLE, z2 DOUBLE",
        "Box between its least and its greatest x, y and z, for MillenniumParticles: Box::New(…).ToString()",
    ),
)

REFUSED: dict[str, str] = {}
