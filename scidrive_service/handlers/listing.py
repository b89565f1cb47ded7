"""Folders as JSON, as the file service lists them (contract §5.3)."""

from __future__ import annotations

import datetime
import fnmatch
import json
import re
from dataclasses import dataclass

from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path
from scidrive_service.tree import Entry, Tree

DEEPEST = 100


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, in UTC."""
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        # Anybody may give a file any time.
        moment = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Listing:
    """One listing.

    Attributes
    ----------
    pattern
        Of names, for all files, and for folders that have nothing that fits in them; empty: everything.
    limit
        At most so many files and folders.
    """

    tree: Tree
    pattern: str = ""
    limit: int = 100_000

    def __post_init__(self) -> None:
        # Once, and not for each name.
        self._fits = re.compile(fnmatch.translate(self.pattern)).match if self.pattern else None

    def write(self, path: Path, name: str, level: int) -> str:
        """A folder as JSON text.

        Text rather than objects, because of which a hundred thousand would be too large.

        Parameters
        ----------
        name
            Of the folder, which a volume's root does not know itself.
        level
            1: the folder itself; 2: with what is in it; 3: with what is in its folders; and so on.

        Raises
        ------
        FileError
            MISSING, NOT_A_FOLDER; TOO_LARGE: there is more than `limit`.
        """
        entry = self.tree.stat(path)
        if not entry.is_folder:
            raise FileError("It is a file, not a folder.", Kind.NOT_A_FOLDER)
        return self._folder(entry, path, name, min(level, DEEPEST))[0]

    def _folder(self, entry: Entry, path: Path, name: str, level: int) -> tuple[str, bool]:
        """Its text, and whether there is something in it."""
        text = f'{{"name":{json.dumps(name)},{_times(entry)}'
        if level <= 1:
            return text + "}", False
        files, folders = [], []
        for child in self.tree.list(path):
            self.limit -= 1
            if self.limit < 0:
                raise FileError("There is too much in the folder: ask for fewer levels.", Kind.TOO_LARGE)
            fits = self._fits is None or self._fits(child.name) is not None
            if child.is_folder:
                written, is_filled = self._folder(child, (*path, child.name), child.name, level - 1)
                if fits or is_filled:
                    folders.append(written)
            elif fits:
                files.append(f'{{"name":{json.dumps(child.name)},"size":{child.size},{_times(child)}}}')
        # Empty members are left out: the client's own tests want it.
        for member, items in (("files", files), ("folders", folders)):
            if items:
                text += f',"{member}":[{",".join(items)}]'
        return text + "}", bool(files or folders)


def _times(entry: Entry) -> str:
    return f'"lastModified":"{iso(entry.modified)}","creationTime":"{iso(entry.created)}"'
