"""From pieces of a T-SQL script to statements of the plan."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp
from sqlglot.errors import ParseError
from sqlglot.tokens import Token, TokenType

from casjobs_service.catalog import Table
from casjobs_service.dialect import change, ddl, spatial, variables
from casjobs_service.dialect.check import check
from casjobs_service.dialect.compile import Draft, columns_of, compile_query, placed
from casjobs_service.dialect.names import target
from casjobs_service.dialect.source import did_you_mean
from casjobs_service.dialect.split import QUOTED, STARTERS, VERBS
from casjobs_service.dialect.tsql import DIALECT, WRITTEN
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Action, Statement

REFUSED = {
    "WHILE": ("Loops are not supported.", "Write one statement over all rows."),
    "MERGE": ("MERGE is not supported.", "Write UPDATE … FROM, then INSERT … WHERE NOT EXISTS."),
    "ROLLBACK": ("ROLLBACK is not supported: each statement is a transaction of its own.", ""),
    "SAVE": ("SAVE TRANSACTION is not supported: each statement is a transaction of its own.", ""),
    "WAITFOR": ("WAITFOR is not supported.", ""),
    "OPEN": ("Cursors are not supported.", "Write one statement over all rows."),
    "FETCH": ("Cursors are not supported.", "Write one statement over all rows."),
    "CLOSE": ("Cursors are not supported.", ""),
    "DEALLOCATE": ("Cursors are not supported.", ""),
    "GRANT": ("Rights cannot be given here.", "Share a table on the page of MyDB."),
    "REVOKE": ("Rights cannot be taken here.", ""),
    "DENY": ("Rights cannot be taken here.", ""),
    "GOTO": ("GOTO is not supported.", ""),
    "THROW": ("THROW is not supported.", ""),
    "RAISERROR": ("RAISERROR is not supported.", ""),
    "BREAK": ("Loops are not supported.", ""),
    "CONTINUE": ("Loops are not supported.", ""),
    "DBCC": ("DBCC is not supported.", ""),
    "BACKUP": ("Files of the server cannot be reached.", ""),
    "RESTORE": ("Files of the server cannot be reached.", ""),
    "BULK": ("Files of the server cannot be reached.", "Upload the file to MyDB."),
    "KILL": ("Queries are cancelled on the page of the queue.", ""),
    "SHUTDOWN": ("This is not yours to stop.", ""),
    "RECONFIGURE": ("The server's settings cannot be changed.", ""),
}
"""Statements that are refused, by their first word: why, and what to do instead."""


HINTS = frozenset(
    """NOLOCK INDEX READUNCOMMITTED READCOMMITTED REPEATABLEREAD SERIALIZABLE HOLDLOCK UPDLOCK XLOCK TABLOCK TABLOCKX
    ROWLOCK PAGLOCK READPAST NOWAIT NOEXPAND FORCESEEK FORCESCAN SNAPSHOT FASTFIRSTROW NOUNLOCK KEEPIDENTITY
    FILLFACTOR PAD_INDEX SORT_IN_TEMPDB DATA_COMPRESSION ONLINE MAXDOP DROP_EXISTING""".split()  # noqa: SIM905 - words
)
"""First words of hints."""


def parse(draft: Draft) -> exp.Expr:
    """The tree of one statement.

    Raises
    ------
    QueryError
        It is not T-SQL.
    """
    source = draft.session.source
    tokens = draft.piece.tokens
    if draft.piece.first in ("SET", "UPDATE", "SELECT"):
        tokens = variables.expand_assignments(tokens)
    tokens = _without_hints(tokens)
    if draft.piece.first == "DELETE":
        tokens = _one_from(tokens)
    if draft.piece.first == "WITH":
        verb = _verb(tokens)
        if tokens[verb].text.upper() in ("INSERT", "UPDATE", "DELETE"):
            return _with(draft, tokens, verb)
    try:
        trees = DIALECT.parser().parse(tokens, source.text)
    except (ParseError, ValueError) as error:
        raise syntax_error(draft, error) from None
    if len(trees) != 1 or trees[0] is None:
        raise source.error("This is not SQL that we can read.", Kind.SYNTAX, draft.piece.start)
    for node in trees[0].walk():
        node.meta[WRITTEN] = True
        if isinstance(node, exp.Convert) and not (isinstance(node.this, exp.DataType) and node.expression):
            raise source.error("CONVERT takes a type and a value.", Kind.SYNTAX, node)
    return trees[0]


def _without_hints(tokens: list[Token]) -> list[Token]:
    """``WITH (NOLOCK, INDEX = x)`` and ``OPTION (…)`` say how to run a query, not what it answers."""
    result: list[Token] = []
    index = 0
    while index < len(tokens):
        word = tokens[index].text.upper() if tokens[index].token_type not in QUOTED else ""
        inside = tokens[index + 2].text.upper() if index + 2 < len(tokens) else ""
        opens = word in ("WITH", "OPTION") and tokens[index + 1 : index + 2] and tokens[index + 1].text == "("
        if opens and (word == "OPTION" or inside in HINTS):
            depth = 0
            for place in range(index + 1, len(tokens)):
                kind = tokens[place].token_type
                depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(kind, 0)
                if depth == 0:
                    index = place + 1
                    break
            else:
                return tokens
            continue
        result.append(tokens[index])
        index += 1
    return result


def _one_from(tokens: list[Token]) -> list[Token]:
    """``DELETE FROM a FROM t a …`` as ``DELETE a FROM t a …``."""
    depth = 0
    places = []
    for index, token in enumerate(tokens):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if token.token_type == TokenType.FROM and depth == 0:
            places.append(index)
    return [tokens[0], *tokens[2:]] if len(places) > 1 and places[0] == 1 else tokens


def _verb(tokens: list[Token]) -> int:
    """Where the statement after WITH begins."""
    depth = 0
    for index, token in enumerate(tokens):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if depth == 0 and token.text.upper() in VERBS and token.token_type not in QUOTED:
            return index
    return 0


def _with(draft: Draft, tokens: list[Token], verb: int) -> exp.Expr:
    """WITH before INSERT, UPDATE and DELETE: its queries belong to the query that says which rows."""
    select = [Token(TokenType.SELECT, "SELECT"), Token(TokenType.NUMBER, "1")]
    head = replace(draft.piece, tokens=[*tokens[:verb], *select], words=set())
    body = replace(draft.piece, tokens=tokens[verb:], words=set())
    with_ = parse(Draft(head, draft.session)).args["with_"]
    tree = parse(Draft(body, draft.session))
    tree.set("with_", with_)
    return tree


def syntax_error(draft: Draft, error: ParseError | ValueError) -> QueryError:
    """Say where sqlglot stopped, in our words."""
    source = draft.session.source
    tokens = draft.piece.tokens
    detail = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    line, column = detail.get("line"), detail.get("col")
    at = next((token for token in tokens if token.line == line and token.col == column), tokens[0])
    word = source.text[at.start : at.end + 1]
    for one, other in itertools.pairwise(tokens):
        if (one.text, other.text) in (("*", "="), ("=", "*")) and one.end + 1 == other.start:
            return source.error(
                "The old outer joins *= and =* are not supported.",
                Kind.UNSUPPORTED,
                one.start,
                "Write LEFT JOIN … ON.",
            )
    if str(detail.get("description", "")).startswith("A join needs ON"):
        return source.error("A join needs ON.", Kind.SYNTAX, at.start, "Write JOIN t ON a.x = t.x, or CROSS JOIN t.")
    ended = at is tokens[-1] and word not in (")", "]")
    message = f"The statement ends too early, after {word}." if ended else f"Syntax error near {word}."
    return source.error(message, Kind.SYNTAX, at.start)


def translate_statement(draft: Draft) -> list[Statement]:
    """One statement of the user's is one or more of the plan."""
    session = draft.session
    source = session.source
    first = draft.piece.first
    start = draft.piece.start
    words = [token.text.upper() for token in draft.piece.tokens[:3]]
    if first in REFUSED:
        message, hint = REFUSED[first]
        raise source.error(message, Kind.UNSUPPORTED, start, hint)
    if words[:2] == ["UPDATE", "STATISTICS"] or first in ("PRINT", "CHECKPOINT"):
        return [draft.statement(Action.NOTHING)]
    if first == "COMMIT" or (first == "BEGIN" and words[1:2] in (["TRAN"], ["TRANSACTION"])):
        return [draft.nothing(ddl.NO_TRANSACTION)]
    if first == "SET" and len(words) > 1 and draft.piece.tokens[1].token_type != TokenType.PARAMETER:
        return [variables.set_option(draft)]
    if first == "BEGIN" and len(words) < 2:
        return [draft.statement(Action.NOTHING)]
    if first == "END" and len(words) == 1:
        return [draft.statement(Action.NOTHING)]
    if first in ("BEGIN", "END"):
        raise source.error("TRY and CATCH are not supported.", Kind.UNSUPPORTED, start)
    if first == "DECLARE" and "CURSOR" in draft.piece.words:
        raise source.error("Cursors are not supported.", Kind.UNSUPPORTED, start, REFUSED["OPEN"][1])
    if first == "INSERT" and not draft.piece.words.isdisjoint({"EXEC", "EXECUTE"}):
        return insert_results(draft)
    if first == "EXEC" or first == "EXECUTE":
        return execute(draft)
    if first in ("CREATE", "ALTER") and not {"PROCEDURE", "PROC", "FUNCTION", "TRIGGER"}.isdisjoint(words):
        raise source.error("Procedures, functions and triggers cannot be made.", Kind.UNSUPPORTED, start)
    tokens = draft.piece.tokens
    for one, other in itertools.pairwise(tokens):
        if one.text == "@" and other.text == "@" and one.end + 1 == other.start:
            hint = "The rows of each result are counted."
            raise source.error("Names that start with @@ are not supported.", Kind.UNSUPPORTED, one.start, hint)
    if first not in STARTERS and first not in ("VALUES", "("):
        word = source.text[tokens[0].start : tokens[0].end + 1]
        hint = did_you_mean(word, ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "DECLARE", "TRUNCATE"))
        raise source.error(f"{word} starts no statement that is known here.", Kind.SYNTAX, start, hint)
    tree = parse(draft)
    handler = HANDLERS.get(type(tree))
    if handler is None:
        raise source.error("This statement is not supported.", Kind.UNSUPPORTED, start)
    return handler(draft, tree)


