"""IF: only conditions that are known before the script runs, such as whether a table exists."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.errors import ParseError
from sqlglot.tokens import Token, TokenType

from casjobs_service.dialect.metadata import tables_of, view_name
from casjobs_service.dialect.names import TEMP, Session
from casjobs_service.dialect.source import literal_text
from casjobs_service.dialect.split import Piece
from casjobs_service.dialect.tsql import DIALECT
from casjobs_service.errors import Kind

HINT = (
    "Only IF OBJECT_ID('t') IS [NOT] NULL and IF [NOT] EXISTS (SELECT … FROM sys.tables WHERE name = 't') are known."
)


def holds(session: Session, piece: Piece) -> bool:
    """Whether the condition of an IF holds.

    Raises
    ------
    QueryError
        It is not known before the script runs.
    """
    source = session.source
    tokens = [Token(TokenType.SELECT, "SELECT"), *piece.tokens[1:]]
    try:
        tree = DIALECT.parser().parse(tokens, source.text)[0]
    except ParseError:
        tree = None
    value = (
        _value(session, tree.expressions[0]) if isinstance(tree, exp.Select) and len(tree.expressions) == 1 else None
    )
    if value is None:
        raise source.error("IF is not supported.", Kind.UNSUPPORTED, piece.start, HINT)
    return value


def _value(session: Session, node: exp.Expr) -> bool | None:
    match node:
        case exp.Paren():
            return _value(session, node.this)
        case exp.Not():
            inner = _value(session, node.this)
            return None if inner is None else not inner
        case exp.Is(this=exp.Anonymous() as call, expression=exp.Null()) if str(call.name).lower() == "object_id":
            known = _object(session, call)
            return None if known is None else not known
        case exp.Exists():
            return _exists(session, node.this)
    return None


def _object(session: Session, call: exp.Anonymous) -> bool | None:
    """Whether OBJECT_ID finds the table."""
    argument = call.expressions[0] if call.expressions else None
    text = literal_text(argument)
    if text is None:
        return None
    return _there(session, text)


def _there(session: Session, text: str) -> bool:
    parts = [part.strip('[]" ') for part in text.split(".")]
    name = parts[-1]
    if name.startswith("#"):
        return session.find(TEMP, name) is not None
    database = parts[-3] if len(parts) > 2 and parts[-3] else ""
    if len(parts) == 2 and parts[0] and parts[0].lower() != "dbo":
        database = parts[0]
    if database and session.databases.catalog(database) is None:
        return False
    return session.find(session.catalog(database or session.context).database, name) is not None


def _exists(session: Session, query: exp.Expr) -> bool | None:
    """EXISTS over a view of metadata, with a condition on the name."""
    query = query.unnest() if isinstance(query, exp.Subquery) else query
    from_ = query.args.get("from_")
    where = query.args.get("where")
    table = from_.this if isinstance(from_, exp.From) else None
    if not isinstance(table, exp.Table) or where is None or query.args.get("joins"):
        return None
    if not view_name(session, table):
        return None
    found: bool | None = None
    for term in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        match term:
            case exp.EQ(this=exp.Column() as column, expression=value):
                if column.name.lower() in ("name", "table_name"):
                    if not isinstance(value, exp.Literal | exp.National):
                        return None
                    name = value.name if isinstance(value, exp.Literal) else str(value.this)
                    database = table.text("catalog") or session.context
                    if database.lower() == "tempdb":
                        found = session.find(TEMP, name) is not None
                    else:
                        catalog = session.catalog(database)
                        found = any(item.name.lower() == name.lower() for item in tables_of(session, catalog))
                elif column.name.lower() in ("object_id", "id") and isinstance(value, exp.Anonymous):
                    found = _object(session, value)
                elif column.name.lower() not in ("type", "xtype", "table_schema", "table_type", "table_catalog"):
                    return None
            case exp.In(this=exp.Column() as column) if column.name.lower() in ("type", "xtype"):
                pass
            case _:
                return None
    return found
