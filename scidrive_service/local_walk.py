"""Going through all of a local tree, whatever is in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace

from scidrive_service import kernel
from scidrive_service.local_errors import told
from scidrive_service.local_place import Place, is_hidden, names
from scidrive_service.paths import Path
from scidrive_service.tree import Entry, Usage

_REACH = 3500
"""Bytes of a path that is opened in one step; the kernel's limit is 4095."""


def walk(place: Place, path: Path) -> Iterator[Entry]:
    """See `tree.Tree.walk`.

    Links are yielded as such, with `is_safe` False, wherever they lead. A folder that may not be read, or whose path
    is too long to be asked for, has `is_safe` False, and what is in it is left out.
    """
    with place.acting(), told(path):
        start = place.open(path, kernel.FOLDER)
    try:
        waiting: list[Entry | None] = [None]
        while waiting:
            folder = waiting.pop()
            below = folder.path[len(path) :] if folder else ()
            with place.acting():
                found = _found(start, path, below)
            if folder is not None:
                yield folder if found is not None else replace(folder, is_safe=False)
            folders = []
            for item in found or ():
                if item.is_folder:
                    folders.append(item)
                else:
                    yield item
            waiting += reversed(folders)
    finally:
        os.close(start)


def _found(start: int, path: Path, below: Path) -> list[Entry] | None:
    """What a folder has, in order of names; None if it cannot be read. Not a generator: it acts as the account."""
    try:
        fd = kernel.open_beneath(start, os.fsencode("/".join(below)) or b".", kernel.FOLDER, follow=False)
    except OSError as error:
        gone = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # or changed for something else while we went on
        return [] if error.errno in gone else None
    try:
        place = Place(fd, None)
        entries = (
            place.look_in(fd, (*path, *below), name, follow=False) for name in sorted(names(fd)) if not is_hidden(name)
        )
        return [entry for entry in entries if entry is not None]
    except OSError:
        return None
    finally:
        os.close(fd)


def usage(place: Place, path: Path) -> Usage:
    """See `tree.Tree.usage`. Hidden files count, or a container could keep its files in such names.

    It only looks at names and sizes, and does so as the service where the service may do more than the account: a
    container can close its folders, and their content counts all the same.
    """
    with place.acting(), told(path):
        fd = place.open(path, os.O_PATH)
    try:
        seen = kernel.status(fd)
        if not seen.is_folder:
            return Usage(seen.size if seen.is_file else 0, 1)
        total, count = 0, 0
        several: set[tuple[tuple[int, int], int]] = set()
        for seen in _all(fd):
            if seen.links > 1 and not seen.is_folder:
                if (seen.device, seen.inode) in several:
                    continue
                several.add((seen.device, seen.inode))
            count += 1
            total += seen.size if seen.is_file else 0
        return Usage(total, count)
    finally:
        os.close(fd)


def _all(start: int) -> Iterator[kernel.Status]:
    """Everything below a folder that is open, however deep: where a path gets too long, a new start is made there."""
    waiting = [b"."]
    while waiting:
        below = waiting.pop()
        try:
            fd = kernel.open_beneath(start, below, kernel.FOLDER, follow=False)
        except OSError:
            continue  # gone meanwhile, or closed to the service as well: network file systems do that to root
        try:
            for name in names(fd):
                try:
                    seen = kernel.status(fd, name)
                except OSError:
                    continue
                yield seen
                if not seen.is_folder:
                    continue
                path = below + b"/" + name
                if len(path) <= _REACH:
                    waiting.append(path)
                    continue
                try:
                    further = kernel.open_beneath(fd, name, kernel.PLACE, follow=False)
                except OSError:
                    continue
                try:
                    yield from _all(further)
                finally:
                    os.close(further)
        finally:
            os.close(fd)
