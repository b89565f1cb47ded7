"""Local trees in directories of tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from scidrive_service.local import LocalTree
from scidrive_service.tree import Entry, Tree

IS_ROOT = os.geteuid() == 0
ACCOUNT = 1000 if IS_ROOT else os.geteuid()


def directory(where: Path, name: str = "volume") -> Path:
    """A volume's directory, owned by the containers' account."""
    root = where / name
    root.mkdir()
    own(root)
    return root


def own(*paths: Path) -> None:
    """Give what a test has made to the containers' account, as if a container had made it."""
    for path in paths:
        os.chown(path, ACCOUNT, ACCOUNT, follow_symlinks=False)


def tree(root: Path) -> LocalTree:
    return LocalTree(root, account=ACCOUNT)


def put(tree: Tree, path: str, data: bytes = b"content", **options: bool) -> Entry:
    writer = tree.create(tuple(path.split("/")), **options)
    try:
        writer.write(data)
        return writer.commit()
    finally:
        writer.abort()


def get(tree: Tree, path: str) -> bytes:
    reader = tree.open(tuple(path.split("/")))
    try:
        return reader.read(0, 1 << 30)
    finally:
        reader.close()


def listed(tree: Tree, path: str = "") -> list[str]:
    return [entry.name for entry in tree.list(tuple(filter(None, path.split("/"))))]


def visible(root: Path) -> list[str]:
    """All that a container sees, our hidden files as well."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def open_files() -> int:
    """How many this process has, without those of trees that nobody refers to any more."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
