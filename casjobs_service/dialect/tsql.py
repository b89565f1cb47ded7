"""T-SQL as a dialect of sqlglot, with what its own one reads differently from SQL Server.

Functions are read as plain calls: sqlglot's own classes for them carry the meaning of other engines, and
`casjobs_service.dialect.calls` must know each by the name that the user wrote.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects import tsql
from sqlglot.parsers.tsql import TSQLParser
from sqlglot.tokens import TokenType

# It warns of what it does not know; we refuse that with a text of our own.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

START = "start"
"""Key in a node's `meta`: offset of its first character in the user's text."""
WRITTEN = "written"
"""Key in a node's `meta`: the user wrote it, so it means what it means in T-SQL."""


class Tokenizer(tsql.TSQL.Tokenizer):
    """The splitter needs tokens where sqlglot keeps the rest of a command as text."""

    KEYWORDS: ClassVar[dict[str, TokenType]] = {
        **{text: kind for text, kind in tsql.TSQL.Tokenizer.KEYWORDS.items() if kind != TokenType.COMMAND},
        # REAL is not FLOAT. No other type of T-SQL uses this token.
        "REAL": TokenType.DECIMAL32,
        "!<": TokenType.GTE,
        "!>": TokenType.LTE,
    }
    COMMANDS: ClassVar[set[TokenType]] = set()


SHAPES = ("sphere", "box")
"""Types with a method New that we know, in lower case."""


class Parser(TSQLParser):
    """SQL Server's precedence, and places in the user's text for every node."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, Any]] = {TokenType.CURRENT_TIMESTAMP: exp.CurrentTimestamp}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: TSQLParser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST", "CONVERT", "TRY_CONVERT")
    }
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: parser
        for name, parser in TSQLParser.NO_PAREN_FUNCTION_PARSERS.items()
        if name in ("CASE", "ANY", "NEXT")
    }
    # Bit operators have the level of + and -, and a unary ~ binds like a unary minus.
    BITWISE: ClassVar[dict[TokenType, Any]] = {}
    TERM: ClassVar[dict[TokenType, Any]] = {
        **TSQLParser.TERM,
        TokenType.AMP: exp.BitwiseAnd,
        TokenType.PIPE: exp.BitwiseOr,
        TokenType.CARET: exp.BitwiseXor,
    }

    COLUMN_OPERATORS: ClassVar[dict[TokenType, Any]] = {
        **TSQLParser.COLUMN_OPERATORS,
        TokenType.DCOLON: lambda self, this, to: self._static_call(this, to),
    }

    def _static_call(self, this: exp.Expr, to: exp.Expr) -> exp.Expr:
        """``dbo.Sphere::New(…).ToString()`` as a call of a function ``Sphere::New``: shapes are texts here."""
        *before, kind = this.flatten() if isinstance(this, exp.Dot) else [this]
        if not isinstance(to, exp.Anonymous) or kind.name.lower() not in SHAPES:
            plain: Any = TSQLParser.COLUMN_OPERATORS[TokenType.DCOLON]
            return plain(self, this, to)
        call = exp.Anonymous(this=f"{kind.name}::{to.name}", expressions=to.expressions)
        call.meta.update((before or [kind])[0].meta)
        if before and before[0].name.lower() != "dbo":
            call.meta["schema"] = before[0].name
        # Read here: sqlglot would take what stands before a method for names, arguments and all.
        if self._match(TokenType.DOT) and not self._match_text_seq("TOSTRING", "(", ")"):
            self.raise_error(f"The only method of a {kind.name} is ToString()")
        return call

    def _parse_parameter(self) -> exp.Parameter:
        at = self._prev
        return super()._parse_parameter().update_positions(at)

    def _parse_case(self) -> exp.Expr | None:
        at = self._prev
        case = super()._parse_case()
        return case.update_positions(at) if isinstance(case, exp.Case) else case

    def _parse_id_var(self, *args: Any, **options: Any) -> exp.Expr | None:
        at = self._curr
        identifier = super()._parse_id_var(*args, **options)
        if identifier is not None and (identifier.args.get("temporary") or identifier.args.get("global_")):
            # It begins with its #.
            identifier.update_positions(at)
        return identifier

    def _parse_join(self, *args: Any, **options: Any) -> exp.Join | None:
        comma = self._curr is not None and self._curr.token_type == TokenType.COMMA
        join = super()._parse_join(*args, **options)
        if (
            join is not None
            and not comma
            and isinstance(join.this, exp.Table | exp.Subquery)
            and not join.args.get("on")
            and not join.args.get("using")
            and join.kind.upper() != "CROSS"
        ):
            self.raise_error("A join needs ON")
        return join

    def _parse_projections(self) -> tuple[list[exp.Expr], list[exp.Expr] | None]:
        projections, rest = super()._parse_projections()
        for index, projection in enumerate(projections):
            # SELECT 'total' = count(*)
            if isinstance(projection, exp.EQ) and projection.this.is_string:
                name = exp.to_identifier(projection.this.this, quoted=True)
                name.meta.update(projection.this.meta)
                projections[index] = exp.alias_(projection.expression, name, copy=False)
        return projections, rest


class CasJobsTSQL(tsql.TSQL):
    """What users write."""

    Tokenizer = Tokenizer
    Parser = Parser


DIALECT = CasJobsTSQL()
