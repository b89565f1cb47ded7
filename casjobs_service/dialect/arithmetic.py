"""Operators on numbers: integer division, decimals, bits, and + on texts and dates."""

from __future__ import annotations

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.infer import decimal_result
from casjobs_service.dialect.meaning import Meaning, handles, number_of_hex, wrap
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind


@handles(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
def _binary(meaning: Meaning, node: exp.Binary) -> exp.Expr:
    left, right = node.left, node.right
    kinds = (meaning.type(left), meaning.type(right))
    if types.UNKNOWN in kinds:
        if isinstance(node, exp.Add | exp.Div | exp.Mod):
            unclear = left if kinds[0] == types.UNKNOWN else right
            raise meaning.fail("The type of this is not known here.", unclear, "Write CAST(… AS type) around it.")
        return _operands(meaning, node, left, right)
    if kinds[0].is_time or kinds[1].is_time:
        return _dates(meaning, node, left, right)
    if all(kind.kind in ("string", "null") for kind in kinds) and any(kind.is_string for kind in kinds):
        if isinstance(node, exp.Add):
            return exp.Paren(this=exp.DPipe(this=left, expression=right, safe=True))
        raise meaning.fail("This operator needs numbers.", node, kind=Kind.DATA)
    left = _number(meaning, left, kinds[1])
    right = _number(meaning, right, kinds[0])
    first, second = meaning.type(left), meaning.type(right)
    if "null" in (first.kind, second.kind):
        return _operands(meaning, node, left, right)
    if not (first.is_number and second.is_number):
        raise meaning.fail("This operator needs numbers.", node, kind=Kind.DATA)
    if first.is_approximate or second.is_approximate:
        return _approximate(meaning, node, left, right)
    if first.is_integer and second.is_integer:
        return _integers(meaning, node, left, right)
    return _decimals(meaning, node, left, right)


def _operands(meaning: Meaning, node: exp.Binary, left: exp.Expr, right: exp.Expr) -> exp.Binary:
    node.set("this", wrap(left))
    node.set("expression", wrap(right))
    if isinstance(node, exp.Div):
        # Else sqlglot adds casts of its own.
        node.set("typed", not meaning.duckdb)
        node.set("safe", False)
    return node


def _number(meaning: Meaning, node: exp.Expr, other: Type) -> exp.Expr:
    """An operand as a number: texts take the other side's type, bits become integers."""
    kind = meaning.type(node)
    if kind.is_string and other.is_number:
        return meaning.typed(to_number(meaning, node, other if other.kind != "bit" else types.INT), other)
    if isinstance(node, exp.HexString):
        return meaning.typed(number_of_hex(node), types.INT if len(str(node.this)) <= 8 else types.BIGINT)
    if kind.kind == "bit":
        return meaning.cast(node, types.INT)
    return meaning.exact_type(node)


def to_number(meaning: Meaning, node: exp.Expr, kind: Type) -> exp.Expr:
    """A text as a number, with T-SQL's rules."""
    from casjobs_service.dialect.conversion import convert

    return convert(meaning, node, kind)


def _approximate(meaning: Meaning, node: exp.Binary, left: exp.Expr, right: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Mod):
        raise meaning.fail(
            "% needs integers or decimals in T-SQL.", node, "CAST the operands, e.g. CAST(x AS int).", Kind.DATA
        )
    if not meaning.duckdb:
        # PostgreSQL and Trino compute real with numeric in double precision.
        kind = types.wider(meaning.type(left), meaning.type(right))
        left, right = (
            operand if meaning.type(operand) == kind else meaning.cast(operand, kind) for operand in (left, right)
        )
    return _operands(meaning, node, left, right)


def _integers(meaning: Meaning, node: exp.Binary, left: exp.Expr, right: exp.Expr) -> exp.Expr:
    kind = types.wider(meaning.type(left), meaning.type(right))
    if meaning.duckdb and kind.kind == "int" and not isinstance(node, exp.Mod):
        # DuckDB's literals are as narrow as their neighbour, T-SQL's are int.
        if isinstance(right, exp.Literal) and meaning.type(left).kind in ("tinyint", "smallint"):
            left = meaning.cast(left, kind)
        if isinstance(left, exp.Literal) and meaning.type(right).kind in ("tinyint", "smallint"):
            right = meaning.cast(right, kind)
    if isinstance(node, exp.Div) and meaning.duckdb:
        return exp.Paren(this=exp.IntDiv(this=wrap(left), expression=wrap(right)))
    new = _operands(meaning, node, left, right)
    return exp.Paren(this=new) if isinstance(node, exp.Div) else new


def _decimals(meaning: Meaning, node: exp.Binary, left: exp.Expr, right: exp.Expr) -> exp.Expr:
    if not isinstance(node, exp.Div):
        return _operands(meaning, node, left, right)
    first = types.as_decimal(meaning.type(left), left)
    second = types.as_decimal(meaning.type(right), right)
    return divide(meaning, left, first, right, second, decimal_result(exp.Div(), first, second))


def divide(
    meaning: Meaning,
    left: exp.Expr,
    first: Type,
    right: exp.Expr,
    second: Type,
    result: Type,
) -> exp.Expr:
    """Quotient of two decimals with T-SQL's scale, cut, not rounded: by whole numbers of 128 bits.

    ``a / b`` with scales s1 and s2 and the result's scale s is ``A · 10^(s + s2 - s1) // B`` over ``10^s``, where A
    and B are the numbers without their points.
    """
    if not meaning.duckdb:
        shifted = exp.Anonymous(
            this="trunc" if meaning.engine == "postgresql" else "truncate",
            expressions=[
                exp.Div(
                    typed=True,
                    this=meaning.cast(left, types.decimal(38, first.scale)),
                    expression=meaning.cast(right, types.decimal(38, second.scale)),
                ),
                exp.Literal.number(result.scale),
            ],
        )
        return meaning.cast(shifted, result)
    exponent = result.scale + second.scale - first.scale
    whole = unscaled(meaning, left, first, max(exponent, 0))
    other = unscaled(meaning, right, second, max(-exponent, 0))
    exact = scaled(meaning, exp.Paren(this=exp.IntDiv(this=whole, expression=other)), result)
    fits = [
        exp.LT(
            this=meaning.call("abs", meaning.cast(node.copy(), types.FLOAT)),
            expression=exp.Literal.number(f"1e{38 - kind.scale - shift}"),
        )
        for node, kind, shift in ((left, first, max(exponent, 0)), (right, second, max(-exponent, 0)))
        if kind.precision + shift > 38
    ]
    if not fits:
        return exact
    # Some numbers of these types are too large for 128 bits: then 15 digits of the quotient have to do.
    rough = exp.Div(
        typed=False, this=meaning.cast(left.copy(), types.FLOAT), expression=meaning.cast(right.copy(), types.FLOAT)
    )
    return exp.Case(ifs=[exp.If(this=exp.and_(*fits), true=exact)], default=meaning.cast(rough, result))


def unscaled(meaning: Meaning, node: exp.Expr, kind: Type, shift: int) -> exp.Expr:
    """The number without its point, times 10^shift, as 128-bit integer."""
    if kind.scale and kind.precision + kind.scale > 38:
        # The product would have more than 38 digits.
        text = exp.Cast(this=meaning.cast(node, kind), to=exp.DataType.build("VARCHAR"))
        whole: exp.Expr = exp.Cast(this=meaning.call("replace", text, ".", ""), to=types.HUGE.node())
    elif kind.scale:
        digits = exp.Mul(
            this=meaning.cast(node, types.decimal(min(38, max(kind.precision, kind.scale + 1)), kind.scale)),
            expression=exp.Literal.number(10**kind.scale),
        )
        whole = exp.Cast(this=digits, to=types.HUGE.node())
    else:
        whole = exp.Cast(this=node, to=types.HUGE.node())
    if shift:
        whole = exp.Paren(
            this=exp.Mul(this=whole, expression=exp.Cast(this=exp.Literal.number(10**shift), to=types.HUGE.node()))
        )
    return whole


def scaled(meaning: Meaning, whole: exp.Expr, result: Type) -> exp.Expr:
    """The opposite: a 128-bit integer over 10^scale, as decimal."""
    scale = result.scale
    name = f"cj_decimal_{result.precision}_{scale}"
    if scale <= 18:
        body = (
            f"CAST(whole_ // {10**scale} AS DECIMAL({result.precision},{scale}))"
            f" + CAST(whole_ % {10**scale} AS DECIMAL({scale},0)) * {format(10**-scale, f'.{scale}f')}"
        )
    else:
        # The product would have more than 38 digits.
        body = (
            "CASE WHEN whole_ < 0 THEN '-' ELSE '' END ||"
            f" CAST(abs(whole_) // CAST('{10**scale}' AS INT128) AS VARCHAR) || '.'"
            f" || lpad(CAST(abs(whole_) % CAST('{10**scale}' AS INT128) AS VARCHAR), {scale}, '0')"
        )
    meaning.macros[name] = (
        f"CREATE OR REPLACE TEMP MACRO {name}(whole_) AS (CAST({body} AS DECIMAL({result.precision},{scale})))"
    )
    return meaning.typed(meaning.call(name, whole), result)


def _dates(meaning: Meaning, node: exp.Binary, left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """A date and a number of days."""
    one, other = meaning.type(left), meaning.type(right)
    if isinstance(node, exp.Add) and other.is_time and one.is_number:
        left, right, one, other = right, left, other, one
    if not (isinstance(node, exp.Add | exp.Sub) and one.kind == "datetime" and other.is_number):
        raise meaning.fail("This operator does not work on dates.", node, "Use DATEADD and DATEDIFF.", Kind.DATA)
    if isinstance(node, exp.Sub):
        right = exp.Neg(this=wrap(right))
    meaning.only_duckdb("+ with a date", node, "Use DATEADD.")
    if other.is_integer:
        return exp.Paren(this=exp.Add(this=left, expression=meaning.call("to_days", meaning.cast(right, types.INT))))
    micros = exp.Mul(this=wrap(right), expression=exp.Literal.number("86400e6"))
    return exp.Paren(
        this=exp.Add(this=left, expression=meaning.call("to_microseconds", meaning.cast(micros, types.BIGINT)))
    )


@handles(exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor)
def _bits(meaning: Meaning, node: exp.Binary) -> exp.Expr:
    kind = meaning.type(node)
    operands: list[exp.Expr] = []
    for operand in (node.left, node.right):
        given = meaning.type(operand)
        if isinstance(operand, exp.HexString):
            value = number_of_hex(operand)
            if kind.kind == "int" and int(str(operand.this) or "0", 16) >= 1 << 31:
                value = exp.Neg(this=exp.Literal.number((1 << 32) - int(str(operand.this), 16)))
            operands.append(exp.Paren(this=value) if isinstance(value, exp.Neg) else value)
        elif given.kind == "bit":
            operands.append(meaning.cast(operand, types.INT))
        elif given.is_string:
            operands.append(to_number(meaning, operand, types.BIGINT))
        elif given.is_integer or given.kind in ("null", "unknown") or (given.kind == "decimal" and not given.scale):
            operands.append(wrap(meaning.exact_type(operand)))
        else:
            raise meaning.fail("Bit operators need integers.", operand, "CAST it, e.g. CAST(x AS bigint).", Kind.DATA)
    if isinstance(node, exp.BitwiseXor) and meaning.duckdb:
        return meaning.call("xor", *operands)
    result = type(node)(this=operands[0], expression=operands[1])
    return exp.Paren(this=result)


@handles(exp.BitwiseNot, exp.Neg)
def _unary(meaning: Meaning, node: exp.Unary) -> exp.Expr:
    operand = node.this
    kind = meaning.type(operand)
    if isinstance(operand, exp.HexString):
        operand = number_of_hex(operand)
    elif kind.kind in ("bit", "tinyint") and isinstance(node, exp.Neg):
        operand = meaning.cast(operand, types.INT)
    elif kind.kind == "bit":
        return exp.Not(this=wrap(operand))
    elif kind.is_string and isinstance(node, exp.Neg):
        operand = to_number(meaning, operand, types.INT)
    node.set("this", wrap(operand))
    return node
