"""``sciserver context``: the science databases."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciserver_cli.errors import OperatorError
from sciserver_common.deployment import Deployment

if TYPE_CHECKING:
    # Imported where it is used: the engine takes a fifth of a second, which other commands need not wait for.
    from casjobs_service.catalog import Table
    from casjobs_service.contexts import Context, Contexts

Result = dict[str, Any]


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``context`` and its subcommands; `common` has the options of all commands."""
    group = commands.add_parser("context", help="Science databases of CasJobs.").add_subparsers(required=True)

    def add(name: str, run: Callable[[argparse.Namespace], Result], text: str) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = group.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(run=_explaining(run))
        return command

    command = add("add", context_add, "Make a context.")
    _name(command)
    command.add_argument(
        "--engine-url",
        metavar="URL",
        default="",
        help="postgresql://USER@HOST:PORT/DATABASE, trino://USER@HOST:PORT/CATALOG/SCHEMA, "
        "mssql://USER@HOST:PORT/DATABASE, a DuckDB file, or a directory of Parquet files "
        "(default: a database of its own, to be loaded)",
    )
    command.add_argument(
        "--password-stdin", action="store_true", help="read the engine's password from standard input"
    )
    _settings(command)

    command = add("set", context_set, "Change what is said of a context, and who may read it.")
    _name(command)
    _settings(command)

    add("list", context_list, "List the contexts.")

    command = add("show", context_show, "Show a context, its tables and columns.")
    _name(command)
    command.add_argument("table", metavar="TABLE", nargs="?", help="with its columns")

    command = add("load", context_load, "Load files as one table: CSV, Parquet, FITS, VOTable or Arrow.")
    _name(command)
    command.add_argument("table", metavar="TABLE", help="name of the table")
    command.add_argument("files", metavar="FILE", nargs="+", type=Path, help="files with the same columns")
    command.add_argument(
        "--format", choices=("csv", "parquet", "fits", "votable", "arrow"), default="", help="of the files"
    )
    command.add_argument("--ra", metavar="COLUMN", default="", help="right ascension in degrees")
    command.add_argument("--dec", metavar="COLUMN", default="", help="declination in degrees")
    command.add_argument("--no-zone-sort", action="store_true", help="keep the order of the files")
    command.add_argument("--unit", metavar="COLUMN=UNIT", action="append", default=[], help="may be repeated")
    command.add_argument("--description", default="", help="of the table")
    mode = command.add_mutually_exclusive_group()
    mode.add_argument("--replace", dest="mode", action="store_const", const="replace", help="replace the table")
    mode.add_argument("--append", dest="mode", action="store_const", const="append", help="add to the table")
    command.set_defaults(mode="create")

    command = add("drop", context_drop, "Remove a table of a context.")
    _name(command)
    command.add_argument("table", metavar="TABLE", help="name of the table")

    command = add("refresh", context_refresh, "Look again at a server, file or directory that a context stands for.")
    _name(command)

    command = add("password", context_password, "Set the password with which a context's engine is asked.")
    _name(command)
    command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")

    command = add("remove", context_remove, "Remove a context with the data that was loaded into it.")
    _name(command)
    command.add_argument("--yes", action="store_true", help="do not ask")


def _name(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="name of the context")


def _settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--title", help="one line")
    command.add_argument("--description", help="text for people")
    access = command.add_mutually_exclusive_group()
    access.add_argument("--public", action="store_true", default=None, help="everybody may read it")
    access.add_argument("--group", metavar="GROUP", action="append", help="members of this group may; may be repeated")
    command.add_argument("--rights", help="licence")
    command.add_argument("--cite", help="how to cite it")
    command.add_argument("--source", help="where the data is from")
    command.add_argument("--quick-seconds", type=float, help="time limit of a quick query on it")
    command.add_argument("--long-seconds", type=float, help="time limit of a job on it")


def _explaining(run: Callable[[argparse.Namespace], Result]) -> Callable[[argparse.Namespace], Result]:
    def explained(options: argparse.Namespace) -> Result:
        from casjobs_service.contexts import ContextError

        try:
            return run(options)
        except ContextError as error:
            raise OperatorError(str(error)) from error

    return explained


