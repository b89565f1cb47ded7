"""Files in volumes, with the functions of SciScript-Python 2.2 (contract §5).

A file service is given by its name, or as an object of `getFileServices`. Paths are ``root volume/owner/volume/…`` or
``data volume/…``, with or without a slash before them. For folders, large files and progress see
``SciServer.core.Client().files``.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from SciServer import Config, _legacy
from SciServer.core import ServiceError
from SciServer.core.transfer import fetch

FileService = dict[str, Any]

FORMATS = ("txt", "StringIO", "BytesIO", "response")


# -- file services and volumes


def getFileServices(verbose: bool = True) -> list[FileService]:
    """The file services that you may use, with their volumes. One that does not answer is left out, with a warning."""
    name = "Files.getFileServices"
    url = f"{Config.RacmApiURL.rstrip('/')}/storem/fileservices"
    found = []
    for each in _legacy.call("GET", url, name).json():
        try:
            found.append(_legacy.call("GET", f"{each['apiEndpoint']}api/volumes/", name).json())
        except ServiceError as error:
            if verbose:
                warnings.warn(f"The file service {each.get('name')} cannot be used: {error}", stacklevel=2)
    return found


def getFileServicesNames(fileServices: list[FileService] | None = None, verbose: bool = True) -> list[dict[str, str]]:
    """Names and descriptions of file services, by default of all that you may use."""
    services = getFileServices(verbose) if fileServices is None else fileServices
    return [{"name": each["name"], "description": each["description"]} for each in services]


def getFileServiceFromName(
    fileServiceName: str, fileServices: list[FileService] | None = None, verbose: bool = True
) -> FileService | None:
    """The file service with a name; None, with a warning, if there is none.

    Raises
    ------
    ValueError
        The name is empty.
    """
    if not fileServiceName:
        raise ValueError("fileServiceName is not defined: give the name of a file service.")
    services = getFileServices(verbose) if fileServices is None else fileServices
    found = next((each for each in services if each["name"] == fileServiceName), None)
    if found is None and verbose:
        warnings.warn(f"There is no file service of the name {fileServiceName!r} that you may use.", stacklevel=2)
    return found


def getRootVolumesInfo(fileService: str | FileService, verbose: bool = True) -> list[dict[str, str]]:
    """Names and descriptions of the root volumes."""
    service = _service(fileService, verbose)
    return [
        {"rootVolumeName": root["name"], "rootVolumeDescription": root["description"]}
        for root in service["rootVolumes"]
    ]


def getUserVolumesInfo(
    fileService: str | FileService, rootVolumeName: str | None = None, verbose: bool = True
) -> list[dict[str, str]]:
    """Names, descriptions and paths of the user volumes, of one root volume or of all."""
    service = _service(fileService, verbose)
    return [
        {
            "userVolumeName": volume["name"],
            "path": f"/{root['name']}/{volume['owner']}/{volume['name']}",
            "userVolumeDescription": volume["description"],
            "rootVolumeName": root["name"],
            "rootVolumeDescription": root["description"],
        }
        for root in service["rootVolumes"]
        if rootVolumeName in {None, root["name"]}
        for volume in root["userVolumes"]
    ]


def getDataVolumesInfo(fileService: str | FileService, verbose: bool = True) -> list[dict[str, str]]:
    """Names, descriptions and paths of the data volumes."""
    service = _service(fileService, verbose)
    return [
        {
            "name": volume["name"],
            "description": volume["description"],
            "pathOnFileSystem": volume.get("pathOnFileSystem", ""),
            "url": volume.get("url", ""),
            "displayName": volume.get("displayName", volume["name"]),
        }
        for volume in service["dataVolumes"]
    ]


def splitPath(fileService: str | FileService, path: str) -> tuple[str, str | None, str | None, str]:
    """Root volume, owner, volume, and path in it; for a data volume its name, None, None, and the path (contract
    §5.2).

    Raises
    ------
    ValueError
        It begins with a root volume and has no owner and volume.
    """
    names = path.removeprefix("/").split("/")
    if names[0] not in {root["name"] for root in _service(fileService)["rootVolumes"]}:
        return names[0], None, None, "/".join(names[1:])
    if len(names) < 3:
        raise ValueError(f"The path {path!r} has no owner and volume: give rootVolume/owner/volume/….")
    return names[0], names[1], names[2], "/".join(names[3:])


def createUserVolume(fileService: str | FileService, path: str, quiet: bool = True) -> bool:
    """Make a volume ``root volume/owner/volume``; with `quiet`, one that is there is no error. True."""
    _volume("PUT", fileService, path, "Files.createUserVolume", quiet)
    return True


def deleteUserVolume(fileService: str | FileService, path: str, quiet: bool = True) -> bool:
    """Delete a volume with everything in it; with `quiet`, one that is missing is no error. True."""
    # This is the name by which 2.2 announces it (contract §0).
    _volume("DELETE", fileService, path, "Files.createUserVolume", quiet)
    return True


def shareUserVolume(
    fileService: str | FileService,
    path: str,
    sharedWith: str,
    allowedActions: Sequence[str],
    sharee_type: str = "USER",
) -> bool:
    """Let somebody use a volume; True.

    Parameters
    ----------
    allowedActions
        Out of ``read``, ``write``, ``delete``, ``grant``; an empty list ends the sharing.
    sharee_type
        ``USER`` or ``GROUP``.
    """
    service = _service(fileService)
    sharee = [{"name": sharedWith, "type": sharee_type, "allowedActions": list(allowedActions)}]
    url = f"{_endpoint(service)}api/share/{_own_volume(service, path)}"
    _legacy.call("PATCH", url, "Files.ShareUserVolume", repeatable=True, **_json(sharee))
    return True


# -- files and folders


def createDir(fileService: str | FileService, path: str, quiet: bool = True) -> bool:
    """Make a folder, and those above it; with `quiet`, one that is there is no error. True."""
    url = _url(fileService, "folder", path)
    _legacy.call("PUT", url, "Files.createDir", params={"quiet": str(quiet)}, repeatable=quiet)
    return True


def upload(
    fileService: str | FileService,
    path: str,
    data: str | bytes = "",
    localFilePath: str | None = None,
    quiet: bool = True,
) -> bool:
    """Send a file: a local one, or `data`; with `quiet`, one that is there is replaced. True."""
    url, body = _url(fileService, "file", path), _legacy.body_of(data, localFilePath)
    _legacy.call("PUT", url, "Files.UploadFile", params={"quiet": str(quiet)}, repeatable=quiet, **body)
    return True


def download(
    fileService: str | FileService,
    path: str,
    localFilePath: str | None = None,
    format: str = "txt",
    quiet: bool = True,
) -> Any:
    """Fetch a file.

    Parameters
    ----------
    localFilePath
        Store it there; it appears when it is whole. Returns True.
    format
        Without `localFilePath`: ``txt``; ``StringIO`` or ``BytesIO`` to read from; ``response``: httpx's, with all of
        the content.
    quiet
        Without it, a local file that is there is an error.

    Raises
    ------
    FileExistsError
        There is one.
    ValueError
        There is no such format.
    """
    if localFilePath and not quiet and Path(localFilePath).exists():
        raise FileExistsError(f"{localFilePath} is there already: choose another name, or say quiet=True.")
    if not localFilePath and format not in FORMATS:
        raise ValueError(f"There is no format {format!r}: use {', '.join(FORMATS)}.")
    request = _legacy.request("GET", _url(fileService, "file", path), "Files.DownloadFile")
    if localFilePath:
        _legacy.run(fetch(request, Path(localFilePath), path))
        return True
    return _legacy.converted(_legacy.run(_legacy.answered(request)), format)


def dirList(fileService: str | FileService, path: str, level: int = 1, options: str = "") -> dict[str, Any]:
    """What is in a folder, under ``root``: ``files`` and ``folders``, which are missing if there are none.

    Parameters
    ----------
    level
        1: the folder itself; 2: with its files and folders; 3: one deeper.
    options
        A pattern of names, such as ``*.fits``.
    """
    params = {"options": options, "level": str(level)}
    url = _url(fileService, "jsontree", path)
    found: dict[str, Any] = _legacy.call("GET", url, "Files.dirList", params=params).json()
    return found


def move(
    fileService: str | FileService,
    path: str,
    destinationFileService: str | FileService,
    destinationPath: str,
    replaceExisting: bool = True,
    doCopy: bool = True,
) -> bool:
    """Copy a file or folder; with ``doCopy=False`` move it. True."""
    service, other = _service(fileService), _service(destinationFileService)
    root, owner, volume, inner = splitPath(other, destinationPath)
    body = {"destinationPath": inner, "destinationFileService": other["name"]}
    if owner is None:
        body["destinationDataVolume"] = root
    else:
        # 2.2 chose the body's form by the source, and so lost owner and volume on the way from a data volume.
        body |= {
            "destinationRootVolume": root,
            "destinationUserVolume": str(volume),
            "destinationOwnerName": owner,
        }
    params = {"replaceExisting": str(replaceExisting), "doCopy": str(doCopy)}
    _legacy.call("PUT", _url(service, "data", path), "Files.Move", params=params, **_json(body))
    return True


def delete(fileService: str | FileService, path: str, quiet: bool = True) -> bool:
    """Remove a file, or a folder with everything in it; with `quiet`, one that is missing is no error. True."""
    params = {"quiet": str(quiet)}
    _legacy.call("DELETE", _url(fileService, "data", path), "Files.delete", params=params, repeatable=quiet)
    return True


# -- what they share


def _service(fileService: str | FileService, verbose: bool = True) -> FileService:
    if not isinstance(fileService, str):
        return fileService
    found = getFileServiceFromName(fileService, verbose=False)
    if found is None:
        names = ", ".join(each["name"] for each in getFileServicesNames(verbose=verbose))
        raise ValueError(f"There is no file service of the name {fileService!r} that you may use. There is: {names}.")
    return found


def _endpoint(service: FileService) -> str:
    return str(service["apiEndpoint"]).rstrip("/") + "/"


def _url(fileService: str | FileService, what: str, path: str) -> str:
    service = _service(fileService)
    names = [name for name in splitPath(service, path) if name is not None]
    return f"{_endpoint(service)}api/{what}/{_legacy.spelled('/'.join(names))}"


def _own_volume(service: FileService, path: str) -> str:
    root, owner, volume, _ = splitPath(service, path)
    if owner is None:
        raise ValueError(f"{root} is no root volume: give rootVolume/owner/volume.")
    return _legacy.spelled(f"{root}/{owner}/{volume}")


def _volume(method: str, fileService: str | FileService, path: str, name: str, quiet: bool) -> None:
    service = _service(fileService)
    url = f"{_endpoint(service)}api/volume/{_own_volume(service, path)}"
    _legacy.call(method, url, name, params={"quiet": str(quiet)}, repeatable=quiet)


def _json(value: Any) -> dict[str, Any]:
    return {"body": json.dumps(value).encode(), "headers": {"Content-Type": "application/json"}}
