"""The two places where files are: volumes of the file service, and SciDrive (docs/reference/scidrive.md).

They are asked in different ways and tell the same. What can be done with files is in `SciServer.core.files`.
"""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from SciServer.core import wire
from SciServer.core.errors import SciServerError, ServiceError
from SciServer.core.models import moment
from SciServer.core.settings import Settings
from SciServer.core.wire import Operation, Request

CONFLICT = 409
UNAUTHORIZED = 401

Path = tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A file or folder.

    Attributes
    ----------
    path
        From the root of the place, without a slash at the beginning.
    size
        Bytes; 0 for a folder.
    modified
        UTC; None if unknown.
    """

    path: str
    name: str
    is_folder: bool
    size: int = 0
    modified: datetime.datetime | None = None


@dataclass(frozen=True)
class Usage:
    """What is used, and what may be.

    Attributes
    ----------
    name
        ``Storage/ada/persistent`` for a volume, ``Storage`` for all of somebody's volumes there, ``SciDrive``.
    quota_bytes, quota_files
        None: no limit is known.
    """

    name: str
    bytes: int
    quota_bytes: int | None = None
    files: int | None = None
    quota_files: int | None = None


@dataclass(frozen=True)
class Volume:
    """A volume that you may use.

    Attributes
    ----------
    path
        As the paths of its files begin.
    owner
        Empty for a data volume.
    actions
        What you may do: ``read``, ``write``, ``delete``, ``grant``.
    """

    path: str
    owner: str
    description: str = ""
    actions: tuple[str, ...] = ()


def split(path: str) -> Path:
    """The names in a path; slashes at its ends and doubled ones do not matter.

    Raises
    ------
    SciServerError
        It has ``.`` or ``..`` in it, which addresses cannot have.
    """
    names = tuple(name for name in path.split("/") if name)
    if {".", ".."} & set(names):
        raise SciServerError(f"Give the path from its beginning, without . and .. in it: {path!r}.")
    return names


def join(names: Path) -> str:
    """The opposite of `split`."""
    return "/".join(names)


class Place(Protocol):
    """How a place is asked. Paths are tuples of names."""

    def entries(self, path: Path) -> Operation[list[Entry]]:
        """What is in a folder."""

    def stat(self, path: Path) -> Operation[Entry]:
        """One file or folder."""

    def reading(self, path: Path) -> Operation[Request]:
        """The request for a file's content."""

    def writing(self, path: Path, *, overwrite: bool) -> Operation[Request]:
        """The request that a file's content is to be added to."""

    def archive(self, method: str, path: Path, **options: Any) -> Operation[Request]:
        """The request for a folder as a tar archive (``GET``), or that makes what is in one in a folder (``PUT``)."""

    def mkdir(self, path: Path) -> Operation[None]:
        """Make a folder and those above it; one that is there is no error."""

    def remove(self, path: Path) -> Operation[None]:
        """Remove a file, or a folder with everything in it."""

    def carry(self, source: Path, target: Path, *, is_copy: bool) -> Operation[None]:
        """Copy or move; what is at the target is not replaced."""

    def usage(self) -> Operation[list[Usage]]:
        """What is used."""


