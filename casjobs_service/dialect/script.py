"""From a user's script to a plan."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from casjobs_service.dialect import (  # noqa: F401  (register their handlers)
    aggregates,
    arithmetic,
    bound,
    calls_math,
    calls_text,
    calls_time,
    comparison,
    conversion,
    native,
    values,
)
from casjobs_service.dialect.compile import Draft
from casjobs_service.dialect.conditions import holds
from casjobs_service.dialect.names import Databases, Session
from casjobs_service.dialect.source import Source
from casjobs_service.dialect.split import Piece, split
from casjobs_service.dialect.statements import translate_statement
from casjobs_service.dialect.tsql import DIALECT
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import Parameter
from casjobs_service.plan import Action, Statement


def translate(
    text: str,
    databases: Databases,
    context: str,
    *,
    dialect: str = "tsql",
    may_write: bool = True,
    parameters: Mapping[str, Parameter] | None = None,
) -> list[Statement]:
    """Translate a script.

    Parameters
    ----------
    text
        What the user wrote.
    context
        Database where names without one are looked up.
    dialect
        ``tsql``, or the SQL of the engine that will run it: ``duckdb``, ``postgresql``, ``trino``, ``mssql``.
    may_write
        False: the caller may not write to MyDB and MyScratch; temporary tables are allowed.
    parameters
        Values of the request, by name in lower case: ``@name`` in T-SQL, ``$name`` in the other dialects. The
        statements hold their places; whoever runs them binds the values.

    Raises
    ------
    QueryError
        It cannot be read, names something that is not there, or is refused.
    """
    # Editors on Windows put a mark in front of files.
    text = " " + text[1:] if text.startswith("\ufeff") else text
    source = Source(text)
    session = Session(source, databases, context, may_write)
    session.context = session.catalog(context).database
    bound.declare(session, parameters or {})
    if dialect != "tsql":
        return native.translate(session, dialect)
    try:
        return _statements(session, split(tokenize(source), text))
    except RecursionError:
        raise QueryError("The query is nested too deeply.", Kind.UNSUPPORTED) from None


def _statements(session: Session, pieces: list[Piece]) -> list[Statement]:
    statements: list[Statement] = []
    index = 0
    batch = pieces[0].batch if pieces else 0
    while index < len(pieces):
        piece = pieces[index]
        if piece.batch != batch:
            # Variables live as long as their batch, parameters as long as the request.
            batch = piece.batch
            session.variables = {key: session.variables[key] for key in session.parameters}
        if piece.first == "IF":
            index = _if(session, pieces, index, statements)
            continue
        if piece.first == "RETURN":
            statements.append(Draft(piece, session).statement(Action.NOTHING))
            break
        statements.extend(translate_statement(Draft(piece, session)))
        index += 1
    return statements


def _if(session: Session, pieces: list[Piece], index: int, statements: list[Statement]) -> int:
    """IF with a condition that is known: one of its branches. The index after it."""
    condition = holds(session, pieces[index])
    statements.append(Draft(pieces[index], session).statement(Action.NOTHING))
    end = _branch(session, pieces, index + 1)
    if condition:
        statements.extend(_statements(session, pieces[index + 1 : end]))
    if end < len(pieces) and pieces[end].first == "ELSE":
        other = pieces[end]
        start = end
        if len(other.tokens) > 1:
            other.tokens = other.tokens[1:]
        else:
            start = end + 1
        end = _branch(session, pieces, start)
        if not condition:
            statements.extend(_statements(session, pieces[start:end]))
    return end


def _branch(session: Session, pieces: list[Piece], index: int) -> int:
    """Index after one statement, or one block of BEGIN … END."""
    if index >= len(pieces):
        raise session.source.error("IF needs a statement.", Kind.SYNTAX, pieces[-1].start)
    if pieces[index].first != "BEGIN" or len(pieces[index].tokens) > 1:
        if pieces[index].first == "IF":
            return _branch(session, pieces, index + 1)
        return index + 1
    depth = 0
    for place in range(index, len(pieces)):
        if pieces[place].first == "BEGIN" and len(pieces[place].tokens) == 1:
            depth += 1
        elif pieces[place].first == "END":
            depth -= 1
            if depth == 0:
                return place + 1
    raise session.source.error("BEGIN has no END.", Kind.SYNTAX, pieces[index].start)


def translate_inner(draft: Draft, text: str) -> list[Statement]:
    """T-SQL that stands for one statement of the user's, whose place all of it has."""
    session = draft.session
    outer = session.source
    session.source = Source(text)
    try:
        statements = _statements(session, split(tokenize(session.source), text))
    except QueryError as error:
        place = outer.error("", error.kind, draft.piece.start)
        error.line, error.column = place.line, place.column
        raise
    finally:
        session.source = outer
    own = draft.statement(Action.NOTHING)
    for statement in statements:
        statement.line, statement.column, statement.source = own.line, own.column, own.source
        statement.positions = []
    return statements


def undeclared(text: str) -> list[str]:
    """Variables that a script uses and does not declare, without ``@``, in small letters, in order.

    Raises
    ------
    QueryError
        A quote, bracket or comment is not closed.
    """
    used: dict[str, None] = {}
    declared: set[str] = set()
    for piece in split(tokenize(Source(text)), text):
        words = [token.text for token in piece.tokens]
        for index, token in enumerate(piece.tokens[:-1]):
            if token.token_type != TokenType.PARAMETER:
                continue
            name = words[index + 1].lower()
            if piece.first == "DECLARE" and words[index - 1].upper() in ("DECLARE", ","):
                declared.add(name)
            # EXEC f @name = value: the procedure's own.
            elif piece.first not in ("EXEC", "EXECUTE") or words[index + 2 : index + 3] != ["="]:
                used[name] = None
    return [name for name in used if name not in declared and not name.startswith("@")]


def tokenize(source: Source) -> list[Token]:
    """Words of a script.

    Raises
    ------
    QueryError
        A quote, bracket or comment is not closed.
    """
    try:
        tokens = DIALECT.tokenize(source.text)
    except TokenError:
        raise source.unclosed() from None
    return _merge_scratch(tokens)


def _merge_scratch(tokens: list[Token]) -> list[Token]:
    """``myscratch:default`` is one name."""
    merged: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if (
            index + 2 < len(tokens)
            and tokens[index + 1].token_type == TokenType.COLON
            and token.text.lower() in ("myscratch", "mydb")
        ):
            last = tokens[index + 2]
            name = f"{token.text}:{last.text}"
            token = Token(TokenType.IDENTIFIER, name, token.line, token.col, token.start, last.end)
            index += 2
        merged.append(token)
        index += 1
    return merged
