"""Which column a name means: every column gets its table's alias, its spelling and its type.

The tree is changed in place. What is resolved carries `TYPE` in its `meta`; queries carry `OUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sqlglot import exp

from casjobs_service.catalog import Column
from casjobs_service.dialect import metadata, pivot, spatial, types
from casjobs_service.dialect.names import Found, Session, find_table, identifier
from casjobs_service.dialect.source import did_you_mean, start_of
from casjobs_service.dialect.tsql import START
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind, QueryError

TYPE = "t"
"""Key in `meta`: `Type` of an expression's value in T-SQL."""
OUTS = "outs"
"""Key in `meta` of a query: list of `Out`; missing when it is not known."""
DATE_PARTS = frozenset({"dateadd", "datediff", "datediff_big", "datename", "datepart", "datetrunc", "identity"})
"""Functions whose first argument is a word."""


@dataclass(slots=True)
class Out:
    """A column of a query or table: name (empty: unnamed), type, and what the catalogue says of it."""

    name: str
    type: Type
    column: Column | None = None
    found: Found | None = None

    def __deepcopy__(self, memo: object) -> Out:
        # sqlglot copies what is in `meta`.
        return self


@dataclass(slots=True)
class Relation:
    """Something in FROM."""

    name: str
    outs: list[Out]
    open: bool = False
    """Its columns are not known."""
    found: Found | None = None
    by_name: dict[str, Out] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for out in self.outs:
            key = out.name.lower()
            if key in self.by_name:
                self.twice.add(key)
            elif key:
                self.by_name[key] = out


@dataclass(slots=True)
class Scope:
    """What names a query's expressions can use."""

    relations: list[Relation] = field(default_factory=list)
    outer: Scope | None = None
    ctes: dict[str, list[Out] | None] = field(default_factory=dict)


