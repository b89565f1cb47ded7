"""Searches by position: SDSS's table functions and joins by distance, as plain SQL over tables sorted by zone.

Interface for the rest of the translator:

- `table_function` and `scalar_function` say what a function answers, so that names and types can be resolved;
- `rewrite_spatial` replaces the functions, after names are resolved and before the meaning of calls is looked up, by
  subqueries over the context's tables. It must see every tree for which `may_be_spatial` is true: the scalar functions
  exist only through it. The tables that it puts in are not those that the resolver has seen: `tables_read` of the
  result belongs to the statement's `reads`;
- `casjobs_service.dialect.spatial_procedures.procedure` replaces ``EXEC SQLxMatch …`` and its relatives by T-SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlglot import exp

from casjobs_service.catalog import Catalog, Function, Table
from casjobs_service.dialect import functions
from casjobs_service.dialect.spatial_calls import scalar_call, table_call
from casjobs_service.dialect.spatial_footprint import complete
from casjobs_service.dialect.spatial_functions import REFUSED, SCALAR_FUNCTIONS, TABLE_FUNCTIONS
from casjobs_service.dialect.spatial_joins import DISTANCES, rewrite_distances
from casjobs_service.dialect.spatial_kinds import READS, Shape, TableFunction, choose
from casjobs_service.dialect.spatial_places import places_table
from casjobs_service.dialect.spatial_procedures import PROCEDURES, procedure
from casjobs_service.dialect.spatial_zones import are_few, rows_of
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import TableName

if TYPE_CHECKING:
    from casjobs_service.dialect.types import Type

__all__ = [
    "PROCEDURES",
    "REFUSED",
    "TABLE_FUNCTIONS",
    "catalog_functions",
    "may_be_spatial",
    "places_table",
    "procedure",
    "rewrite_spatial",
    "scalar_function",
    "table_function",
    "table_functions",
    "tables_read",
]


class Databases(Protocol):
    """What `rewrite_spatial` needs of the translator's `Databases`."""

    def catalog(self, name: str) -> Catalog | None:
        """The database's catalogue, by name in any case."""


def table_function(name: str, catalog: Catalog) -> Function | None:
    """The table function `name` (any case, without database and schema), with its parameters and columns.

    None if there is none, or if it belongs to other databases than this one.
    """
    found = TABLE_FUNCTIONS.get(name.lower())
    return found.function if found and _belongs(found, catalog) else None


def table_functions(catalog: Catalog) -> list[str]:
    """Names of the table functions that belong to a database, for hints."""
    return [function.name for function in TABLE_FUNCTIONS.values() if _belongs(function, catalog)]


def _belongs(function: TableFunction, catalog: Catalog) -> bool:
    # SDSS's are known everywhere: where their tables are not, an error says which they need.
    return function.shape is not Shape.PLACES or places_table(catalog) is not None


def scalar_function(name: str) -> Function | None:
    """The scalar function `name` that looks into a table of the context, e.g. ``fGetNearestObjIdEq``."""
    found = SCALAR_FUNCTIONS.get(name.lower())
    return found.function if found else None


def catalog_functions(catalog: Catalog) -> list[Function]:
    """Functions of this module that work in a database, for the schema browser."""
    found = [
        function.function
        for function in TABLE_FUNCTIONS.values()
        if function.shape in (Shape.ROW, Shape.COVER) or _finds(function, catalog)
    ]
    if places_table(catalog) is not None:
        found += functions.catalog_functions(boxed=True)
    for scalar in SCALAR_FUNCTIONS.values():
        searching = TABLE_FUNCTIONS.get(scalar.search.lower())
        searched = searching.searched if searching else scalar.lookup
        whole = searching is None or searching.shape is not Shape.FOOTPRINT or complete(catalog)
        if whole and any(catalog.table(item.table) for item in searched):
            found.append(scalar.function)
    return found


def _finds(function: TableFunction, catalog: Catalog) -> bool:
    if function.shape is Shape.FOOTPRINT:
        return complete(catalog)
    if function.shape is Shape.PLACES:
        return places_table(catalog) is not None
    return choose(catalog, function.searched) is not None


