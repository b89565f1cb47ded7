"""Parameters of a request: in a tree they stand where the engine takes them from, and never as their values.

The session's own engine holds them as variables (`Engine.bind` in the worker sets them). PostgreSQL holds them as
settings of the connection, so that its results still come by COPY, which takes no parameters. Trino's driver takes
question marks, SQL Server variables.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from sqlglot import exp
from sqlglot.tokens import Token, TokenType

from casjobs_service.dialect import types
from casjobs_service.dialect.generate import DIALECTS
from casjobs_service.dialect.meaning import DUCKDB, MSSQL, POSTGRESQL, TRINO, Meaning, handles
from casjobs_service.dialect.names import Bound, Session, Variable
from casjobs_service.dialect.tsql import DIALECT, WRITTEN
from casjobs_service.parameters import SETTING, Parameter


def declare(session: Session, parameters: Mapping[str, Parameter]) -> None:
    """Make parameters variables that the script has from its beginning to its end."""
    for key, parameter in parameters.items():
        written = parameter.type and types.written(exp.DataType.build(parameter.type, dialect=DIALECT))
        kind = written or types.NULL
        place = exp.Placeholder(this=key)
        place.meta[WRITTEN] = True
        session.parameters[key] = Bound(kind, parameter.value)
        session.variables[key] = Variable(parameter.name, kind, place)


def bound(session: Session, key: str, engine: str) -> exp.Expr:
    """Where an engine finds the value of a parameter."""
    kind = session.parameters[key].type
    if kind == types.NULL:
        return exp.Null()
    place: exp.Expr = exp.Parameter(this=exp.Var(this=key))
    if engine == DUCKDB:
        place = exp.Anonymous(this="getvariable", expressions=[exp.Literal.string(key)])
    elif engine == POSTGRESQL:
        setting = exp.Literal.string(SETTING.format(key))
        # True: a setting that is not there is NULL.
        place = exp.Anonymous(this="current_setting", expressions=[setting, exp.true()])
    elif engine == MSSQL:
        return place
    # Others have no tinyint without a sign; that the value is one was looked at.
    known = types.SMALLINT if kind == types.TINYINT and engine != DUCKDB else kind
    return exp.Cast(this=place, to=known.node())


@handles(exp.Placeholder)
def _placeholder(meaning: Meaning, node: exp.Placeholder) -> exp.Expr:
    return meaning.typed(bound(meaning.session, node.name, meaning.engine), meaning.type(node))


def known(session: Session, value: exp.Expr) -> exp.Expr:
    """An expression with the values themselves, for what is computed while a script is translated: regions."""
    literals = {key: _literal(parameter) for key, parameter in session.parameters.items()}
    return value.copy().transform(
        lambda node: (literals[node.name] or node) if isinstance(node, exp.Placeholder) else node
    )


def _literal(parameter: Bound) -> exp.Expr | None:
    value = parameter.value
    if isinstance(value, str):
        return exp.Literal.string(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        literal = exp.Literal.number(repr(abs(value)))
        return exp.Neg(this=literal) if value < 0 else literal
    return None


def bare_limits(tree: exp.Expr, engine: str) -> None:
    """Trino takes a question mark after LIMIT, and no other expression."""
    for limit in tree.find_all(exp.Limit, exp.Offset, exp.Fetch) if engine == TRINO else ():
        key = "count" if isinstance(limit, exp.Fetch) else "expression"
        inner = limit.args.get(key)
        while isinstance(inner, exp.Cast | exp.Paren):
            inner = inner.this
        if isinstance(inner, exp.Parameter):
            limit.set(key, inner)


def placed(session: Session, sql: str, engine: str) -> tuple[str, list[str]]:
    """A statement as its driver takes it, and the parameters that must go with it, in the order of their places."""
    if not session.parameters or engine == DUCKDB:
        return sql, []
    if engine != TRINO:
        return sql, list(session.parameters)
    names, parts, end = [], [], 0
    for start, name in marks(DIALECTS[engine].tokenize(sql), "@"):
        names.append(name.text)
        parts += [sql[end : start.start], "?"]
        end = name.end + 1
    return "".join([*parts, sql[end:]]), names


def marks(tokens: list[Token], sign: str) -> list[tuple[Token, Token]]:
    """Signs, each with the name that stands directly behind it."""
    return [
        (token, name)
        for token, name in itertools.pairwise(tokens)
        if token.token_type == TokenType.PARAMETER and token.text == sign and name.start == token.end + 1
    ]