def open_contexts(options: argparse.Namespace) -> Contexts:
    """The contexts of the deployment that a command names."""
    from casjobs_service.contexts import Contexts

    deployment = Deployment.load(getattr(options, "home", None))
    deployment.make_directories()
    return Contexts.of(deployment)


def progress(text: str) -> None:
    """Steps go to standard error: standard output is the result's."""
    print(text, file=sys.stderr, flush=True)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    values = {
        "title": options.title,
        "description": options.description,
        "rights": options.rights,
        "cite": options.cite,
        "source_text": options.source,
        "quick_seconds": options.quick_seconds,
        "long_seconds": options.long_seconds,
    }
    if options.public:
        values |= {"public": True, "groups": ()}
    if options.group:
        values |= {"public": False, "groups": tuple(options.group)}
    return {key: value for key, value in values.items() if value is not None}


def _password(options: argparse.Namespace, what: str) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise OperatorError("There is no terminal to ask for the password: use --password-stdin.")
    return getpass.getpass(f"Password for {what} (empty: none): ")


def _as_json(context: Context) -> Result:
    keys = ("name", "title", "description", "engine", "url", "public", "groups", "rights", "cite", "loaded")
    return {
        **{key: getattr(context, key) for key in keys},
        "source": context.source_text,
        "quick_seconds": context.quick_seconds,
        "long_seconds": context.long_seconds,
        "data": str(context.folder or context.data_file or ""),
    }


def _table_as_json(table: Table) -> Result:
    keys = ("name", "kind", "description", "rows", "size", "date", "schema")
    return {
        **{key: getattr(table, key) for key in keys},
        "columns": [column._asdict() for column in table.columns],
        "position": [table.sky.ra, table.sky.dec] if table.sky else None,
    }


def _access(context: Context) -> str:
    return "everybody" if context.public else ", ".join(context.groups) or "nobody yet"


def context_add(options: argparse.Namespace) -> Result:
    """`sciserver context add`."""
    from casjobs_service import adopt

    contexts = open_contexts(options)
    password = ""
    if "://" in options.engine_url and not options.engine_url.startswith("duckdb:"):
        password = _password(options, options.engine_url)
    context = adopt.add(contexts, options.name, options.engine_url, password=password, **_given(options))
    count = len((contexts.catalog(context.name) or _no_catalog()).tables)
    text = f"Made the context {context.name}, with {count} {'table' if count == 1 else 'tables'}."
    if not context.public and not context.groups:
        text += f" Nobody may read it yet: `sciserver context set {context.name} --public`, or --group GROUP."
    if not options.engine_url:
        text += f" Load data with `sciserver context load {context.name} TABLE FILE`."
    return {**_as_json(context), "tables": count, "text": text}


def _no_catalog() -> Any:
    from casjobs_service.catalog import Catalog

    return Catalog("")


def context_set(options: argparse.Namespace) -> Result:
    """`sciserver context set`."""
    contexts = open_contexts(options)
    given = _given(options)
    if not given:
        raise OperatorError("Say what to change, e.g. --title TEXT or --public.")
    context = contexts.update(options.name, **given)
    return {**_as_json(context), "text": f"Changed {context.name}. It is read by: {_access(context)}."}


def context_list(options: argparse.Namespace) -> Result:
    """`sciserver context list`."""
    found = open_contexts(options).all()
    lines = [
        f"{context.name:<20} {context.engine:<11} {_access(context):<20} {context.loaded[:10]:<11} {context.title}"
        for context in found
    ]
    return {
        "contexts": [_as_json(context) for context in found],
        "text": "\n".join(line.rstrip() for line in lines)
        or "There are no contexts: `sciserver context add NAME --public` makes one.",
    }