def may_be_spatial(tree: exp.Expr) -> bool:
    """Whether `rewrite_spatial` could find something to do."""
    return any(
        name in TABLE_FUNCTIONS or name in SCALAR_FUNCTIONS or name in DISTANCES
        for name in (str(node.name).lower() for node in tree.find_all(exp.Anonymous))
    )


def tables_read(tree: exp.Expr) -> list[TableName]:
    """Tables that `rewrite_spatial` has put into a tree."""
    nodes = tree.find_all(exp.Subquery)
    return list({name: None for node in nodes for name in node.meta.get(READS, ())})


def rewrite_spatial(tree: exp.Expr, databases: Databases, context: str) -> exp.Expr:
    """Replace spatial functions and joins by distance by plain SQL, in place.

    Expects that names are resolved: tables carry catalog and database, columns their table's alias. A function in
    FROM is an `exp.Table` whose `this` is an `exp.Anonymous` of the function's plain name, with the name of the
    context that it belongs to as `catalog` (else `context` is used); in APPLY an `exp.Lateral` around the same. What
    is put in does not carry the mark of what the user wrote; the user's arguments in it still do.

    Raises
    ------
    QueryError
        Wrong number of arguments, or the context has no table for the function.
    """
    for node in list(tree.find_all(exp.Table)):
        call = node.this
        if isinstance(call, exp.Anonymous) and (found := TABLE_FUNCTIONS.get(str(call.name).lower())):
            catalog = _catalog(databases, node.catalog or context, found.name)
            query = table_call(found, call.expressions, catalog, _few(node, databases))
            if not isinstance(node.parent, exp.Lateral):
                query.set("alias", node.args.get("alias"))
                query.set("joins", node.args.get("joins"))
            node.replace(query)
    for call in list(tree.find_all(exp.Anonymous)):
        if scalar := SCALAR_FUNCTIONS.get(str(call.name).lower()):
            catalog = _catalog(databases, call.meta.get("schema") or context, scalar.name)
            value = scalar_call(scalar, call.expressions, catalog, _few(call, databases))
            value.meta["t"] = _type(scalar.returns)
            if call is tree:
                tree = value
            else:
                call.replace(value)
    for select in list(tree.find_all(exp.Select)):
        if any(str(node.name).lower() in DISTANCES for node in select.find_all(exp.Anonymous)):
            tables = _tables(select, databases)
            if tables is not None:
                rewrite_distances(select, tables)
    return tree


def _type(name: str) -> Type:
    # Of the rest of the translator, which imports this module.
    from casjobs_service.dialect.types import from_duckdb

    return from_duckdb(name)


def _catalog(databases: Databases, name: str, function: str) -> Catalog:
    catalog = databases.catalog(name)
    if catalog is None:
        raise QueryError(f"There is no database {name}.", Kind.NAME)
    if catalog.engine != "duckdb":
        raise QueryError(
            f"{function} is not available in {catalog.database}, which another engine holds.",
            Kind.UNSUPPORTED,
            hint="Choose that engine's own dialect, and write the search as it does.",
        )
    return catalog


def _few(node: exp.Expr, databases: Databases) -> bool:
    """Whether the tables beside a call have few rows."""
    select = node.parent_select
    if select is None:
        return True
    tables = _tables(select, databases)
    others = [item for item in _sources(select) if node not in (item, item.this)]
    # A call in a query of its own is made for the rows of the query around it.
    inside = select.parent_select is None or (len(others) > 0)
    return inside and tables is not None and are_few(rows_of(item, tables.get(id(item))) for item in others)


def _sources(select: exp.Select) -> list[exp.Expr]:
    """What is in FROM."""
    found = [from_.this] if (from_ := select.args.get("from_")) else []
    return found + [join.this for join in select.args.get("joins") or []]


def _tables(select: exp.Select, databases: Databases) -> dict[int, Table] | None:
    """Catalogue entries of the tables in FROM, by the `id` of their nodes; None if another engine has one."""
    found = {}
    for node in _sources(select):
        if not isinstance(node, exp.Table) or not node.catalog or node.catalog == "temp":
            continue
        catalog = databases.catalog(node.catalog)
        if catalog is None:
            continue
        if catalog.engine != "duckdb":
            return None
        if table := catalog.table(node.name):
            found[id(node)] = table
    return found
