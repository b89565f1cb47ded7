"""Kinds of storage: what each root volume is for, how much fits, and how long files stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sciserver_spawner.volumes import UserVolume, VolumeError

DRIVE = "SciDrive"
"""Root volume of SciDrive: one volume for each user, which has no name of its own."""


class PolicyError(Exception):
    """The operator's settings of root volumes cannot be used; the text says what to change."""


@dataclass(frozen=True)
class RootPolicy:
    """One root volume.

    Attributes
    ----------
    name
        Directory below the deployment's volumes, and below the workspace in containers.
    description
        One sentence for users.
    expires_after
        Hours after which a file that was made here is removed; None: files stay. Changing a file does not prolong
        its time.
    warn_before
        Hours for which a file is listed as expiring before it is removed, however late the service comes to list it.
    user_bytes, user_files
        What all volumes of one owner may hold together; 0: no limit. Folders count as files.
    volume_bytes, volume_files
        What one volume may hold; 0: no limit.
    default_volumes
        Volumes that everybody has.
    users_create
        Whether users may make further volumes.
    """

    name: str
    description: str = ""
    expires_after: float | None = None
    warn_before: float = 72.0
    user_bytes: int = 0
    user_files: int = 0
    volume_bytes: int = 0
    volume_files: int = 0
    default_volumes: tuple[str, ...] = ()
    users_create: bool = True

    def __post_init__(self) -> None:
        for name in (self.name, *self.default_volumes):
            try:
                UserVolume(name, name, name)
            except VolumeError as error:
                raise PolicyError(f"Root volume {self.name!r}: {error}") from error
        for field in ("user_bytes", "user_files", "volume_bytes", "volume_files"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise PolicyError(
                    f"Root volume {self.name}: {field} is a whole number, 0 for no limit, not {value!r}."
                )
        for field in ("expires_after", "warn_before"):
            value = getattr(self, field)
            if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or value < 0):
                raise PolicyError(f"Root volume {self.name}: {field} is a number of hours, not {value!r}.")
        if self.expires_after is not None and self.warn_before > self.expires_after:
            raise PolicyError(
                f"Root volume {self.name}: files would be announced {self.warn_before} hours before they are removed, "
                f"but live only {self.expires_after}: make warn_before smaller than expires_after."
            )
        if self.name == DRIVE and (self.default_volumes or self.users_create):
            raise PolicyError(
                f"{DRIVE} is one volume for each user: it has no default volumes, and users_create False."
            )

    @property
    def is_drive(self) -> bool:
        """Whether it is SciDrive's, with one volume for each user."""
        return self.name == DRIVE


GB = 10**9

DEFAULTS: dict[str, dict[str, Any]] = {
    "Storage": {
        "description": "Permanent storage, for what you want to keep.",
        "user_bytes": 10 * GB,
        "default_volumes": ["persistent"],
    },
    "Temporary": {
        "description": "Space for intermediate results. Files are removed 30 days after they were made.",
        "expires_after": 30 * 24,
        "warn_before": 3 * 24,
        "default_volumes": ["scratch"],
    },
    DRIVE: {
        "description": "Files that you reach from everywhere: notebooks, scripts, the browser, a mounted drive.",
        "user_bytes": 10 * GB,
        "users_create": False,
    },
}
"""Root volumes of a deployment that says nothing, as in its configuration."""


def policies(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, RootPolicy]:
    """Root volumes by name, from the configuration: their fields by name, as in `DEFAULTS`.

    Raises
    ------
    PolicyError
        A field is unknown or its value cannot be used.
    """
    known = {field.name for field in dataclasses.fields(RootPolicy)} - {"name"}
    made = {}
    for name, fields in settings.items():
        if unknown := sorted(set(fields) - known):
            raise PolicyError(f"Root volume {name}: no such setting: {', '.join(unknown)}. There are {_words(known)}.")
        values = dict(fields)
        if name == DRIVE:
            values.setdefault("users_create", False)
        values["default_volumes"] = tuple(values.get("default_volumes", ()))
        made[name] = RootPolicy(name, **values)
    return made


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
