"""What a worker is locked in for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from casjobs_service.catalog import OWN
from casjobs_service.contexts import ContextSource
from casjobs_service.errors import Kind, QueryError

if TYPE_CHECKING:
    from casjobs_service.worker.pool import Workers
    from casjobs_service.worker.session import Session


def assignment_of(workers: Workers, session: Session) -> dict[str, Any]:
    """All that a worker needs to know for a session; see `same`.

    Raises
    ------
    QueryError
        A context cannot be read under the user's uid.
    OSError
        A file is not there.
    """
    uid = workers.files.uid(session.user)
    own = {name: workers.files.directory(session.user, name) for name in OWN}
    return {
        "user": session.user.id,
        "uid": uid,
        "limits": session.limits.to_json(),
        "text_bytes": workers.text_bytes,
        "session": str(session.directory),
        "own": {name: str(path) for name, path in own.items()},
        "places": [_place(path) for path in own.values()],
        "contexts": [
            {
                "name": context.name,
                "engine": context.engine,
                "data": context.data and str(context.data),
                "catalog": str(context.catalog),
                "folder": context.folder and str(context.folder),
                "places": _shown(workers, context, uid),
            }
            for context in session.contexts.values()
        ],
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two assignments differ in nothing but the session's directory.

    Whoever is locked in for one of them sees the same files then as for the other, not only files of the same names.
    """
    return {**one, "session": ""} == {**other, "session": ""}


def _shown(workers: Workers, context: ContextSource, uid: int | None) -> list[list[int]]:
    """Have the context's files readable under the users' uids; where they are.

    Those below our own directory, which nobody else can enter, may well be readable for all.
    """
    places = []
    for path in (context.catalog, context.data, context.folder):
        if path is None:
            continue
        places.append(_place(path))
        if uid is None or path == context.folder or (mode := path.stat().st_mode) & 0o004:
            continue
        if not path.is_relative_to(workers.directory):
            workers.log.error("The file of the context %s is not readable for all: %s", context.name, path)
            raise QueryError(f"The database {context.name} cannot be read at the moment.", Kind.UNAVAILABLE)
        path.chmod(mode | 0o444)
    return places


def _place(path: Path) -> list[int]:
    """What tells a file from another one that takes its name."""
    status = path.stat()
    return [status.st_dev, status.st_ino]
