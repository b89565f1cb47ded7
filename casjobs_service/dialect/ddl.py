"""CREATE, ALTER, DROP and TRUNCATE of tables and views, in DuckDB's words."""

from __future__ import annotations

import secrets

from sqlglot import exp

from casjobs_service.catalog import Column, Table
from casjobs_service.dialect import types
from casjobs_service.dialect.compile import Draft, columns_of, compile_query, positions
from casjobs_service.dialect.conversion import convert
from casjobs_service.dialect.infer import Infer
from casjobs_service.dialect.meaning import DUCKDB, Meaning, call_type
from casjobs_service.dialect.names import TEMP, Found, find_table, identifier, target
from casjobs_service.dialect.resolve import Resolver
from casjobs_service.dialect.scope import Out, Relation, Scope
from casjobs_service.dialect.source import did_you_mean, start_of
from casjobs_service.dialect.tsql import START, WRITTEN
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind
from casjobs_service.plan import Action, Statement, TableName


def quoted(name: str) -> str:
    """A name in DuckDB's SQL."""
    return '"' + name.replace('"', '""') + '"'


def full_name(name: TableName) -> str:
    """A table in DuckDB's SQL."""
    database = TEMP if name.database == TEMP else quoted(name.database)
    return f"{database}.main.{quoted(name.table)}"


def changing(draft: Draft, sql: str, name: TableName, *, frees: bool = False) -> Statement:
    """A statement that changes a table."""
    statement = draft.statement(Action.SESSION if name.database == TEMP else Action.CHANGE, sql)
    statement.target = name
    statement.frees = frees
    statement.positions = positions(draft.session, draft.piece.tokens)
    return statement


def _without_variables(draft: Draft, definition: exp.Expr) -> None:
    """Refuse what would be NULL whenever the definition is used later."""
    variable = definition.find(exp.Parameter)
    if variable is not None:
        raise draft.session.source.error(
            f"@{variable.name} cannot be kept in a definition: variables end with the script.",
            Kind.UNSUPPORTED,
            variable,
            "Write its value, or make a table: SELECT … INTO.",
        )


def expression_sql(draft: Draft, node: exp.Expr, table: Table | None, wanted: Type | None = None) -> str:
    """An expression of a definition (DEFAULT, CHECK, computed column), over the table's own columns."""
    session = draft.session
    _without_variables(draft, node)
    infer = Infer(session, call_type)
    resolver = Resolver(session, infer)
    outs = [Out(column.name, types.of_column(column, True), column) for column in table.columns] if table else []
    node = exp.Paren(this=node.copy())
    resolver.expression(node, Scope([Relation("", outs)]))
    meaning = Meaning(session, infer, DUCKDB)
    new = meaning.rewrite(node)
    for column in new.find_all(exp.Column):
        column.set("table", None)
    if wanted is not None:
        new = convert(meaning, new.this if isinstance(new, exp.Paren) else new, wanted)
    if meaning.macros:
        raise session.source.error(
            "This function cannot be kept in a table's definition.", Kind.UNSUPPORTED, node, "Compute it in an UPDATE."
        )
    return new.sql("duckdb")


def create_table(draft: Draft, name: TableName, schema: exp.Schema) -> Statement:
    """CREATE TABLE with columns, and DECLARE @t TABLE."""
    session = draft.session
    source = session.source
    if session.find(name.database, name.table) is not None:
        raise source.error(
            f"There is already a table {name}.", Kind.DATA, schema, "DROP it first, or choose another name."
        )
    table = Table(name.table, [])
    definitions: list[str] = []
    before: list[str] = []
    computed: list[tuple[exp.ColumnDef, exp.Expr]] = []
    for item in schema.expressions:
        if isinstance(item, exp.ColumnDef):
            if any(column.name.lower() == item.name.lower() for column in table.columns):
                raise source.error(f"The column {item.name} is there twice.", Kind.NAME, item)
            formula = next(
                (
                    c.kind.this
                    for c in item.args.get("constraints") or []
                    if isinstance(c.kind, exp.ComputedColumnConstraint)
                ),
                None,
            )
            if formula is not None:
                computed.append((item, formula))
                continue
            definitions.append(_column(draft, item, table, name, before))
        else:
            definitions.append(_table_constraint(draft, item))
    plain = list(table.columns)
    for item, formula in computed:
        # A computed column sees the others.
        kind = _type_of(draft, formula, Table(table.name, plain))
        sql = expression_sql(draft, formula, Table(table.name, plain))
        definitions.append(f"{quoted(item.name)} {kind.sql} GENERATED ALWAYS AS ({sql})")
        table.columns.append(Column(item.name, kind.sql))
    if not table.columns:
        raise source.error("A table needs columns.", Kind.SYNTAX, draft.piece.start)
    session.make(name, table)
    create = "CREATE TEMP TABLE" if name.database == TEMP else "CREATE TABLE"
    sql = "; ".join([*before, f"{create} {full_name(name)} ({', '.join(definitions)})"])
    return changing(draft, sql, name)