def query(draft: Draft, tree: exp.Expr) -> list[Statement]:
    """SELECT, WITH … SELECT and VALUES, with INTO or without; SELECT @v = …."""
    session = draft.session
    if isinstance(tree, exp.Select):
        check(tree, session.source, draft.piece.start)
        assigned = variables.assignments(draft, tree)
        if assigned is not None:
            return assigned
    into = take_into(draft, tree)
    if into is None:
        return [compile_query(draft, tree).fill(draft.statement(Action.SELECT))]
    name = target(session, into)
    if session.find(name.database, name.table) is not None:
        raise session.source.error(
            f"There is already a table {name}.", Kind.DATA, into, "DROP it first, or choose another name."
        )
    result = compile_query(draft, tree, into=True)
    columns = columns_of(result.outs)
    seen: set[str] = set()
    for column in columns:
        if column.name.lower() in seen:
            raise session.source.error(
                f"The new table would have two columns {column.name}.", Kind.NAME, into, "Name one of them: … AS name."
            )
        seen.add(column.name.lower())
    statement = result.fill(draft.statement(Action.INTO))
    statement.target = name
    session.make(name, Table(name.table, columns))
    return [statement]


def take_into(draft: Draft, tree: exp.Expr) -> exp.Table | None:
    """The table of SELECT … INTO, taken out of the tree."""
    first = tree
    while isinstance(first, exp.SetOperation | exp.Subquery):
        first = first.this
    into = first.args.get("into")
    for other in tree.find_all(exp.Into):
        if other is not into:
            raise draft.session.source.error("INTO belongs to the first SELECT.", Kind.SYNTAX, other)
    if into is None:
        return None
    first.set("into", None)
    if not isinstance(into.this, exp.Table):
        raise draft.session.source.error("INTO needs the name of a table.", Kind.SYNTAX, draft.piece.start)
    return into.this


