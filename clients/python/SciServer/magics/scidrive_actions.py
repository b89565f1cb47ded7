"""What the commands of ``%scidrive`` do."""

from __future__ import annotations

import argparse
import fnmatch
import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from SciServer.core import ServiceError
from SciServer.magics.arguments import Given, text_of
from SciServer.magics.errors import MagicError, shown_as
from SciServer.magics.progress import Reporter, can_answer
from SciServer.magics.tables import Field, Listing, size

if TYPE_CHECKING:
    from SciServer.core.files import Link
    from SciServer.core.places import Entry, Usage
    from SciServer.magics.namespace import Namespace
    from SciServer.magics.session import Session

T = TypeVar("T")
HOUR = 3600.0
NOT_FOUND = 404
CONFLICT = 409


class Actions:
    """One method for each of `scidrive_commands.COMMANDS` but ``help``, under its name."""

    def __init__(self, session: Session, namespace: Namespace) -> None:
        self.shell = session.shell
        self.namespace = namespace
        self.drive = session.client().scidrive

    def ls(self, options: argparse.Namespace) -> Listing[Entry]:
        """``%scidrive ls``."""
        found: list[Entry] = []
        for word in options.path or [""]:
            for entry in self.matching(word):
                # Of a pattern's folders the names are enough, unless all is wanted.
                is_opened = entry.is_folder and (options.recursive or not _is_pattern(word))
                found += self.below(entry.path, recursive=options.recursive) if is_opened else [entry]
        return entries(found)

    def get(self, options: argparse.Namespace) -> list[Path]:
        """``%scidrive get``."""
        sources, place = self._ends(options.path, ".")
        target = Path(place).expanduser()
        found = [entry for word in sources for entry in self.matching(word)]
        if not target.is_dir() and not target.parent.is_dir():
            raise MagicError(f"There is no folder {target.parent}.")
        if len(found) > 1 and not target.is_dir():
            raise MagicError(f"{len(found)} files need a folder to go into, and {target} is none.")
        for entry in found:
            if entry.is_folder and not options.recursive:
                raise _needs_recursive(entry.path)
            here = target / entry.name if target.is_dir() else target
            if here.exists() and not options.overwrite:
                raise MagicError(f"{here} is there already.", "Use -f to replace it.")
        return [
            self._carried(
                f"Fetching {entry.name}",
                lambda report, entry=entry: self.drive.get(  # type: ignore[misc]
                    entry.path, target, recursive=options.recursive, progress=report
                ),
            )
            for entry in found
        ]

    def put(self, options: argparse.Namespace) -> None:
        """``%scidrive put``."""
        sources, place = self._ends(options.path, "/")
        found = [path for word in sources for path in _local(word)]
        target = place if len(found) == 1 and not self._is_folder(place) else place.rstrip("/") + "/"
        for path in found:
            if path.is_dir() and not options.recursive:
                raise _needs_recursive(path)
            try:
                self._carried(
                    f"Sending {path.name}",
                    lambda report, path=path: self.drive.put(  # type: ignore[misc]
                        path, target, recursive=options.recursive, overwrite=options.overwrite, progress=report
                    ),
                )
            except ServiceError as error:
                if error.status != CONFLICT:
                    raise
                raise MagicError(str(error), "Use -f to replace what is there.") from None
        self.namespace.say(f"Sent: {', '.join(path.name for path in found)}")

    def share(self, options: argparse.Namespace) -> Link:
        """``%scidrive share``."""
        if options.hours and options.days:
            raise MagicError("Either --hours or --days.")
        hours = options.hours or (options.days or 0.0) * 24
        link = self.drive.link(text_of(options.path), hours * HOUR or None)
        until = f" until {link.expires:%Y-%m-%d %H:%M} UTC" if link.expires is not None else ""
        self.namespace.say(f"Whoever has this address can read it{until}:")
        return link

    def rm(self, options: argparse.Namespace) -> None:
        """``%scidrive rm``."""
        found = [entry for word in options.path for entry in self.matching(word)]
        folders = [entry.path for entry in found if entry.is_folder]
        if "" in folders:
            raise MagicError("This is the whole drive. Name what you want to remove.")
        if folders and not options.recursive:
            raise _needs_recursive(folders[0])
        if (folders or len(found) > len(options.path)) and not options.yes:
            names = ", ".join(entry.path + "/" * entry.is_folder for entry in found)
            self._confirm(f"Remove {names}?")
        for entry in found:
            self.drive.remove(entry.path, recursive=options.recursive)
        self.namespace.say(f"Removed: {', '.join(entry.path for entry in found)}")

    def usage(self, options: argparse.Namespace) -> Listing[Usage]:
        """``%scidrive usage``."""
        fields: list[Field[Usage]] = [
            Field("Where", lambda usage: usage.name),
            Field("Used", lambda usage: size(usage.bytes), number=True),
            Field("Quota", lambda usage: size(usage.quota_bytes), number=True),
        ]
        return Listing(self.drive.usage(), fields, empty="Nothing is known.")

    # --

    def matching(self, word: str) -> list[Entry]:
        """The files and folders that a path or pattern means.

        Raises
        ------
        MagicError
            There are none.
        """
        path = text_of(word)
        if not _is_pattern(word):
            return [self.drive.stat(path)]
        names = [name for name in path.split("/") if name]
        found = [self.drive.stat("")]
        for name in names:
            inside = [entry for folder in found if folder.is_folder for entry in self.drive.list(folder.path)]
            found = [entry for entry in inside if fnmatch.fnmatchcase(entry.name, name)]
        if not found:
            raise MagicError(f"Nothing in SciDrive matches {path}.")
        return found

    def below(self, path: str, *, recursive: bool) -> list[Entry]:
        """What is in a folder; with `recursive`, everything."""
        found = []
        for entry in self.drive.list(path):
            found.append(entry)
            if recursive and entry.is_folder:
                found += self.below(entry.path, recursive=True)
        return found

    def _ends(self, given: Sequence[str], default: str) -> tuple[list[str], str]:
        """What is to be carried, and where to."""
        if len(given) == 1:
            return [given[0]], default
        return list(given[:-1]), text_of(given[-1])

    def _is_folder(self, path: str) -> bool:
        try:
            return bool(self.drive.stat(path).is_folder)
        except ServiceError as error:
            if error.status != NOT_FOUND:
                raise
            return False

    def _carried(self, what: str, carry: Callable[[Reporter], T]) -> T:
        """Carry a file, with progress."""
        reporter = Reporter(self.shell, what)
        try:
            with reporter:
                return carry(reporter)
        except KeyboardInterrupt as interrupt:
            raise shown_as(interrupt, ["Interrupted. A file that is not complete does not appear."]) from None

    def _confirm(self, question: str) -> None:
        if not can_answer(self.shell):
            raise MagicError(f"{question} Nobody can be asked here.", "Use -y to do it without a question.")
        if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
            raise MagicError("Nothing was removed.")


def entries(found: Iterable[Entry]) -> Listing[Entry]:
    """Files and folders."""
    fields: list[Field[Entry]] = [
        Field("Name", lambda entry: entry.path + "/" * entry.is_folder),
        Field("Size", lambda entry: None if entry.is_folder else size(entry.size), number=True),
        Field("Modified (UTC)", lambda entry: entry.modified),
    ]
    return Listing(found, fields, empty="Nothing is there.")


def _needs_recursive(path: object) -> MagicError:
    return MagicError(f"{path} is a folder.", "Use -r if everything in it is meant.")


def _is_pattern(word: str) -> bool:
    return not isinstance(word, Given) and glob.has_magic(word)


def _local(word: str) -> list[Path]:
    """The files here that a path or pattern means."""
    path = Path(text_of(word)).expanduser()
    if not _is_pattern(word) or path.exists():
        if not path.exists():
            raise MagicError(f"There is no file {path}.")
        return [path]
    found = sorted(Path(each) for each in glob.glob(str(path)))  # noqa: PTH207 - patterns may be absolute
    if not found:
        raise MagicError(f"No file matches {path}.")
    return found