class Resolver:
    """Resolves the names of one statement.

    Attributes
    ----------
    reads
        Tables that it reads, in order of appearance.
    infer
        Type of an expression whose columns are resolved.
    """

    def __init__(self, session: Session, infer: Callable[[exp.Expr], Type]) -> None:
        self.session = session
        self.source = session.source
        self.infer = infer
        self.reads: dict[tuple[str, str], Found] = {}

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
                scope = Scope(outer=outer, ctes={**ctes, name: _renamed(first, columns)})
            outs = _renamed(self.query(body, scope), columns)
            self._all_named(outs, cte, cte.alias)
            ctes[name] = outs

    @staticmethod
    def _uses(body: exp.Expr, name: str) -> bool:
        return any(table.name.lower() == name and not table.db for table in body.find_all(exp.Table))

    def _all_named(self, outs: list[Out] | None, node: exp.Expr, name: str) -> None:
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

    # FROM

    def from_clause(self, node: exp.Expr, scope: Scope) -> None:
        """Resolve FROM and its joins, in the order of their appearance."""
        if from_ := node.args.get("from_"):
            self.source_item(from_.this, scope)
        for join in node.args.get("joins") or []:
            self._join(join, scope)
        for lateral in node.args.get("laterals") or []:
            self.source_item(lateral, scope)

    def _join(self, join: exp.Join, scope: Scope) -> None:
        self.source_item(join.this, scope)
        if on := join.args.get("on"):
            self.expression(on, scope)
        if join.args.get("using"):
            raise self.source.error("USING is not T-SQL.", Kind.UNSUPPORTED, join, "Write ON a.x = b.x.")
        if join.method:
            raise self.source.error(f"{join.method} joins are not T-SQL.", Kind.UNSUPPORTED, join)

    def source_item(self, node: exp.Expr, scope: Scope) -> None:
        """Resolve one item of FROM, and add it to the scope."""
        if pivots := node.args.get("pivots"):
            self._pivot(node, pivots, scope)
            return
        match node:
            case exp.Table() if isinstance(node.this, exp.Func):
                self._function_source(node, node.this, node.text("catalog") or "", scope)
            case exp.Table() if metadata.view_name(self.session, node):
                self._metadata(node, scope)
            case exp.Table():
                self._table(node, scope)
            case exp.Subquery() if isinstance(node.this, exp.Table | exp.Subquery) and not node.alias:
                # (a JOIN b ON …)
                self.source_item(node.this, scope)
                for join in node.args.get("joins") or []:
                    self._join(join, scope)
            case exp.Subquery() | exp.Values():
                self._derived(node, node, scope)
            case exp.Lateral():
                self._lateral(node, scope)
            case exp.Paren():
                self.source_item(node.this, scope)
            case _:
                raise self.source.error("This cannot stand in FROM.", Kind.UNSUPPORTED, node)
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Func):
            for join in (node.args.get("joins") or []) if isinstance(node, exp.Table) else []:
                self._join(join, scope)

    def _add(self, scope: Scope, relation: Relation, node: exp.Expr) -> None:
        if relation.name and any(other.name.lower() == relation.name.lower() for other in scope.relations):
            raise self.source.error(
                f"{relation.name} is in FROM twice.", Kind.NAME, node, "Give each a name of its own: … AS a."
            )
        scope.relations.append(relation)

    def _metadata(self, node: exp.Table, scope: Scope) -> None:
        """information_schema and the like: their rows are written into the query."""
        alias = node.alias or node.name
        query, columns = metadata.as_values(self.session, node)
        query.set("alias", exp.TableAlias(this=identifier(alias)))
        query.set("joins", node.args.get("joins"))
        node.replace(query)
        self._add(scope, Relation(alias, [Out(name, types.from_duckdb(kind)) for name, kind in columns]), query)
        for join in query.args.get("joins") or []:
            self._join(join, scope)

    def _table(self, node: exp.Table, scope: Scope) -> None:
        for key in ("hints", "changes", "version", "sample"):
            if key == "hints":
                node.set("hints", None)
            elif node.args.get(key):
                raise self.source.error(f"{key.upper()} is not supported.", Kind.UNSUPPORTED, node)
        alias = node.alias
        lower = node.name.lower()
        plain = not node.text("db") and not node.text("catalog") and isinstance(node.this, exp.Identifier)
        if plain and lower in scope.ctes and not node.this.args.get("temporary"):
            outs = scope.ctes[lower]
            relation = Relation(alias or node.name, outs or [], open=outs is None)
        else:
            metadata.refuse_other(self.session, node)
            found = find_table(self.session, node)
            self.reads.setdefault((found.database.lower(), found.table.name.lower()), found)
            name = alias or found.table.name
            relation = Relation(
                name,
                [
                    Out(column.name, types.of_column(column, found.own), column, found)
                    for column in found.table.columns
                ],
                found=found,
            )
            if not alias:
                node.meta["typed"] = node.name
            set_table(node, found)
        node.set("alias", _alias(node, relation.name))
        self._add(scope, relation, node)

    def _pivot(self, node: exp.Expr, pivots: list[exp.Pivot], scope: Scope) -> None:
        """Replace PIVOT and UNPIVOT by plain queries, and resolve those instead."""
        probe = node.copy()
        for key in ("pivots", "joins"):
            probe.set(key, None)
        if not probe.alias:
            probe.set("alias", exp.TableAlias(this=identifier(pivot.INNER)))
        inner = Scope(outer=scope.outer, ctes=scope.ctes)
        self.source_item(probe, inner)
        relation = inner.relations[0]
        if relation.open or len(pivots) != 1:
            raise self.source.error("PIVOT of this is not supported.", Kind.UNSUPPORTED, pivots[0])
        query = pivot.plain(node, pivots[0], [out.name for out in relation.outs], self.source)
        query.set("joins", node.args.get("joins"))
        node.replace(query)
        self.source_item(query, scope)

    def _derived(self, node: exp.Expr, query: exp.Expr, scope: Scope, lateral: Scope | None = None) -> None:
        alias = node.args.get("alias")
        columns = [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []
        # A derived table does not see its neighbours, only what is around the whole query.
        inner = lateral or Scope(outer=scope.outer, ctes=scope.ctes)
        body = query.this if isinstance(query, exp.Subquery) else query
        outs = _renamed(self.query(body, inner), columns)
        name = node.alias
        if not name and isinstance(node, exp.Subquery | exp.Values):
            raise self.source.error("A query in FROM needs a name.", Kind.SYNTAX, node, "Write (SELECT …) AS a.")
        self._all_named(outs, node, name)
        relation = Relation(name, outs or [], open=outs is None)
        self._add(scope, relation, node)
        if isinstance(alias, exp.TableAlias):
            alias.set("this", identifier(name))
            for column in alias.columns:
                column.set("quoted", True)

    def _lateral(self, node: exp.Lateral, scope: Scope) -> None:
        """CROSS APPLY and OUTER APPLY: the right side sees what stands left of it."""
        inner = node.this
        lateral = Scope(outer=Scope(list(scope.relations), scope.outer, scope.ctes), ctes=scope.ctes)
        if isinstance(inner, exp.Subquery):
            self._derived(node, inner, scope, lateral)
            return
        catalog = ""
        while isinstance(inner, exp.Dot):
            first = inner.this
            if isinstance(first, exp.Identifier | exp.Column) and first.name.lower() not in ("dbo", ""):
                catalog = first.name
            elif isinstance(first, exp.Dot):
                catalog = catalog or _first_name(first)
            inner = inner.expression
        if not isinstance(inner, exp.Anonymous):
            raise self.source.error("APPLY needs a table function or a query.", Kind.UNSUPPORTED, node)
        table = exp.Table(this=inner, catalog=identifier(catalog) if catalog else None)
        node.set("this", table)
        self._function_source(node, inner, catalog, scope)

    def _function_source(self, node: exp.Expr, call: exp.Expr, catalog: str, scope: Scope) -> None:
        """A table function in FROM or APPLY."""
        name = call.name
        if isinstance(node, exp.Table) and not catalog and node.text("db").lower() not in ("dbo", ""):
            catalog = node.text("db")
        if refused := spatial.REFUSED.get(name.lower()):
            raise self.source.error(refused, Kind.UNSUPPORTED, call)
        function = spatial.table_function(name)
        context = self.session.catalog(catalog or self.session.context, call)
        if function is None:
            function = next(
                (item for item in context.functions if item.kind == "table" and item.name.lower() == name.lower()),
                None,
            )
        if function is None:
            known = [item.name for item in spatial.TABLE_FUNCTIONS.values()]
            known += [item.name for item in context.functions if item.kind == "table"]
            raise self.source.error(f"There is no table function {name}.", Kind.NAME, call, did_you_mean(name, known))
        outer = Scope(list(scope.relations), scope.outer, scope.ctes)
        for argument in list(call.expressions):
            if argument.name.upper() == "DEFAULT":
                _word(argument)
        for argument in call.expressions:
            self.expression(
                argument, outer if isinstance(node, exp.Lateral) else Scope(outer=scope.outer, ctes=scope.ctes)
            )
        if isinstance(node, exp.Table):
            node.set("db", None)
            node.set("hints", None)
            node.set("catalog", identifier(context.database))
        else:
            node.this.set("catalog", identifier(context.database))
        alias = node.alias or name
        alias_node = node.args.get("alias")
        columns = [column.name for column in alias_node.columns] if isinstance(alias_node, exp.TableAlias) else []
        outs = _renamed([Out(column.name, types.of_column(column), column) for column in function.columns], columns)
        node.set("alias", _alias(node, alias))
        self._add(scope, Relation(alias, outs or [], open=not function.columns), node)
        if isinstance(node, exp.Table):
            for join in node.args.get("joins") or []:
                self._join(join, scope)

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
                            _word(argument)
                    arguments = list(node.expressions)
                    if arguments and str(node.name).lower() in DATE_PARTS:
                        _word(arguments[0])
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
        last.meta["schema"] = _first_name(node)
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
                    f"The column {node.name} is in {_listed([relation.name for relation in matches])}.",
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


def set_table(node: exp.Table, found: Found) -> None:
    """Write the table as the engine of its database knows it."""
    at = start_of(node)
    node.set("this", identifier(found.table.name))
    if found.remote:
        node.set("db", identifier(found.table.schema) if found.table.schema else None)
        node.set("catalog", None)
    else:
        node.set("db", identifier("main"))
        node.set("catalog", identifier(found.database))
    node.meta["found"] = found
    if at is not None:
        node.meta[START] = at


def _alias(node: exp.Expr, name: str) -> exp.TableAlias:
    old = node.args.get("alias")
    columns = old.columns if isinstance(old, exp.TableAlias) else []
    alias = exp.TableAlias(this=identifier(name))
    if columns:
        alias.set("columns", [identifier(column.name) for column in columns])
    return alias


def _renamed(outs: list[Out] | None, names: list[str]) -> list[Out] | None:
    if outs is None or not names:
        return outs
    return [
        Out(names[index] if index < len(names) else out.name, out.type, out.column, out.found)
        for index, out in enumerate(outs)
    ]


def _word(node: exp.Expr) -> None:
    """A date part is parsed as a column."""
    if isinstance(node, exp.Column) and not node.table:
        word = exp.Var(this=node.name)
        word.meta.update(node.this.meta)
        node.replace(word)


def _first_name(node: exp.Expr) -> str:
    """First part of a dotted name, without ``dbo``."""
    while isinstance(node, exp.Dot):
        node = node.this
    return node.name if node.name.lower() != "dbo" else ""


def _listed(names: Iterable[str]) -> str:
    items = list(names)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
