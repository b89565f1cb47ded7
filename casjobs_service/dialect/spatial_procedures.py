"""Stored procedures for cross-matches, as the T-SQL that they stand for.

`SQLxMatch` is the procedure of SciServer's public catalogues (Taghizadeh-Popp and Dobos 2023), the others are SDSS's
for lists of positions in the temporary table ``#upload`` (``up_id``, ``up_ra``, ``up_dec``, ``up_rad``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from sqlglot import exp

from casjobs_service.dialect.spatial_zones import number
from casjobs_service.errors import Kind, QueryError

_NEIGHBOURS = {
    "spgetneighbors": ("fGetNearbyObjAllEq", "objID", False),
    "spgetneighborsall": ("fGetNearbyObjAllEq", "objID", False),
    "spgetneighborsprim": ("fGetNearbyObjEq", "objID", False),
    "spgetneighborsradius": ("fGetNearbyObjAllEq", "objID", True),
    "spgetspecneighborsall": ("fGetNearbySpecObjAllEq", "specObjID", False),
    "spgetspecneighborsprim": ("fGetNearbySpecObjEq", "specObjID", False),
    "spgetspecneighborsradius": ("fGetNearbySpecObjAllEq", "specObjID", True),
}
"""Function, its identifier, and whether each position has a radius of its own."""

_MATCH_PARAMETERS = (
    "table1",
    "table2",
    "radius",
    "id_col1",
    "id_col2",
    "ra_col1",
    "ra_col2",
    "dec_col1",
    "dec_col2",
    "max_catalog_rows1",
    "max_catalog_rows2",
    "output_table",
    "only_nearest",
    "sort_by_separation",
    "include_sep_rank",
    "include_radec",
    "print_messages",
)
MAX_RADIUS = 600
"""Of SQLxMatch, in arc seconds."""

PROCEDURES: frozenset[str] = frozenset({"sqlxmatch", "spexecutesql", "spexecutesql2", "sp_executesql", *_NEIGHBOURS})
"""Procedures that `procedure` knows, in lower case."""


def procedure(name: str, arguments: Sequence[exp.Expr], named: Mapping[str, exp.Expr]) -> str:
    """T-SQL that does what the procedure does.

    Parameters
    ----------
    name
        Without database and schema, in any case.
    arguments
        By position.
    named
        By name, in lower case without ``@``.

    Raises
    ------
    QueryError
        Unknown procedure or parameter, or a value that it cannot have.
    """
    lower = name.lower()
    if lower == "sqlxmatch":
        return _match(_given("SQLxMatch", _MATCH_PARAMETERS, arguments, named))
    if lower in _NEIGHBOURS:
        return _neighbours(name, arguments, named)
    if lower in PROCEDURES:
        return _execute(name, arguments, named)
    near = get_close_matches(lower, PROCEDURES, 1)
    raise QueryError(
        f"There is no procedure {name}.",
        Kind.NAME,
        hint=f"Did you mean {near[0]}?" if near else "Write its query instead.",
    )


def _given(
    name: str, parameters: Sequence[str], arguments: Sequence[exp.Expr], named: Mapping[str, exp.Expr]
) -> dict[str, exp.Expr]:
    if len(arguments) > len(parameters):
        raise QueryError(f"{name} takes at most {len(parameters)} arguments.", Kind.SYNTAX)
    given = dict(zip(parameters, arguments, strict=False))
    for key, value in named.items():
        if key not in parameters:
            near = get_close_matches(key, parameters, 1)
            hint = f"Did you mean @{near[0]}?" if near else f"It has {', '.join('@' + each for each in parameters)}."
            raise QueryError(f"{name} has no parameter @{key}.", Kind.NAME, hint=hint)
        given[key] = value
    return {key: value for key, value in given.items() if not isinstance(value, exp.Null) and not _is_default(value)}


def _is_default(node: exp.Expr) -> bool:
    return isinstance(node, exp.Column | exp.Var) and node.name.lower() == "default"


def _text(name: str, node: exp.Expr) -> str:
    """A name given as text; SQL Server takes a bare word for one, too."""
    if isinstance(node, exp.Literal | exp.National | exp.Column | exp.Identifier | exp.Var | exp.Table):
        return (
            node.sql("tsql")
            if isinstance(node, exp.Column | exp.Table) and node.args.get("db")
            else node.name or str(node.this)
        )
    raise QueryError(f"@{name} must be a text.", Kind.UNSUPPORTED, hint="Write it as a literal, e.g. 'MyDB.dbo.t'.")


def _value(node: exp.Expr) -> str:
    """T-SQL of a number or a variable."""
    return node.sql(dialect="tsql")


def _flag(given: Mapping[str, exp.Expr], name: str) -> bool:
    node = given.get(name)
    if node is None:
        return False
    value = number(node)
    if value is None and isinstance(node, exp.Boolean):
        return bool(node.this)
    if value is None and isinstance(node, exp.Literal):
        return node.name.lower() in ("1", "true")
    if value is None:
        raise QueryError(f"@{name} must be 0 or 1.", Kind.UNSUPPORTED)
    return value != 0


def _parts(name: str) -> list[str]:
    """Parts of a dotted name, without brackets or quotes."""
    parts, current, closing = [], "", ""
    for character in name.strip():
        if closing:
            if character == closing:
                closing = ""
            else:
                current += character
        elif character in '["':
            closing = "]" if character == "[" else '"'
        elif character == ".":
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def _bracketed(name: str) -> str:
    return "[" + name.replace("]", "]]") + "]"


def _column(given: Mapping[str, exp.Expr], name: str, default: str) -> str:
    return _bracketed(_parts(_text(name, given[name]))[-1] if name in given else default)


def _table(given: Mapping[str, exp.Expr], name: str) -> str:
    if name not in given:
        raise QueryError(
            f"SQLxMatch needs @{name}.", Kind.SYNTAX, hint="E.g. EXEC SQLxMatch @table1='MyDB.dbo.a', @table2='b'."
        )
    parts = _parts(_text(name, given[name]))
    table = parts[-1]
    if not table or len(parts) > 3:
        raise QueryError(f"@{name} must be 'table', 'database.table' or 'database.dbo.table'.", Kind.NAME)
    if table.startswith("#"):
        return table
    if len(parts) == 1:
        return _bracketed(table)
    # With two parts the first is a database.
    schema = parts[1] if len(parts) == 3 and parts[1] else "dbo"
    return f"{_bracketed(parts[0])}.{_bracketed(schema)}.{_bracketed(table)}"


def _source(given: Mapping[str, exp.Expr], number_: int) -> str:
    table = _table(given, f"table{number_}")
    limit = given.get(f"max_catalog_rows{number_}")
    alias = "ab"[number_ - 1]
    return f"{table} AS {alias}" if limit is None else f"(SELECT TOP ({_value(limit)}) * FROM {table}) AS {alias}"  # noqa: S608


def _match(given: dict[str, exp.Expr]) -> str:
    radius = given.get("radius", exp.Literal.number(10))
    size = number(radius)
    if size is not None and size > MAX_RADIUS:
        raise QueryError(f"@radius of SQLxMatch is at most {MAX_RADIUS} arc seconds.", Kind.DATA)
    ids = [_column(given, f"id_col{n}", "objid") for n in (1, 2)]
    ras = [_column(given, f"ra_col{n}", "ra") for n in (1, 2)]
    decs = [_column(given, f"dec_col{n}", "dec") for n in (1, 2)]
    distance = f"dbo.fDistanceArcMinEq(a.{ras[0]}, a.{decs[0]}, b.{ras[1]}, b.{decs[1]})"
    rank = _flag(given, "include_sep_rank")
    nearest = _flag(given, "only_nearest")
    radec = _flag(given, "include_radec")
    inner = [f"a.{ids[0]} AS id1", f"b.{ids[1]} AS id2", f"60.0 * {distance} AS sep"]
    outer = ["q.id1", "q.id2", "q.sep"]
    if rank or nearest:
        inner.append(f"RANK() OVER (PARTITION BY a.{ids[0]} ORDER BY {distance}) AS sep_rank")
    if rank:
        outer.append("q.sep_rank")
    if radec:
        inner += [f"a.{ras[0]} AS ra1", f"a.{decs[0]} AS dec1", f"b.{ras[1]} AS ra2", f"b.{decs[1]} AS dec2"]
        outer += ["q.ra1", "q.dec1", "q.ra2", "q.dec2"]
    sql = (
        f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} FROM {_source(given, 1)}"  # noqa: S608
        f" JOIN {_source(given, 2)} ON {distance} < ({_value(radius)}) / 60.0) AS q"
    )
    if nearest:
        sql += " WHERE q.sep_rank = 1"
    if _flag(given, "sort_by_separation") and not nearest:
        sql += " ORDER BY q.id1, q.sep"
    return f"INSERT INTO {_table(given, 'output_table')} {sql}" if "output_table" in given else sql


def _neighbours(name: str, arguments: Sequence[exp.Expr], named: Mapping[str, exp.Expr]) -> str:
    function, key, own_radius = _NEIGHBOURS[name.lower()]
    given = _given(name, () if own_radius else ("r",), arguments, named)
    if not own_radius and "r" not in given:
        raise QueryError(f"{name} needs a radius in arc minutes.", Kind.SYNTAX)
    radius = "u.up_rad" if own_radius else _value(given["r"])
    return (
        f"SELECT u.up_id AS up_ID, n.{key} FROM #upload AS u"  # noqa: S608 - our own names
        f" CROSS APPLY dbo.{function}(u.up_ra, u.up_dec, {radius}) AS n"
    )


def _execute(name: str, arguments: Sequence[exp.Expr], named: Mapping[str, exp.Expr]) -> str:
    parameters = ("stmt",) if name.lower() == "sp_executesql" else ("cmd", "limit")
    if name.lower() == "sp_executesql" and len(arguments) + len(named) > 1:
        raise QueryError(
            "sp_executesql with parameters is not supported.", Kind.UNSUPPORTED, hint="Write the query itself."
        )
    # SDSS's web pages pass more: their server, the visitor's address.
    known = {key: value for key, value in named.items() if key in parameters}
    given = _given(name, parameters, arguments[: len(parameters)], known)
    if parameters[0] not in given:
        raise QueryError(f"{name} needs a query as text.", Kind.SYNTAX)
    text = _text(parameters[0], given[parameters[0]])
    limit = number(given["limit"]) if "limit" in given else None
    return f"SET ROWCOUNT {int(limit)}; {text}; SET ROWCOUNT 0" if limit else text
