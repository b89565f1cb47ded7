"""Volumes as people used them just now: what was found out about them is not found out again with each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidrive_service.access import Known, Person
from scidrive_service.errors import FileError
from scidrive_service.trees import Trees
from scidrive_service.volumes import Registry

if TYPE_CHECKING:
    from scidrive_service.open_volume import OpenVolume

_MOST = 512


class Opened:
    """Keeps volumes as long as all that they were made from holds: who asks with which groups, what the registry
    believes of shares and owners, and the directory itself, at which is looked each time."""

    def __init__(self, registry: Registry, trees: Trees) -> None:
        self._registry, self._trees = registry, trees
        self._kept: dict[tuple[Person, str, str, str], tuple[Known, OpenVolume]] = {}

    def find(self, person: Person, root: str, owner: str, name: str) -> OpenVolume | None:
        """The volume, if it is kept and nothing has changed."""
        known, volume = self._kept.get((person, root, owner, name), (None, None))
        if known is None or volume is None or self._registry.believed(root, owner, name) is not known:
            return None
        try:
            return volume if self._trees.of(known.volume) is volume.tree else None
        except FileError:
            return None  # whoever looks for it says why

    def keep(self, person: Person, known: Known, volume: OpenVolume) -> None:
        """Keep a volume that was made for this person from this."""
        if len(self._kept) >= _MOST:
            self._kept.clear()
        row = known.volume
        self._kept[person, row.root, row.owner, row.name] = known, volume

    def clear(self) -> None:
        """Keep nothing open of what is gone."""
        self._kept.clear()
