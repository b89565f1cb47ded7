"""``%casjobs`` and ``%%casjobs``."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display
from traitlets import Enum, Unicode

from SciServer.magics import casjobs_commands as declared
from SciServer.magics.arguments import Command, Word, closest, help_text, leading, words
from SciServer.magics.errors import MagicError
from SciServer.magics.namespace import Namespace

if TYPE_CHECKING:
    from SciServer.core import Result
    from SciServer.magics.running import Wish
    from SciServer.magics.session import Session
    from SciServer.magics.templates import Query

_VARIABLE = re.compile(r"([^\W\d]\w*)\s*<<\s*")
_FIRST_WORD = re.compile(r"[A-Za-z_]+")


@magics_class
class CasJobsMagics(Magics):
    """The magics, and their settings: ``%config CasJobsMagics``."""

    context = Unicode("MyDB", help="Database of queries without --context.").tag(config=True)
    format = Enum(declared.FORMATS, "pandas", help="Library whose table a result becomes.").tag(config=True)
    on_timeout = Enum(
        declared.ON_TIMEOUT, "fail", help="What is done when the time of a quick query is over; see --on-timeout."
    ).tag(config=True)

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self.session = session

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def casjobs(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Query science databases, and look after jobs and tables.

        %casjobs select top 10 * from SkyDemo.PhotoObj
        stars = %casjobs --context SkyDemo select ra, dec from Star where r < {{faintest}}
        %casjobs tables SkyDemo

        All of it: %casjobs help
        """
        namespace = Namespace(self.shell, local_ns)
        start = leading(line, declared.QUERY)
        rest = line[start.rest :].rstrip()
        if cell is not None:
            output = _cell_variable(rest)
            again = f"Run the cell again with this first line: %%casjobs --submit {line}".rstrip()
            return self._query(start.words, output, cell, again, namespace, first_line=2)
        output, sql = "", rest
        if into := _VARIABLE.match(rest):
            output, sql = into.group(1), rest[into.end() :]
        elif command := _command(rest):
            given = [*words(rest, len(command.name)), *start.words]
            return self._command(command, given, namespace)
        if not sql and (start.words or output):
            raise MagicError("There is no SQL.", "Write it behind the options, or use %%casjobs for several lines.")
        if not sql:
            return self._command(declared.BY_NAME["help"], [], namespace)
        again = f"Run: %casjobs --submit {line}".rstrip()
        return self._query(start.words, output, sql, again, namespace, first_line=1)

    def _query(
        self, given: Sequence[Word], output: str, sql: str, again: str, namespace: Namespace, *, first_line: int
    ) -> Any:
        from SciServer.magics.templates import bind, in_strings

        parser = Command("", "", options=declared.QUERY)
        options = parser.parse([namespace.given(word) for word in given], "%casjobs")
        options.output = _variable(output or options.output or "")
        dialect = options.dialect or "tsql"
        query = bind(sql, namespace.evaluate, dialect=dialect, first_line=first_line)
        for string in in_strings(query, dialect):
            namespace.warn(f"{string} is text, and was left as it is. A template stands without quotes.")
        from SciServer.magics.running import explained

        with explained(query):
            return self._value(query, again, options, namespace)

    def _value(self, query: Query, again: str, options: argparse.Namespace, namespace: Namespace) -> Any:
        runner, wish = self.session.runner(), self._wish(options, again)
        self.session.schema.forget_own()
        if not options.submit and not options.into:
            return self.handed_over(runner.results(query, wish), options, namespace)
        if options.limit:
            raise MagicError("--limit is for rows that are sent to you.", "Write TOP into the query.")
        job = self.session.last_job = runner.submit(query, wish, options.into)
        if not options.submit:
            job = runner.wait(job, query)
        return self._kept(job, options.output)

    def _wish(self, options: argparse.Namespace, again: str) -> Wish:
        from SciServer.magics.running import Wish

        return Wish(
            context=options.context or self.context,
            again=again,
            limit=options.limit,
            on_timeout=options.on_timeout or self.on_timeout,
            dialect=options.dialect,
            name=options.name or "",
            minutes=options.minutes,
        )

    def handed_over(self, results: Sequence[Result], options: argparse.Namespace, namespace: Namespace) -> Any:
        """The last result as a table, or in the variable of ``--output``; without that, those before it are shown."""
        tables = []
        for result in results:
            if not result.columns:
                continue
            if result.is_cut:
                namespace.say(f"These are the first {len(result):,} rows; there are more.")
            tables.append(getattr(result, options.format or self.format)())
        if not tables:
            namespace.say("Done. The query returns no rows.")
            return None
        if options.output and len(tables) > 1:
            namespace.say(f"The query has {len(tables)} results; {options.output} holds the last one.")
        for table in [] if options.output else tables[:-1]:
            display(table)  # type: ignore[no-untyped-call]
        return self._kept(tables[-1], options.output)

    def _kept(self, value: object, output: str | None) -> object:
        """The value, unless it goes into a variable."""
        if not output:
            return value
        self.session.shell.user_ns[_variable(output)] = value
        return None

    def _command(self, command: Command, given: Sequence[Word], namespace: Namespace) -> Any:
        options = command.parse([namespace.given(word) for word in given], "%casjobs")
        if command.name == "help":
            print(help_text(options.command, declared.BY_NAME, declared.page(), "%casjobs"))
            return None
        # After the parser, which refuses most of what is wrong without the client.
        from SciServer.magics.casjobs_actions import Actions
        from SciServer.magics.running import act

        return act(lambda: Actions(self, namespace), command.name, options)


def _cell_variable(rest: str) -> str:
    """The variable behind the options of a cell, as in ``%%casjobs stars`` or ``%%casjobs stars <<``."""
    name = rest.removesuffix("<<").rstrip()
    if rest and (not name.isidentifier() or name.lower() in declared.BEGINNINGS):
        raise MagicError(
            f"This does not belong into the first line: {rest}",
            "Behind %%casjobs are options, and perhaps a variable for the result. The SQL begins on the next line.",
        )
    return name


def _command(rest: str) -> Command | None:
    """The command with which a line begins; None if it is SQL.

    Raises
    ------
    MagicError
        It is neither, but nearly a command: better told here than by a server that complains of its syntax.
    """
    found = _FIRST_WORD.match(rest)
    if found is None:
        return None
    name = found.group()
    if name in declared.BY_NAME:
        return declared.BY_NAME[name]
    if name.lower() in declared.BEGINNINGS:
        return None
    meant = closest(name.lower(), declared.BY_NAME)
    if meant or rest == name:
        raise MagicError(f"There is no command {name}.", f"Did you mean {meant}?" if meant else "See %casjobs help.")
    return None


def _variable(name: str) -> str:
    if name and (not name.isidentifier() or keyword.iskeyword(name)):
        raise MagicError(f"{name} cannot be the name of a variable.")
    return name
