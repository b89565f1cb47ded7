"""INSERT, UPDATE and DELETE."""

from __future__ import annotations

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.compile import Draft, Result, compile_query
from casjobs_service.dialect.ddl import changing, full_name, quoted
from casjobs_service.dialect.names import TEMP, Found, find_table, identifier, parts, target, temporary_name
from casjobs_service.dialect.source import did_you_mean
from casjobs_service.dialect.tsql import WRITTEN
from casjobs_service.errors import Kind
from casjobs_service.plan import Action, Statement

TARGET = "target"
"""Alias of the changed table around a query that says which rows."""
ROW = "row_of_target"


def _no_limit(draft: Draft) -> None:
    if draft.session.limit:
        raise draft.session.source.error(
            "SET ROWCOUNT does not work for changes of tables.", Kind.UNSUPPORTED, draft.piece.start
        )


def insert(draft: Draft, tree: exp.Insert) -> Statement:
    """INSERT … SELECT and INSERT … VALUES."""
    session = draft.session
    source = session.source
    schema = tree.this
    node = schema.this if isinstance(schema, exp.Schema) else schema
    query = tree.expression
    if (
        tree.args.get("returning") is not None
        or not isinstance(node, exp.Table)
        or not isinstance(query, exp.Query | exp.Values)
    ):
        raise source.error(
            "This form of INSERT is not supported.",
            Kind.UNSUPPORTED,
            draft.piece.start,
            "Write INSERT INTO t SELECT ….",
        )
    target(session, node)
    found = find_table(session, node)
    given = [column.name for column in schema.expressions] if isinstance(schema, exp.Schema) else []
    columns = []
    for name in given:
        column = found.table.column(name)
        if column is None:
            at = next(item for item in schema.expressions if item.name == name)
            raise source.error(
                f"There is no column {name} in {found.table.name}.",
                Kind.NAME,
                at,
                did_you_mean(name, [other.name for other in found.table.columns]),
            )
        columns.append(column)
    identity = session.identities.get((found.database.lower(), found.table.name.lower()))
    if not given:
        columns = [column for column in found.table.columns if column.name != identity]
    if tree.args.get("with_") and not query.args.get("with_"):
        query.set("with_", tree.args["with_"])
    if isinstance(query, exp.Values):
        query = _values(query)
    result = compile_query(draft, query, wanted=[types.of_column(column) for column in columns])
    if result.outs is not None and len(result.outs) != len(columns):
        raise source.error(
            f"{len(result.outs)} values for {len(columns)} columns of {found.table.name}.",
            Kind.DATA,
            query,
            f"Name the columns: INSERT INTO {found.table.name} (…).",
        )
    statement = result.fill(draft.statement(Action.INSERT))
    statement.columns = []
    statement.target = found.name
    if given or identity is not None:
        statement.target_columns = [column.name for column in columns]
    return statement


def _values(values: exp.Values) -> exp.Select:
    """VALUES as a query with named columns."""
    first = values.expressions[0]
    width = len(first.expressions) if isinstance(first, exp.Tuple) else 1
    names = [identifier(f"c{number}") for number in range(1, width + 1)]
    values.set("alias", exp.TableAlias(this=identifier("v"), columns=names))
    select = exp.Select(expressions=[exp.Star()], from_=exp.From(this=values))
    for node in select.walk():
        node.meta[WRITTEN] = True
    return select


def _changed(draft: Draft, node: exp.Table, from_: exp.From | None) -> tuple[Found, str]:
    """The table that UPDATE or DELETE names, which may be an alias of FROM, and its name there."""
    session = draft.session
    if from_ is not None and not node.text("db") and not node.text("catalog"):
        wanted = (temporary_name(node.this) or node.name).lower()
        for item in from_.find_all(exp.Table):
            if item.alias and item.alias.lower() == wanted:
                target(session, item)
                return find_table(session, item), item.alias
    target(session, node)
    found = find_table(session, node)
    same = []
    for item in from_.find_all(exp.Table) if from_ is not None else []:
        if isinstance(item.this, exp.Identifier | exp.Parameter):
            name = parts(session, item)
            if name.table.lower() == found.table.name.lower():
                if not item.alias:
                    return found, name.table
                same.append(item.alias)
    return found, same[0] if len(same) == 1 else node.alias


def _rows(
    from_: exp.From, alias: str, values: list[exp.Expr], where: exp.Where | None, with_: exp.With | None
) -> exp.Select:
    """A query over the user's FROM: which rows of the changed table, with the new values."""
    row = exp.column(identifier("rowid"), table=identifier(alias))
    projections = [exp.alias_(row, identifier(ROW), copy=False)]
    projections += [
        exp.Alias(this=value, alias=identifier(f"value_{number}")) for number, value in enumerate(values, 1)
    ]
    select = exp.Select(expressions=projections, from_=from_)
    if where is not None:
        select.set("where", where)
    if with_ is not None:
        select.set("with_", with_)
    for node in select.walk():
        node.meta[WRITTEN] = True
    return select


