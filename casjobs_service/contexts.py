"""Contexts: the science databases of a deployment, each a directory of files.

::

    contexts/<Name>/context.json        settings; names the files of the current generation
    contexts/<Name>/catalog-<n>.json    what the database contains
    contexts/<Name>/data-<n>.duckdb     the data, or views on files that stay where they are

A change writes the files of the next generation and then replaces `context.json`: whoever reads sees the old or the
new database, never half of one. The files of a generation are not changed once it is named. Those that it replaced
are removed an hour later, so that a query that began before finds what it was told of.

No service needs to run, or to be told, for a change: `Contexts` looks at the files.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from casjobs_service.catalog import Catalog
from casjobs_service.context import (
    DUCKDB,
    Context,
    ContextError,
    ContextSource,
    check_name,
    engine_of,
    now,
)
from sciserver_common import atomic
from sciserver_common.deployment import Deployment

__all__ = ["DUCKDB", "Context", "ContextError", "ContextSource", "Contexts", "check_name", "engine_of", "now"]

log = logging.getLogger(__name__)

GRACE = 3600.0
"""Seconds for which files stay that a newer generation has replaced."""

_GENERATION = re.compile(r"(?:data|catalog)-(\d+)\.(?:duckdb|json)")


_STORED = [field.name for field in fields(Context) if field.name not in ("directory", "secrets")]


class Contexts:
    """The contexts in a directory. Safe to use from threads, and beside other processes that change them.

    Parameters
    ----------
    directory
        Usually ``casjobs/contexts`` of a deployment; need not exist.
    secrets
        Where passwords are kept.
    """

    def __init__(self, directory: Path, secrets: Path | None = None) -> None:
        self.directory = directory
        self.secrets = secrets if secrets is not None else directory.parent.parent / "secrets"
        self._seen: dict[str, tuple[tuple[int, int, int], Context | None]] = {}
        self._catalogs: dict[str, tuple[Path, int, Catalog]] = {}

    @classmethod
    def of(cls, deployment: Deployment) -> Contexts:
        """Those of a deployment."""
        return cls(deployment.casjobs_dir / "contexts", deployment.secrets_dir)

    def all(self) -> list[Context]:
        """In order of name. One whose settings cannot be read is left out, and the log says so."""
        try:
            names = [entry.name for entry in os.scandir(self.directory) if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []
        found = (self._read(name) for name in names)
        return sorted((context for context in found if context is not None), key=lambda context: context.name.lower())

    def get(self, name: str) -> Context | None:
        """By name, in any case; None if there is none."""
        wanted = name.lower()
        return next((context for context in self.all() if context.name.lower() == wanted), None)

    def require(self, name: str) -> Context:
        """Like `get`, but a context that is not there is an error.

        Raises
        ------
        ContextError
            There is none.
        """
        context = self.get(name)
        if context is None:
            raise ContextError(f"There is no context {name}: `sciserver context list` shows those that exist.")
        return context

    def visible(self, groups: Collection[str]) -> list[Context]:
        """Those that a member of these groups of the hub may see, in order of name."""
        return [context for context in self.all() if context.visible_to(groups)]

    def catalog(self, name: str) -> Catalog | None:
        """What a context contains; None if there is no such context. Not to be changed: it is shared.

        Raises
        ------
        ContextError
            The file of it is missing or damaged.
        """
        context = self.get(name)
        if context is None:
            return None
        # Twice: the file may be of a generation that was replaced between the two looks.
        for last in (False, True):
            path = context.catalog_file
            try:
                changed = path.stat().st_mtime_ns
                cached = self._catalogs.get(context.name)
                if cached is None or cached[:2] != (path, changed):
                    cached = (path, changed, Catalog.load(path))
                    self._catalogs[context.name] = cached
                return cached[2]
            except (OSError, ValueError, KeyError, TypeError) as error:
                if last:
                    raise ContextError(
                        f"The catalogue of the context {context.name} cannot be read ({error}): run "
                        f"`sciserver context refresh {context.name}`."
                    ) from error
                context = self.get(name)
                if context is None:
                    return None
        raise AssertionError("unreachable")

    def _read(self, name: str) -> Context | None:
        path = self.directory / name / "context.json"
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        seen = self._seen.get(name)
        if seen is not None and seen[0] == stamp:
            return seen[1]
        context: Context | None = None
        try:
            value = json.loads(path.read_text())
            known = {key: value[key] for key in _STORED if key in value}
            known["groups"] = tuple(known.get("groups", ()))
            context = Context(**known, directory=path.parent, secrets=self.secrets)
            if context.name != name:
                raise ValueError(f"it names the context {context.name}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            context = None
            log.error("The context in %s is left out: %s cannot be used (%s).", path.parent, path.name, error)
        self._seen[name] = (stamp, context)
        return context

    def create(self, name: str, *, password: str = "", catalog: Catalog | None = None, **settings: Any) -> Context:
        """Make a context; its name is free in every case of letters.

        Parameters
        ----------
        password
            For the engine that `url` names; kept in a file of its own.
        catalog
            What it contains; empty without.
        settings
            Fields of `Context`. Without `engine`, the scheme of `url` says it.

        Raises
        ------
        ContextError
            The name cannot be used or is taken, or a setting cannot be used.
        """
        check_name(name)
        if settings.get("url"):
            settings.setdefault("engine", engine_of(settings["url"]))
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        with self.lock():
            if (other := self.get(name)) is not None or (self.directory / name).exists():
                raise ContextError(f"There is a context {other.name if other else name} already.")
            draft = Path(tempfile.mkdtemp(prefix=".new-", dir=self.directory))
            try:
                draft.chmod(0o755)
                context = Context(name=name, directory=draft, secrets=self.secrets, **settings)
                if context.engine == DUCKDB and not context.data:
                    context = replace(context, data="data-0.duckdb")
                    _empty_database(draft / context.data)
                if password:
                    context = replace(context, password_file=self._keep_password(name, password))
                save_catalog(catalog or Catalog(name, context.engine), context.catalog_file)
                self._save(context)
                draft.rename(self.directory / name)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                if password:
                    (self.secrets / _password_name(name)).unlink(missing_ok=True)
                raise
        return self.require(name)

    def update(self, name: str, *, catalog: Catalog | None = None, **changes: Any) -> Context:
        """Change settings of a context, and its catalogue if one is given; both at once for whoever reads.

        Raises
        ------
        ContextError
            There is no such context.
        """
        with self.lock(name):
            return self.commit(replace(self.require(name), **changes), catalog)

    def publish(self, name: str, file: Path, catalog: Catalog, **settings: Any) -> Context:
        """Put a finished DuckDB file in the place of a context's data; makes the context if there is none.

        Parameters
        ----------
        file
            Moved, so best on the same file system.
        settings
            Fields of `Context` to change.

        Raises
        ------
        ContextError
            The name cannot be used, or another command is changing the context.
        """
        if self.get(name) is None:
            self.create(name)
        with self.lock(name):
            context = self.require(name)
            data = context.directory / f"data-{self.next_generation(context)}.duckdb"
            shutil.move(file, data)
            data.chmod(0o644)
            return self.commit(replace(context, **{"loaded": now(), **settings}, data=data.name), catalog)

    def commit(self, context: Context, catalog: Catalog | None = None) -> Context:
        """Make these settings the context's; the caller holds its `lock`.

        With a catalogue: as a new generation, that of `data` if that is new too.
        """
        before = self.require(context.name)
        if catalog is not None:
            match = _GENERATION.fullmatch(context.data)
            generation = int(match[1]) if match else 0
            if generation <= before.generation:
                generation = self.next_generation(before)
            context = replace(context, generation=generation)
            save_catalog(catalog, context.catalog_file)
        self._save(context)
        for name, new in ((before.catalog_file.name, context.catalog_file.name), (before.data, context.data)):
            if name != new and (replaced := context.directory / name).parent == context.directory:
                # From now on, `sweep` counts.
                with suppress(FileNotFoundError):
                    os.utime(replaced)
        self._sweep(context, GRACE)
        return self.require(context.name)

    def set_password(self, name: str, password: str) -> Context:
        """Keep another password for the context's engine; empty for none.

        Raises
        ------
        ContextError
            There is no such context.
        """
        context = self.require(name)
        if not password:
            (self.secrets / _password_name(context.name)).unlink(missing_ok=True)
            return self.update(name, password_file="")
        return self.update(name, password_file=self._keep_password(context.name, password))

    def remove(self, name: str) -> None:
        """Forget a context, with the data that is in its directory. Files that stay elsewhere are not touched.

        Raises
        ------
        ContextError
            There is no such context.
        """
        with self.lock():
            context = self.require(name)
            gone = Path(tempfile.mkdtemp(prefix=".removed-", dir=self.directory))
            context.directory.rename(gone / context.name)
            if context.password_file:
                (self.secrets / context.password_file).unlink(missing_ok=True)
            self._seen.pop(context.name, None)
            self._catalogs.pop(context.name, None)
        # A query that has the files open reads on.
        shutil.rmtree(gone)

    @contextmanager
    def lock(self, name: str = "") -> Iterator[None]:
        """Hold off other processes that would change a context; without a name: that would make or remove one.

        Raises
        ------
        ContextError
            Somebody else is changing it now.
        """
        directory = self.require(name).directory if name else self.directory
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if name else 0))
            yield
        except BlockingIOError as error:
            raise ContextError(
                f"Another command is changing the context {name}: try again when it has ended."
            ) from error
        finally:
            os.close(descriptor)

    def next_generation(self, context: Context) -> int:
        """A number that no file of the context has had."""
        numbers = [int(match[1]) for path in context.directory.iterdir() if (match := _GENERATION.match(path.name))]
        return max([context.generation, *numbers]) + 1

    def sweep(self, name: str, grace: float = GRACE) -> list[str]:
        """Remove a context's files that were replaced `grace` seconds ago, or left by a load that was killed.

        Returns
        -------
        list of str
            Names of the removed files; none while another command is changing the context.
        """
        try:
            with self.lock(name):
                return self._sweep(self.require(name), grace)
        except ContextError:
            return []

    def _sweep(self, context: Context, grace: float) -> list[str]:
        used = {"context.json", context.catalog_file.name, context.data}
        removed = []
        for path in context.directory.iterdir():
            if path.name not in used and time.time() - path.stat().st_mtime >= grace:
                path.unlink()
                removed.append(path.name)
        return removed

    def _save(self, context: Context) -> None:
        # For the service only: the sandboxed workers have no business with addresses of engines.
        value = {key: item for key, item in asdict(context).items() if key in _STORED}
        atomic.write_text(context.directory / "context.json", json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def _keep_password(self, name: str, password: str) -> str:
        self.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic.write_text(self.secrets / _password_name(name), password)
        return _password_name(name)


def save_catalog(catalog: Catalog, path: Path) -> None:
    """Write a catalogue so that the workers, which run under the users' accounts, can read it."""
    catalog.save(path)
    path.chmod(0o644)


def _password_name(name: str) -> str:
    return f"casjobs-context-{name}"


def _empty_database(path: Path) -> None:
    # Late: who only lists contexts needs no engine.
    import duckdb

    duckdb.connect(str(path)).close()
    path.chmod(0o644)
