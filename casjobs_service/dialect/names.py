"""Which table a name means, and what a script has made, dropped and declared so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sqlglot import exp

from casjobs_service.catalog import MYDB, MYSCRATCH, OWN, Catalog, Table
from casjobs_service.dialect.source import Source, did_you_mean
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind
from casjobs_service.parameters import Value
from casjobs_service.plan import TableName

TEMP = "temp"
"""Database of ``#t``, ``##t`` and table variables."""
SCHEMAS = ("", "dbo", "main")
"""Schemas that every database seems to have."""
METADATA = ("information_schema", "sys")


class Databases(Protocol):
    """What the translator can ask about databases."""

    def catalog(self, name: str) -> Catalog | None:
        """By name, in any case; None if there is none, or this user may not see it."""

    def names(self) -> list[str]:
        """All that this user may see, for hints."""


@dataclass(slots=True)
class Variable:
    """``DECLARE @name type``.

    Attributes
    ----------
    value
        Expression in T-SQL over literals only, for engines that do not hold the session's variables; None when the
        value comes from a query.
    """

    name: str
    type: Type
    value: exp.Expr | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A parameter of the request. Its `value` is for what the translator itself must know, and goes into no text."""

    type: Type
    value: Value


@dataclass(slots=True)
class Found:
    """A table and the database that it is in."""

    database: str
    table: Table
    engine: str = "duckdb"

    def __deepcopy__(self, memo: object) -> Found:
        # sqlglot copies what is in `meta`, and a catalogue can be large.
        return self

    @property
    def name(self) -> TableName:
        """For the plan."""
        return TableName(self.database, self.table.name)

    @property
    def own(self) -> bool:
        """The user may write it."""
        return self.database in (*OWN, TEMP)

    @property
    def remote(self) -> bool:
        """It is in a database of another engine."""
        return self.engine != "duckdb"


@dataclass(slots=True)
class Session:
    """State of a script between its statements."""

    source: Source
    databases: Databases
    context: str
    may_write: bool = True
    variables: dict[str, Variable] = field(default_factory=dict)
    parameters: dict[str, Bound] = field(default_factory=dict)
    """By name in lower case. Each is also among the variables, with the value that the script gives it."""
    made: dict[tuple[str, str], Table | None] = field(default_factory=dict)
    """Tables that the script made (None: dropped), by database and name in lower case."""
    limit: int = 0
    """``SET ROWCOUNT``."""
    identities: dict[tuple[str, str], str] = field(default_factory=dict)
    """Columns with IDENTITY of tables that the script made, by database and table in lower case."""
    rowid: str = ""
    """Alias of the table whose `rowid` UPDATE and DELETE ask for."""

    def catalog(self, name: str, at: exp.Expr | None = None) -> Catalog:
        """A database by name, in any case."""
        plain = plain_database(name)
        catalog = self.databases.catalog(plain)
        if catalog is None:
            raise self.source.error(
                f"There is no database {plain}.", Kind.NAME, at, did_you_mean(plain, self.databases.names())
            )
        return catalog

    def find(self, database: str, name: str) -> Found | None:
        """A table of a database, or of the session (`TEMP`)."""
        key = (database.lower(), name.lower())
        if key in self.made:
            table = self.made[key]
            if table is None:
                return None
            return Found(TEMP if database == TEMP else self.catalog(database).database, table)
        if database == TEMP:
            return None
        catalog = self.catalog(database)
        found = catalog.table(name)
        return Found(catalog.database, found, catalog.engine) if found else None

    def make(self, target: TableName, table: Table | None) -> None:
        """Remember a table that a statement makes, or (None) drops."""
        self.made[(target.database.lower(), target.table.lower())] = table


def plain_database(name: str) -> str:
    """Without what older clients append, e.g. ``myscratch:default``."""
    return name.split(":", 1)[0] if name.lower().startswith((MYSCRATCH.lower() + ":", MYDB.lower() + ":")) else name


@dataclass(frozen=True, slots=True)
class Parts:
    """A name as the user wrote it, taken apart. `database` is `TEMP`, or empty for the context."""

    database: str
    schema: str
    table: str


def temporary_name(identifier: exp.Expr) -> str:
    """``#t`` or ``##t`` if the identifier is one, else nothing."""
    if identifier.args.get("global_"):
        return "##" + identifier.name
    if identifier.args.get("temporary"):
        return "#" + identifier.name
    return identifier.name if identifier.name.startswith("#") else ""


