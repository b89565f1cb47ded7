"""What the commands of ``%casjobs`` do."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from SciServer.core import Job
from SciServer.magics import shown
from SciServer.magics.arguments import closest, text_of
from SciServer.magics.errors import MagicError
from SciServer.magics.progress import Reporter
from SciServer.magics.tables import Listing

if TYPE_CHECKING:
    from SciServer.core import Column, Context, Function, Table
    from SciServer.magics.casjobs import CasJobsMagics
    from SciServer.magics.namespace import Namespace
    from SciServer.magics.session import Session

T = TypeVar("T", "Table", "Function")
_PARTS = re.compile(r"\[((?:[^\]]|\]\])*)\]|\"((?:[^\"]|\"\")*)\"|([^.\[\]\"]+)|\.")


class Actions:
    """One method for each of `casjobs_commands.COMMANDS` but ``help``, under its name.

    Parameters
    ----------
    magics
        With its settings and its session.
    namespace
        Where the magic was called.
    """

    def __init__(self, magics: CasJobsMagics, namespace: Namespace) -> None:
        self.magics = magics
        self.session: Session = magics.session
        self.namespace = namespace
        self.runner = self.session.runner()
        self.casjobs = self.session.client().casjobs

    def contexts(self, options: argparse.Namespace) -> Listing[Context]:
        """``%casjobs contexts``."""
        return shown.contexts(self.casjobs.contexts(), self.magics.context)

    def tables(self, options: argparse.Namespace) -> Listing[Table]:
        """``%casjobs tables``."""
        context = self._context(options)
        return shown.tables(_matching(self.casjobs.tables(context), options.search), context)

    def describe(self, options: argparse.Namespace) -> Listing[Column]:
        """``%casjobs describe``."""
        context, name = parts_of(text_of(options.table))
        return shown.columns(self.casjobs.table(context or options.context or self.magics.context, name))

    def functions(self, options: argparse.Namespace) -> Listing[Function]:
        """``%casjobs functions``."""
        context = self._context(options)
        return shown.functions(_matching(self.casjobs.functions(context), options.search), context)

    def jobs(self, options: argparse.Namespace) -> Listing[Job]:
        """``%casjobs jobs``."""
        found = self.casjobs.jobs(options.top or 10, status=options.status, kind="long")
        return shown.jobs(found, empty="There is no such job of yours in the long queue.")

    def history(self, options: argparse.Namespace) -> Listing[Job]:
        """``%casjobs history``."""
        found = self.casjobs.jobs(
            options.top or 10, status=options.status, context=options.context, search=options.search
        )
        return shown.jobs(found)

    def wait(self, options: argparse.Namespace) -> Job:
        """``%casjobs wait``."""
        self.session.schema.forget_own()
        return self.runner.wait(self.casjobs.job(self._job(options.job)), keep=options.keep)

    def result(self, options: argparse.Namespace) -> Any:
        """``%casjobs result``."""
        job = self.casjobs.job(self._job(options.job))
        if not job.status.ended:
            raise MagicError(f"Job {job.id} has not ended yet.", f"To wait for it: %casjobs wait {job.id}")
        if job.error is not None:
            job = self.runner.wait(job)
        if not job.results:
            raise MagicError(f"Job {job.id} has no results, or they were removed because they are too old.")
        results = self.runner.fetched(job, options.number, options.limit)
        return self.magics.handed_over(results, options, self.namespace)

    def cancel(self, options: argparse.Namespace) -> Listing[Job]:
        """``%casjobs cancel``."""
        return shown.jobs([self.casjobs.cancel(self._job(word)) for word in options.job])

    def upload(self, options: argparse.Namespace) -> Listing[Table]:
        """``%casjobs upload``."""
        if options.append and options.replace:
            raise MagicError("Either --append or --replace.")
        table = text_of(options.table)
        mode: Literal["create", "append", "replace"] = "create"
        if options.append or options.replace:
            mode = "append" if options.append else "replace"
        data = self._data(options.data)
        reporter = Reporter(self.session.shell, f"Upload of {table}")
        with reporter:
            made = self.casjobs.upload(table, data, mode=mode, progress=reporter)
        self.session.schema.forget_own()
        return shown.tables([made], table)

    def use(self, options: argparse.Namespace) -> None:
        """``%casjobs use``."""
        if options.context is not None:
            wanted = text_of(options.context)
            names = {context.name.lower(): context.name for context in self.casjobs.contexts()}
            if wanted.lower() not in names:
                meant = closest(wanted.lower(), names)
                there = f"There is: {', '.join(names.values())}."
                raise MagicError(f"There is no context {wanted}.", f"Did you mean {names[meant]}?" if meant else there)
            self.magics.context = names[wanted.lower()]
        self.namespace.say(f"Queries without --context run in {self.magics.context}.")

    # --

    def _context(self, options: argparse.Namespace) -> str:
        return text_of(options.context) if options.context is not None else self.magics.context

    def _job(self, word: str | None) -> int | Job:
        """A job's number, or what a variable or an expression holds."""
        if word is None:
            if self.session.last_job is None:
                raise MagicError("Which job? Give its number; %casjobs jobs lists yours.")
            return self.session.last_job
        value = self.namespace.object_of(word)
        if isinstance(value, Job):
            return value
        try:
            return int(str(value))
        except ValueError:
            raise MagicError(f"{word} is no job: give its number, or a variable that holds it.") from None

    def _data(self, word: str) -> Any:
        """What is to be uploaded."""
        value = self.namespace.object_of(word)
        if isinstance(value, str | Path) and not Path(value).expanduser().is_file():
            raise MagicError(f"{value} is neither a variable nor a file.")
        return Path(value).expanduser() if isinstance(value, str) else value


def _matching(found: Sequence[T], search: str | None) -> list[T]:
    wanted = (search or "").lower()
    return [each for each in found if wanted in each.name.lower() or wanted in each.description.lower()]


def parts_of(name: str) -> tuple[str, str]:
    """Context and table of ``table``, ``context.table``, ``context..table`` or ``context.schema.table``.

    Parts may be between brackets or double quotes. The context is empty if none is named.
    """
    parts = [""]
    for part in _PARTS.finditer(name):
        if part.group() == ".":
            parts.append("")
        else:
            bracketed, quoted, plain = part.groups()
            parts[-1] = (
                (bracketed or "").replace("]]", "]") or (quoted or "").replace('""', '"') or (plain or "").strip()
            )
    schema_only = len(parts) == 2 and parts[0].lower() == "dbo"
    return ("" if len(parts) == 1 or schema_only else parts[0], parts[-1])
