"""What fits at the cursor in ``%casjobs`` lines and ``%%casjobs`` cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from SciServer.magics import casjobs_commands as declared
from SciServer.magics import scidrive_commands
from SciServer.magics.arguments import Command, Option, leading, words
from SciServer.magics.errors import MagicError
from SciServer.magics.sqlplaces import KEYWORDS, Place, Source, place, quoted

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext

    from SciServer.magics.casjobs import CasJobsMagics

_CELL = re.compile(r"\s*%%casjobs(?!\w)")
_LINE = re.compile(r"\s*(?:[^\W\d][\w., \[\]'\"]*=\s*)?%(casjobs|scidrive)(?!\w)")


@dataclass(frozen=True, slots=True)
class Offer:
    """Names that fit.

    Attributes
    ----------
    prefix
        What is typed of them already.
    names
        With their kinds.
    """

    prefix: str = ""
    names: Sequence[tuple[str, str]] = ()

    def fitting(self) -> list[tuple[str, str]]:
        """Those that go on with what is typed, in any case, each once."""
        prefix = self.prefix.lower()
        found: dict[str, tuple[str, str]] = {}
        for name, kind in self.names:
            # A name that needs quotes begins with one.
            if name.lstrip('["').lower().startswith(prefix):
                found.setdefault(name.lower(), (name, kind))
        return list(found.values())


class Completion:
    """One completion: it may wait for the service once, however much it needs."""

    def __init__(self, magics: CasJobsMagics) -> None:
        self.magics = magics
        self.schema = magics.session.schema
        self.deadline = self.schema.deadline()

    def offer(self, context: CompletionContext) -> Offer:
        """What fits at the cursor; nothing outside of our magics."""
        before = "\n".join([*context.full_text.split("\n")[: context.cursor_line], context.text_until_cursor])
        try:
            if cell := _CELL.match(context.full_text):
                options, newline, sql = context.full_text[cell.end() :].partition("\n")
                cursor = len(before) - cell.end()
                if cursor <= len(options):
                    return self.in_line(options[: max(cursor, 0)], (), declared.QUERY)
                return self.in_sql(sql, cursor - len(options) - len(newline), options)
            if line := _LINE.match(context.text_until_cursor):
                rest = context.line_with_cursor[line.end() :]
                return self.in_magic(line.group(1), rest, context.cursor_position - line.end())
        except MagicError:
            # A quote that is not closed yet.
            return Offer()
        return Offer()

    def in_magic(self, name: str, line: str, cursor: int) -> Offer:
        """In the line of a magic, behind its name."""
        if name == "scidrive":
            return self.in_line(line[:cursor], scidrive_commands.COMMANDS, ())
        start = leading(line[:cursor], declared.QUERY)
        first = re.match(r"(\w+)(\s|$)", line[start.rest : cursor])
        is_sql = first is None or (bool(first.group(2)) and first.group(1) not in declared.BY_NAME)
        if is_sql and start.rest < cursor and not line[start.rest :].startswith("-"):
            return self.in_sql(line[start.rest :], cursor - start.rest, line[: start.rest])
        return self.in_line(line[:cursor], declared.COMMANDS, declared.QUERY)

    # -- commands and options

    def in_line(self, line: str, commands: Sequence[Command], options: Sequence[Option]) -> Offer:
        """Commands, options, and their values, at the end of a line."""
        given = [word.text for word in words(line)]
        prefix = given.pop() if given and not line[-1:].isspace() else ""
        command = next((each for each in commands for word in given if each.name == word), None)
        options = command.options if command is not None else options
        by_flag = {flag: option for option in options for flag in option.flags}
        if given and (option := by_flag.get(given[-1])) and option.value:
            choices = [(choice, "value") for choice in option.choices]
            return Offer(*self.names(option.takes, prefix)) if option.takes else Offer(prefix, choices)
        if prefix.startswith("-"):
            return Offer(prefix, [(flag, "option") for flag in by_flag if flag.startswith("--")])
        if command is None:
            beginnings = [(word, "keyword") for word in ("select", "with", "declare")] if options and commands else []
            return Offer(prefix, [*((each.name, "command") for each in commands), *beginnings])
        taken = sum(not word.startswith("-") for word in given[given.index(command.name) + 1 :])
        takes = [word.takes for word in command.words][: taken + 1][-1:]
        return Offer(*self.names(takes[0], prefix)) if takes and taken < len(command.words) else Offer()

    def names(self, takes: str, prefix: str) -> tuple[str, Sequence[tuple[str, str]]]:
        """Values of an argument, and what of them is typed."""
        if takes == "context":
            return prefix, self.contexts()
        if takes == "command":
            return prefix, [(command.name, "command") for command in declared.COMMANDS]
        if takes in {"table", "new table"}:
            context, dot, short = prefix.rpartition(".")
            if dot:
                return short, self.tables(context)
            default = self.magics.context if takes == "table" else "MyDB"
            return prefix, [*self.tables(default), *self.contexts()]
        if takes in {"job", "data"}:
            return prefix, self.variables(_is_job if takes == "job" else _is_table)
        return "", ()

    def variables(self, fits: Callable[[object], bool]) -> list[tuple[str, str]]:
        """Variables that hold something of a kind."""
        user = self.magics.session.shell.user_ns
        return [(name, "instance") for name, value in user.items() if not name.startswith("_") and fits(value)]

    # -- SQL

    def in_sql(self, sql: str, cursor: int, options: str) -> Offer:
        """In a query; `options` stand before it."""
        given = [word.text for word in leading(options, declared.QUERY).words]
        values = dict(pairwise(given))
        default = values.get("--context") or values.get("-c") or self.magics.context
        dialect = values.get("--dialect") or "tsql"
        where = place(sql, cursor, dialect)
        if where.kind == "nothing":
            return Offer()
        if where.kind == "python":
            return self.in_python(where.prefix)
        if where.path:
            found = self.below(where, default)
        elif where.kind == "table":
            found = [*self.tables(default), *self.contexts(), *self.functions(default, tables=True)]
        elif where.kind == "target":
            found = self.contexts(writable=True)
        else:
            found = self.values(where, default)
        return Offer(where.prefix, [(name if kind in _WORDS else quoted(name, dialect), kind) for name, kind in found])

    def in_python(self, text: str) -> Offer:
        """In a template."""
        prefix = re.search(r"[^\W\d]\w*\Z|\Z", text)
        start = prefix.group() if prefix else ""
        if text[: len(text) - len(start)].endswith("."):
            return Offer()
        return Offer(start, self.variables(lambda value: True))

    def below(self, where: Place, default: str) -> list[tuple[str, str]]:
        """What can follow names with a dot."""
        first = where.path[0]
        # Where tables stand, a name before a dot is a database.
        for source in where.sources if len(where.path) == 1 and where.kind == "value" else ():
            if source.alias.lower() == first.lower():
                return self.columns(source, default)
        if first.lower() == "dbo":
            tables = self.tables(default) if where.kind == "table" else []
            return [*tables, *self.functions(default, tables=where.kind == "table")]
        known = [name for name, _ in self.contexts() if name.lower() == first.lower()]
        if known and where.kind != "value":
            return [*self.tables(known[0]), *self.functions(known[0], tables=True)]
        return self.functions(known[0], tables=False) if known else []

    def values(self, where: Place, default: str) -> list[tuple[str, str]]:
        """Columns, tables with a dot after them, functions, keywords."""
        self.schema.prepare([source.place(default) for source in where.sources if not source.is_function])
        columns = [column for source in where.sources for column in self.columns(source, default)]
        aliases = [(source.alias, "table") for source in where.sources]
        # Keywords as the user writes: in capitals or not.
        capitals = where.prefix.isupper()
        keywords = [(word.upper() if capitals else word, "keyword") for word in KEYWORDS]
        return [*columns, *aliases, *keywords, *(self.functions(default, tables=False) if where.prefix else [])]

    def columns(self, source: Source, default: str) -> list[tuple[str, str]]:
        """Of a table, or of what a function returns."""
        context, name = source.place(default)
        if source.is_function:
            functions = self.schema.functions(context, self.deadline)
            found = [each.columns for each in functions if each.name.lower() == name.lower()]
            return [(column.name, "column") for column in found[0]] if found else []
        if name.startswith(("#", "@")):
            return []
        return [(column.name, "column") for column in self.schema.columns(context, name, self.deadline)]

    def contexts(self, *, writable: bool = False) -> list[tuple[str, str]]:
        """Names of databases."""
        found = self.schema.contexts(self.deadline)
        return [(context.name, "context") for context in found if context.writable or not writable]

    def tables(self, context: str) -> list[tuple[str, str]]:
        """Names of tables."""
        return [(table.name, "table") for table in self.schema.tables(context, self.deadline)]

    def functions(self, context: str, *, tables: bool) -> list[tuple[str, str]]:
        """Names of functions: those that return tables, or the others."""
        found = self.schema.functions(context, self.deadline)
        return [(function.name, "function") for function in found if bool(function.columns) is tables]


_WORDS = frozenset({"keyword", "instance", "value"})


def _is_job(value: object) -> bool:
    return type(value).__module__ == "SciServer.core.models" and type(value).__name__ == "Job"


def _is_table(value: object) -> bool:
    return not isinstance(value, type) and (hasattr(value, "columns") or hasattr(value, "colnames"))
