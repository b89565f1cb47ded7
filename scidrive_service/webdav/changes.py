"""MKCOL, DELETE, COPY and MOVE."""

from __future__ import annotations

from collections.abc import Iterable

from scidrive_service.errors import FileError, Kind
from scidrive_service.handlers import conditions
from scidrive_service.tree import Entry
from scidrive_service.webdav.access import Refused
from scidrive_service.webdav.locks import Locks
from scidrive_service.webdav.places import Place, Places
from scidrive_service.webdav.requests import Answer, Request, destination

_EMPTY = ("Content-Length", "0")


def make(request: Request, locks: Locks) -> Answer:
    """MKCOL: a folder, in one that is there."""
    request.no_body()
    place = request.place
    there = place.entry()
    if there is not None:
        raise Refused(405, "There is something of that name already.", ("Allow", "OPTIONS, PROPFIND"))
    locks.check_if(request, place, None)
    locks.require_member(request, place)
    try:
        is_made = place.inside.make_folder(place.inner, parents=False)
    except FileError as error:
        if error.kind in {Kind.MISSING, Kind.NOT_A_FOLDER}:
            raise Refused(409, "The folder for it is not there: make it first.") from error
        raise
    if not is_made:
        raise Refused(405, "There is something of that name already.", ("Allow", "OPTIONS, PROPFIND"))
    return Answer(201, headers=[_EMPTY])


def delete(request: Request, locks: Locks) -> Answer:
    """DELETE: a file, or a folder with all that is in it."""
    request.no_body()
    place = request.place
    entry = place.entry()
    if entry is None:
        raise FileError("There is no such file.", Kind.MISSING)
    if entry.is_folder:
        request.depth("infinity", default="infinity")
    else:
        request.depth("0", "infinity", default="0")
    volume = place.inside
    locks.check_if(request, place, entry)
    _demand(request, entry)
    locks.require_member(request, place, deep=True)
    volume.remove(place.inner)
    locks.forget(place)
    return Answer(204, headers=[_EMPTY])


def copy_or_move(request: Request, locks: Locks, places: Places, hosts: Iterable[str]) -> Answer:
    """COPY and MOVE, also from one volume to another."""
    is_move = request.method == "MOVE"
    source = request.place
    entry = source.entry()
    if entry is None:
        raise FileError("There is no such file.", Kind.MISSING)
    overwrite = request.overwrite
    if entry.is_folder and not is_move:
        is_deep = request.depth("0", "infinity", default="infinity") == "infinity"
    else:
        # Clients send Depth with files, too, where it means nothing.
        request.depth("0" if not entry.is_folder else "infinity", "infinity", default="infinity")
        is_deep = True
    path = destination(request, places.prefix, hosts)
    if path == source.path:
        raise Refused(403, "Source and destination are the same.")
    if path[: len(source.path)] == source.path:
        raise Refused(403, "A folder cannot be put into itself.")
    if source.path[: len(path)] == path:
        raise Refused(403, "What holds a file cannot be replaced by it.")
    target = places.find(request.person, path)
    volume, target_volume = source.inside, target.inside
    there = target.entry()
    locks.check_if(request, source, entry)
    _demand(request, entry)
    if is_move:
        locks.require_member(request, source, deep=True)
    locks.require_member(request, target, deep=there is not None)
    if there is not None and not overwrite:
        raise Refused(412, "There is something at the destination, and Overwrite is F.")
    _require_parent(target)
    try:
        if not is_deep:
            if there is not None:
                target_volume.remove(target.inner)
            target_volume.make_folder(target.inner, parents=False)
        elif is_move:
            volume.move_to(source.inner, target_volume, target.inner, overwrite=overwrite)
        else:
            volume.copy(source.inner, target_volume, target.inner, overwrite=overwrite)
    except FileError as error:
        if error.kind == Kind.EXISTS and not overwrite:
            raise Refused(412, "There is something at the destination, and Overwrite is F.") from error
        raise
    locks.forget(target)
    if is_move:
        locks.forget(source)
    return Answer(204 if there is not None else 201, headers=[_EMPTY])


def _require_parent(target: Place) -> None:
    parent = target.parent.entry()
    if parent is None or not parent.is_folder:
        raise Refused(409, "The destination's folder is not there: make it first.")


def _demand(request: Request, entry: Entry) -> None:
    check = conditions.of_write(request.conditions)
    if check is not None:
        check(entry)
