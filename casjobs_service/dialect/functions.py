"""Scalar functions that DuckDB lacks: T-SQL's own and SDSS's ``dbo.f…``, as macros of the session.

A call ``dbo.fDistanceArcMinEq(…)`` becomes ``ss_fdistancearcmineq(…)``, and the macro's text (after those that it
needs) goes into `casjobs_service.plan.Statement.prelude`. The prefix keeps them apart from DuckDB's functions and from
columns; users cannot make functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from casjobs_service.catalog import Column, Function

PREFIX = "ss_"


@dataclass(frozen=True, slots=True)
class Macro:
    """A scalar function.

    Attributes
    ----------
    name
        In the spelling that users know.
    parameters
        Names and DuckDB types. Names never are those of columns that `body` could mean.
    returns
        DuckDB type of the result. ``ANY``: the type of the first argument.
    body
        DuckDB expression over the parameters.
    needs
        Names of other macros that `body` calls.
    optional
        How many of the last parameters may be left out, with their defaults as DuckDB expressions.
    sdss
        Belongs to SDSS's schema ``dbo`` (shown by the schema browser), rather than to the language.
    """

    name: str
    parameters: tuple[Column, ...]
    returns: str
    description: str
    body: str
    needs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    sdss: bool = True

    @property
    def call(self) -> str:
        """Name by which the engine knows it."""
        return PREFIX + self.name.lower()

    @property
    def sql(self) -> str:
        """DuckDB's statement that makes it."""
        required = len(self.parameters) - len(self.optional)
        parameters = [column.name for column in self.parameters[:required]]
        parameters += [
            f"{column.name} := {default}"
            for column, default in zip(self.parameters[required:], self.optional, strict=True)
        ]
        return f"CREATE OR REPLACE TEMP MACRO {self.call}({', '.join(parameters)}) AS ({self.body})"

    def accepts(self, count: int) -> bool:
        """Whether it can be called with `count` arguments."""
        return len(self.parameters) - len(self.optional) <= count <= len(self.parameters)


FUNCTIONS: dict[str, Macro] = {}
"""By name in lower case."""

REFUSED: dict[str, str] = {}
"""Functions that SDSS or T-SQL have and that are refused: name in lower case → why, and what to do instead."""


def register(*macros: Macro) -> None:
    """Add to `FUNCTIONS`."""
    FUNCTIONS.update({macro.name.lower(): macro for macro in macros})


def prelude(names: Iterable[str]) -> list[str]:
    """Statements that make the macros `names` (any case), each after those that it needs."""
    texts: dict[str, str] = {}

    def add(name: str) -> None:
        macro = FUNCTIONS[name.lower()]
        for needed in macro.needs:
            add(needed)
        texts.setdefault(macro.call, macro.sql)

    for name in names:
        add(name)
    return list(texts.values())


def constant(name: str, arguments: Sequence[exp.Expression]) -> exp.Expression | None:
    """Value of a call with constant arguments, if it is known here; None: call the macro.

    Flag names are looked up when the query is translated, so that a misspelt one is an error rather than NULL.

    Raises
    ------
    QueryError
        A name that is not in the function's table; says which are near.
    """
    return None


def catalog_functions() -> list[Function]:
    """What the schema browser shows of SDSS's scalar functions."""
    return [
        Function(macro.name, "scalar", list(macro.parameters), macro.returns, [], macro.description)
        for macro in FUNCTIONS.values()
        if macro.sdss
    ]


def parameters(text: str) -> tuple[Column, ...]:
    """Parameters from ``"ra DOUBLE, dec DOUBLE"``; the first is called ``ra_`` in the macro's body."""
    columns = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, kind = part.split(" ", 1)
        columns.append(Column(name + "_", kind))
    return tuple(columns)


register(
    Macro(
        "fDistanceArcMinEq",
        parameters("ra1 DOUBLE, dec1 DOUBLE, ra2 DOUBLE, dec2 DOUBLE"),
        "DOUBLE",
        "Distance of two positions (degrees, J2000) in arc minutes",
        "120 * degrees(asin(least(1, sqrt(sin(radians(dec2_ - dec1_) / 2) ** 2"
        " + cos(radians(dec1_)) * cos(radians(dec2_)) * sin(radians(ra2_ - ra1_) / 2) ** 2))))",
    ),
)
