"""Where the users' own databases are, and how much is in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from casjobs_service.catalog import MYDB, MYSCRATCH

DIRECTORIES = {MYDB: "mydb", MYSCRATCH: "scratch"}
"""Database to directory, both in the service's directory and in a worker's jail; the file is DIRECTORY.duckdb."""


@dataclass(frozen=True)
class UserSpace:
    """A user of CasJobs.

    Attributes
    ----------
    id
        Number in the metadata database: names directories and makes the uid, so it is never given to somebody else.
    """

    id: int
    name: str


class UserFiles:
    """The databases of all users below the service's directory.

    Attributes
    ----------
    uid_base
        Files of user *n* belong to the uid `uid_base` + *n*; None where queries run under the service's own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.uid_base: int | None = None

    def uid(self, user: UserSpace) -> int | None:
        """Under which the user's queries run; None: the service's."""
        return None if self.uid_base is None else self.uid_base + user.id

    def directory(self, user: UserSpace, database: str) -> Path:
        """Of one database; made at its first use."""
        path = self._directory / DIRECTORIES[database] / str(user.id)
        try:
            owner = path.stat().st_uid
        except FileNotFoundError:
            self.make_private(path, user)
            return path
        wanted = self.uid(user)
        wanted = os.geteuid() if wanted is None else wanted
        if owner != wanted and os.geteuid() == 0:
            # The service was started with other powers before, or with another `uid_base`.
            for each in (*path.iterdir(), path):
                os.chown(each, wanted, wanted, follow_symlinks=False)
        return path

    def make_private(self, path: Path, user: UserSpace) -> None:
        """Make a directory that only the user's queries may read."""
        path.mkdir(mode=0o700)
        uid = self.uid(user)
        if uid is not None:
            os.chown(path, uid, uid)

    def file(self, user: UserSpace, database: str) -> Path:
        """The database's file, which may not exist yet."""
        return self._directory / DIRECTORIES[database] / str(user.id) / f"{DIRECTORIES[database]}.duckdb"

    def size(self, user: UserSpace, database: str) -> int:
        """Bytes on disk, with what has been freed and not yet given back."""
        file = self.file(user, database)
        total = 0
        for path in (file, file.with_name(file.name + ".wal")):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        return total
