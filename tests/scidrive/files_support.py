"""Files of a deployment without a hub or a service, as the doors use them."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Files, OpenVolume, Person
from scidrive_service.policy import policies
from scidrive_service.store import Store
from scidrive_service.tree import Entry
from sciserver_common.deployment import Deployment

ADA = Person("ada")
BOB = Person("bob", frozenset({"astro"}))
EVE = Person("eve")

ROOTS: dict[str, dict[str, Any]] = {
    "Storage": {"description": "Stays.", "default_volumes": ["persistent"]},
    "Temporary": {"expires_after": 48, "warn_before": 24, "default_volumes": ["scratch"]},
    "SciDrive": {},
}

ACCOUNT = 1000 if os.getuid() == 0 else None


@functools.cache
def _migrated() -> Path:
    """An empty database with all tables."""
    directory = Path(tempfile.mkdtemp(prefix="scidrive-tables-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    Store(f"sqlite:///{directory}/scidrive.sqlite").close()  # who is the last also leaves one file only
    return directory / "scidrive.sqlite"


def make(home: Path, roots: dict[str, dict[str, Any]] | None = None, **options: Any) -> Files:
    """The files of a deployment; the same again for the same home."""
    deployment = Deployment(home=home)
    deployment.make_directories()
    database = deployment.scidrive_dir / "scidrive.sqlite"
    if not database.exists():
        shutil.copy(_migrated(), database)  # migrations take longer than most tests
    store = Store(f"sqlite:///{database}")
    return Files(deployment, policies(roots or ROOTS), store, **{"account": ACCOUNT, **options})


def stop(files: Files) -> None:
    files.close()
    files.store.close()


def mine(files: Files, person: Person = ADA, root: str = "Storage", name: str = "persistent") -> OpenVolume:
    """One of a person's own default volumes."""
    return files.volume(person, root, person.name, name)


def put(volume: OpenVolume, path: str, data: bytes = b"hello", **options: Any) -> Entry:
    writer = volume.create(tuple(path.split("/")), **options)
    try:
        for start in range(0, len(data), 1 << 16):
            writer.write(data[start : start + (1 << 16)])
        return writer.commit()
    finally:
        writer.abort()


def get(volume: OpenVolume, path: str) -> bytes:
    reader = volume.open(tuple(path.split("/")))
    try:
        return reader.read(0, 1 << 30)
    finally:
        reader.close()


def names(volume: OpenVolume, path: str = "") -> list[str]:
    return [entry.name for entry in volume.list(tuple(name for name in path.split("/") if name))]


def directory(files: Files, volume: OpenVolume) -> Path:
    """Where a volume is on disk, for what containers do."""
    return files.registry.path(volume.root, volume.owner, volume.name)


def on_disk(folder: Path) -> list[str]:
    """All names in a directory, also those that no door shows."""
    return sorted(entry.name for entry in folder.iterdir())


def kind(error: Any) -> Kind:
    """Of a `pytest.raises`."""
    assert isinstance(error.value, FileError)
    return error.value.kind
