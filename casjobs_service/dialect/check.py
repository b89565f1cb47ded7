"""What may stand in a statement: anything that is not listed is refused, never passed on."""

from __future__ import annotations

from sqlglot import exp

from casjobs_service.dialect.source import Source
from casjobs_service.errors import Kind

QUERY = frozenset(
    {
        exp.Add,
        exp.Alias,
        exp.All,
        exp.And,
        exp.Anonymous,
        exp.Any,
        exp.Between,
        exp.BitwiseAnd,
        exp.BitwiseNot,
        exp.BitwiseOr,
        exp.BitwiseXor,
        exp.Boolean,
        exp.CTE,
        exp.Case,
        exp.Cast,
        exp.Collate,
        exp.Column,
        exp.Concat,
        exp.Convert,
        exp.Cube,
        exp.CurrentTimestamp,
        exp.DataType,
        exp.DataTypeParam,
        exp.Distinct,
        exp.Div,
        exp.Dot,
        exp.EQ,
        exp.Escape,
        exp.Except,
        exp.Exists,
        exp.Fetch,
        exp.From,
        exp.GT,
        exp.GTE,
        exp.Group,
        exp.GroupingSets,
        exp.Having,
        exp.HexString,
        exp.Identifier,
        exp.If,
        exp.In,
        exp.Intersect,
        exp.Into,
        exp.Is,
        exp.Join,
        exp.LT,
        exp.LTE,
        exp.Lateral,
        exp.Like,
        exp.Limit,
        exp.LimitOptions,
        exp.Literal,
        exp.Mod,
        exp.Mul,
        exp.NEQ,
        exp.National,
        exp.Neg,
        exp.Not,
        exp.Null,
        exp.Offset,
        exp.Or,
        exp.Order,
        exp.Ordered,
        exp.Parameter,
        exp.Paren,
        exp.Pivot,
        exp.PivotAny,
        exp.QueryOption,
        exp.Rollup,
        exp.ScopeResolution,
        exp.Select,
        exp.Star,
        exp.Sub,
        exp.Subquery,
        exp.Table,
        exp.TableAlias,
        exp.TableColumn,
        exp.TryCast,
        exp.Tuple,
        exp.Union,
        exp.Values,
        exp.Var,
        exp.Where,
        exp.Window,
        exp.WindowSpec,
        exp.With,
        exp.WithTableHint,
        exp.WithinGroup,
    }
)
"""Nodes of queries in T-SQL that a pass or a generator knows."""
ARGUMENTS: dict[type[exp.Expr], frozenset[str]] = {
    kind: frozenset(keys.split())
    for kind, keys in {
        exp.Select: "with_ expressions from_ joins laterals where group having order limit offset distinct into"
        " options for_",
        exp.Union: "with_ this expression distinct order limit offset options",
        exp.Except: "with_ this expression distinct order limit offset options",
        exp.Intersect: "with_ this expression distinct order limit offset options",
        exp.Subquery: "this alias joins pivots order limit offset with_",
        exp.Values: "expressions alias order limit offset",
        exp.Table: "this db catalog alias joins hints pivots",
        exp.Join: "this on side kind hint",
        exp.Lateral: "this alias cross_apply",
        exp.TableAlias: "this columns",
        exp.With: "expressions recursive",
        exp.CTE: "this alias",
        exp.Window: "this partition_by order spec over",
        exp.WindowSpec: "kind start start_side end end_side",
        exp.WithinGroup: "this expression",
        exp.Group: "expressions rollup cube grouping_sets all",
        exp.Order: "expressions",
        exp.Ordered: "this desc nulls_first",
        exp.Distinct: "expressions",
        exp.Limit: "expression limit_options",
        exp.LimitOptions: "percent with_ties rows",
        exp.Fetch: "direction count limit_options",
        exp.Offset: "expression",
        exp.Anonymous: "this expressions",
        exp.Column: "this table db catalog",
        exp.Case: "this ifs default",
        exp.If: "this true",
        exp.Cast: "this to",
        exp.TryCast: "this to safe requires_string",
        exp.Convert: "this expression style safe",
        exp.Like: "this expression negate",
        exp.In: "this expressions query",
        exp.Is: "this expression",
        exp.Between: "this low high",
        exp.Star: "",
        exp.Into: "this temporary",
        exp.Identifier: "this quoted temporary global_",
    }.items()
}
"""What each node may carry: anything else would be lost without a word."""
NAMES: dict[type[exp.Expr], tuple[str, str]] = {
    exp.SessionParameter: (
        "Names that start with @@ are not supported.",
        "The rows of each statement are counted in its result.",
    ),
    exp.ForClause: ("FOR XML and FOR JSON are not supported.", "Choose the format of the result instead."),
    exp.TableSample: ("TABLESAMPLE is not supported.", "Take every n-th row by a column: WHERE objID % 100 = 7."),
    exp.Command: ("This statement is not supported.", ""),
    exp.NextValueFor: ("Sequences are not supported.", "Use ROW_NUMBER() OVER (ORDER BY …)."),
    exp.JSONExtract: ("Operators of JSON are not T-SQL.", ""),
    exp.Returning: ("OUTPUT is not supported.", "SELECT the rows before or after."),
}
"""What is often tried: what to say."""


CLAUSES = {
    "using": ("USING is not T-SQL.", "Write ON a.x = b.x."),
    "sample": NAMES[exp.TableSample],
    "returning": NAMES[exp.Returning],
    "method": ("This kind of join is not T-SQL.", ""),
    "qualify": ("QUALIFY is not T-SQL.", "Put the window function into a query in FROM."),
}
"""Clauses of other dialects: what to say."""


def _odd(node: exp.Expr) -> tuple[str, str] | None:
    """What to say of a clause that is not allowed."""
    known = ARGUMENTS.get(type(node), frozenset())
    return next(
        (CLAUSES[key] for key, value in node.args.items() if value and key not in known and key in CLAUSES), None
    )


def check(tree: exp.Expr, source: Source, start: int, allowed: frozenset[type[exp.Expr]] = QUERY) -> None:
    """Refuse a tree with a node that is not allowed.

    Raises
    ------
    QueryError
        Says where, and what to do instead where that is known.
    """
    for node in tree.walk():
        if type(node) in allowed:
            known = ARGUMENTS.get(type(node))
            if known is None or all(key in known or not value for key, value in node.args.items()):
                continue
        message, hint = NAMES.get(type(node)) or _odd(node) or ("This is not supported here.", "")
        error = source.error(message, Kind.UNSUPPORTED, node, hint)
        if error.line is None:
            error.line, error.column = source.place(start)
        raise error
