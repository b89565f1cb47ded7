"""Rewriting of expressions: what T-SQL means, said in the SQL of the engine that runs it.

Works from the leaves up. A handler gets a node whose children are rewritten already, with their T-SQL types, and
returns what replaces it. Nodes that the user did not write (`WRITTEN`) are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from casjobs_service.dialect import functions, spatial, types
from casjobs_service.dialect.infer import Infer, Returns
from casjobs_service.dialect.macros import MACROS, NEEDS
from casjobs_service.dialect.names import Session
from casjobs_service.dialect.scope import TYPE
from casjobs_service.dialect.source import did_you_mean
from casjobs_service.dialect.tsql import WRITTEN
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind, QueryError

if TYPE_CHECKING:
    from casjobs_service.catalog import Function

DUCKDB = "duckdb"
POSTGRESQL = "postgresql"
TRINO = "trino"
MSSQL = "mssql"
ENGINE_NAMES = {DUCKDB: "MyDB's engine", POSTGRESQL: "PostgreSQL", TRINO: "Trino", MSSQL: "SQL Server"}

Handler = Callable[["Meaning", Any], exp.Expr]
HANDLERS: dict[type[exp.Expr], Handler] = {}
"""By class of node."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function of T-SQL.

    Attributes
    ----------
    least, most
        Number of arguments; `most` -1: any number.
    returns
        Type of its result.
    rewrite
        What it becomes.
    aggregate, window
        It may stand with GROUP BY, and with OVER. `window` alone: only with OVER.
    """

    least: int
    most: int
    returns: Returns
    rewrite: Callable[[Meaning, exp.Anonymous, list[Any]], exp.Expr]
    aggregate: bool = False
    window: bool = False


CALLS: dict[str, Call] = {}
"""T-SQL's own functions, by name in lower case."""
REFUSED: dict[str, str] = {}
"""Functions of T-SQL that are refused: name in lower case → what to do instead."""


def handles(*kinds: type[exp.Expr]) -> Callable[[Handler], Handler]:
    """Register the handler of some classes of nodes."""

    def register(handler: Handler) -> Handler:
        for kind in kinds:
            HANDLERS[kind] = handler
        return handler

    return register


def fixed(kind: Type) -> Returns:
    """A function that always returns this type."""
    return lambda given, arguments: kind


