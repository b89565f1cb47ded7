"""Results of long jobs on disk: ``results/<job id>-<random>/<n>.arrow``.

The files are in place before the record of the job names them, and are removed after the record has forgotten them.
What no record names, because a service died in between, is swept. A directory belongs to one attempt, so that a
service that has lost its lease never touches the results of the one that has it now.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from casjobs_service.errors import Kind, QueryError


class Kept:
    """The directory of results. Its methods block; call them in a thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def prepare(self) -> None:
        """Make the directory."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def take(self, job_id: int, session: Path, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Move a session's results here.

        Parameters
        ----------
        results
            The session's events; their files are ``result-<index>.arrow`` in `session`.

        Returns
        -------
        What goes into the job's record.

        Raises
        ------
        QueryError
            A file is not there, or not a plain file.
        """
        if not results:
            return []
        home = self.directory / f"{job_id}-{secrets.token_hex(6)}"
        home.mkdir(mode=0o700)
        kept = []
        for result in results:
            file = home / f"{result['index']}.arrow"
            try:
                (session / f"result-{result['index']}.arrow").rename(file)
                # The worker, which is not trusted, could have left a link to something of ours instead. Here it can
                # no longer change what we look at.
                found = os.lstat(file)
                if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                    raise OSError("not a plain file")
                _settle(file)
            except OSError as error:
                shutil.rmtree(home, ignore_errors=True)
                raise QueryError(
                    "The result could not be kept.", Kind.INTERNAL, hint="Submit the query again."
                ) from error
            wanted = {key: result.get(key) for key in ("index", "name", "rows", "columns")}
            kept.append({**wanted, "bytes": found.st_size, "file": f"{home.name}/{file.name}"})
        _sync(home)
        _sync(self.directory)
        return kept

    def lend(self, results: Iterable[dict[str, Any]], session: Path) -> list[str]:
        """Show results to a session, to read only; the names of the files in its directory.

        They stay readable there when the results are removed meanwhile.

        Raises
        ------
        FileNotFoundError
        """
        names = []
        for result in results:
            names.append(f"kept-{result['index']}.arrow")
            os.link(self.directory / result["file"], session / names[-1])
        return names

    def homes(self) -> dict[str, int]:
        """Directories that are there, and the jobs that they are for."""
        return {path.name: int(path.name.partition("-")[0]) for path in self.directory.glob("[0-9]*-*")}

    def remove(self, homes: Iterable[str]) -> None:
        """Remove directories."""
        for home in homes:
            shutil.rmtree(self.directory / home, ignore_errors=True)


def _settle(file: Path) -> None:
    # From now on the user's worker may read it through `lend`, and change it no more.
    file.chmod(0o444)
    if os.geteuid() == 0:
        os.chown(file, 0, 0)
    _sync(file)


def _sync(path: Path) -> None:
    # The record must not be on disk before the files: a power failure would leave a finished job without its result.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
