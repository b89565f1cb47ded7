"""What an engine is given to build an image from: the image's own directory, and our packages that it installs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PACKAGES = "packages"
"""Directory of the context below which the packages stand, each at its path in the checkout."""

CA_BUNDLE = "ca-bundle.crt"
"""In the context, but neither in the hash nor, if the Dockerfile takes care, in the image."""

_FILE_TIME = 1767225600  # 2026-01-01T00:00:00Z
_IGNORED = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".DS_Store"}
# What is made from a package's sources, or only tries them.
_MADE = {"build", "conftest.py", "dist", "labextension", "node_modules", "pytest.ini", "tests"}


@dataclass(frozen=True)
class Source:
    """One file of a context.

    Parameters
    ----------
    path
        Where it is now.
    name
        Where it is in the context.
    """

    path: Path
    name: str

    @property
    def executable(self) -> bool:
        return bool(self.path.stat().st_mode & 0o100)


def sources(directory: Path, packages: Iterable[Path], checkout: Path) -> Iterator[Source]:
    """All files of a context in an order that does not depend on the disk.

    Parameters
    ----------
    directory
        The image's directory; its files are at the top of the context.
    packages
        Directories below `checkout`. Their tests, what is built from them and Node.js modules are left out.
    """
    for path in _walk(directory, _IGNORED):
        name = path.relative_to(directory).as_posix()
        if name != CA_BUNDLE:
            yield Source(path, name)
    for package in sorted(packages):
        for path in _walk(package, _IGNORED | _MADE):
            yield Source(path, f"{PACKAGES}/{path.relative_to(checkout).as_posix()}")


def digest(parent_tag: str, files: Iterable[Source]) -> str:
    """Hash of the files' names, contents and permissions, and of what the image is built on."""
    total = hashlib.sha256(parent_tag.encode())
    for file in files:
        content = file.path.read_bytes()
        # The lengths keep two different trees from reading the same.
        total.update(f"\0{len(file.name)}:{file.name}{'x' if file.executable else '-'}{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()[:12]


@contextlib.contextmanager
def archive(files: Iterable[Source], ca_bundle: Path | None) -> Iterator[IO[bytes]]:
    """The context as a tar file, the same bytes for the same files, so that the engine's cache is found."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for source in files:
                _add(tar, source.name, source.path.read_bytes(), 0o755 if source.executable else 0o644)
            if ca_bundle:
                _add(tar, CA_BUNDLE, ca_bundle.read_bytes(), 0o644)
        file.seek(0)
        yield file


def _walk(directory: Path, ignored: set[str]) -> list[Path]:
    """Files below a directory, sorted. Ignored directories are not entered: some hold tens of thousands of files."""
    found = []
    for place, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name not in ignored and not name.endswith(".egg-info")]
        found += [Path(place, name) for name in files if name not in ignored and not name.endswith(".pyc")]
    return sorted(found, key=lambda path: path.as_posix())


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    # A file manager shows it; the same for all builds, so that equal inputs give equal layers.
    entry.mtime = _FILE_TIME
    tar.addfile(entry, io.BytesIO(content))
