"""From pieces of a script to statements of the plan."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import ParseError
from sqlglot.tokens import Token

from casjobs_service.catalog import Column, Table
from casjobs_service.dialect import spatial
from casjobs_service.dialect.generate import generate
from casjobs_service.dialect.infer import Infer
from casjobs_service.dialect.meaning import DUCKDB, Meaning, call_type
from casjobs_service.dialect.names import Session, target
from casjobs_service.dialect.resolve import Out, Resolver
from casjobs_service.dialect.shape import name_outputs, reshape
from casjobs_service.dialect.split import Piece
from casjobs_service.dialect.tsql import DIALECT
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Action, Statement, TableName


@dataclass(slots=True)
class Draft:
    """A statement on its way: where it starts, and its tokens."""

    piece: Piece
    session: Session

    def statement(self, action: Action, sql: str = "") -> Statement:
        """With the place and the text of the user's statement."""
        source = self.session.source
        line, column = source.place(self.piece.start)
        return Statement(action, sql, line=line, column=column, source=source.text[self.piece.start : self.piece.end])


def parse(draft: Draft) -> exp.Expr:
    """The tree of one statement.

    Raises
    ------
    QueryError
        It is not T-SQL.
    """
    source = draft.session.source
    try:
        trees = DIALECT.parser().parse(draft.piece.tokens, source.text)
    except ParseError as error:
        raise syntax_error(draft, error) from None
    if len(trees) != 1 or trees[0] is None:
        raise source.error("This is not SQL that we can read.", Kind.SYNTAX, draft.piece.start)
    return trees[0]


def syntax_error(draft: Draft, error: ParseError) -> QueryError:
    """Say where sqlglot stopped, in our words."""
    source = draft.session.source
    detail = error.errors[0] if error.errors else {}
    line, column = detail.get("line"), detail.get("col")
    word = str(detail.get("highlight") or "")
    offset = draft.piece.start
    for token in draft.piece.tokens:
        if token.line == line and token.col == column:
            offset = token.start
            word = source.text[token.start : token.end + 1]
    for one, other in zip(draft.piece.tokens, draft.piece.tokens[1:], strict=False):
        if (one.text, other.text) in (("*", "="), ("=", "*")) and one.end + 1 == other.start:
            return source.error(
                "The old outer joins *= and =* are not supported.",
                Kind.UNSUPPORTED,
                one.start,
                "Write LEFT JOIN … ON.",
            )
    if draft.piece.tokens and offset >= draft.piece.tokens[-1].start and "expected" in str(error).lower():
        message = f"The statement ends too early, near {word}." if word else "The statement ends too early."
    else:
        message = f"Syntax error near {word}." if word else "Syntax error."
    return source.error(message, Kind.SYNTAX, offset)


def translate_query(draft: Draft, tree: exp.Expr) -> Statement:
    """SELECT, WITH … SELECT and VALUES, with INTO or without."""
    session = draft.session
    into = _take_into(tree)
    result = compile_query(draft, tree, into=into is not None)
    outs: list[Out] | None = result.outs
    if into is None:
        statement = draft.statement(Action.SELECT, result.sql)
    else:
        statement = draft.statement(Action.INTO, result.sql)
        statement.target = target(session, into)
        if session.find(statement.target.database, statement.target.table) is not None:
            raise session.source.error(
                f"There is already a table {statement.target}.",
                Kind.DATA,
                into,
                "DROP it first, or choose another name.",
            )
        session.make(statement.target, made_table(statement.target, outs))
    result.fill(statement)
    return statement


@dataclass(slots=True)
class Result:
    """What comes out of the passes over one query."""

    sql: str
    engine: str
    outs: list[Out] | None
    reads: list[TableName]
    prelude: list[str]
    positions: list[tuple[str, int, int]]

    def fill(self, statement: Statement) -> None:
        """Copy into the statement."""
        statement.sql = self.sql
        statement.engine = self.engine
        statement.reads = self.reads
        statement.prelude = self.prelude
        statement.positions = self.positions
        number = 0
        for out in self.outs or []:
            name = out.name
            if not name:
                number += 1
                name = f"Column{number}"
            known = out.column
            statement.columns.append(
                Column(name, out.type.sql, known.unit, known.ucd, known.description)
                if known
                else Column(name, out.type.sql)
            )


def compile_query(draft: Draft, tree: exp.Expr, *, into: bool = False) -> Result:
    """All passes over a query."""
    session = draft.session
    infer = Infer(session, call_type)
    resolver = Resolver(session, infer)
    outs = resolver.query(tree)
    engine_of, engine = _engine(session, resolver)
    if resolver.table_functions or _may_be_spatial(tree):
        tree = spatial.rewrite_spatial(
            tree,  # type: ignore[arg-type]
            session.databases,
            session.context,
        )
    meaning = Meaning(session, infer, engine)
    tree = meaning.rewrite(tree)
    tree = reshape(meaning, tree)
    name_outputs(tree)
    sql = generate(tree, engine, session.source, draft.piece.start)
    return Result(
        sql,
        engine_of,
        outs,
        [found.name for found in resolver.reads.values() if found.database != "temp"],
        list(meaning.macros.values()),
        positions(session, draft.piece.tokens),
    )


def positions(session: Session, tokens: list[Token]) -> list[tuple[str, int, int]]:
    """Where names stand in the user's text."""
    found = []
    for token in tokens:
        if token.text and (token.text[0].isalpha() or token.text[0] in "_#@"):
            line, column = session.source.place(token.start)
            found.append((token.text.lower(), line, column))
    return found


def _engine(session: Session, resolver: Resolver) -> tuple[str, str]:
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
    return next(iter(remote.items()))


def _may_be_spatial(tree: exp.Expr) -> bool:
    return any("distance" in str(node.name).lower() for node in tree.find_all(exp.Anonymous))


def _take_into(tree: exp.Expr) -> exp.Table | None:
    """The table of SELECT … INTO, taken out of the tree."""
    query = tree
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    into = query.args.get("into")
    if into is None:
        return None
    query.set("into", None)
    found = into.this
    if not isinstance(found, exp.Table):
        raise QueryError("INTO needs a table.", Kind.SYNTAX)
    return found


def made_table(name: TableName, outs: list[Out] | None) -> Table:
    """What the script's later statements know of a table that it makes."""
    columns = []
    number = 0
    for out in outs or []:
        title = out.name
        if not title:
            number += 1
            title = f"Column{number}"
        known = out.column
        columns.append(
            Column(title, out.type.sql, known.unit, known.ucd, known.description)
            if known
            else Column(title, out.type.sql)
        )
    return Table(name.table, columns)