def first(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    """A function that returns the type of its first argument."""
    return given[0] if given else types.UNKNOWN


class Meaning:
    """Rewrites the expressions of one statement.

    Attributes
    ----------
    engine
        `DUCKDB`, `POSTGRESQL`, `TRINO` or `MSSQL`.
    macros
        Macros that the result calls: name → the statement that makes it.
    """

    def __init__(self, session: Session, infer: Infer, engine: str) -> None:
        self.session = session
        self.source = session.source
        self.infer = infer
        self.engine = engine
        self.macros: dict[str, str] = {}

    def rewrite(self, root: exp.Expr) -> exp.Expr:
        """Rewrite a tree, from its leaves up."""
        # Not recursive: conditions of hundreds of terms are chains as deep.
        order: list[exp.Expr] = []
        stack = [root]
        while stack:
            node = stack.pop()
            order.append(node)
            stack.extend(node.iter_expressions())
        infer = self.infer
        for node in order:
            # All types first: a handler may have replaced what a type is found from.
            if node._meta and WRITTEN in node._meta and isinstance(node, exp.Condition | exp.Query | exp.Anonymous):
                infer(node)
        for node in reversed(order):
            handler = HANDLERS.get(type(node))
            if handler is None or not node._meta or WRITTEN not in node._meta:
                continue
            new = handler(self, node)
            if new is not node:
                kind = infer(node)
                if node is root:
                    root = new
                if node.parent is not None:
                    node.replace(new)
                new.meta[TYPE] = kind
        return root

    # Helpers of handlers

    def fail(self, message: str, node: exp.Expr, hint: str = "", kind: Kind = Kind.UNSUPPORTED) -> QueryError:
        """An error at a node."""
        return self.source.error(message, kind, node, hint)

    @property
    def duckdb(self) -> bool:
        """The session's own engine runs it."""
        return self.engine == DUCKDB

    def only_duckdb(self, what: str, node: exp.Expr, hint: str = "") -> None:
        """Refuse what has no translation for a remote engine."""
        if not self.duckdb:
            raise self.fail(
                f"{what} is not supported in queries that {ENGINE_NAMES[self.engine]} runs.",
                node,
                hint or "Copy the rows that you need INTO MyDB first, and apply it there.",
            )

    def type(self, node: exp.Expr) -> Type:
        """T-SQL's type of a node, rewritten or not."""
        return self.infer(node)

    def typed(self, node: exp.Expr, kind: Type) -> exp.Expr:
        """Note the type of a new node."""
        node.meta[TYPE] = kind
        return node

    def call(self, name: str, *arguments: exp.Expr | str | int) -> exp.Anonymous:
        """A call of the engine's function; texts become string literals."""
        return exp.Anonymous(this=name, expressions=[_argument(argument) for argument in arguments])

    def macro(self, name: str, *arguments: exp.Expr | str | int) -> exp.Anonymous:
        """A call of a macro of `functions`, or of the translator's own."""
        if name in MACROS:
            for needed in (*NEEDS.get(name, ()), name):
                self.macros[needed] = MACROS[needed]
            return self.call(name, *arguments)
        for text in functions.prelude([name]):
            self.macros[text] = text
        return self.call(functions.FUNCTIONS[name.lower()].call, *arguments)

    def cast(self, node: exp.Expr, kind: Type) -> exp.Expr:
        """A plain CAST of the engine."""
        return self.typed(exp.Cast(this=node, to=kind.node()), kind)

    def exact_type(self, node: exp.Expr) -> exp.Expr:
        """The node with exactly its T-SQL type in DuckDB, where that engine's would be a narrower or stranger one."""
        kind = self.type(node)
        if not self.duckdb or kind.kind in ("unknown", "null"):
            return node
        if isinstance(node, exp.Column):
            out = node.meta.get("out")
            if out is not None and out.column is not None and out.column.type and _strange(out.column.type):
                return self.cast(node, kind)
        return node


_STRANGE = ("TINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT")


def _strange(name: str) -> bool:
    return name.upper() in _STRANGE


def _argument(value: exp.Expr | str | int) -> exp.Expr:
    if isinstance(value, exp.Expr):
        return value
    return exp.Literal.string(value) if isinstance(value, str) else exp.Literal.number(value)


def wrap(node: exp.Expr) -> exp.Expr:
    """In parentheses, if it needs them as an operand."""
    return exp.Paren(this=node) if isinstance(node, exp.Binary | exp.Unary | exp.Between | exp.In | exp.Is) else node


def call_type(node: exp.Anonymous, infer: Infer) -> Type:
    """Type of a function's result."""
    name = str(node.name).lower()
    given = [infer(argument) for argument in node.expressions]
    if (call := CALLS.get(name)) and not node.meta.get("schema"):
        return call.returns(given, node.expressions) if call.least <= len(given) else types.UNKNOWN
    if macro := functions.FUNCTIONS.get(name):
        return (given[0] if given else types.UNKNOWN) if macro.returns == "ANY" else types.from_duckdb(macro.returns)
    if scalar := spatial.scalar_function(name):
        return types.from_duckdb(scalar.returns)
    catalog = infer.session.databases.catalog(node.meta.get("schema") or infer.session.context)
    function = catalog.function(name) if catalog else None
    return types.from_duckdb(function.returns) if function else types.UNKNOWN


def known_functions(session: Session) -> list[str]:
    """Names of all functions that may be called, for hints."""
    names = [name.upper() for name in CALLS]
    names += [macro.name for macro in functions.FUNCTIONS.values() if not macro.boxed]
    catalog = session.databases.catalog(session.context)
    if catalog is not None:
        names += [function.name for function in catalog.functions if function.kind == "scalar"]
    return names


@handles(exp.Anonymous)
def _call(meaning: Meaning, node: exp.Anonymous) -> exp.Expr:
    name = str(node.name)
    lower = name.lower()
    schema = node.meta.get("schema")
    arguments = list(node.expressions)
    if schema is None and lower in REFUSED:
        raise meaning.fail(f"{name.upper()} is not supported.", node, REFUSED[lower])
    if (call := CALLS.get(lower)) and schema is None:
        if len(arguments) < call.least or (call.most >= 0 and len(arguments) > call.most):
            expected = str(call.least) if call.least == call.most else f"{call.least} to {call.most}"
            if call.most < 0:
                expected = f"at least {call.least}"
            raise meaning.fail(
                f"{name.upper()} takes {expected} argument{'' if expected == '1' else 's'}, not {len(arguments)}.",
                node,
                kind=Kind.SYNTAX,
            )
        return call.rewrite(meaning, node, arguments)
    return _shipped(meaning, node, name, arguments)


def _shipped(meaning: Meaning, node: exp.Anonymous, name: str, arguments: list[Any]) -> exp.Expr:
    """Functions that come as macros, and those of a context's own database."""
    lower = name.lower()
    if reason := functions.REFUSED.get(lower):
        raise meaning.fail(f"{name} is not supported.", node, reason)
    if macro := _macro(meaning.session, node, lower):
        if not macro.accepts(len(arguments)):
            least = len(macro.parameters) - len(macro.optional)
            expected = str(least) if not macro.optional else f"{least} to {len(macro.parameters)}"
            raise meaning.fail(
                f"{macro.name} takes {expected} argument{'' if expected == '1' else 's'}"
                f" ({', '.join(column.name.rstrip('_') for column in macro.parameters)}), not {len(arguments)}.",
                node,
                kind=Kind.SYNTAX,
            )
        arguments = _with_defaults(macro, arguments)
        try:
            value = functions.constant(macro.name, arguments)
        except QueryError as error:
            place = meaning.source.error("", error.kind, node)
            error.line, error.column = place.line, place.column
            raise
        if value is not None:
            return value
        meaning.only_duckdb(macro.name, node)
        return meaning.macro(
            macro.name, *(_as_parameter(meaning, a, p.type) for a, p in zip(arguments, macro.parameters, strict=False))
        )
    function = _own_function(meaning.session, node, name)
    if function is not None:
        return meaning.call(function.name, *arguments)
    raise meaning.fail(
        f"There is no function {name}.", node, did_you_mean(name, known_functions(meaning.session)), Kind.NAME
    )


def _macro(session: Session, node: exp.Anonymous, name: str) -> functions.Macro | None:
    """The macro of a function that the database has."""
    macro = functions.FUNCTIONS.get(name)
    if macro is None or not macro.boxed:
        return macro
    catalog = session.databases.catalog(node.meta.get("schema") or session.context)
    return macro if catalog is not None and spatial.places_table(catalog) else None


def _with_defaults(macro: functions.Macro, arguments: list[Any]) -> list[Any]:
    """DEFAULT, as T-SQL wants it for parameters that are left out, as the parameter's default."""
    required = len(macro.parameters) - len(macro.optional)
    return [
        exp.maybe_parse(macro.optional[place - required], dialect="duckdb")
        if isinstance(argument, exp.Var) and argument.name.upper() == "DEFAULT" and place >= required
        else argument
        for place, argument in enumerate(arguments)
    ]


def _as_parameter(meaning: Meaning, argument: exp.Expr, kind: str) -> exp.Expr:
    """An argument, converted as T-SQL does for a parameter of that type."""
    given, wanted = meaning.type(argument), types.from_duckdb(kind)
    if given.kind == "binary" and wanted.is_integer:
        return meaning.typed(number_of_hex(argument), wanted) if isinstance(argument, exp.HexString) else argument
    if given.is_string and wanted.is_number:
        return meaning.cast(argument, wanted)
    return argument


def _own_function(session: Session, node: exp.Anonymous, name: str) -> Function | None:
    """A scalar function of a remote context."""
    catalog = session.databases.catalog(node.meta.get("schema") or session.context)
    if catalog is None or catalog.engine == DUCKDB:
        return None
    function = catalog.function(name)
    return function if function and function.kind == "scalar" else None


def number_of_hex(node: exp.HexString) -> exp.Literal | exp.Neg:
    """``0x…`` as an integer: eight bytes are a ``bigint`` with its sign."""
    digits = str(node.this) or "0"
    value = int(digits, 16)
    if value >= 1 << 63:
        value -= 1 << 64
    literal = exp.Literal.number(abs(value))
    return exp.Neg(this=literal) if value < 0 else literal
