"""Entity tags of files in directories.

A file that came through the service has the SHA-256 of its content in an extended attribute, with the size and the
time of modification that it is true for: whoever changes the file in a container changes at least one of them. It is
kept as 48 bytes and not as text, because so it fits into an inode of 256 bytes; the text would take ext4 a block for
each file.

An account that may write a file can write a wrong attribute as well. It deceives those who have the file's content in
their cache, and nobody else: the tag decides on nothing but whether a copy is up to date.
"""

from __future__ import annotations

import os
import struct
import time

from scidrive_service import kernel

ATTRIBUTE = b"user.sciserver.sha256"
_KEPT = struct.Struct("=qQ32s")


def keep(fd: int, digest: bytes, modified: float | None = None) -> tuple[kernel.Status, str] | None:
    """Keep the SHA-256 of a file that is open; without complaint where the file system keeps no attributes.

    The time of modification is set by the clock, if not by the client: the kernel's own has steps of some
    milliseconds, within which a change could go unseen.

    Returns
    -------
    tuple, optional
        What the file is now, and its entity tag; None: the digest could not be kept.
    """
    try:
        now = time.time_ns() if modified is None else int(modified * 1e9)
        os.utime(fd, ns=(now, now))
        seen = kernel.status(fd)
        os.setxattr(fd, ATTRIBUTE, _KEPT.pack(seen.modified, seen.size, digest))
    except (OSError, OverflowError, ValueError):
        return None
    return seen, _named(digest)


def _named(digest: bytes) -> str:
    return f"sha256-{digest.hex()}"


def tag(seen: kernel.Status, where: int | bytes, *, follow: bool = True) -> str:
    """The entity tag of a file.

    Parameters
    ----------
    where
        The file: open for reading, or a path.
    follow
        False: the path's last name is not followed if it is a link by now.
    """
    try:
        modified, size, digest = _KEPT.unpack(os.getxattr(where, ATTRIBUTE, follow_symlinks=follow))
    except (OSError, struct.error):
        pass
    else:
        if (modified, size) == (seen.modified, seen.size):
            return _named(digest)
    return f"{seen.inode:x}-{seen.modified:x}-{seen.changed:x}-{seen.size:x}"