def parts(session: Session, node: exp.Table) -> Parts:
    """Take a table's name apart."""
    this = node.this
    if isinstance(this, exp.Parameter):
        return Parts(TEMP, "", "@" + this.name)
    if not isinstance(this, exp.Identifier):
        raise session.source.error("A table's name is expected here.", Kind.SYNTAX, node)
    if temporary := temporary_name(this):
        return Parts(TEMP, "", temporary)
    schema, database = node.text("db"), node.text("catalog")
    if database:
        return Parts(database, schema, this.name)
    if not schema or schema.lower() in SCHEMAS or schema.lower() in METADATA:
        return Parts("", schema, this.name)
    catalog = session.databases.catalog(session.context)
    if (
        catalog is not None
        and session.databases.catalog(plain_database(schema)) is None
        and any(table.schema.lower() == schema.lower() for table in catalog.tables)
    ):
        return Parts("", schema, this.name)
    return Parts(schema, "", this.name)


def find_table(session: Session, node: exp.Table) -> Found:
    """The table that a name means.

    Raises
    ------
    QueryError
        There is none; says what is near.
    """
    name = parts(session, node)
    source = session.source
    if name.database == TEMP:
        found = session.find(TEMP, name.table)
        if found is None:
            what = "table variable" if name.table.startswith("@") else "temporary table"
            made = [table.name for (database, _), table in session.made.items() if database == TEMP and table]
            raise source.error(
                f"There is no {what} {name.table}.",
                Kind.NAME,
                node,
                did_you_mean(name.table, made)
                or (
                    ""
                    if name.table.startswith("@")
                    else "Temporary tables live as long as the script that makes them."
                ),
            )
        return found
    catalog = session.catalog(name.database or session.context, node)
    found = session.find(catalog.database, name.table)
    if found is not None and _schema_fits(name.schema, found):
        return found
    where = f"{name.schema}.{name.table}" if name.schema.lower() not in SCHEMAS else name.table
    raise source.error(
        f"There is no table {where} in {catalog.database}.", Kind.NAME, node, _elsewhere(session, catalog, name)
    )


def _schema_fits(schema: str, found: Found) -> bool:
    lower = schema.lower()
    return (
        lower in SCHEMAS
        or lower == found.table.schema.lower()
        or (found.database == MYSCRATCH and lower.startswith("wsid_"))
    )


def _elsewhere(session: Session, catalog: Catalog, name: Parts) -> str:
    names = [table.name for table in catalog.tables]
    names += [
        table.name for (database, _), table in session.made.items() if database == catalog.database.lower() and table
    ]
    if hint := did_you_mean(name.table, names):
        return hint
    if not name.database and catalog.database != MYDB and session.databases.catalog(MYDB) is not None:
        own = session.find(MYDB, name.table)
        if own is not None:
            return f"Did you mean MyDB.{own.table.name}?"
    for other in session.databases.names():
        if other == catalog.database or other in OWN or name.database:
            continue
        elsewhere = session.databases.catalog(other)
        if elsewhere is not None and elsewhere.table(name.table):
            return f"Did you mean {other}.{name.table}?"
    return ""


def target(session: Session, node: exp.Table) -> TableName:
    """A table to be written, which may not exist yet.

    Raises
    ------
    QueryError
        Not in a database of the user.
    """
    name = parts(session, node)
    if name.database == TEMP:
        return TableName(TEMP, name.table)
    source = session.source
    catalog = session.catalog(name.database or session.context, node)
    if catalog.database not in OWN:
        where = f"Write MyDB.{name.table} instead." if not name.database else "Write to MyDB or MyScratch instead."
        raise source.error(f"{catalog.database} cannot be written.", Kind.FORBIDDEN, node, where)
    if not session.may_write:
        raise source.error(f"You may not write to {catalog.database} here.", Kind.FORBIDDEN, node)
    if name.schema.lower() not in SCHEMAS and not (
        catalog.database == MYSCRATCH and name.schema.lower().startswith("wsid_")
    ):
        raise source.error(f"There is no schema {name.schema} in {catalog.database}.", Kind.NAME, node)
    found = session.find(catalog.database, name.table)
    return TableName(catalog.database, found.table.name if found else name.table)


def identifier(name: str) -> exp.Identifier:
    """A quoted name."""
    return exp.Identifier(this=name, quoted=True)


def table_node(name: TableName, schema: str = "main", alias: str = "") -> exp.Table:
    """A table in the session's own engine."""
    node = exp.Table(this=identifier(name.table), db=identifier(schema), catalog=identifier(name.database))
    if alias:
        node.set("alias", exp.TableAlias(this=identifier(alias)))
    return node
