"""Properties that clients set themselves, and a volume's quota, as the registry keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scidrive_service.paths import Path
from scidrive_service.webdav.places import Place

if TYPE_CHECKING:
    from scidrive_service.files import OpenVolume


def of_folder(place: Place, *, deep: bool) -> dict[Path, Mapping[str, str]]:
    """Properties of a file or folder, and with `deep` of what is in it, by path in the volume."""
    if place.volume is None:
        return {}
    return place.volume.properties_in(place.inner, deep=deep)


def change(place: Place, changes: Mapping[str, str | None]) -> None:
    """Set properties, or with None remove them; all or none."""
    assert place.volume is not None  # noqa: S101 - nothing else may be written to
    place.volume.set_properties(place.inner, changes)


def quota(volume: OpenVolume) -> tuple[int | None, int | None]:
    """Bytes that are used and that are left; None: nobody knows."""
    return volume.room()
