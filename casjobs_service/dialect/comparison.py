"""Comparisons, LIKE, IN and CASE: which side is converted, and texts without regard to case and blanks at the end."""

from __future__ import annotations

import re

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.conversion import blob, convert, text
from casjobs_service.dialect.meaning import POSTGRESQL, TRINO, Meaning, handles, wrap
from casjobs_service.dialect.scope import OUTS
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind


def same_text(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    """A text for comparisons: T-SQL ignores blanks at its end, and (as the engine's collation does in DuckDB) case.

    Columns of contexts are left alone, since a scan must be able to skip by them: their texts are stored trimmed.
    """
    kind = meaning.type(node)
    if isinstance(node, exp.Literal):
        plain = node.name.rstrip(" ")
        return meaning.typed(exp.Literal.string(plain if meaning.duckdb else plain.lower()), kind)
    node = trimmed(meaning, node)
    if not meaning.duckdb:
        node = meaning.call("lower", node)
    return meaning.typed(node, kind)


def trimmed(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    """A text without blanks at its end, unless it is a context's column."""
    kind = meaning.type(node)
    if isinstance(node, exp.Column) and not kind.own:
        return node
    new = meaning.call("rtrim", node) if meaning.engine == TRINO else meaning.call("rtrim", node, " ")
    return meaning.typed(new, kind)


def align(meaning: Meaning, left: exp.Expr, right: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    """Both sides of a comparison as T-SQL compares them."""
    one, other = meaning.type(left), meaning.type(right)
    if isinstance(left, exp.HexString):
        left = _towards(meaning, left, other)
        one = meaning.type(left)
    if isinstance(right, exp.HexString):
        right = _towards(meaning, right, one)
        other = meaning.type(right)
    if one.is_string and other.is_string:
        return same_text(meaning, left), same_text(meaning, right)
    return _towards(meaning, left, other), _towards(meaning, right, one)


def _towards(meaning: Meaning, node: exp.Expr, other: Type) -> exp.Expr:
    """One side, converted if the other's type has precedence."""
    kind = meaning.type(node)
    if isinstance(node, exp.HexString):
        if other.is_number:
            return convert(meaning, node, other if other.is_integer and other.kind != "bit" else types.BIGINT)
        return meaning.typed(blob(meaning, node), types.BINARY)
    if "null" in (kind.kind, other.kind) or "unknown" in (kind.kind, other.kind):
        return node
    if kind.is_string and (other.is_number or other.is_time or other.kind == "uuid"):
        # The sizes of literals do not matter: '3000000000' against an int literal is a bigint.
        if other.kind == "int" and isinstance(node, exp.Literal):
            other = types.BIGINT if len(node.name.strip()) > 9 else other
        new = convert(meaning, node, other)
        return _bare(new)
    if kind.is_number and other.is_time:
        return convert(meaning, node, types.DATETIME)
    if kind.kind == "bit" and other.is_number and other.kind != "bit":
        return meaning.typed(exp.Cast(this=node, to=types.INT.node()), types.INT)
    if "binary" in (kind.kind, other.kind) and kind.kind != other.kind:
        raise meaning.fail(f"{kind.kind} cannot be compared with {other.kind}.", node, kind=Kind.DATA)
    if not meaning.duckdb and kind.kind == "decimal" and other.kind == "real":
        # T-SQL compares in single precision, PostgreSQL would in double: 0.2 = 0.2 must hold.
        return meaning.cast(node, types.REAL)
    return node


def _bare(node: exp.Expr) -> exp.Expr:
    """An integer literal without its CAST: the engine can then compare it with what is stored."""
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        literal = node.this
        literal.meta.update(node.meta)
        return literal
    return node


@handles(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
def _comparison(meaning: Meaning, node: exp.Binary) -> exp.Expr:
    if isinstance(node.expression, exp.Any | exp.All):
        return node
    truth = _bit_literal(meaning, node.left, node.right) if isinstance(node, exp.EQ | exp.NEQ) else None
    if truth is not None:
        node.set("this", truth[0])
        node.set("expression", truth[1])
        return node
    left, right = align(meaning, node.left, node.right)
    node.set("this", left if isinstance(left, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod) else wrap(left))
    node.set(
        "expression", right if isinstance(right, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod) else wrap(right)
    )
    return node


def _bit_literal(meaning: Meaning, left: exp.Expr, right: exp.Expr) -> tuple[exp.Expr, exp.Expr] | None:
    """``isPrimary = 1``: as truth, which the engine can compare with what is stored."""
    for one, other in ((left, right), (right, left)):
        if (
            meaning.type(one).kind == "bit"
            and isinstance(other, exp.Literal)
            and not other.is_string
            and other.name in ("0", "1")
        ):
            return one, exp.Boolean(this=other.name == "1")
    return None


@handles(exp.Between)
def _between(meaning: Meaning, node: exp.Between) -> exp.Expr:
    low, high = node.args["low"], node.args["high"]
    value = node.this
    kind = meaning.type(value)
    if kind.is_string:
        bounds = types.wider(meaning.type(low), meaning.type(high))
        if bounds.is_string:
            for key, side in (("this", value), ("low", low), ("high", high)):
                node.set(key, same_text(meaning, side))
            return node
        value = _towards(meaning, value, bounds)
    else:
        if kind.kind == "bit":
            value = meaning.cast(value, types.INT)
        low, high = _towards(meaning, low, kind), _towards(meaning, high, kind)
    node.set("this", wrap(value))
    node.set("low", wrap(low))
    node.set("high", wrap(high))
    return node


@handles(exp.In)
def _in(meaning: Meaning, node: exp.In) -> exp.Expr:
    value = node.this
    kind = meaning.type(value)
    if query := node.args.get("query"):
        _in_query(meaning, node, value, kind, query)
        return node
    items = node.expressions
    if not items:
        raise meaning.fail("IN needs values.", node, kind=Kind.SYNTAX)
    wanted = types.NULL
    for item in items:
        wanted = types.wider(wanted, meaning.type(item))
    if kind.is_string and wanted.is_string:
        node.set("this", same_text(meaning, value))
        node.set("expressions", [same_text(meaning, item) for item in items])
        return node
    if kind.is_string:
        node.set("this", _towards(meaning, value, wanted))
        return node
    if kind.kind == "bit":
        value, kind = meaning.cast(value, types.INT), types.INT
    node.set("this", wrap(value))
    node.set("expressions", [_towards(meaning, item, kind) for item in items])
    return node


def _in_query(meaning: Meaning, node: exp.In, value: exp.Expr, kind: Type, query: exp.Expr) -> None:
    inner = query.unnest() if isinstance(query, exp.Subquery) else query
    outs = inner.meta.get(OUTS) or []
    if outs and len(outs) != 1:
        raise meaning.fail(f"The query of IN must have one column, not {len(outs)}.", query, kind=Kind.SYNTAX)
    other = outs[0].type if outs else types.UNKNOWN
    if kind.is_string and other.is_string:
        if meaning.duckdb:
            node.set("this", same_text(meaning, value))
            return
        _project(meaning, inner, node, lambda item: same_text(meaning, item))
        node.set("this", same_text(meaning, value))
    elif kind.is_string and (other.is_number or other.is_time):
        node.set("this", convert(meaning, value, other))
    elif other.is_string and (kind.is_number or kind.is_time):
        _project(meaning, inner, node, lambda item: convert(meaning, item, kind))


def _project(meaning: Meaning, query: exp.Expr, node: exp.Expr, change: object) -> None:
    """Change the only column of a query."""
    if not isinstance(query, exp.Select) or not callable(change):
        raise meaning.fail("Texts and numbers cannot be compared here.", node, "CAST the column in the query.")
    projection = query.expressions[0]
    if isinstance(projection, exp.Star):
        raise meaning.fail("Texts and numbers cannot be compared here.", node, "Name the column and CAST it.")
    query.set("expressions", [change(projection.unalias().copy())])


# LIKE


def pattern_of(pattern: str, escape: str) -> tuple[str, bool]:
    """A regular expression for a pattern, and whether it has classes in brackets."""
    parts: list[str] = []
    classes = False
    index = 0
    while index < len(pattern):
        character = pattern[index]
        if escape and character == escape and index + 1 < len(pattern):
            parts.append(re.escape(pattern[index + 1]))
            index += 2
            continue
        if character == "[":
            end = pattern.find("]", index + 2 if pattern[index + 1 : index + 2] != "^" else index + 3)
            if end > 0:
                classes = True
                inner = pattern[index + 1 : end]
                negated = inner.startswith("^")
                inner = inner[1:] if negated else inner
                inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner)
                parts.append(f"[{'^' if negated else ''}{inner}]")
                index = end + 1
                continue
        parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
        index += 1
    return "".join(parts), classes


@handles(exp.Like)
def _like_node(meaning: Meaning, node: exp.Like) -> exp.Expr:
    if isinstance(node.parent, exp.Escape):
        return node
    return _negated(node, _like(meaning, node.this, node.expression, ""))


def _negated(node: exp.Like, new: exp.Expr) -> exp.Expr:
    """``NOT LIKE`` is said in the node of LIKE."""
    return exp.Not(this=wrap(new)) if node.args.get("negate") else new


@handles(exp.Escape)
def _escape(meaning: Meaning, node: exp.Escape) -> exp.Expr:
    like, escape = node.this, node.expression
    if not isinstance(like, exp.Like) or not isinstance(escape, exp.Literal) or len(escape.name) != 1:
        raise meaning.fail("ESCAPE needs one character.", node, kind=Kind.SYNTAX)
    return _negated(like, _like(meaning, like.this, like.expression, escape.name))


def _like(meaning: Meaning, value: exp.Expr, pattern: exp.Expr, escape: str) -> exp.Expr:
    value = text(meaning, value)
    if not (isinstance(pattern, exp.Literal) and pattern.is_string):
        meaning.only_duckdb("LIKE with a computed pattern", pattern)
        if escape:
            raise meaning.fail("ESCAPE needs a pattern that is written in the query.", pattern)
        return meaning.macro("cj_like", value, text(meaning, pattern))
    if pattern.name and pattern.name[-1] not in f"%_] {escape}":
        # Blanks at the end of the text count only if a wildcard can stand for them.
        value = trimmed(meaning, value)
    regex, classes = pattern_of(pattern.name, escape)
    if classes or (escape and escape != "\\") or "\\" in pattern.name:
        return regular(meaning, value, f"^{regex}$")
    return exp.ILike(this=wrap(value), expression=exp.Literal.string(pattern.name))


def regular(meaning: Meaning, value: exp.Expr, regex: str) -> exp.Expr:
    """Whether a text matches a regular expression, in any case."""
    if meaning.engine == POSTGRESQL:
        return exp.RegexpILike(this=wrap(value), expression=exp.Literal.string(regex))
    if meaning.engine == "trino":
        return meaning.call("regexp_like", value, f"(?is){regex}")
    return meaning.call("regexp_matches", value, f"(?s){regex}", "i")


# CASE


@handles(exp.Case)
def _case(meaning: Meaning, node: exp.Case) -> exp.Expr:
    unify(meaning, node, meaning.type(node))
    subject = node.args.get("this")
    if subject is None:
        return node
    branches = node.args["ifs"]
    values = types.NULL
    for branch in branches:
        values = types.wider(values, meaning.type(branch.this))
    kind = meaning.type(subject)
    if kind.is_string and not values.is_string and values.kind != "null":
        node.set("this", _towards(meaning, subject, values))
        return node
    for branch in branches:
        left, right = align(meaning, subject, branch.this)
        branch.set("this", right)
    node.set("this", left)
    return node


def unify(meaning: Meaning, node: exp.Case, kind: Type) -> None:
    """All results of a CASE as its type."""
    for branch in node.args["ifs"]:
        branch.set("true", as_type(meaning, branch.args["true"], kind))
    if default := node.args.get("default"):
        node.set("default", as_type(meaning, default, kind))


def as_type(meaning: Meaning, node: exp.Expr, kind: Type) -> exp.Expr:
    """One of several values whose common type this is, converted if the engine would not do it the same way."""
    given = meaning.type(node)
    if given == kind or "unknown" in (given.kind, kind.kind) or given.kind == "null":
        return node
    if isinstance(node, exp.HexString) or given.is_string != kind.is_string or given.is_time != kind.is_time:
        return convert(meaning, node, kind)
    if given.kind == "bit" or (not meaning.duckdb and kind.is_approximate and not given.is_approximate):
        return convert(meaning, node, kind)
    if kind.kind == "datetime" and given.kind != "datetime":
        return meaning.cast(node, kind)
    return node
