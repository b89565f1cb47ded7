"""One context: what its operator says of it, and what a worker needs to open it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

DUCKDB = "duckdb"
ENGINES = {"postgresql": "postgresql", "postgres": "postgresql", "trino": "trino", "mssql": "mssql"}
"""Engine by the scheme of a context's URL."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_RESERVED = re.compile(
    "mydb|myscratch|temp|tempdb|memory|system|main|dbo|guest|sys|master|model|msdb|information_schema|pg_catalog|sciserver",
    re.IGNORECASE,
)


class ContextError(Exception):
    """The operator asked for something that cannot be done; the text says what to do."""


@dataclass(frozen=True, slots=True)
class ContextSource:
    """What a worker needs to open a context.

    Attributes
    ----------
    engine
        ``duckdb``, or the engine that is reached by network, whose statements do not run in the worker.
    directory
        The context's own directory.
    data
        DuckDB's file, to be attached read-only under `name`. None for an engine that is reached by network.
    catalog
        `Catalog` as JSON.
    folder
        Directory of Parquet files on which the views in `data` are made; the worker must see it, to read only, at the
        same absolute path.
    """

    name: str
    engine: str
    directory: Path
    data: Path | None
    catalog: Path
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """A science database as its operator described it.

    Attributes
    ----------
    name
        As users write it in SQL.
    engine
        ``duckdb``, ``postgresql``, ``trino`` or ``mssql``.
    url
        Of an engine that is reached by network, without the password.
    password_file
        Name of a file in the deployment's directory of secrets; empty if the engine asks for none.
    public, groups
        Everybody may read it, or the members of these groups of the hub.
    quick_seconds, long_seconds
        Time limits where they differ from the service's.
    rights, cite, source
        Licence, how to cite, and where the data is from: text for people.
    loaded
        When the data was last changed, ISO 8601 in UTC; empty if never.
    data
        DuckDB's file: a name in `directory`, or an absolute path if it stays where the operator has it.
    folder
        Absolute path of a directory of Parquet files; empty if there is none.
    """

    name: str
    title: str = ""
    description: str = ""
    engine: str = DUCKDB
    url: str = ""
    password_file: str = ""
    public: bool = False
    groups: tuple[str, ...] = ()
    quick_seconds: float | None = None
    long_seconds: float | None = None
    rights: str = ""
    cite: str = ""
    source_text: str = ""
    loaded: str = ""
    generation: int = 0
    data: str = ""
    folder: str = ""
    directory: Path = Path()
    secrets: Path = Path()

    @property
    def catalog_file(self) -> Path:
        """What the database contains, of the current generation."""
        return self.directory / f"catalog-{self.generation}.json"

    @property
    def data_file(self) -> Path | None:
        """DuckDB's file; None for an engine that is reached by network."""
        return self.directory / self.data if self.engine == DUCKDB else None

    def source(self) -> ContextSource:
        """What a worker needs."""
        folder = Path(self.folder) if self.folder else None
        return ContextSource(self.name, self.engine, self.directory, self.data_file, self.catalog_file, folder)

    def password(self) -> str:
        """The password for `url`; empty if there is none.

        Raises
        ------
        ContextError
            The file cannot be read.
        """
        if not self.password_file:
            return ""
        try:
            return (self.secrets / self.password_file).read_text().rstrip("\r\n")
        except OSError as error:
            raise ContextError(
                f"The password of the context {self.name} cannot be read ({error.strerror}): give it again with "
                f"`sciserver context password {self.name}`."
            ) from error

    def visible_to(self, groups: Collection[str]) -> bool:
        """Whether a member of these groups may see and read it."""
        return self.public or not set(groups).isdisjoint(self.groups)


def now() -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_name(name: str) -> None:
    """Insist on a name that SQL can say without quotes and that means nothing else.

    Raises
    ------
    ContextError
        It is not.
    """
    if not _NAME.fullmatch(name):
        raise ContextError(
            f"{name!r} cannot be the name of a context: use a letter, then letters, digits and _ (63 at most)."
        )
    if _RESERVED.fullmatch(name):
        raise ContextError(f"The name {name} has a meaning of its own in SQL: choose another.")


def engine_of(url: str) -> str:
    """The engine that a URL names.

    Raises
    ------
    ContextError
        We know no such engine, or the URL has a password in it.
    """
    parts = urlsplit(url)
    engine = ENGINES.get(parts.scheme)
    if engine is None or not parts.hostname:
        raise ContextError(
            f"{url!r} is not the address of an engine: use postgresql://USER@HOST:PORT/DATABASE, "
            "trino://USER@HOST:PORT/CATALOG/SCHEMA or mssql://USER@HOST:PORT/DATABASE."
        )
    if parts.password is not None or "password" in parts.query.lower():
        raise ContextError("Leave the password out of the address: it is asked for, or read with --password-stdin.")
    return engine
