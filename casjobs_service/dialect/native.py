"""Queries in an engine's own SQL: what they may name and do is checked, what they mean is left to the engine."""

from __future__ import annotations

import itertools
import re

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from casjobs_service.catalog import MYDB, OWN, Table
from casjobs_service.dialect import bound, ddl
from casjobs_service.dialect.compile import Draft, positions
from casjobs_service.dialect.generate import DIALECTS, generate
from casjobs_service.dialect.meaning import CALLS, DUCKDB, ENGINE_NAMES, MSSQL, POSTGRESQL, TRINO
from casjobs_service.dialect.names import TEMP, Found, Session, find_table, identifier, target
from casjobs_service.dialect.native_functions import DUCKDB_FUNCTIONS, POSTGRESQL_FUNCTIONS, TRINO_FUNCTIONS
from casjobs_service.dialect.scope import set_table
from casjobs_service.dialect.source import did_you_mean
from casjobs_service.dialect.split import Piece, split
from casjobs_service.errors import Kind
from casjobs_service.plan import Action, Statement, TableName

FUNCTIONS: dict[str, frozenset[str]] = {
    DUCKDB: DUCKDB_FUNCTIONS,
    POSTGRESQL: POSTGRESQL_FUNCTIONS,
    TRINO: TRINO_FUNCTIONS,
    MSSQL: frozenset(CALLS),
}
"""What may be called, by engine."""
WORDS = frozenset(
    """all and any array as asc between by case cast columns cross cube desc distinct else end escape except exclude
    exists extract fetch filter first following from full group grouping having if ilike in inner intersect into is
    join last lateral left like limit list map not null nulls of offset on or order outer over partition preceding
    primary qualify range recursive replace right rollup row rows select semi sets similar some struct table then top
    trim try_cast union unique unnest update using values when where window with within decimal numeric varchar char
    character bpchar nvarchar nchar binary varbinary bit time timestamp float double precision integer int bigint
    smallint tinyint real boolean text interval enum key set default to convert try_convert""".split()  # noqa: SIM905
)
"""Words of SQL and types that may stand before a parenthesis."""
BARE = frozenset({"current_user", "session_user", "system_user", "current_catalog", "current_role", "current_schema"})
"""Words that ask for the engine's account without a parenthesis."""
FORBIDDEN = (
    exp.Alter,
    exp.Attach,
    exp.Command,
    exp.Copy,
    exp.Create,
    exp.CurrentCatalog,
    exp.CurrentSchema,
    exp.CurrentUser,
    exp.Delete,
    exp.Detach,
    exp.Drop,
    exp.Execute,
    exp.Insert,
    exp.Lock,
    exp.Merge,
    exp.Pragma,
    exp.ReadCSV,
    exp.ReadParquet,
    exp.SessionParameter,
    exp.SessionUser,
    exp.Set,
    exp.Update,
    exp.Use,
)
"""Nodes that no query may hold."""


def translate(session: Session, dialect: str) -> list[Statement]:
    """Check and resolve a script in the SQL of the engine that runs it.

    Raises
    ------
    QueryError
        Not the SQL of the context's engine; what the text names or does is not allowed.
    """
    source = session.source
    if dialect not in DIALECTS:
        raise source.error(f"There is no dialect {dialect}.", Kind.UNSUPPORTED, None, did_you_mean(dialect, DIALECTS))
    engine = session.catalog(session.context).engine
    if engine != dialect and not (dialect == DUCKDB and session.context in OWN):
        raise source.error(
            f"{session.context} is run by {ENGINE_NAMES.get(engine, engine)}: use the dialect tsql or {engine}.",
            Kind.UNSUPPORTED,
        )
    parser = DIALECTS[dialect]
    try:
        tokens = parser.tokenize(source.text)
    except TokenError:
        raise source.unclosed() from None
    statements = []
    tokens = _with_parameters(tokens)
    for piece in split(tokens, source.text) if dialect == MSSQL else _pieces(tokens):
        statements.append(_statement(Draft(piece, session), dialect, parser))
    return statements


def _with_parameters(tokens: list[Token]) -> list[Token]:
    """``$name`` as a sign and a name, whatever the engine makes of it."""
    found: list[Token] = []
    for token in tokens:
        line, column = token.line, token.col
        if token.token_type == TokenType.VAR and token.text.startswith("$"):
            found.append(Token(TokenType.PARAMETER, "$", line, column, token.start, token.start))
            found.append(Token(TokenType.VAR, token.text[1:], line, column, token.start + 1, token.end))
        elif found and (found[-1].text, found[-1].end + 1) == ("$", token.start) and token.text.isidentifier():
            # A name even if it is a word of SQL.
            found.append(Token(TokenType.VAR, token.text, line, column, token.start, token.end))
        else:
            found.append(token)
    return found


