"""The passes over one query, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.tokens import Token

from casjobs_service.catalog import OWN, Column
from casjobs_service.dialect import bound, spatial
from casjobs_service.dialect.check import check
from casjobs_service.dialect.conversion import convert
from casjobs_service.dialect.fold import fold
from casjobs_service.dialect.generate import generate
from casjobs_service.dialect.infer import Infer
from casjobs_service.dialect.meaning import DUCKDB, MSSQL, Meaning, call_type
from casjobs_service.dialect.names import TEMP, Found, Session, identifier
from casjobs_service.dialect.resolve import Resolver
from casjobs_service.dialect.scope import Out
from casjobs_service.dialect.shape import limit_rows, name_outputs, output_name, reshape
from casjobs_service.dialect.split import Piece
from casjobs_service.dialect.tsql import WRITTEN
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Action, Statement, TableName, Upload


@dataclass(slots=True)
class Draft:
    """A statement on its way: its words, and the script that it belongs to."""

    piece: Piece
    session: Session

    def nothing(self, note: str) -> Statement:
        """A statement without effect here, and why."""
        statement = self.statement(Action.NOTHING)
        statement.note = note
        return statement

    def statement(self, action: Action, sql: str = "") -> Statement:
        """With the place and the text of the user's statement."""
        source = self.session.source
        line, column = source.place(self.piece.start)
        return Statement(action, sql, line=line, column=column, source=source.text[self.piece.start : self.piece.end])


@dataclass(slots=True)
class Result:
    """What comes out of the passes."""

    sql: str
    engine: str
    outs: list[Out] | None
    reads: list[TableName]
    prelude: list[str]
    positions: list[tuple[str, int, int]]
    uploads: list[Upload]
    parameters: list[str]

    def fill(self, statement: Statement) -> Statement:
        """Copy into the statement."""
        statement.sql = self.sql
        statement.engine = self.engine
        statement.reads = self.reads
        statement.prelude = self.prelude
        statement.positions = self.positions
        statement.uploads = self.uploads
        statement.parameters = self.parameters
        statement.columns = columns_of(self.outs)
        return statement


def columns_of(outs: list[Out] | None) -> list[Column]:
    """Output columns, the unnamed ones with their numbers."""
    columns = []
    number = 0
    for out in outs or []:
        name = out.name
        if not name:
            number += 1
            name = f"Column{number}"
        known = out.column
        columns.append(
            Column(name, out.type.sql, known.unit, known.ucd, known.description)
            if known
            else Column(name, out.type.sql)
        )
    return columns


def compile_query(draft: Draft, tree: exp.Expr, *, wanted: Sequence[Type] | None = None, into: bool = False) -> Result:
    """All passes over a query.

    Parameters
    ----------
    wanted
        Types that the output's columns must have.
    into
        The rows go to a table.
    """
    session = draft.session
    check(tree, session.source, draft.piece.start)
    if wanted is not None:
        cast_hex(tree, wanted)
    infer = Infer(session, call_type)
    resolver = Resolver(session, infer)
    outs = resolver.query(tree)
    context, engine = engine_of(session, resolver)
    uploads = upload(session, tree, resolver, context) if context else []
    reads = [found.name for found in resolver.reads.values() if found.database != TEMP]
    if spatial.may_be_spatial(tree):
        try:
            tree = spatial.rewrite_spatial(tree, session.databases, session.context)
        except QueryError as error:
            raise placed(draft, error) from None
        reads += [name for name in spatial.tables_read(tree) if name not in reads]
    meaning = Meaning(session, infer, engine)
    tree = meaning.rewrite(tree)
    if not meaning.duckdb:
        fold(meaning, tree)
    tree = reshape(meaning, tree)
    if into:
        plain_numbers(meaning, tree, outs)
    if wanted is not None:
        tree = convert_outputs(meaning, tree, outs, wanted)
    if session.limit:
        tree = limit_rows(tree, session.limit)
    name_outputs(tree)
    bound.bare_limits(tree, engine)
    sql, parameters = bound.placed(session, generate(tree, engine, session.source, draft.piece.start), engine)
    return Result(
        sql,
        context,
        outs,
        reads,
        list(meaning.macros.values()),
        positions(session, draft.piece.tokens),
        uploads,
        parameters,
    )


def placed(draft: Draft, error: QueryError) -> QueryError:
    """An error without a place, at the word of the statement that it mentions."""
    if error.line is None:
        tokens = draft.piece.tokens
        at = next((token for token in tokens if len(token.text) > 2 and token.text in error.message), tokens[0])
        error.line, error.column = draft.session.source.place(at.start)
    return error


def positions(session: Session, tokens: list[Token]) -> list[tuple[str, int, int]]:
    """Where names stand in the user's text."""
    found = []
    for token in tokens:
        if token.text and (token.text[0].isalpha() or token.text[0] in "_#@"):
            line, column = session.source.place(token.start)
            found.append((token.text.lower(), line, column))
    return found


