"""Types of expressions in T-SQL, from the types of their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.names import Session
from casjobs_service.dialect.scope import OUTS, TYPE
from casjobs_service.dialect.types import Type, wider

Returns = Callable[[Sequence[Type], Sequence[exp.Expr]], Type]
"""Type of a function's result, from its arguments' types and its arguments."""

PREDICATES = (
    exp.EQ,
    exp.NEQ,
    exp.LT,
    exp.LTE,
    exp.GT,
    exp.GTE,
    exp.And,
    exp.Or,
    exp.Not,
    exp.In,
    exp.Between,
    exp.Like,
    exp.Escape,
    exp.Is,
    exp.Exists,
)


class Infer:
    """Types of one script's expressions."""

    def __init__(self, session: Session, call: Callable[[exp.Anonymous, Infer], Type]) -> None:
        self.session = session
        self._call = call

    def __call__(self, node: exp.Expr) -> Type:
        """The type of a value; `types.UNKNOWN` where nothing is known."""
        found = node.meta.get(TYPE)
        if found is None:
            found = self._type(node)
            node.meta[TYPE] = found
        return found

    def _type(self, node: exp.Expr) -> Type:
        match node:
            case exp.Literal():
                return _literal(node)
            case exp.Paren() | exp.Alias() | exp.Neg() | exp.BitwiseNot() | exp.Ordered() | exp.Collate():
                kind = self(node.this)
                return types.INT if isinstance(node, exp.Neg) and kind.kind in ("bit", "tinyint") else kind
            case exp.Null():
                return types.NULL
            case exp.HexString():
                return types.BINARY
            case exp.National():
                return types.STRING
            case exp.Boolean():
                return types.BIT
            case exp.Parameter():
                variable = self.session.variables.get(node.name.lower())
                return variable.type if variable else types.UNKNOWN
            case exp.Placeholder():
                return self.session.parameters[node.name].type
            case exp.Cast() | exp.Convert():
                target = node.this if isinstance(node, exp.Convert) else node.to
                return types.written(target, cast=True) or types.UNKNOWN
            case exp.Case():
                branches = [item.args["true"] for item in node.args["ifs"]]
                if default := node.args.get("default"):
                    branches.append(default)
                return self.widest(branches)
            case exp.Add() | exp.Sub() | exp.Mul() | exp.Div() | exp.Mod():
                return self._arithmetic(node)
            case exp.BitwiseAnd() | exp.BitwiseOr() | exp.BitwiseXor():
                return self._bits(self(node.left), self(node.right))
            case exp.DPipe():
                return types.STRING
            case exp.Subquery() | exp.Select() | exp.SetOperation():
                inner = node.unnest() if isinstance(node, exp.Subquery) else node
                outs = inner.meta.get(OUTS) or node.meta.get(OUTS)
                return outs[0].type if outs else types.UNKNOWN
            case exp.Window() | exp.WithinGroup():
                return self(node.this)
            case exp.CurrentTimestamp():
                return types.DATETIME
            case exp.Anonymous():
                return self._call(node, self)
            case exp.Distinct():
                return self(node.expressions[0]) if node.expressions else types.UNKNOWN
            case exp.Concat():
                return types.STRING
            case _ if isinstance(node, PREDICATES):
                return types.BIT
        return types.UNKNOWN

    def widest(self, nodes: Sequence[exp.Expr]) -> Type:
        """Type of CASE and the like."""
        result = types.NULL
        for node in nodes:
            result = wider(result, self(node))
        return result

    @staticmethod
    def _bits(left: Type, right: Type) -> Type:
        for one, other in ((left, right), (right, left)):
            if one.kind in ("binary", "null", "string"):
                return other if other.is_integer else types.BIGINT
        if left.kind == right.kind == "bit":
            return types.BIT
        if left.is_integer and right.is_integer:
            return wider(left, right)
        return types.BIGINT

    def _arithmetic(self, node: exp.Binary) -> Type:
        left, right = self(node.left), self(node.right)
        if types.UNKNOWN in (left, right):
            return types.UNKNOWN
        if left.is_time or right.is_time:
            return left if left.is_time else right
        if left.kind in ("string", "null") and right.kind in ("string", "null"):
            return left if left.is_string else right
        if not left.is_number:
            left = right
        if not right.is_number:
            right = left
        if not left.is_number:
            return types.UNKNOWN
        if left.is_approximate or right.is_approximate:
            return wider(left, right)
        if left.is_integer and right.is_integer:
            kind = wider(left, right)
            return types.INT if kind.kind == "bit" else kind
        return decimal_result(node, types.as_decimal(left, node.left), types.as_decimal(right, node.right))


def decimal_result(node: exp.Expr, left: Type, right: Type) -> Type:
    """SQL Server's precision and scale of an operation on decimals."""
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    match node:
        case exp.Mul():
            precision, scale = p1 + p2 + 1, s1 + s2
        case exp.Div():
            scale = max(6, s1 + p2 + 1)
            precision = p1 - s1 + s2 + scale
        case exp.Mod():
            scale = max(s1, s2)
            precision = min(p1 - s1, p2 - s2) + scale
        case _:
            scale = max(s1, s2)
            precision = max(p1 - s1, p2 - s2) + scale + 1
    if precision > 38:
        if isinstance(node, exp.Mul | exp.Div):
            whole = precision - scale
            scale = min(scale, 38 - whole) if whole < 32 else min(scale, 6)
        else:
            scale = max(0, scale - (precision - 38)) if precision - scale < 38 else 0
        precision = 38
    return types.decimal(max(1, precision), max(0, scale))


def _literal(node: exp.Literal) -> Type:
    if node.is_string:
        return Type("string", length=len(node.this))
    text = node.name.lower()
    if "e" in text:
        return types.FLOAT
    if "." in text:
        whole, fraction = text.split(".", 1)
        whole = whole.lstrip("0")
        return types.decimal(max(1, len(whole) + len(fraction)), len(fraction))
    if int(text) <= 2_147_483_647:
        return types.INT
    return types.decimal(len(text.lstrip("0")), 0)