def _pieces(tokens: list[Token]) -> list[Piece]:
    pieces = [Piece()]
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            pieces.append(Piece())
        else:
            pieces[-1].tokens.append(token)
    return [piece for piece in pieces if piece.tokens]


def _statement(draft: Draft, dialect: str, parser: Dialect) -> Statement:
    source = draft.session.source
    try:
        trees = parser.parser(error_level=ErrorLevel.IMMEDIATE).parse(draft.piece.tokens, source.text)
    except ParseError as error:
        detail = error.errors[0] if error.errors else {}
        places = [
            token for token in draft.piece.tokens if (token.line, token.col) == (detail.get("line"), detail.get("col"))
        ]
        at = places[0] if places else draft.piece.tokens[0]
        word = source.text[at.start : at.end + 1]
        raise source.error(f"Syntax error near {word}.", Kind.SYNTAX, at.start) from None
    tree = trees[0] if len(trees) == 1 else None
    if dialect == DUCKDB and isinstance(tree, exp.Drop | exp.TruncateTable):
        changes = ddl.drop(draft, tree) if isinstance(tree, exp.Drop) else ddl.truncate(draft, tree)
        return changes[0] if len(changes) == 1 else _refuse(draft)
    action, into = Action.SELECT, None
    query: exp.Expr | None = tree
    if isinstance(tree, exp.Create) and str(tree.kind).upper() == "TABLE" and isinstance(tree.expression, exp.Query):
        if not isinstance(tree.this, exp.Table) or tree.args.get("replace"):
            return _refuse(draft)
        action, into, query = Action.INTO, tree.this, tree.expression
        if tree.args.get("with_"):
            query.set("with_", tree.args["with_"])
    elif isinstance(tree, exp.Insert) and isinstance(tree.expression, exp.Query):
        action, query = Action.INSERT, tree.expression
        into = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if isinstance(query, exp.Select) and query.args.get("into") is not None:
        action, into = Action.INTO, query.args["into"].this
        query.set("into", None)
    if not isinstance(query, exp.Query | exp.Values) or isinstance(query, exp.Table):
        return _refuse(draft)
    if query.find(*FORBIDDEN) or (tree is not query and _extras(tree)):
        return _refuse(draft)
    statement = _query(draft, query, dialect)
    statement.action = action
    if into is not None:
        _target(draft, statement, into, tree)
    return statement


def _extras(tree: exp.Expr | None) -> bool:
    """Clauses of CREATE and INSERT that are not passed on."""
    if not isinstance(tree, exp.Create | exp.Insert):
        return False
    known = {"this", "expression", "kind", "with_", "properties"}
    return any(value for key, value in tree.args.items() if key not in known)


def _refuse(draft: Draft) -> Statement:
    word = draft.session.source.text[draft.piece.tokens[0].start : draft.piece.tokens[0].end + 1]
    raise draft.session.source.error(
        f"{word.upper()} is not allowed here.",
        Kind.UNSUPPORTED,
        draft.piece.start,
        "In an engine's own SQL there are SELECT, and CREATE TABLE MyDB.t AS SELECT. Other statements: dialect tsql.",
    )


def _target(draft: Draft, statement: Statement, node: exp.Expr, tree: exp.Expr | None) -> None:
    """Where the rows go: MyDB, MyScratch, or a temporary table."""
    session = draft.session
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        _refuse(draft)
        return
    properties = tree.args.get("properties") if isinstance(tree, exp.Create) else None
    if properties is not None and properties.find(exp.TemporaryProperty):
        name = TableName(TEMP, node.name)
    else:
        if not node.text("db") and session.context not in OWN:
            raise session.source.error(
                f"{session.context} cannot be written.", Kind.FORBIDDEN, node, f"Write {MYDB}.{node.name} instead."
            )
        name = target(session, node)
    found = session.find(name.database, name.table)
    if statement.action is Action.INTO:
        if found is not None:
            raise session.source.error(f"There is already a table {name}.", Kind.DATA, node, "DROP it first.")
        # Only the engine knows the columns.
        session.make(name, Table(name.table, []))
    else:
        if found is None:
            raise session.source.error(f"There is no table {name.table} in {name.database}.", Kind.NAME, node)
        if isinstance(tree, exp.Insert) and isinstance(tree.this, exp.Schema):
            statement.target_columns = [column.name for column in tree.this.expressions]
    statement.target = name