def engine_of(session: Session, resolver: Resolver) -> tuple[str, str]:
    """Context whose database runs it (empty: the session's own engine), and that engine."""
    remote = {found.database: found.engine for found in resolver.reads.values() if found.remote}
    if not remote:
        return "", DUCKDB
    if len(remote) > 1:
        raise session.source.error(
            f"A query cannot join {' and '.join(sorted(remote))}.",
            Kind.UNSUPPORTED,
            hint="Copy the rows of one of them INTO MyDB first.",
        )
    context, engine = next(iter(remote.items()))
    if engine == MSSQL:
        raise session.source.error(
            f"{context} is a SQL Server: choose its own SQL for this query.", Kind.UNSUPPORTED, hint="dialect: mssql"
        )
    return context, engine


def upload(session: Session, tree: exp.Expr, resolver: Resolver, context: str) -> list[Upload]:
    """Local tables that a remote query joins go there as temporary tables."""
    uploads: dict[tuple[str, str], Upload] = {}
    for node in tree.find_all(exp.Table):
        found: Found | None = node.meta.get("found")
        if found is None or found.remote:
            continue
        if found.database not in (*OWN, TEMP):
            raise session.source.error(
                f"A query cannot join {context} and {found.database}.",
                Kind.UNSUPPORTED,
                node,
                f"Copy the rows of {found.database} that you need INTO MyDB first.",
            )
        key = (found.database, found.table.name)
        if key not in uploads:
            source = exp.Table(
                this=identifier(found.table.name), db=identifier("main"), catalog=identifier(found.database)
            )
            uploads[key] = Upload(
                f"cj_upload_{len(uploads) + 1}", exp.select("*").from_(source).sql("duckdb", identify=False)
            )
        node.set("this", identifier(uploads[key].name))
        node.set("db", None)
        node.set("catalog", None)
    return list(uploads.values())


def cast_hex(tree: exp.Expr, wanted: Sequence[Type]) -> None:
    """``0x…`` that goes to a column of numbers is a number."""
    rows: list[list[exp.Expr]] = []
    if isinstance(tree, exp.Select):
        rows.append([item.unalias() for item in tree.expressions])
        source = tree.args.get("from_")
        if source is not None and isinstance(source.this, exp.Values):
            rows += [item.expressions for item in source.this.expressions if isinstance(item, exp.Tuple)]
    for row in rows:
        for value, kind in zip(list(row), wanted, strict=False):
            if isinstance(value, exp.HexString) and kind.is_number:
                new = exp.Cast(this=value.copy(), to=kind.node())
                for node in new.walk():
                    node.meta[WRITTEN] = True
                value.replace(new)


def plain_numbers(meaning: Meaning, tree: exp.Expr, outs: list[Out] | None) -> None:
    """A literal such as 10.0 makes a column of doubles, not one of ``decimal(3,1)`` that later values do not fit."""
    if not isinstance(tree, exp.Select):
        return
    for index, projection in enumerate(tree.expressions):
        value = projection.unalias()
        literal = value.this if isinstance(value, exp.Neg) else value
        if isinstance(literal, exp.Literal) and literal.is_number and "." in literal.name:
            kind = Type("float")
            value.replace(exp.Cast(this=value.copy(), to=kind.node()))
            if outs is not None and len(outs) == len(tree.expressions):
                outs[index].type = kind


def convert_outputs(meaning: Meaning, tree: exp.Expr, outs: list[Out] | None, wanted: Sequence[Type]) -> exp.Expr:
    """A query whose columns have the wanted types."""
    if outs is None:
        return tree
    changes = [not _fits(out.type, kind) for out, kind in zip(outs, wanted, strict=False)]
    if not any(changes):
        return tree
    star = isinstance(tree, exp.Select) and any(
        isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))
        for item in tree.expressions
    )
    if (
        isinstance(tree, exp.Select)
        and not star
        and not tree.args.get("distinct")
        and len(tree.expressions) == len(wanted)
    ):
        for projection, change, kind in zip(list(tree.expressions), changes, wanted, strict=True):
            if change:
                value = projection.unalias()
                name = output_name(projection)
                new = exp.Alias(this=convert(meaning, value.copy(), kind), alias=identifier(name) if name else None)
                projection.replace(new if name else new.this)
        return tree
    names = [identifier(f"c{number}") for number in range(1, len(outs) + 1)]
    values: list[exp.Expr] = []
    for title, out, kind, change in zip(names, outs, wanted, changes, strict=False):
        column = meaning.typed(exp.column(title.copy(), table=identifier("rows")), out.type)
        value = convert(meaning, column, kind) if change else column
        values.append(exp.Alias(this=value, alias=identifier(out.name or title.name)))
    alias = exp.TableAlias(this=identifier("rows"), columns=names)
    inner = tree if isinstance(tree, exp.Subquery) else exp.Subquery(this=tree)
    inner.set("alias", alias)
    return exp.Select(expressions=values, from_=exp.From(this=inner))


def _fits(given: Type, wanted: Type) -> bool:
    """The engine's own conversion does what T-SQL's does."""
    if given.is_string and wanted.is_string:
        return not wanted.length or 0 < given.length <= wanted.length
    if given.kind == wanted.kind and given.kind != "decimal":
        return True
    if "unknown" in (given.kind, wanted.kind) or given.kind == "null":
        return True
    if given.is_integer and given.kind != "bit" and wanted.is_number and wanted.kind != "bit":
        return True
    return given.kind in ("decimal", "real", "float") and wanted.kind in ("decimal", "real", "float")
