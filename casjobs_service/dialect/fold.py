"""Texts without regard to case in engines that know no such collation: GROUP BY, DISTINCT, ORDER BY, PARTITION BY."""

from __future__ import annotations

from sqlglot import exp

from casjobs_service.dialect.meaning import Meaning
from casjobs_service.dialect.names import identifier
from casjobs_service.dialect.scope import OUTS

AGGREGATES = frozenset(
    """count sum avg min max stddev_samp stddev_pop var_samp var_pop string_agg grouping
    approx_count_distinct""".split()  # noqa: SIM905 - a list of words
)


def fold(meaning: Meaning, root: exp.Expr) -> None:
    """Rewrite all queries of a tree for an engine that compares texts by their case."""
    for node in list(root.find_all(exp.Select, exp.SetOperation, exp.Window)):
        match node:
            case exp.SetOperation():
                _set_operation(meaning, node)
            case exp.Window():
                for index, key in enumerate(node.args.get("partition_by") or []):
                    if meaning.type(key).is_string:
                        node.args["partition_by"][index].replace(meaning.call("lower", key.copy()))
                _order(meaning, node.args.get("order"), None)
            case exp.Select():
                _select(meaning, node)


def _select(meaning: Meaning, node: exp.Select) -> None:
    distinct = node.args.get("distinct")
    group = node.args.get("group")
    texts = [item for item in node.expressions if meaning.type(item.unalias()).is_string]
    if distinct is not None and texts:
        if group is not None or _stars(node) or node.find(exp.Window):
            raise meaning.fail(
                "DISTINCT of texts is not supported here, since this engine regards their case.",
                node,
                "Write GROUP BY, or copy the rows INTO MyDB first.",
            )
        node.set("distinct", None)
        keys = [item.unalias().copy() for item in node.expressions]
        group = exp.Group(expressions=[key for key in keys if not isinstance(key, exp.Literal)])
        node.set("group", group)
    keys_of_order = node.args.get("order")
    if group is not None:
        sets = any(group.args.get(key) for key in ("rollup", "cube", "grouping_sets"))
        if sets and any(meaning.type(column).is_string for column in group.find_all(exp.Column)):
            hint = "Copy the rows INTO MyDB first."
            raise meaning.fail("ROLLUP and CUBE of texts are not supported here.", group, hint)
        for key in list(group.expressions):
            if meaning.type(key).is_string:
                _fold_key(meaning, node, key)
    _order(meaning, keys_of_order, node)


def _fold_key(meaning: Meaning, node: exp.Select, key: exp.Expr) -> None:
    """Group by the text in small letters, and show one of its spellings."""
    places: list[exp.Expr] = []
    for part in (*node.expressions, node.args.get("having"), node.args.get("order")):
        stack = [part] if part is not None else []
        while stack:
            item = stack.pop()
            if item == key:
                places.append(item)
            elif not (isinstance(item, exp.Anonymous) and str(item.name).lower() in AGGREGATES):
                stack.extend(item.iter_expressions())
    kind = meaning.type(key)
    for place in places:
        value = meaning.typed(meaning.call("min", place.copy()), kind)
        if isinstance(place.parent, exp.Select) and isinstance(place, exp.Column):
            value = exp.Alias(this=value, alias=identifier(place.meta.get("typed", place.name)))
        place.replace(value)
    key.replace(meaning.call("lower", key.copy()))


def _order(meaning: Meaning, order: exp.Order | None, node: exp.Select | None) -> None:
    if order is None:
        return
    for ordered in order.expressions:
        value = ordered.this
        if isinstance(value, exp.Literal) and node is not None and value.name.isdigit():
            place = int(value.name) - 1
            if place < len(node.expressions) and meaning.type(node.expressions[place].unalias()).is_string:
                value.replace(meaning.call("lower", node.expressions[place].unalias().copy()))
        elif meaning.type(value).is_string:
            if isinstance(value, exp.Column) and not value.table and node is not None:
                # PostgreSQL takes names of the output alone, not in expressions.
                named = [item for item in node.expressions if item.alias_or_name.lower() == value.name.lower()]
                if named:
                    value.replace(meaning.call("lower", named[0].unalias().copy()))
            else:
                value.replace(meaning.call("lower", value.copy()))


def _stars(node: exp.Select) -> bool:
    return any(item.is_star for item in node.expressions)


def _set_operation(meaning: Meaning, node: exp.SetOperation) -> None:
    outs = node.meta.get(OUTS) or []
    whole = isinstance(node, exp.Union) and not node.args.get("distinct")
    if not whole and any(out.type.is_string for out in outs):
        raise meaning.fail(
            f"{type(node).__name__.upper()} of texts is not supported here, since this engine regards their case.",
            node,
            "Write UNION ALL, or copy the rows INTO MyDB first.",
        )