def _query(draft: Draft, query: exp.Expr, dialect: str) -> Statement:
    """A query with its tables resolved and its functions checked."""
    session = draft.session
    source = session.source
    reads: dict[TableName, Found] = {}
    for node in list(query.find_all(exp.Table)):
        if isinstance(node.this, exp.Func):
            continue
        if _is_cte(node):
            continue
        odd = any(node.args.get(key) for key in ("version", "changes", "when"))
        if odd or not isinstance(node.this, exp.Identifier):
            raise source.error("The name of a table is expected here.", Kind.UNSUPPORTED, node)
        if session.find(TEMP, node.name) is not None and not node.text("db"):
            node.set("catalog", identifier(TEMP))
            node.set("db", identifier("main"))
            continue
        found = find_table(session, node)
        if (found.engine != dialect) and not (dialect == DUCKDB and found.engine == DUCKDB):
            raise source.error(
                f"{found.database} is in another engine.", Kind.UNSUPPORTED, node, "Use the dialect tsql, or MyDB."
            )
        if found.remote and found.database != session.context:
            raise source.error(f"A query cannot join {session.context} and {found.database}.", Kind.UNSUPPORTED, node)
        reads.setdefault(found.name, found)
        alias = node.args.get("alias")
        written = node.name
        set_table(node, found)
        if alias is None:
            node.set("alias", exp.TableAlias(this=identifier(written)))
    check_calls(draft, query, dialect)
    _bind(draft, query, dialect)
    sql, parameters = bound.placed(session, generate(query, dialect, source, draft.piece.start), dialect)
    remote = any(found.remote for found in reads.values()) or session.catalog(session.context).engine != DUCKDB
    statement = draft.statement(Action.SELECT, sql)
    statement.engine = session.context if remote and dialect != DUCKDB else ""
    statement.parameters = parameters
    statement.reads = [name for name in reads if name.database != TEMP]
    statement.positions = positions(session, draft.piece.tokens)
    return statement


def _bind(draft: Draft, query: exp.Expr, dialect: str) -> None:
    """Put in the places of parameters."""
    session = draft.session
    written = {name.text: sign.start for sign, name in bound.marks(draft.piece.tokens, "$")}
    # Parsers make the one or the other of them; question marks and :name are placeholders as well.
    for node in list(query.find_all(exp.Parameter, exp.Placeholder)):
        name = node.name
        if name not in written:
            _refuse(draft)
        if name.lower() not in session.parameters:
            raise session.source.error(
                f"There is no parameter ${name}.",
                Kind.NAME,
                written[name],
                did_you_mean(name, session.parameters).replace("mean ", "mean $")
                or f'Send its value with the query: "Parameters": {{"{name}": …}}.',
            )
        node.replace(bound.bound(session, name.lower(), dialect))
    bound.bare_limits(query, dialect)


def _is_cte(node: exp.Table) -> bool:
    """Whether the name is one of WITH's around it."""
    if node.text("db") or node.text("catalog"):
        return False
    current: exp.Expr | None = node.parent
    while current is not None:
        with_ = current if isinstance(current, exp.With) else current.args.get("with_")
        if with_ is not None and any(cte.alias.lower() == node.name.lower() for cte in with_.expressions):
            return True
        current = current.parent
    return False


def check_calls(draft: Draft, query: exp.Expr, dialect: str) -> None:
    """Refuse calls of functions that are not listed, in the text that will run: no tree can hide one from it.

    Raises
    ------
    QueryError
        Says which.
    """
    session = draft.session
    copy = query.copy()
    for alias in copy.find_all(exp.TableAlias):
        # The names of columns in AS t(a, b) look like a call.
        alias.set("columns", None)
    tokens = DIALECTS[dialect].tokenize(generate(copy, dialect, session.source))
    allowed = FUNCTIONS[dialect]
    catalog = session.catalog(session.context)
    own = {function.name.lower() for function in catalog.functions} if dialect in (MSSQL, POSTGRESQL) else set()
    for token, following in itertools.pairwise([*tokens, tokens[-1]]):
        if token.text.lower() in BARE and token.token_type != TokenType.IDENTIFIER:
            raise session.source.error(f"{token.text} may not be asked for.", Kind.FORBIDDEN, draft.piece.start)
        if following.token_type != TokenType.L_PAREN or not re.match(r"[^\W\d]", token.text):
            continue
        if token.token_type in (TokenType.STRING, TokenType.NATIONAL_STRING):
            continue
        name = token.text.lower()
        word = token.token_type != TokenType.IDENTIFIER and (name in WORDS or " " in name)
        if name in allowed or name in own or word:
            continue
        at = next((item.start for item in draft.piece.tokens if item.text.lower() == name), draft.piece.start)
        hint = did_you_mean(name, allowed)
        raise session.source.error(f"The function {token.text} may not be called.", Kind.FORBIDDEN, at, hint)
