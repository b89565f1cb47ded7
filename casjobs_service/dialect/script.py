"""From a user's script to a plan."""

from __future__ import annotations

from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from casjobs_service.dialect import aggregates, arithmetic  # noqa: F401  (register their handlers)
from casjobs_service.dialect.names import Databases, Session
from casjobs_service.dialect.source import Source
from casjobs_service.dialect.split import Piece, split
from casjobs_service.dialect.statements import Draft, parse, translate_query
from casjobs_service.dialect.tsql import DIALECT
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Statement


def translate(
    text: str, databases: Databases, context: str, *, dialect: str = "tsql", may_write: bool = True
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

    Raises
    ------
    QueryError
        It cannot be read, names something that is not there, or is refused.
    """
    source = Source(text)
    session = Session(source, databases, context, may_write)
    session.context = session.catalog(context).database
    try:
        statements = []
        for piece in split(tokenize(source), text):
            statements.extend(_statement(session, piece))
        return statements
    except RecursionError:
        raise QueryError("The query is nested too deeply.", Kind.UNSUPPORTED) from None


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
        raise source.error("A quote, a bracket or a comment is not closed.", Kind.SYNTAX, None) from None
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
            token = Token(
                TokenType.IDENTIFIER, f"{token.text}:{last.text}", token.line, token.col, token.start, last.end
            )
            index += 2
        merged.append(token)
        index += 1
    return merged


def _statement(session: Session, piece: Piece) -> list[Statement]:
    draft = Draft(piece, session)
    tree = parse(draft)
    return [translate_query(draft, tree)]