def use(draft: Draft, tree: exp.Use) -> list[Statement]:
    """USE: where the rest of the script looks names up."""
    node = tree.this
    name = node.name if isinstance(node, exp.Expr) else ""
    draft.session.context = draft.session.catalog(name, node if isinstance(node, exp.Expr) else None).database
    return [draft.statement(Action.NOTHING)]


def execute(draft: Draft) -> list[Statement]:
    """EXEC of the few procedures that are known."""
    source = draft.session.source
    node, positional, named = _called(draft)
    if node.name.lower() == "sp_rename":
        values = [item.name for item in positional] or [
            named[key].name for key in ("objname", "newname", "objtype") if key in named
        ]
        if len(values) not in (2, 3):
            raise source.error("sp_rename takes 'old', 'new' and perhaps 'COLUMN'.", Kind.SYNTAX, node)
        what = values[2].lower() if len(values) > 2 else "object"
        return ddl.rename(draft, values[0], values[1], what, node)
    return _inner(draft, _procedure(draft, node, positional, named))


def insert_results(draft: Draft) -> list[Statement]:
    """INSERT … EXEC: the rows that a procedure gives go into a table."""
    tokens = draft.piece.tokens
    index = next(
        place
        for place, token in enumerate(tokens)
        if token.text.upper() in ("EXEC", "EXECUTE") and token.token_type not in QUOTED
    )
    call = Draft(replace(draft.piece, tokens=tokens[index:]), draft.session)
    before = draft.session.source.text[tokens[0].start : tokens[index].start]
    return _inner(draft, f"{before} {_procedure(call, *_called(call))}")


