"""Scalar functions that DuckDB lacks: T-SQL's own and SDSS's ``dbo.f…``, as macros of the session.

A call ``dbo.fDistanceArcMinEq(…)`` becomes ``ss_fdistancearcmineq(…)``, and the macro's text (after those that it
needs) goes into `casjobs_service.plan.Statement.prelude`. The prefix keeps them apart from DuckDB's functions and from
columns; users cannot make functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlglot import exp

from casjobs_service.catalog import Function
from casjobs_service.dialect import (
    functions_cosmology,
    functions_flags,
    functions_photo,
    functions_shapes,
    functions_sky,
    functions_tsql,
)
from casjobs_service.dialect.functions_constants import sdss_constants
from casjobs_service.dialect.functions_macro import PREFIX, Macro
from casjobs_service.dialect.source import literal_text

__all__ = ["FUNCTIONS", "PREFIX", "REFUSED", "Macro", "catalog_functions", "constant", "prelude", "sdss_constants"]

_MODULES = (functions_tsql, functions_flags, functions_photo, functions_sky, functions_cosmology, functions_shapes)

FUNCTIONS: dict[str, Macro] = {macro.name.lower(): macro for module in _MODULES for macro in module.MACROS}
"""By name in lower case."""

REFUSED: dict[str, str] = {name: reason for module in _MODULES for name, reason in module.REFUSED.items()}
"""Functions that SDSS or T-SQL have and that are refused: name in lower case → why, and what to do instead."""


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


def constant(name: str, arguments: Sequence[exp.Expr]) -> exp.Expr | None:
    """Value of a call with constant arguments, if it is known here; None: call the macro.

    Flag names are looked up when the query is translated, so that a misspelt one is an error rather than NULL.

    Raises
    ------
    QueryError
        A name that is not in the function's table; says which are near.
    """
    if len(arguments) != 1:
        return None
    argument = arguments[0]
    while isinstance(argument, exp.Paren):
        argument = argument.this
    # The translator may have cast a national literal, N'…'.
    text = literal_text(argument)
    if text is None:
        return None
    value = functions_flags.value(name, text)
    if value is None:
        return None
    kind = exp.DType.BIGINT if functions_flags.BY_NAME[name.lower()].bits else exp.DType.INT
    literal: exp.Expr = exp.Literal.number(abs(value))
    if value < 0:
        # As a text: the lowest integer is no negated positive one.
        literal = exp.Literal.string(str(value))
    return exp.Cast(this=literal, to=exp.DataType(this=kind))


def catalog_functions(boxed: bool = False) -> list[Function]:
    """What the schema browser shows of SDSS's scalar functions, or (`boxed`) of those for places in a box."""
    return [
        Function(macro.name, "scalar", list(macro.parameters), macro.returns, [], macro.description)
        for macro in FUNCTIONS.values()
        if (macro.boxed if boxed else macro.sdss)
    ]