def context_show(options: argparse.Namespace) -> Result:
    """`sciserver context show`."""
    contexts = open_contexts(options)
    context = contexts.require(options.name)
    catalog = contexts.catalog(context.name) or _no_catalog()
    about = _as_json(context)
    if options.table:
        table = catalog.table(options.table)
        if table is None:
            raise OperatorError(f"The context {context.name} has no table {options.table}.")
        lines = [f"{context.name}.{table.name}: {table.kind}, {_count(table.rows)}. {table.description}".rstrip()]
        if table.sky:
            order = f", sorted by {table.sky.zone}" if table.sky.zone else ""
            lines.append(f"Searched by position: {table.sky.ra}, {table.sky.dec}{order}")
        lines += [
            f"  {column.name:<24} {column.type:<16} {column.unit:<12} {column.ucd:<28} {column.description}".rstrip()
            for column in table.columns
        ]
        return {"context": context.name, "table": _table_as_json(table), "text": "\n".join(lines)}
    lines = [f"{context.name}: {context.title}".rstrip(": ")]
    lines += [f"  {key}: {value}" for key, value in about.items() if value and key not in ("name", "title", "groups")]
    lines.append(f"  read by: {_access(context)}")
    lines += [
        f"  {table.name:<28} {table.kind:<6} {_count(table.rows):>16}  {table.description}".rstrip()
        for table in catalog.tables
    ]
    return {**about, "tables": [_table_as_json(table) for table in catalog.tables], "text": "\n".join(lines)}


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,} rows".replace(",", " ")


def context_load(options: argparse.Namespace) -> Result:
    """`sciserver context load`."""
    from casjobs_service.load import load_table

    units = {}
    for text in options.unit:
        column, equals, unit = text.partition("=")
        if not equals:
            raise OperatorError(f"{text!r} does not say a unit: write COLUMN=UNIT.")
        units[column] = unit
    loaded = load_table(
        open_contexts(options),
        options.name,
        options.table,
        options.files,
        format=options.format,
        mode=options.mode,
        ra=options.ra,
        dec=options.dec,
        zone_sort=not options.no_zone_sort,
        units=units,
        description=options.description,
        progress=progress,
    )
    text = f"{options.name}.{loaded.table}: {_count(loaded.rows)} in {loaded.seconds:.1f} s."
    if loaded.sky:
        text += f" Searched by position: {loaded.sky.ra}, {loaded.sky.dec}."
    else:
        text += " Not searched by position: no columns with right ascension and declination were found or named."
    return {
        "context": options.name,
        "table": loaded.table,
        "rows": loaded.rows,
        "seconds": round(loaded.seconds, 3),
        "positions": [loaded.sky.ra, loaded.sky.dec] if loaded.sky else None,
        "text": text,
    }


def context_drop(options: argparse.Namespace) -> Result:
    """`sciserver context drop`."""
    from casjobs_service.draft import edit

    with edit(open_contexts(options), options.name) as draft:
        draft.drop(options.table)
    return {"context": options.name, "table": options.table, "text": f"Removed {options.name}.{options.table}."}


def context_refresh(options: argparse.Namespace) -> Result:
    """`sciserver context refresh`."""
    from casjobs_service import adopt

    contexts = open_contexts(options)
    context = adopt.refresh(contexts, options.name)
    count = len((contexts.catalog(context.name) or _no_catalog()).tables)
    return {**_as_json(context), "tables": count, "text": f"{context.name} has {count} tables now."}


def context_password(options: argparse.Namespace) -> Result:
    """`sciserver context password`."""
    from casjobs_service import adopt

    contexts = open_contexts(options)
    context = contexts.require(options.name)
    if not context.url:
        raise OperatorError(f"The context {context.name} has no engine that asks for a password.")
    password = _password(options, context.url)
    # Tried before it is kept.
    adopt.refresh(contexts, context.name, password=password)
    contexts.set_password(context.name, password)
    return {"name": context.name, "text": f"The password of {context.name} was changed."}


def context_remove(options: argparse.Namespace) -> Result:
    """`sciserver context remove`."""
    contexts = open_contexts(options)
    context = contexts.require(options.name)
    if not options.yes:
        if not sys.stdin.isatty():
            raise OperatorError("There is no terminal to ask: use --yes.")
        if input(f"Remove {context.name} and the data that was loaded into it? [y/N] ").strip().lower() != "y":
            raise OperatorError("Nothing was removed.")
    contexts.remove(context.name)
    return {"name": context.name, "text": f"Removed the context {context.name}."}
