"""What the kernel's errors mean for the one who asked."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path, shown

_MEANINGS: dict[int, tuple[Kind, str]] = {
    errno.ENOENT: (Kind.MISSING, "{} does not exist. Look at what its folder has."),
    errno.ENOTDIR: (Kind.NOT_A_FOLDER, "{} is not a folder, or leads through a file as if it were one."),
    errno.EISDIR: (Kind.NOT_A_FOLDER, "{} is a folder: give the name of a file."),
    errno.EEXIST: (Kind.EXISTS, "{} exists. Choose another name, or allow to replace it."),
    errno.ENOTEMPTY: (Kind.EXISTS, "{} is a folder with something in it. Remove that first."),
    errno.EACCES: (Kind.FORBIDDEN, "{} is closed by its permissions. Change them in a container, or ask its owner."),
    errno.EPERM: (Kind.FORBIDDEN, "{} is closed by its permissions. Change them in a container, or ask its owner."),
    errno.EROFS: (Kind.FORBIDDEN, "{} is on a storage that can only be read."),
    errno.ETXTBSY: (Kind.FORBIDDEN, "{} is a program that is running. Stop it first."),
    errno.ELOOP: (
        Kind.UNSAFE,
        "{} is a link that leads out of the volume or nowhere. Links are followed inside only.",
    ),
    errno.EXDEV: (
        Kind.UNSAFE,
        "{} is a link that leads out of the volume or nowhere. Links are followed inside only.",
    ),
    errno.ENXIO: (Kind.UNSAFE, "{} is a device, a pipe or a socket: only files are served."),
    errno.ENAMETOOLONG: (Kind.NAME, "The path is too long for the storage. Choose shorter names."),
    errno.EILSEQ: (Kind.NAME, "{} has characters that the storage cannot keep. Choose another name."),
    errno.EINVAL: (
        Kind.NAME,
        "{} cannot have that name or place: no folder can be moved into itself or onto its own.",
    ),
    errno.ENOSPC: (Kind.FULL, "The storage is full. Remove files that you no longer need."),
    errno.EDQUOT: (Kind.FULL, "Your quota is used up. Remove files that you no longer need."),
    errno.EMLINK: (Kind.FULL, "{} is in a folder with too many folders. Use more levels."),
    errno.EFBIG: (Kind.TOO_LARGE, "{} is larger than the storage can keep. Split it."),
    errno.EBUSY: (Kind.UNAVAILABLE, "{} is in use by the system. Try again later."),
}


def meaning(error: OSError, path: Path, missing: Kind | None = None) -> FileError:
    """The error for the user.

    Parameters
    ----------
    missing
        What it is when the path leads through a file, other than NOT_A_FOLDER.
    """
    kind, text = _MEANINGS.get(
        error.errno or 0,
        (Kind.UNAVAILABLE, "The storage does not answer for {}. Try again; if it stays so, tell the operator."),
    )
    if error.errno == errno.ENOTDIR and missing is not None:
        kind, text = missing, _MEANINGS[errno.ENOENT][1]
    return FileError(text.format(shown(path)), kind)


@contextmanager
def told(path: Path, missing: Kind | None = None) -> Iterator[None]:
    """Turn the kernel's errors about a path into the user's."""
    try:
        yield
    except OSError as error:
        raise meaning(error, path, missing) from error
