"""What names can mean at a place of a query: relations, their columns, and what goes with them through the passes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlglot import exp

from casjobs_service.catalog import Column
from casjobs_service.dialect.names import Found, identifier
from casjobs_service.dialect.source import start_of
from casjobs_service.dialect.tsql import START
from casjobs_service.dialect.types import Type

TYPE = "t"
"""Key in `meta`: `Type` of an expression's value in T-SQL."""
OUTS = "outs"
"""Key in `meta` of a query: list of `Out`; missing when it is not known."""
DATE_PARTS = frozenset({"dateadd", "datediff", "datediff_big", "datename", "datepart", "datetrunc", "identity"})
"""Functions whose first argument is a word."""


@dataclass(slots=True)
class Out:
    """A column of a query or table: name (empty: unnamed), type, and what the catalogue says of it."""

    name: str
    type: Type
    column: Column | None = None
    found: Found | None = None

    def __deepcopy__(self, memo: object) -> Out:
        # sqlglot copies what is in `meta`.
        return self


@dataclass(slots=True)
class Relation:
    """Something in FROM."""

    name: str
    outs: list[Out]
    open: bool = False
    """Its columns are not known."""
    found: Found | None = None
    by_name: dict[str, Out] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for out in self.outs:
            key = out.name.lower()
            if key in self.by_name:
                self.twice.add(key)
            elif key:
                self.by_name[key] = out


@dataclass(slots=True)
class Scope:
    """What names a query's expressions can use."""

    relations: list[Relation] = field(default_factory=list)
    outer: Scope | None = None
    ctes: dict[str, list[Out] | None] = field(default_factory=dict)


def set_table(node: exp.Table, found: Found) -> None:
    """Write the table as the engine of its database knows it."""
    at = start_of(node)
    node.set("this", identifier(found.table.name))
    if found.remote:
        node.set("db", identifier(found.table.schema) if found.table.schema else None)
        node.set("catalog", None)
    else:
        node.set("db", identifier("main"))
        node.set("catalog", identifier(found.database))
    node.meta["found"] = found
    if at is not None:
        node.meta[START] = at


def table_alias(node: exp.Expr, name: str) -> exp.TableAlias:
    old = node.args.get("alias")
    columns = old.columns if isinstance(old, exp.TableAlias) else []
    alias = exp.TableAlias(this=identifier(name))
    if columns:
        alias.set("columns", [identifier(column.name) for column in columns])
    return alias


def renamed(outs: list[Out] | None, names: list[str]) -> list[Out] | None:
    if outs is None or not names:
        return outs
    return [
        Out(names[index] if index < len(names) else out.name, out.type, out.column, out.found)
        for index, out in enumerate(outs)
    ]


def as_word(node: exp.Expr) -> None:
    """A date part is parsed as a column."""
    if isinstance(node, exp.Column) and not node.table:
        word = exp.Var(this=node.name)
        word.meta.update(node.this.meta)
        node.replace(word)


def first_name(node: exp.Expr) -> str:
    """First part of a dotted name, without ``dbo``."""
    while isinstance(node, exp.Dot):
        node = node.this
    return node.name if node.name.lower() != "dbo" else ""


def listed(names: Iterable[str]) -> str:
    items = list(names)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
