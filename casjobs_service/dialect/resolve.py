"""Which column a name means: every column gets its table's alias, its spelling and its type.

The tree is changed in place. What is resolved carries `TYPE` in its `meta`; queries carry `OUTS`.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.names import Session, identifier
from casjobs_service.dialect.scope import (
    DATE_PARTS,
    OUTS,
    TYPE,
    Out,
    Relation,
    Scope,
    as_word,
    first_name,
    listed,
    renamed,
)
from casjobs_service.dialect.source import did_you_mean, start_of
from casjobs_service.dialect.sources import Sources
from casjobs_service.dialect.tsql import START
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind, QueryError


class Resolver(Sources):
    """Resolves the names of one statement.

    Attributes
    ----------
    infer
        Type of an expression whose columns are resolved.
    """

    def __init__(self, session: Session, infer: Callable[[exp.Expr], Type]) -> None:
        super().__init__(session)
        self.infer = infer

    def query(self, node: exp.Expr, outer: Scope | None = None) -> list[Out] | None:
        """Resolve a query; None if its columns are not known."""
        ctes = dict(outer.ctes) if outer else {}
        if with_ := node.args.get("with_"):
            self._with(with_, ctes, outer)
        match node:
            case exp.Subquery():
                if isinstance(node.this, exp.Table):
                    raise self.source.error("A query is expected here.", Kind.SYNTAX, node)
                outs = self.query(node.this, Scope(outer=outer, ctes=ctes))
                if node.args.get("order"):
                    self._order_of_outs(node, outs, outer)
            case exp.SetOperation():
                outs = self._set_operation(node, Scope(outer=outer, ctes=ctes))
            case exp.Select():
                outs = self._select(node, Scope(outer=outer, ctes=ctes))
            case exp.Values():
                outs = self._values(node, Scope(outer=outer, ctes=ctes))
            case exp.Table():
                raise self.source.error("A query is expected here.", Kind.SYNTAX, node)
            case _:
                raise self.source.error("This is no query.", Kind.UNSUPPORTED, node)
        if outs is not None:
            node.meta[OUTS] = outs
        return outs

    # Common table expressions

    def _with(self, with_: exp.With, ctes: dict[str, list[Out] | None], outer: Scope | None) -> None:
        for cte in with_.expressions:
            name = cte.alias.lower()
            columns = [column.name for column in cte.args["alias"].columns]
            body = cte.this
            scope = Scope(outer=outer, ctes=ctes)
            if isinstance(body, exp.SetOperation) and self._uses(body, name):
                with_.set("recursive", True)
                anchor: exp.Expr = body
                while isinstance(anchor, exp.SetOperation):
                    anchor = anchor.this
                first = self.query(anchor.copy(), scope)
                scope = Scope(outer=outer, ctes={**ctes, name: renamed(first, columns)})
            outs = renamed(self.query(body, scope), columns)
            self.all_named(outs, cte, cte.alias)
            ctes[name] = outs

    @staticmethod
    def _uses(body: exp.Expr, name: str) -> bool:
        return any(table.name.lower() == name and not table.db for table in body.find_all(exp.Table))

    def all_named(self, outs: list[Out] | None, node: exp.Expr, name: str) -> None:
        seen: set[str] = set()
        for number, out in enumerate(outs or [], 1):
            if not out.name:
                raise self.source.error(
                    f"Column {number} of {name or 'this query'} has no name.", Kind.SYNTAX, node, "Name it: … AS name."
                )
            if out.name.lower() in seen:
                raise self.source.error(
                    f"{name or 'This query'} has two columns {out.name}.",
                    Kind.NAME,
                    node,
                    "Name one of them: … AS name.",
                )
            seen.add(out.name.lower())

    # Queries

    def _set_operation(self, node: exp.SetOperation, scope: Scope) -> list[Out] | None:
        left = self.query(node.this, scope)
        right = self.query(node.expression, scope)
        outs = left
        if left is not None and right is not None:
            if len(left) != len(right):
                raise self.source.error(
                    f"The queries of {type(node).__name__.upper()} have {len(left)} and {len(right)} columns.",
                    Kind.SYNTAX,
                    node.expression,
                )
            outs = [
                Out(one.name, types.wider(one.type, other.type), one.column, one.found)
                for one, other in zip(left, right, strict=True)
            ]
        self._order_of_outs(node, outs, scope)
        return outs

    def _order_of_outs(self, node: exp.Expr, outs: list[Out] | None, scope: Scope | None) -> None:
        """ORDER BY after UNION and the like knows only the output's columns."""
        order = node.args.get("order")
        if order is None:
            return
        relation = Relation("", outs or [], open=outs is None)
        for ordered in order.expressions:
            for column in list(ordered.find_all(exp.Column)):
                out = relation.by_name.get(column.name.lower())
                if out is None and not relation.open:
                    raise self._unknown_column(column, [relation])
                column.set("table", None)
                column.set("this", identifier(out.name if out else column.name))
                column.meta[TYPE] = out.type if out else types.UNKNOWN

    def _values(self, node: exp.Values, scope: Scope) -> list[Out] | None:
        kinds: list[Type] = []
        for row in node.expressions:
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            for cell in cells:
                self.expression(cell, scope)
            row_kinds = [self.infer(cell) for cell in (row.expressions if isinstance(row, exp.Tuple) else [row])]
            if kinds and len(kinds) != len(row_kinds):
                raise self.source.error("The rows of VALUES have different lengths.", Kind.SYNTAX, row)
            kinds = [types.wider(a, b) for a, b in zip(kinds, row_kinds, strict=True)] if kinds else row_kinds
        return [Out("", kind) for kind in kinds]

    def _select(self, node: exp.Select, scope: Scope) -> list[Out] | None:
        self.from_clause(node, scope)
        for key in ("where", "group", "having"):
            if part := node.args.get(key):
                self.expression(part, scope)
        for named in node.args.get("windows") or []:
            self.expression(named, scope)
        outs = self._projections(node, scope)
        if order := node.args.get("order"):
            self._order(order, node, outs, scope)
        for key in ("limit", "offset"):
            if part := node.args.get(key):
                self.expression(part, scope)
        return outs

    def _projections(self, node: exp.Select, scope: Scope) -> list[Out] | None:
        outs: list[Out] = []
        known = True
        for projection in node.expressions:
            star = self._star(projection, scope)
            if star is not None:
                for relation in star:
                    known = known and not relation.open
                    outs.extend(relation.outs)
                continue
            value = projection.unalias()
            self.expression(projection, scope)
            value = projection.unalias()
            name = projection.alias_or_name if isinstance(projection, exp.Alias | exp.Column) else ""
            if isinstance(projection, exp.Column):
                name = projection.meta.get("typed", name)
            out = projection.meta.get("out") or value.meta.get("out")
            outs.append(Out(name, self.infer(value), out.column if out else None, out.found if out else None))
        return outs if known else None

    def _star(self, projection: exp.Expr, scope: Scope) -> list[Relation] | None:
        """Relations of ``*`` or ``t.*``; None for other projections."""
        if isinstance(projection, exp.Star):
            if not scope.relations:
                raise self.source.error("* needs FROM.", Kind.SYNTAX, projection)
            return scope.relations
        if isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
            relation = self._relation(projection, [scope])
            projection.set("table", identifier(relation.name))
            projection.set("db", None)
            projection.set("catalog", None)
            return [relation]
        return None

    def _order(self, order: exp.Order, node: exp.Select, outs: list[Out] | None, scope: Scope) -> None:
        """A name alone means an output column first."""
        names = {
            projection.alias.lower(): projection
            for projection in node.expressions
            if isinstance(projection, exp.Alias) and projection.alias
        }
        for ordered in order.expressions:
            value = ordered.this
            if isinstance(value, exp.Column) and not value.table and value.name.lower() in names:
                alias = names[value.name.lower()]
                value.set("this", identifier(alias.alias))
                value.meta[TYPE] = self.infer(alias.this)
            elif (
                isinstance(value, exp.Column)
                and not value.table
                and outs
                and self._named_once(value.name, outs, scope)
            ):
                # Two tables have the column, and the output has one of them.
                out = next(out for out in outs if out.name.lower() == value.name.lower())
                value.set("this", identifier(out.name))
                value.meta[TYPE] = out.type
            else:
                self.expression(ordered, scope)

    @staticmethod
    def _named_once(name: str, outs: list[Out], scope: Scope) -> bool:
        lower = name.lower()
        in_tables = sum(lower in relation.by_name for relation in scope.relations)
        return in_tables != 1 and sum(out.name.lower() == lower for out in outs) == 1

    # Expressions

    def expression(self, root: exp.Expr, scope: Scope) -> None:
        """Resolve the columns and queries within an expression."""
        stack = [root]
        while stack:
            node = stack.pop()
            match node:
                case exp.Column():
                    if isinstance(node.this, exp.Star):
                        continue
                    self._column(node, scope)
                case exp.Subquery() | exp.Select() | exp.SetOperation():
                    self.query(node, scope)
                case exp.Dot():
                    stack.append(self._dot(node))
                case exp.Anonymous():
                    arguments = list(node.expressions)
                    for argument in arguments:
                        if argument.name.upper() == "DEFAULT":
                            as_word(argument)
                    arguments = list(node.expressions)
                    if arguments and str(node.name).lower() in DATE_PARTS:
                        as_word(arguments[0])
                        arguments = arguments[1:]
                    stack.extend(reversed(arguments))
                case exp.Identifier() | exp.DataType() | exp.Literal():
                    pass
                case _:
                    stack.extend(reversed(list(node.iter_expressions())))

    def _dot(self, node: exp.Dot) -> exp.Expr:
        """``dbo.f(x)`` and ``db.dbo.f(x)``."""
        last = node.expression
        if not isinstance(last, exp.Anonymous):
            raise self.source.error("This name has too many parts.", Kind.NAME, node)
        first = start_of(node)
        last.meta["schema"] = first_name(node)
        if first is not None:
            last.meta[START] = first
        node.replace(last)
        return last

    def _column(self, node: exp.Column, scope: Scope) -> None:
        found = self._lookup(node, scope)
        if found is None:
            return
        relation, out = found
        typed = node.name
        at = start_of(node)
        node.meta["out"] = out
        node.meta[TYPE] = out.type
        node.meta["typed"] = typed
        if at is not None:
            node.meta[START] = at
        node.set("this", identifier(out.name))
        node.set("table", identifier(relation.name))
        node.set("db", None)
        node.set("catalog", None)

    def _lookup(self, node: exp.Column, scope: Scope) -> tuple[Relation, Out] | None:
        chain = []
        current: Scope | None = scope
        while current is not None:
            chain.append(current)
            current = current.outer
        lower = node.name.lower()
        if node.table:
            relation = self._relation(node, chain)
            return self._in_relation(relation, node)
        for item in chain:
            matches = [relation for relation in item.relations if lower in relation.by_name]
            if len(matches) > 1:
                raise self.source.error(
                    f"The column {node.name} is in {listed([relation.name for relation in matches])}.",
                    Kind.NAME,
                    node,
                    f"Write {matches[0].name}.{node.name} or {matches[1].name}.{node.name}.",
                )
            if matches:
                return self._in_relation(matches[0], node)
            unknown = [relation for relation in item.relations if relation.open]
            if unknown:
                node.meta[TYPE] = types.UNKNOWN
                node.set("table", identifier(unknown[0].name))
                node.this.set("quoted", True)
                return None
        raise self._unknown_column(node, [relation for item in chain for relation in item.relations])

    def _in_relation(self, relation: Relation, node: exp.Column) -> tuple[Relation, Out]:
        lower = node.name.lower()
        if lower == "rowid" and self.session.rowid and relation.name.lower() == self.session.rowid.lower():
            return relation, Out("rowid", types.BIGINT)
        if lower in relation.twice:
            raise self.source.error(f"{relation.name} has two columns {node.name}.", Kind.NAME, node)
        out = relation.by_name.get(lower)
        if out is None:
            if relation.open:
                return relation, Out(node.name, types.UNKNOWN)
            raise self._unknown_column(node, [relation])
        return relation, out

    def _relation(self, node: exp.Column, chain: list[Scope]) -> Relation:
        """What ``t`` in ``t.c`` means."""
        name = node.table.lower()
        if (first := node.args.get("table")) is not None and first.args.get("temporary"):
            name = "#" + name
        for scope in chain:
            matches = [relation for relation in scope.relations if relation.name.lower() == name]
            if not matches:
                matches = [
                    relation
                    for relation in scope.relations
                    if relation.found is not None
                    and relation.found.table.name.lower() == name
                    and relation.name.lower() == relation.found.table.name.lower()
                ]
            if matches:
                return matches[0]
        names = [relation.name for scope in chain for relation in scope.relations]
        raise self.source.error(
            f"There is no table {node.table} in FROM.", Kind.NAME, node, did_you_mean(node.table, names)
        )

    def _unknown_column(self, node: exp.Column, relations: list[Relation]) -> QueryError:
        candidates = {out.name: relation for relation in reversed(relations) for out in relation.outs if out.name}
        where = ""
        if len(relations) == 1 and relations[0].name:
            where = f" in {relations[0].name}"
        hint = did_you_mean(node.name, candidates)
        if hint:
            name = hint.removeprefix("Did you mean ").rstrip("?")
            table = candidates[name]
            of = table.found.table.name if table.found else table.name
            hint = f"Did you mean the column {name} of {of}?" if of else f"Did you mean the column {name}?"
        elif isinstance(node.this, exp.Identifier) and node.this.quoted and not relations:
            hint = "Texts are written in single quotes."
        return self.source.error(f"There is no column {node.name}{where}.", Kind.NAME, node, hint)