def update(draft: Draft, tree: exp.Update) -> Statement:
    """UPDATE, with FROM or without."""
    _no_limit(draft)
    session = draft.session
    source = session.source
    if tree.args.get("returning") is not None or tree.args.get("limit") is not None:
        raise source.error("This form of UPDATE is not supported.", Kind.UNSUPPORTED, draft.piece.start)
    from_ = tree.args.get("from_")
    found, alias = _changed(draft, tree.this, from_)
    names: list[str] = []
    values: list[exp.Expr] = []
    wanted: list[types.Type] = []
    for item in tree.expressions:
        if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
            raise source.error("UPDATE sets columns only.", Kind.UNSUPPORTED, item)
        column = found.table.column(item.this.name)
        if column is None:
            raise source.error(
                f"There is no column {item.this.name} in {found.table.name}.",
                Kind.NAME,
                item,
                did_you_mean(item.this.name, [other.name for other in found.table.columns]),
            )
        names.append(column.name)
        values.append(item.expression.copy())
        wanted.append(types.of_column(column))
    if from_ is None:
        table = tree.this.copy()
        alias = alias or TARGET
        if not tree.this.alias:
            alias = found.table.name
        table.set("alias", exp.TableAlias(this=identifier(alias)))
        from_ = exp.From(this=table)
    elif not any(_is_named(session_item, alias, found, draft) for session_item in from_.find_all(exp.Table)):
        raise source.error(
            f"{found.table.name} must stand in FROM too.",
            Kind.UNSUPPORTED,
            tree.this,
            f"Say UPDATE a SET … FROM {found.table.name} a JOIN ….",  # noqa: S608 - our own names
        )
    select = _rows(from_, alias, values, tree.args.get("where"), tree.args.get("with_"))
    result = _compile_rows(draft, select, found, alias, wanted)
    sets = ", ".join(f"{quoted(name)} = q.value_{number}" for number, name in enumerate(names, 1))
    sql = (
        f"UPDATE {full_name(found.name)} AS {TARGET} SET {sets}"  # noqa: S608 - our own names
        f" FROM ({result.sql}) AS q WHERE {TARGET}.rowid = q.{ROW}"
    )
    return _finished(draft, sql, found, result)


def _is_named(item: exp.Table, alias: str, found: Found, draft: Draft) -> bool:
    if not isinstance(item.this, exp.Identifier | exp.Parameter):
        return False
    name = item.alias or parts(draft.session, item).table
    return name.lower() == (alias or found.table.name).lower()


def _compile_rows(draft: Draft, select: exp.Select, found: Found, alias: str, wanted: list[types.Type]) -> Result:
    session = draft.session
    saved = session.rowid
    session.rowid = alias
    try:
        result = compile_query(draft, select, wanted=[types.BIGINT, *wanted])
    finally:
        session.rowid = saved
    if result.engine:
        raise session.source.error(
            f"{found.table.name} cannot be changed by rows of {result.engine}.",
            Kind.UNSUPPORTED,
            draft.piece.start,
            f"Copy the rows of {result.engine} INTO MyDB first.",
        )
    return result


def _finished(draft: Draft, sql: str, found: Found, result: Result, *, frees: bool = False) -> Statement:
    statement = changing(draft, sql, found.name, frees=frees)
    statement.reads = [read for read in result.reads if read.database != TEMP]
    statement.prelude = result.prelude
    return statement


def delete(draft: Draft, tree: exp.Delete) -> Statement:
    """DELETE, with a second FROM or without."""
    _no_limit(draft)
    session = draft.session
    source = session.source
    node = tree.this
    for key in ("returning", "limit", "order"):
        if tree.args.get(key):
            raise source.error("This form of DELETE is not supported.", Kind.UNSUPPORTED, draft.piece.start)
    tables = tree.args.get("tables") or []
    if not node and tables:
        node, tables = tables[0], []
    if len(tables) > 1 or not isinstance(node, exp.Table):
        raise source.error("DELETE works on one table.", Kind.UNSUPPORTED, draft.piece.start)
    where = tree.args.get("where")
    from_ = exp.From(this=node.copy())
    if tables and tables[0].args.get("alias") and tables[0].name.lower() == "top":
        raise source.error("DELETE TOP is not supported.", Kind.UNSUPPORTED, tables[0], "Say which rows by WHERE.")
    found, alias = _changed(draft, tables[0] if tables else node, from_)
    if where is None and not tables and not node.args.get("joins"):
        statement = changing(draft, f"DELETE FROM {full_name(found.name)}", found.name, frees=True)  # noqa: S608
        return statement
    if not alias or not any(_is_named(item, alias, found, draft) for item in from_.find_all(exp.Table)):
        if tables:
            raise source.error(
                f"{found.table.name} must stand in FROM too.", Kind.UNSUPPORTED, tables[0], "DELETE a FROM t a JOIN …."
            )
        alias = node.alias or found.table.name
        from_.this.set("alias", exp.TableAlias(this=identifier(alias)))
    select = _rows(from_, alias, [], where, tree.args.get("with_"))
    result = _compile_rows(draft, select, found, alias, [])
    sql = f"DELETE FROM {full_name(found.name)} WHERE rowid IN ({result.sql})"  # noqa: S608 - our own names
    return _finished(draft, sql, found, result, frees=True)
