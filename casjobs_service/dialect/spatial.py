"""Searches by position: SDSS's table functions and joins by distance, as plain SQL over tables sorted by zone.

Interface for the rest of the translator:

- `table_function` says which columns a function in FROM has, so that names can be resolved;
- `rewrite_spatial` replaces the functions, after names are resolved, by subqueries over the context's tables;
- `procedure` replaces ``EXEC SQLxMatch …`` and its relatives by T-SQL text, which is then translated as usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from sqlglot import exp

from casjobs_service.catalog import Function

if TYPE_CHECKING:
    from casjobs_service.catalog import Catalog

TABLE_FUNCTIONS: dict[str, Function] = {}
"""By name in lower case."""

REFUSED: dict[str, str] = {}
"""Table functions of SDSS that are refused: name in lower case → why, and what to do instead."""


class Databases(Protocol):
    """What `rewrite_spatial` needs of the translator's `Databases`."""

    def catalog(self, name: str) -> Catalog | None:
        """The database's catalogue, by name in any case."""


def table_function(name: str) -> Function | None:
    """The table function `name` (any case, without database and schema), with its parameters and columns."""
    return TABLE_FUNCTIONS.get(name.lower())


def rewrite_spatial(tree: exp.Expression, databases: Databases, context: str) -> exp.Expression:
    """Replace spatial table functions and joins by distance by plain SQL.

    Expects that names are resolved: tables carry catalog and database, columns their table's alias. A function in
    FROM is an `exp.Table` whose `this` is an `exp.Anonymous` of the function's plain name, with the name of the
    context that it belongs to as `catalog` (else `context` is used); in APPLY an `exp.Lateral` around the same.

    Raises
    ------
    QueryError
        Wrong number of arguments, or the context has no table for the function.
    """
    return tree


PROCEDURES: frozenset[str] = frozenset()
"""Procedures that `procedure` knows, in lower case."""


def procedure(
    name: str, arguments: Sequence[exp.Expression], named: Mapping[str, exp.Expression], context: str
) -> str:
    """T-SQL that does what the procedure does.

    Parameters
    ----------
    arguments
        By position.
    named
        By name, in lower case without ``@``.

    Raises
    ------
    QueryError
        Unknown procedure or parameter.
    """
    raise NotImplementedError
