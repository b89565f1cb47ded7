"""Removing in a local tree, also while a container renames what we remove.

A folder is renamed to a hidden name first: it is gone at once and as a whole, also if the process is killed while it
empties it, and `sweep` does the rest later. It is emptied without a path: a folder inside that is not empty is moved
up into the one at the top, and its turn comes. So two folders are open at a time, however deep the tree, and links are
names to be removed like others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from scidrive_service import kernel
from scidrive_service.errors import FileError, Kind
from scidrive_service.local_errors import told
from scidrive_service.local_place import Place, hidden_name, is_hidden, names
from scidrive_service.paths import Path

_PASSES = 100
"""Somebody may put files into a folder while we empty it; after so many times we give up."""

_LONGEST = 120.0
"""So many seconds, too, if it is deeper each time, or more than a request can wait for."""


def remove(place: Place, path: Path) -> None:
    """See `tree.Tree.remove`."""
    with told(path, Kind.MISSING):
        folder = place.folder(path[:-1])
        try:
            discard(folder, os.fsencode(path[-1]), place.root)
        finally:
            os.close(folder)


def clear(place: Place) -> None:
    """Remove everything, our own hidden files as well."""
    with told(()):
        root = kernel.open_beneath(place.root, b".", kernel.FOLDER)
        try:
            _empty(root)
        finally:
            os.close(root)


def sweep(place: Place, seconds: float) -> int:
    """Remove hidden files and folders that nobody has touched for so long; how many there were.

    They are what killed processes left behind, and they are in the root only.
    """
    count = 0
    with told(()):
        root = kernel.open_beneath(place.root, b".", kernel.FOLDER)
        try:
            for name in filter(is_hidden, names(root)):
                try:
                    if kernel.status(root, name).changed < (time.time() - seconds) * 1e9:
                        discard(root, name)
                        count += 1
                except FileNotFoundError:
                    continue
        finally:
            os.close(root)
    return count


def discard(folder: int, name: bytes, root: int | None = None) -> None:
    """Remove a name and all that is below it.

    Parameters
    ----------
    root
        Where folders wait to be emptied; None: right here.
    """
    if _unlink(folder, name):
        return
    hidden = hidden_name()
    if root is None or not _hide(folder, name, root, hidden):
        return _empty_and_remove(folder, name)
    try:
        _empty_and_remove(root, hidden)
    except PermissionError:  # what is left belongs to somebody else
        with contextlib.suppress(OSError):
            kernel.rename(root, hidden, folder, name, kernel.RENAME_NOREPLACE)
        raise


def _empty_and_remove(folder: int, name: bytes) -> None:
    try:
        for _ in range(_PASSES):
            top = _open(folder, name)
            if top is not None:
                try:
                    _empty(top)
                finally:
                    os.close(top)
            # Not if a writer, which had opened the folder before it went, has put its file there just now.
            if _unlink(folder, name):
                return
    except FileNotFoundError:
        pass  # somebody else was faster


def _unlink(folder: int, name: bytes) -> bool:
    """Whether it is gone; False for a folder with something in it."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            if error.errno == errno.ENOTDIR:  # it was changed for a file meanwhile
                return False
            raise
    return True


def _hide(folder: int, name: bytes, root: int, hidden: bytes) -> bool:
    """Whether that was possible; not on a full disk, where the new name may need a block."""
    try:
        os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=root)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return False
        if error.errno not in {errno.EACCES, errno.EPERM}:
            raise
        _unlock(folder, name)  # its link to its parent cannot be changed while it may not be written
        os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=root)
    return True


def _unlock(folder: int, name: bytes) -> None:
    """Give a folder's owner all rights in it: who may remove it may do that as well."""
    fd = kernel.open_beneath(folder, name, kernel.PLACE, follow=False)
    try:
        kernel.change_mode(fd, 0o700)
    finally:
        os.close(fd)


def _open(folder: int, name: bytes) -> int | None:
    """A folder that is to be emptied; None if there is none by now: nothing, or a file or link instead."""
    try:
        fd = kernel.open_beneath(folder, name, kernel.PLACE, follow=False)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return None
        raise
    try:
        mode = kernel.status(fd).mode
        if mode & 0o700 != 0o700:
            kernel.change_mode(fd, 0o700)
        return kernel.open_beneath(fd, b".", kernel.FOLDER)
    finally:
        os.close(fd)


def _empty(top: int) -> None:
    """Remove what is in a folder."""
    end = time.monotonic() + _LONGEST
    for _ in range(_PASSES):
        waiting = _strip(top)
        if not waiting:
            return
        while waiting and time.monotonic() < end:
            name = waiting.pop()
            fd = _open(top, name)
            if fd is not None:
                try:
                    waiting += _lift(fd, _strip(fd), top)
                finally:
                    os.close(fd)
            try:
                _unlink(top, name)
            except FileNotFoundError:
                continue
    raise FileError(
        "It is too much to be removed at once, or somebody puts files there meanwhile. The rest goes later.",
        Kind.UNAVAILABLE,
    )


def _lift(folder: int, found: list[bytes], top: int) -> list[bytes]:
    """Move folders up to the top; their names there."""
    lifted = []
    for name in found:
        hidden = hidden_name()
        try:
            if _hide(folder, name, top, hidden):
                lifted.append(hidden)
            else:
                discard(folder, name)  # the disk is full: recursion, as deep as the tree
        except (FileNotFoundError, NotADirectoryError):
            continue
    return lifted


def _strip(folder: int) -> list[bytes]:
    """Remove what can be removed at once; the names of the folders that have something in them."""
    fd = kernel.open_beneath(folder, b".", kernel.FOLDER)  # a new one reads from the beginning
    try:
        found = names(fd)
    finally:
        os.close(fd)
    left = []
    for name in found:
        try:
            if not _unlink(folder, name):
                left.append(name)
        except FileNotFoundError:
            continue
    return left
