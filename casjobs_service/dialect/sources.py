"""FROM: tables, queries, table functions, APPLY and joins, each of which adds a relation to the scope."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sqlglot import exp

from casjobs_service.catalog import Catalog
from casjobs_service.dialect import metadata, pivot, spatial, types
from casjobs_service.dialect.bound import known
from casjobs_service.dialect.names import Found, Session, find_table, identifier
from casjobs_service.dialect.scope import Out, Relation, Scope, as_word, first_name, renamed, set_table, table_alias
from casjobs_service.dialect.source import did_you_mean
from casjobs_service.errors import Kind


class Sources(ABC):
    """The part of the resolver that reads FROM.

    Attributes
    ----------
    reads
        Tables that the statement reads, in order of appearance.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.source = session.source
        self.reads: dict[tuple[str, str], Found] = {}

    @abstractmethod
    def query(self, node: exp.Expr, outer: Scope | None = None) -> list[Out] | None:
        """Resolve a query; None if its columns are not known."""

    @abstractmethod
    def expression(self, root: exp.Expr, scope: Scope) -> None:
        """Resolve the columns and queries within an expression."""

    @abstractmethod
    def all_named(self, outs: list[Out] | None, node: exp.Expr, name: str) -> None:
        """Refuse columns without a name, and two of one name."""

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

    def _documents(self, node: exp.Expr, call: exp.Expr, catalog: Catalog, scope: Scope) -> None:
        """SDSS's lists of columns: as those of metadata, their rows are written into the query."""
        query = metadata.documents(self.session, call, catalog)
        columns = metadata.DOCUMENTS[call.name.lower()]
        alias = node.alias or call.name
        if isinstance(node, exp.Lateral):
            node.set("this", query)
            node.set("alias", exp.TableAlias(this=identifier(alias)))
        else:
            query.set("alias", exp.TableAlias(this=identifier(alias)))
            query.set("joins", node.args.get("joins"))
            node.replace(query)
        self._add(scope, Relation(alias, [Out(name, types.from_duckdb(kind)) for name, kind in columns]), query)
        for join in query.args.get("joins") or []:
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
        node.set("alias", table_alias(node, relation.name))
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
        outs = renamed(self.query(body, inner), columns)
        name = node.alias
        if not name and isinstance(node, exp.Subquery | exp.Values):
            raise self.source.error("A query in FROM needs a name.", Kind.SYNTAX, node, "Write (SELECT …) AS a.")
        self.all_named(outs, node, name)
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
                catalog = catalog or first_name(first)
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
        if name.lower() in metadata.DOCUMENTS:
            self._documents(node, call, self.session.catalog(catalog or self.session.context, call), scope)
            return
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
                as_word(argument)
        for argument in call.expressions:
            self.expression(
                argument, outer if isinstance(node, exp.Lateral) else Scope(outer=scope.outer, ctes=scope.ctes)
            )
        if function.name.lower().startswith("fhtmcover"):
            self._known(call)
        if isinstance(node, exp.Table):
            node.set("db", None)
            node.set("hints", None)
            node.set("catalog", identifier(context.database))
        else:
            node.this.set("catalog", identifier(context.database))
        alias = node.alias or name
        alias_node = node.args.get("alias")
        columns = [column.name for column in alias_node.columns] if isinstance(alias_node, exp.TableAlias) else []
        outs = renamed([Out(column.name, types.of_column(column), column) for column in function.columns], columns)
        node.set("alias", table_alias(node, alias))
        self._add(scope, Relation(alias, outs or [], open=not function.columns), node)
        if isinstance(node, exp.Table):
            for join in node.args.get("joins") or []:
                self._join(join, scope)

    def _known(self, call: exp.Expr) -> None:
        """Variables with a value that is known before the script runs, as that value."""
        for argument in list(call.expressions):
            variable = (
                self.session.variables.get(argument.name.lower()) if isinstance(argument, exp.Parameter) else None
            )
            if variable is not None and variable.value is not None:
                argument.replace(known(self.session, variable.value))
