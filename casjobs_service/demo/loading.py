"""Loading of the demonstration contexts: each only when its content has changed, and whole or not at all.

What is loaded is recorded in ``demo.json`` beside the contexts' directory, with a digest of everything that the
content is made of: a context of the same name that the operator made is never touched, and one that the operator
removed does not come back by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from casjobs_service.catalog import Catalog
from casjobs_service.contexts import ContextError, Contexts
from casjobs_service.demo.about import about
from sciserver_common import atomic

Say = Callable[[str], None]

SMALL = ("OpenNGC", "Hipparcos", "SkyDemo", "Stripe82", "FragData", "SimulationDB")
"""Contexts that `sciserver up` makes."""
FULL = (*SMALL, "Gaia10", "Tycho2")
LARGER = ("SkyDemo", "Stripe82", "FragData", "SimulationDB")
"""Contexts that have more in the full mode."""


@dataclass(frozen=True)
class State:
    """What is there of a demonstration context.

    Attributes
    ----------
    state
        ``current``, ``outdated`` (made by another version), ``missing``, ``removed`` (by the operator) or ``foreign``
        (a context of the operator's that has the name).
    full
        Made in the full mode.
    """

    name: str
    state: str
    full: bool = False
    loaded: str = ""
    rows: int = 0
    bytes: int = 0


def version(name: str, full: bool) -> str:
    """Digest of what the content of a context is made of: this package and those that hold the data."""
    return f"{_digest()}-{'full' if full and name in LARGER else 'small'}"


@cache
def _digest() -> str:
    from casjobs_service.demo.sources import package_versions

    digest = hashlib.sha256(json.dumps(package_versions(), sort_keys=True).encode())
    package = Path(__file__).parents[1]
    files = [path for path in (package / "demo").rglob("*") if path.suffix in (".py", ".txt", ".sql")]
    # The names of flags and functions, which the database lists.
    files += (package / "dialect").glob("functions*.py")
    for path in sorted(files):
        digest.update(f"{path.relative_to(package)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def states(contexts: Contexts) -> list[State]:
    """State of all demonstration contexts."""
    record = _Record(contexts)
    return [_state(contexts, record, name) for name in FULL]


def load(contexts: Contexts, names: Sequence[str], full: bool, say: Say, force: bool = False) -> list[str]:
    """Make the contexts `names` (any case; none: all of the mode) as far as they are not up to date.

    Parameters
    ----------
    full
        With Gaia and Tycho-2: two contexts more, and `LARGER` made of them.
    force
        Make them even if they are up to date.

    Returns
    -------
    list of str
        Those that were made.

    Raises
    ------
    ContextError
        There is no demonstration context of that name, or one that is the operator's own.
    casjobs_service.demo.sources.SourceError
        The data cannot be had.
    """
    wanted = [_spelling(name) for name in names] or list(FULL if full else SMALL)
    record = _Record(contexts)
    made = []
    maker: _Maker | None = None
    for name in wanted:
        state = _state(contexts, record, name)
        if state.state == "foreign":
            raise ContextError(
                f"There is a context {name} that is not of the demonstration data. Remove it with `sciserver context "
                f"remove {name}` if the demonstration's is to take its place."
            )
        if state.state == "current" and (state.full or not full or name not in LARGER) and not force:
            continue
        maker = maker or _Maker(full, say)
        _make(contexts, record, name, maker)
        made.append(name)
    return made


def ensure_demo(contexts: Contexts, say: Say) -> list[str]:
    """Make the contexts of the small mode that were never made, or by another version of this package.

    Made for starting the platform: it returns at once when everything is there, a failure is only said, and what the
    operator removed or loaded in the full mode is left alone.
    """
    try:
        record = _Record(contexts)
        wanted = []
        for name in SMALL:
            state = _state(contexts, record, name)
            if state.state == "missing" or (state.state == "outdated" and not state.full):
                wanted.append(name)
            elif state.state == "outdated":
                say(f"{name} is of an older version: `sciserver data load --full` makes it anew.")
        return load(contexts, wanted, full=False, say=say) if wanted else []
    except Exception as error:
        # Whatever it is: the platform works without demonstration data.
        say(f"The demonstration data was not loaded ({error}). `sciserver data load` tries again.")
        return []


def _spelling(name: str) -> str:
    for known in FULL:
        if known.lower() == name.lower():
            return known
    raise ContextError(f"There is no demonstration context {name}: {', '.join(FULL)}.")


class _Record:
    """The file that says which contexts we made, and of what version."""

    def __init__(self, contexts: Contexts) -> None:
        self.path = contexts.directory.parent / "demo.json"
        try:
            self.entries: dict[str, dict[str, Any]] = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):
            self.entries = {}

    def write(self, name: str, entry: dict[str, Any]) -> None:
        """Change one entry."""
        self.entries[name] = entry
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic.write_text(self.path, json.dumps(self.entries, indent=2) + "\n")


def _state(contexts: Contexts, record: _Record, name: str) -> State:
    context = contexts.get(name)
    entry = record.entries.get(name)
    if context is None:
        return State(name, "removed" if entry and entry["data"] else "missing")
    if entry is None:
        return State(name, "foreign")
    if not entry["data"]:
        # Killed between making the context and filling it.
        return State(name, "missing")
    if context.data != entry["data"]:
        return State(name, "foreign")
    full = entry["version"].endswith("-full")
    size = context.data_file.stat().st_size if context.data_file and context.data_file.exists() else 0
    state = "current" if size and entry["version"] == version(name, full) else "outdated"
    return State(name, state, full, context.loaded, entry["rows"], size)


def _make(contexts: Contexts, record: _Record, name: str, maker: _Maker) -> None:
    context = contexts.get(name)
    if context is None:
        # Nobody sees it until it has its data.
        record.write(name, {"version": "", "data": "", "rows": 0})
        context = contexts.create(name)
    with contexts.lock(name):
        generation = contexts.next_generation(context)
        path = context.directory / f"data-{generation}.duckdb"
        try:
            catalog = maker.make(name, path)
            path.chmod(0o644)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".wal").unlink(missing_ok=True)
            raise
        now = datetime.now(UTC).isoformat(timespec="seconds")
        shown = {} if context.loaded else {"public": True}
        rows = sum(table.rows or 0 for table in catalog.tables if table.kind == "table")
        entry = {"version": version(name, maker.full), "data": path.name, "rows": rows}
        said = asdict(about(name, maker.full))
        contexts.commit(replace(context, data=path.name, loaded=now, **shown, **said), catalog)  # type: ignore[arg-type]
        record.write(name, entry)


class _Maker:
    """Makes database files, and keeps the catalogues that more than one of them needs."""

    def __init__(self, full: bool, say: Say) -> None:
        self.full = full
        self.say = say
        self.threads = min(4, os.cpu_count() or 1)
        self._tycho: Any = None
        self._objects: Any = None

    def tycho(self) -> Any:
        from casjobs_service.demo import sources

        if self._tycho is None:
            self._tycho = sources.obtain_tycho(self.say)
        return self._tycho

    def objects(self) -> Any:
        from casjobs_service.demo import objects

        if self._objects is None:
            self._objects = objects.all_objects(self.tycho()) if self.full else objects.small_objects()
        return self._objects

    def make(self, name: str, path: Path) -> Catalog:
        # Late: who has everything loaded needs neither the engine nor the catalogues.
        from casjobs_service.demo import catalogues, skydemo
        from casjobs_service.demo.fragdata import build as fragdata
        from casjobs_service.demo.simulation import build as simulation
        from casjobs_service.demo.stripe82 import build as stripe82

        self.say(f"Making the demonstration data {name}")
        if name == "SkyDemo":
            return skydemo.build(path, self.objects(), self.threads)
        if name == "Stripe82":
            return stripe82.build(path, self.objects(), stripe82.FULL_SCALE if self.full else 1, self.threads)
        if name == "FragData":
            return fragdata.build(path, self.full, self.threads)
        if name == "SimulationDB":
            return simulation.build(path, self.full, self.threads)
        relations = {
            "OpenNGC": catalogues.openngc,
            "Hipparcos": catalogues.hipparcos,
            "Gaia10": catalogues.gaia,
            "Tycho2": lambda: catalogues.tycho(self.tycho()),
        }[name]()
        return catalogues.write(name, path, relations, self.threads)
