"""DECLARE, SET and SELECT @v = …"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.tokens import Token, TokenType

from casjobs_service.dialect import types
from casjobs_service.dialect.compile import Draft, compile_query
from casjobs_service.dialect.ddl import create_table
from casjobs_service.dialect.names import TEMP, Variable
from casjobs_service.dialect.tsql import WRITTEN
from casjobs_service.errors import Kind
from casjobs_service.plan import Action, Statement, TableName

NO_EFFECT = frozenset(
    """nocount ansi_nulls ansi_padding ansi_warnings arithabort arithignore quoted_identifier xact_abort statistics
    transaction deadlock_priority lock_timeout ansi_null_dflt_on concat_null_yields_null numeric_roundabort
    identity_insert textsize""".split()  # noqa: SIM905 - a list of words
)
"""Settings of a session that change no result here when they are on."""
MUST_BE_ON = frozenset({"ansi_nulls", "concat_null_yields_null", "quoted_identifier", "ansi_padding"})
_OPERATORS = (
    TokenType.PLUS,
    TokenType.DASH,
    TokenType.STAR,
    TokenType.SLASH,
    TokenType.MOD,
    TokenType.AMP,
    TokenType.PIPE,
    TokenType.CARET,
)


def expand_assignments(tokens: list[Token]) -> list[Token]:
    """``@x += 1`` as ``@x = @x + (1)``."""
    result: list[Token] = []
    open_until: list[int] = []
    # Elsewhere *= is the old outer join.
    columns = tokens[0].text.upper() == "UPDATE"
    depth = 0
    index = 0
    while index < len(tokens):
        token = tokens[index]
        word = token.text.upper() if token.token_type not in (TokenType.IDENTIFIER, TokenType.STRING) else ""
        if word in ("FROM", "WHERE") and depth == 0:
            columns = False
        if token.token_type == TokenType.L_PAREN:
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
        if (
            open_until
            and depth == open_until[-1]
            and (token.token_type == TokenType.COMMA or word in ("FROM", "WHERE"))
        ):
            open_until.pop()
            result.append(_like(token, TokenType.R_PAREN, ")"))
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if (
            token.token_type in _OPERATORS
            and following is not None
            and following.token_type == TokenType.EQ
            and following.start == token.end + 1
            and depth == 0
            and result
        ):
            target = [result[-1]]
            if len(result) > 1 and result[-2].token_type == TokenType.PARAMETER:
                target.insert(0, result[-2])
            elif not columns:
                result.append(token)
                index += 1
                continue
            result += [following, *target, token, _like(token, TokenType.L_PAREN, "(")]
            open_until.append(depth)
            index += 2
            continue
        result.append(token)
        index += 1
    result += [_like(tokens[-1], TokenType.R_PAREN, ")") for _ in open_until]
    return result


def _like(token: Token, kind: TokenType, text: str) -> Token:
    return Token(kind, text, token.line, token.col, token.start, token.end)


def declare(draft: Draft, tree: exp.Declare) -> list[Statement]:
    """DECLARE of variables and table variables."""
    session = draft.session
    statements = []
    for item in tree.expressions:
        names = item.this if isinstance(item.this, list) else [item.this]
        kind = item.args.get("kind")
        for name in names:
            if not isinstance(name, exp.Parameter):
                raise session.source.error("Cursors are not supported.", Kind.UNSUPPORTED, draft.piece.start)
            key = name.name.lower()
            if key in session.parameters:
                raise session.source.error(
                    f"@{name.name} is declared here, and it is a parameter of the request.",
                    Kind.NAME,
                    name,
                    "Remove the declaration, or give one of them another name.",
                )
            if key in session.variables or session.find(TEMP, "@" + key):
                raise session.source.error(f"@{name.name} is declared twice.", Kind.NAME, name)
            if isinstance(kind, exp.Schema):
                statements.append(create_table(draft, TableName(TEMP, "@" + name.name), kind))
                continue
            type_ = types.written(kind) if isinstance(kind, exp.DataType) else None
            if type_ is None:
                raise session.source.error(
                    f"The type of @{name.name} is not supported.", Kind.UNSUPPORTED, name, "Cursors are not, either."
                )
            session.variables[key] = Variable(name.name, type_, exp.Null())
            default = item.args.get("default")
            if isinstance(default, exp.Expr):
                statements.append(assign(draft, name, default))
            else:
                value = exp.Cast(this=exp.Null(), to=type_.node())
                statements.append(
                    draft.statement(Action.SESSION, f"SET VARIABLE {_name(key)} = {value.sql('duckdb')}")
                )
    return statements


def _name(key: str) -> str:
    return '"' + key.replace('"', '""') + '"'


def assign(draft: Draft, name: exp.Parameter, value: exp.Expr, query: exp.Select | None = None) -> Statement:
    """A value for a variable.

    Parameters
    ----------
    query
        ``SELECT @v = value FROM …``: the query around it, whose last row counts; without rows nothing changes.
    """
    session = draft.session
    key = name.name.lower()
    variable = session.variables.get(key)
    if variable is None:
        raise session.source.error(
            f"There is no variable @{name.name}.", Kind.NAME, name, f"Declare it first: DECLARE @{name.name} int."
        )
    kind = variable.type
    if kind == types.NULL:
        raise session.source.error(
            f"@{name.name} is a NULL without a type, and can take no value.",
            Kind.UNSUPPORTED,
            name,
            'Send it with a type: {"value": null, "type": "int"}.',
        )
    constant = _constant(draft, value) if query is None or not query.args.get("from_") else None
    select = query.copy() if query is not None else exp.Select()
    own = any(isinstance(node, exp.Parameter) and node.name.lower() == key for node in value.walk())
    if query is not None and query.args.get("from_") and own:
        raise session.source.error(
            f"@{name.name} cannot be built up over the rows of a query.",
            Kind.UNSUPPORTED,
            name,
            "Use sum(…) or STRING_AGG(…).",
        )
    aliased = exp.Alias(this=value.copy(), alias=exp.to_identifier("value", quoted=True))
    select.set("expressions", [aliased])
    for node in (select, aliased):
        node.meta[WRITTEN] = True
    result = compile_query(draft, select, wanted=[kind])
    if result.engine:
        raise session.source.error(
            f"A variable cannot take its value from {result.engine}.",
            Kind.UNSUPPORTED,
            name,
            "Copy the rows that you need INTO MyDB first.",
        )
    variable.value = constant
    sql = result.sql
    if query is not None and query.args.get("from_"):
        sql = (
            f"SELECT CASE WHEN count(*) = 0 THEN getvariable('{key}') ELSE last(q.\"value\") END"  # noqa: S608
            f" FROM ({sql}) AS q"
        )
    statement = draft.statement(Action.SESSION, f"SET VARIABLE {_name(key)} = ({sql})")
    statement.reads, statement.prelude, statement.positions = result.reads, result.prelude, result.positions
    return statement


def _constant(draft: Draft, value: exp.Expr) -> exp.Expr | None:
    """The value over literals only, with other variables filled in; None if it is not one."""
    copy = value.copy()
    if any(
        isinstance(node, exp.Column | exp.Query | exp.Subquery | exp.CurrentTimestamp)
        or (isinstance(node, exp.Anonymous) and str(node.name).lower() in ("rand", "newid", "getdate"))
        for node in copy.walk()
    ):
        return None
    for node in list(copy.find_all(exp.Parameter)):
        variable = draft.session.variables.get(node.name.lower())
        if variable is None or variable.value is None:
            return None
        filled = exp.Paren(this=exp.Cast(this=variable.value.copy(), to=variable.type.node()))
        for item in filled.walk():
            item.meta[WRITTEN] = True
        if node is copy:
            return filled
        node.replace(filled)
    return copy


def assignments(draft: Draft, tree: exp.Select) -> list[Statement] | None:
    """``SELECT @a = x, @b = y FROM …``; None for other queries."""
    marked = [item for item in tree.expressions if isinstance(item, exp.EQ) and isinstance(item.this, exp.Parameter)]
    if not marked:
        return None
    if len(marked) != len(tree.expressions):
        raise draft.session.source.error(
            "A SELECT either returns rows or sets variables.", Kind.SYNTAX, draft.piece.start
        )
    return [assign(draft, item.this, item.expression, tree) for item in marked]


def set_statement(draft: Draft, tree: exp.Set) -> list[Statement]:
    """SET @v = …."""
    statements = []
    for item in tree.expressions:
        inner = item.this
        if not (isinstance(inner, exp.EQ) and isinstance(inner.this, exp.Parameter)):
            raise draft.session.source.error("SET gives a variable a value.", Kind.SYNTAX, draft.piece.start)
        statements.append(assign(draft, inner.this, inner.expression))
    return statements


def set_option(draft: Draft) -> Statement:
    """A setting of the session, whose words sqlglot knows only in part."""
    session = draft.session
    words = [token.text.lower() for token in draft.piece.tokens[1:]]
    setting = words[0]
    if setting == "rowcount" and len(words) > 1 and words[1].isdigit():
        session.limit = int(words[1])
    elif setting == "dateformat" and words[1:] == ["mdy"]:
        # As it is.
        pass
    elif setting not in NO_EFFECT or (setting in MUST_BE_ON and words[-1] == "off"):
        raise session.source.error(f"SET {setting.upper()} is not supported.", Kind.UNSUPPORTED, draft.piece.start)
    return draft.statement(Action.NOTHING)