def _type_of(draft: Draft, node: exp.Expr, table: Table) -> Type:
    infer = Infer(draft.session, call_type)
    resolver = Resolver(draft.session, infer)
    copy = exp.Paren(this=node.copy())
    outs = [Out(column.name, types.of_column(column, True), column) for column in table.columns]
    resolver.expression(copy, Scope([Relation("", outs)]))
    return infer(copy.this)


def column_type(draft: Draft, node: exp.ColumnDef | exp.AlterColumn, data_type: exp.Expr | None) -> Type:
    """A column's type."""
    kind = types.written(data_type) if isinstance(data_type, exp.DataType) else None
    if kind is None:
        name = data_type.sql(dialect="tsql") if data_type is not None else "that is missing"
        raise draft.session.source.error(f"The type {name} is not supported.", Kind.UNSUPPORTED, node)
    return kind


def _column(draft: Draft, item: exp.ColumnDef, table: Table, name: TableName, before: list[str]) -> str:
    source = draft.session.source
    kind = column_type(draft, item, item.args.get("kind"))
    words = [quoted(item.name), kind.sql]
    for constraint in item.args.get("constraints") or []:
        match constraint.kind:
            case exp.NotNullColumnConstraint() as null:
                words.append("NULL" if null.args.get("allow_null") else "NOT NULL")
            case exp.PrimaryKeyColumnConstraint():
                words.append("PRIMARY KEY")
            case exp.UniqueColumnConstraint():
                words.append("UNIQUE")
            case exp.DefaultColumnConstraint() as default:
                words.append(f"DEFAULT {expression_sql(draft, default.this, None, kind)}")
            case exp.CheckColumnConstraint() as condition:
                here = Table(table.name, [*table.columns, Column(item.name, kind.sql)])
                words.append(f"CHECK ({expression_sql(draft, condition.this, here)})")
            case exp.GeneratedAsIdentityColumnConstraint() as identity:
                words.append(_identity(draft, name, identity, before))
                draft.session.identities[(name.database.lower(), name.table.lower())] = item.name
            case exp.ClusteredColumnConstraint() | exp.NonClusteredColumnConstraint() | exp.CollateColumnConstraint():
                pass
            case _:
                raise source.error("This constraint is not supported.", Kind.UNSUPPORTED, constraint)
    table.columns.append(Column(item.name, kind.sql))
    return " ".join(words)


def _identity(draft: Draft, name: TableName, node: exp.GeneratedAsIdentityColumnConstraint, before: list[str]) -> str:
    """IDENTITY(start, step) is a sequence of its own."""
    start, step = node.args.get("start"), node.args.get("increment")
    numbers = [str(item.name) if isinstance(item, exp.Literal) else "1" for item in (start, step)]
    sequence = f"{name.table}_{secrets.token_hex(4)}"
    if name.database == TEMP:
        before.append(f"CREATE TEMP SEQUENCE {quoted(sequence)} START {numbers[0]} INCREMENT {numbers[1]}")
        full = f'temp.main."{sequence}"'
    else:
        full = f"{quoted(name.database)}.main.{quoted(sequence)}"
        before.append(f"CREATE SEQUENCE {full} START {numbers[0]} INCREMENT {numbers[1]}")
    return "DEFAULT nextval('" + full.replace("'", "''") + "')"


def _table_constraint(draft: Draft, item: exp.Expr) -> str:
    """PRIMARY KEY and UNIQUE over columns."""
    inner = item.expressions if isinstance(item, exp.Constraint) else [item]
    primary = any(isinstance(part, exp.PrimaryKey | exp.PrimaryKeyColumnConstraint) for part in inner)
    unique = any(isinstance(part, exp.UniqueColumnConstraint) for part in inner)
    names_ = [part for part in item.find_all(exp.Identifier) if part is not item.this]
    columns = [part for part in names_ if part.find_ancestor(exp.Ordered, exp.Schema)]
    others = [type(part) for part in inner if not isinstance(part, _KEYS)]
    if not columns or others or primary == unique:
        raise draft.session.source.error("This constraint is not supported.", Kind.UNSUPPORTED, item)
    names = ", ".join(quoted(column.name) for column in columns)
    return f"{'PRIMARY KEY' if primary else 'UNIQUE'} ({names})"


_KEYS = (
    exp.PrimaryKey,
    exp.PrimaryKeyColumnConstraint,
    exp.UniqueColumnConstraint,
    exp.ClusteredColumnConstraint,
    exp.NonClusteredColumnConstraint,
)