def _called(draft: Draft) -> tuple[exp.Table, list[exp.Expr], dict[str, exp.Expr]]:
    """The procedure of an EXEC, and its arguments by position and by name."""
    tree = parse(draft)
    node = tree.this if isinstance(tree, exp.Execute) else None
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise draft.session.source.error(
            "EXEC needs a procedure.", Kind.UNSUPPORTED, draft.piece.start, "SQL in texts is not run."
        )
    positional: list[exp.Expr] = []
    named: dict[str, exp.Expr] = {}
    for argument in tree.expressions:
        if isinstance(argument, exp.EQ) and isinstance(argument.this, exp.Parameter):
            named[argument.this.name.lower()] = argument.expression
        else:
            positional.append(argument)
    return node, positional, named


def _procedure(draft: Draft, node: exp.Table, positional: list[exp.Expr], named: dict[str, exp.Expr]) -> str:
    """T-SQL that does what a procedure does."""
    if node.name.lower() not in spatial.PROCEDURES:
        known = sorted(spatial.PROCEDURES | {"sp_rename"})
        raise draft.session.source.error(
            f"The procedure {node.name} is not supported.", Kind.UNSUPPORTED, node, did_you_mean(node.name, known)
        )
    try:
        return spatial.procedure(node.name, positional, named)
    except QueryError as error:
        raise placed(draft, error) from None


def _inner(draft: Draft, text: str) -> list[Statement]:
    from casjobs_service.dialect.script import translate_inner

    return translate_inner(draft, text)


HANDLERS: dict[type[exp.Expr], Callable[[Draft, exp.Expr], list[Statement]]] = {
    exp.Select: query,
    exp.Union: query,
    exp.Except: query,
    exp.Intersect: query,
    exp.Subquery: query,
    exp.Values: query,
    exp.Declare: variables.declare,  # type: ignore[dict-item]
    exp.Set: variables.set_statement,  # type: ignore[dict-item]
    exp.Insert: lambda draft, tree: [change.insert(draft, tree)],  # type: ignore[arg-type]
    exp.Update: lambda draft, tree: [change.update(draft, tree)],  # type: ignore[arg-type]
    exp.Delete: lambda draft, tree: [change.delete(draft, tree)],  # type: ignore[arg-type]
    exp.Create: ddl.create,  # type: ignore[dict-item]
    exp.Drop: ddl.drop,  # type: ignore[dict-item]
    exp.TruncateTable: ddl.truncate,  # type: ignore[dict-item]
    exp.Alter: ddl.alter,  # type: ignore[dict-item]
    exp.Use: use,  # type: ignore[dict-item]
}
"""By class of the tree."""