class FileService:
    """Volumes: paths are ``Storage/ada/persistent/…``, ``SciDrive/ada/…``, or ``<data volume>/…`` (contract §5)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._endpoint = ""

    def endpoint(self) -> Operation[str]:
        """Address of the file service, which the platform knows (contract §5.1); asked once."""
        if not self._endpoint:
            url = f"{self._settings.racm_url}/storem/fileservices"
            found = (yield Request("GET", url, is_repeatable=True)).json()
            if not found:
                raise ServiceError("Your deployment names no file service.")
            self._endpoint = str(found[0]["apiEndpoint"]).rstrip("/") + "/api"
        return self._endpoint

    def _request(self, method: str, what: str, path: Path, **options: Any) -> Operation[Request]:
        url = (yield from self.endpoint()) + f"/{what}" + wire.path(*path)
        return Request(method, url, is_repeatable=True, **options)

    def _tree(self, path: Path, level: int) -> Operation[Mapping[str, Any]]:
        answer = yield (yield from self._request("GET", "jsontree", path, params={"level": str(level)}))
        root: Mapping[str, Any] = answer.json()["root"]
        return root

    def entries(self, path: Path) -> Operation[list[Entry]]:
        root = yield from self._tree(path, 2)
        files = [self._entry((*path, each["name"]), each, is_folder=False) for each in root.get("files") or ()]
        folders = [self._entry((*path, each["name"]), each, is_folder=True) for each in root.get("folders") or ()]
        return folders + files

    @staticmethod
    def _entry(path: Path, value: Mapping[str, Any], *, is_folder: bool) -> Entry:
        size = int(value.get("size") or 0)
        return Entry(join(path), path[-1], is_folder, size, moment(value.get("lastModified")))

    def stat(self, path: Path) -> Operation[Entry]:
        try:
            answer = yield (yield from self._request("HEAD", "file", path))
        except ServiceError as error:
            # It may be a folder. What else is wrong, the listing tells: answers to HEAD have no text.
            if error.status is None or error.status == UNAUTHORIZED or error.status >= 500:
                raise
            return self._entry(path, (yield from self._tree(path, 1)), is_folder=True)
        size, modified = int(answer.headers["Content-Length"]), answer.headers.get("Last-Modified")
        return Entry(join(path), path[-1], False, size, _date(modified))

    def reading(self, path: Path) -> Operation[Request]:
        return (yield from self._request("GET", "file", path))

    def writing(self, path: Path, *, overwrite: bool) -> Operation[Request]:
        return (yield from self._request("PUT", "file", path, params={"quiet": str(overwrite)}))

    def archive(self, method: str, path: Path, **options: Any) -> Operation[Request]:
        # Beside the file service, so that it is the same one; one that has no such thing answers 404.
        root = (yield from self.endpoint()).removesuffix("/fileservice/api")
        return Request(method, f"{root}/api/archive{wire.path(*path)}", **options)

    def mkdir(self, path: Path) -> Operation[None]:
        yield (yield from self._request("PUT", "folder", path, params={"quiet": "True"}))

    def remove(self, path: Path) -> Operation[None]:
        yield (yield from self._request("DELETE", "data", path, params={"quiet": "False"}))

    def carry(self, source: Path, target: Path, *, is_copy: bool) -> Operation[None]:
        if len(target) < 2:
            raise SciServerError("The destination is a volume and a path in it, such as Storage/ada/persistent/name.")
        # All of it in one key: the service takes the path apart by itself.
        body = {"destinationDataVolume": target[0], "destinationPath": join(target[1:])}
        if len(target) >= 3:
            names = ("destinationRootVolume", "destinationOwnerName", "destinationUserVolume")
            body = dict(zip(names, target[:3], strict=True)) | {"destinationPath": join(target[3:])}
        params = {"replaceExisting": "False", "doCopy": str(is_copy)}
        request = yield from self._request("PUT", "data", source, params=params, **wire.json_body(body))
        yield wire.once(request)

    def usage(self) -> Operation[list[Usage]]:
        rows = (yield (yield from self._request("GET", "usage", ()))).json()
        return [_quota(row) for row in rows]

    def volumes(self) -> Operation[list[Volume]]:
        """The volumes that somebody may use."""
        found = (yield (yield from self._request("GET", "volumes", ()))).json()
        own = [
            Volume(
                join((root["name"], each["owner"], each["name"])),
                each["owner"],
                str(each.get("description") or ""),
                tuple(each.get("allowedActions") or ()),
            )
            for root in found["rootVolumes"]
            for each in root["userVolumes"]
        ]
        data = [
            Volume(each["name"], "", str(each.get("description") or ""), tuple(each.get("allowedActions") or ()))
            for each in found["dataVolumes"]
        ]
        return own + data

    def share(self, volume: Path, name: str, actions: list[str], kind: str) -> Operation[None]:
        """Let somebody use a volume."""
        sharee = [{"name": name, "type": kind, "allowedActions": actions}]
        yield (yield from self._request("PATCH", "share", volume, **wire.json_body(sharee)))


class SciDrive:
    """Somebody's own drive: paths are those in it (contract §4)."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.scidrive_url

    def _request(self, method: str, what: str, path: Path, **options: Any) -> Request:
        root = "/sandbox" if what in {"metadata", "files", "files_put", "media"} else ""
        url = f"{self._url}/vospace-2.0/1/{what}{root}{wire.path(*path)}"
        return Request(method, url, **{"is_repeatable": method != "POST", **options})

    def _operation(self, name: str, **fields: str) -> Request:
        body = urlencode(fields, errors="surrogateescape").encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._request("POST", "fileops", (name,), body=body, headers=headers)

    def entries(self, path: Path) -> Operation[list[Entry]]:
        found = (yield self._request("GET", "metadata", path)).json()
        if not found["is_dir"]:
            raise SciServerError(f"{join(path)} is a file, not a folder.")
        return [self._entry(each) for each in found.get("contents") or ()]

    def stat(self, path: Path) -> Operation[Entry]:
        return self._entry((yield self._request("GET", "metadata", path, params={"list": "False"})).json())

    @staticmethod
    def _entry(value: Mapping[str, Any]) -> Entry:
        path = split(value["path"])
        is_folder = bool(value["is_dir"])
        size = 0 if is_folder else int(value["bytes"])
        return Entry(join(path), path[-1] if path else "", is_folder, size, _date(value.get("modified")))

    def reading(self, path: Path) -> Operation[Request]:
        yield from ()
        return self._request("GET", "files", path)

    def writing(self, path: Path, *, overwrite: bool) -> Operation[Request]:
        yield from ()
        return self._request("PUT", "files_put", path, params={"overwrite": str(overwrite)})

    def archive(self, method: str, path: Path, **options: Any) -> Operation[Request]:
        where = wire.path("SciDrive", (yield from self._owner()), *path)
        return Request(method, f"{self._url}/api/archive{where}", **options)

    def _owner(self) -> Operation[str]:
        return str((yield self._request("GET", "account", ("info",))).json()["uid"])

    def mkdir(self, path: Path) -> Operation[None]:
        try:
            yield self._operation("create_folder", path=join(path))
        except ServiceError as error:
            if error.status != CONFLICT or not (yield from self.stat(path)).is_folder:
                raise

    def remove(self, path: Path) -> Operation[None]:
        yield self._operation("delete", path=join(path))

    def carry(self, source: Path, target: Path, *, is_copy: bool) -> Operation[None]:
        yield self._operation("copy" if is_copy else "move", from_path=join(source), to_path=join(target))

    def usage(self) -> Operation[list[Usage]]:
        quota = (yield self._request("GET", "account", ("info",))).json()["quota_info"]
        return [Usage("SciDrive", int(quota["normal"]), int(quota["quota"]))]

    def link(self, path: Path, seconds: float | None) -> Operation[tuple[str, datetime.datetime | None]]:
        """An address that opens a file or folder for everybody who has it, and when that ends."""
        if seconds is None:
            found = (yield self._request("GET", "media", path)).json()
            return str(found["url"]), _date(found.get("expires"))
        body = {"path": wire.path("SciDrive", (yield from self._owner()), *path).lstrip("/"), "seconds": seconds}
        found = (yield Request("POST", f"{self._url}/api/links", **wire.json_body(body))).json()
        return str(found["url"]), moment(found.get("expires"))

    def unlink(self, number: str) -> Operation[None]:
        """Close a link."""
        yield Request("DELETE", f"{self._url}/api/links{wire.path(number)}", is_repeatable=True)


def _quota(row: Mapping[str, Any]) -> Usage:
    root = str(row.get("rootVolumeName") or "")
    volume = str(row.get("userVolumeName") or "")
    return Usage(
        join(tuple(name for name in (root, volume) if name)),
        int(row["numberOfBytesUsed"]),
        row["numberOfBytesQuota"] or None,
        int(row["numberOfFilesUsed"]),
        row["numberOfFilesQuota"] or None,
    )


def _date(text: str | None) -> datetime.datetime | None:
    """A date as HTTP and mails write it (RFC 5322)."""
    try:
        return email.utils.parsedate_to_datetime(text or "")
    except ValueError:
        return None