NO_INDEX = "An index is not made: tables are read by column, and the parts without the rows in question are skipped."
NO_TRANSACTION = "This has no effect: each statement is a transaction of its own."


def create(draft: Draft, tree: exp.Create) -> list[Statement]:
    """CREATE TABLE, VIEW and INDEX."""
    session = draft.session
    source = session.source
    kind = str(tree.kind or "").upper()
    if kind.endswith(("INDEX", "STATISTICS")):
        index = tree.this
        if isinstance(index, exp.Index) and isinstance(index.args.get("table"), exp.Table):
            find_table(session, index.args["table"])
        return [draft.nothing(NO_INDEX)]
    if kind == "TABLE" and isinstance(tree.this, exp.Schema):
        return [create_table(draft, target(session, tree.this.this), tree.this)]
    if kind == "VIEW" and isinstance(tree.expression, exp.Query):
        return [_create_view(draft, tree)]
    raise source.error(
        f"CREATE {kind} is not supported.",
        Kind.UNSUPPORTED,
        draft.piece.start,
        "Tables and views can be made." if kind != "TABLE" else "Write SELECT … INTO instead.",
    )


def _create_view(draft: Draft, tree: exp.Create) -> Statement:
    session = draft.session
    source = session.source
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    columns = [column.name for column in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
    name = target(session, node)
    if session.find(name.database, name.table) is not None:
        raise source.error(f"There is already a table {name}.", Kind.DATA, node, "DROP it first.")
    _without_variables(draft, tree.expression)
    result = compile_query(draft, tree.expression)
    foreign = [str(read) for read in result.reads if read.database != name.database]
    if foreign or result.engine or result.prelude or name.database == TEMP:
        raise source.error(
            f"A view of {name.database} may only read tables of {name.database}, without SDSS's functions.",
            Kind.UNSUPPORTED,
            node,
            "Make a table: SELECT … INTO.",
        )
    outs = columns_of(result.outs)
    if columns:
        outs = [column._replace(name=title) for column, title in zip(outs, columns, strict=False)]
    session.make(name, Table(name.table, outs, kind="view"))
    names = f" ({', '.join(quoted(column) for column in columns)})" if columns else ""
    statement = changing(draft, f"CREATE VIEW {full_name(name)}{names} AS {result.sql}", name)
    statement.reads = result.reads
    return statement


def drop(draft: Draft, tree: exp.Drop) -> list[Statement]:
    """DROP of tables, views and indexes."""
    session = draft.session
    source = session.source
    kind = str(tree.args.get("kind") or "").upper()
    if kind == "INDEX":
        return [draft.statement(Action.NOTHING)]
    if kind not in ("TABLE", "VIEW"):
        raise source.error(f"DROP {kind} is not supported.", Kind.UNSUPPORTED, draft.piece.start)
    statements = []
    for node in tree.args.get("tables") or []:
        name = target(session, node)
        found = session.find(name.database, name.table)
        if found is None:
            if tree.args.get("exists"):
                statements.append(draft.statement(Action.NOTHING))
                continue
            found = find_table(session, node)
        is_view = found.table.kind == "view"
        if is_view != (kind == "VIEW"):
            what = "view" if is_view else "table"
            raise source.error(f"{name} is a {what}.", Kind.DATA, node, f"Write DROP {what.upper()}.")
        name = TableName(found.database, found.table.name)
        statements.append(changing(draft, f"DROP {kind} {full_name(name)}", name, frees=True))
        session.make(name, None)
    return statements


def truncate(draft: Draft, tree: exp.TruncateTable) -> list[Statement]:
    """TRUNCATE TABLE."""
    statements = []
    for node in tree.expressions:
        name = _existing(draft, node).name
        statements.append(changing(draft, f"TRUNCATE {full_name(name)}", name, frees=True))
    return statements


def _existing(draft: Draft, node: exp.Table) -> Found:
    """A table that is there and may be written."""
    target(draft.session, node)
    return find_table(draft.session, node)


def alter(draft: Draft, tree: exp.Alter) -> list[Statement]:
    """ALTER TABLE: columns added, dropped and given another type."""
    session = draft.session
    source = session.source
    if str(tree.args.get("kind")).upper() != "TABLE" or not isinstance(tree.this, exp.Table):
        raise source.error("Only tables can be altered.", Kind.UNSUPPORTED, draft.piece.start)
    found = _existing(draft, tree.this)
    name = found.name
    table = Table(found.table.name, list(found.table.columns))
    full = full_name(name)
    statements: list[Statement] = []
    for action in tree.args.get("actions") or []:
        match action:
            case exp.ColumnDef():
                _new_name(draft, table, action.name, action)
                before: list[str] = []
                definition = _column(draft, action, table, name, before)
                if before:
                    raise source.error("IDENTITY cannot be added.", Kind.UNSUPPORTED, action)
                statements.append(changing(draft, f"ALTER TABLE {full} ADD COLUMN {definition}", name))
            case exp.Drop():
                for item in action.args.get("tables") or []:
                    column = _column_of(draft, table, item.name, item)
                    table.columns = [other for other in table.columns if other.name != column.name]
                    statements.append(
                        changing(draft, f"ALTER TABLE {full} DROP COLUMN {quoted(column.name)}", name, frees=True)
                    )
            case exp.AlterColumn():
                statements += _alter_column(draft, table, name, action)
            case exp.AddConstraint():
                statements += [
                    changing(draft, f"ALTER TABLE {full} ADD {_table_constraint(draft, item)}", name)
                    for item in action.expressions
                ]
            case _:
                raise source.error("This change is not supported.", Kind.UNSUPPORTED, action)
    session.make(name, table)
    return statements


def _new_name(draft: Draft, table: Table, name: str, node: exp.Expr | None) -> None:
    if table.column(name) is not None:
        raise draft.session.source.error(
            f"{table.name} has a column {name} already.", Kind.DATA, node or draft.piece.start
        )


def _column_of(draft: Draft, table: Table, name: str, node: exp.Expr | None) -> Column:
    column = table.column(name)
    if column is None:
        raise draft.session.source.error(
            f"There is no column {name} in {table.name}.",
            Kind.NAME,
            node or draft.piece.start,
            did_you_mean(name, [other.name for other in table.columns]),
        )
    return column


def _alter_column(draft: Draft, table: Table, name: TableName, action: exp.AlterColumn) -> list[Statement]:
    column = _column_of(draft, table, action.this.name, action)
    full = full_name(name)
    kind = column_type(draft, action, action.args.get("dtype"))
    reference = exp.Cast(this=exp.column(action.this.name), to=kind.node())
    given = types.of_column(column, True)
    if given.kind != kind.kind:
        sql = expression_sql(draft, _written(reference.this), table, kind)
        using = f" USING {sql}"
    else:
        using = ""
    table.columns = [column._replace(type=kind.sql) if other is column else other for other in table.columns]
    statements = [
        changing(draft, f"ALTER TABLE {full} ALTER COLUMN {quoted(column.name)} TYPE {kind.sql}{using}", name)
    ]
    allow = action.args.get("allow_null")
    if allow is not None:
        verb = "DROP" if allow else "SET"
        statements.append(
            changing(draft, f"ALTER TABLE {full} ALTER COLUMN {quoted(column.name)} {verb} NOT NULL", name)
        )
    return statements


def _written(node: exp.Expr) -> exp.Expr:
    for item in node.walk():
        item.meta[WRITTEN] = True
    return node


def rename(draft: Draft, old: str, new: str, what: str, at: exp.Expr) -> list[Statement]:
    """sp_rename of tables and columns."""
    session = draft.session
    parts = [part.strip('[]"') for part in old.split(".")]
    new = new.strip('[]"')
    if what == "column":
        if len(parts) < 2:
            raise session.source.error("Write 'table.column'.", Kind.SYNTAX, at)
        *path, column_name = parts
    else:
        path, column_name = parts, ""
    node = exp.Table(this=identifier(path[-1]))
    if len(path) > 1:
        node.set("db", identifier(path[-2]))
    if len(path) > 2:
        node.set("catalog", identifier(path[-3]))
    place = start_of(at)
    if place is not None:
        node.meta[START] = place
    if path[-1].startswith("#"):
        raise session.source.error("Temporary tables cannot be renamed.", Kind.UNSUPPORTED, at)
    found = _existing(draft, node)
    name = found.name
    table = Table(found.table.name, list(found.table.columns), kind=found.table.kind)
    if what == "column":
        column = _column_of(draft, table, column_name, at)
        _new_name(draft, table, new, at)
        table.columns = [other._replace(name=new) if other is column else other for other in table.columns]
        session.make(name, table)
        sql = f"ALTER TABLE {full_name(name)} RENAME COLUMN {quoted(column.name)} TO {quoted(new)}"
        return [changing(draft, sql, name)]
    if session.find(name.database, new) is not None:
        raise session.source.error(f"There is already a table {new}.", Kind.DATA, at)
    session.make(name, None)
    session.make(TableName(name.database, new), Table(new, table.columns, kind=table.kind))
    kind = "VIEW" if table.kind == "view" else "TABLE"
    return [changing(draft, f"ALTER {kind} {full_name(name)} RENAME TO {quoted(new)}", name)]
