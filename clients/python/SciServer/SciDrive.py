"""Files in SciDrive, with the functions of SciScript-Python 2.2 (contract §4).

For folders, large files and progress see ``SciServer.core.Client().scidrive``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from SciServer import Config, _legacy
from SciServer.core.transfer import fetch

FORMATS = ("text", "StringIO", "BytesIO", "response")

_NODE = """<vos:node xmlns:vos="http://www.ivoa.net/xml/VOSpace/v2.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="vos:ContainerNode" uri={uri}>
<vos:properties/><vos:accepts/><vos:provides/><vos:capabilities/></vos:node>
"""


def createContainer(path: str) -> bool:
    """Make a folder; True. The one above it must be there."""
    _legacy.call("PUT", _url(f"nodes/{_legacy.spelled(path)}"), "SciDrive.createContainer", **_node(path))
    return True


def upload(path: str, data: str | bytes = "", localFilePath: str | None = "") -> dict[str, Any]:
    """Send a file: a local one, or `data`. What SciDrive tells of it: ``path``, ``bytes`` and more."""
    url = _url(f"1/files_put/dropbox/{_legacy.spelled(path)}")
    body = _legacy.body_of(data, localFilePath)
    found: dict[str, Any] = _legacy.call("PUT", url, "SciDrive.upload", repeatable=True, **body).json()
    return found


def publicUrl(path: str) -> str:
    """An address that opens the file for everybody who has it, for some hours."""
    return _public_url(path, "SciDrive.publicUrl")


def directoryList(path: str = "") -> dict[str, Any]:
    """A folder; what is in it is a list under ``contents``."""
    url = _url(f"1/metadata/sandbox/{_legacy.spelled(path)}")
    params = {"list": "True", "path": path}
    found: dict[str, Any] = _legacy.call("GET", url, "SciDrive.directoryList", params=params).json()
    return found


def download(path: str, format: str = "text", localFilePath: str | None = "") -> Any:
    """Fetch a file.

    Parameters
    ----------
    format
        ``text``; ``StringIO`` or ``BytesIO`` to read from; ``response``: httpx's, with all of the content.
    localFilePath
        Store it there instead; it appears when it is whole. Returns True.

    Raises
    ------
    ValueError
        There is no such format.
    """
    if not localFilePath and format not in FORMATS:
        raise ValueError(f"There is no format {format!r}: use {', '.join(FORMATS)}.")
    request = _legacy.public(_public_url(path, "SciDrive.download"))
    if localFilePath:
        _legacy.run(fetch(request, Path(localFilePath), path))
        return True
    return _legacy.converted(_legacy.run(_legacy.answered(request)), format)


def delete(path: str) -> bool:
    """Remove a file, or a folder with everything in it; True."""
    _legacy.call("DELETE", _url(f"nodes/{_legacy.spelled(path)}"), "SciDrive.delete", **_node(path))
    return True


def _url(rest: str) -> str:
    return f"{Config.SciDriveHost.rstrip('/')}/vospace-2.0/{rest}"


def _node(path: str) -> dict[str, Any]:
    uri = quoteattr(f"vos://{Config.SciDriveHost}!vospace/{path}")
    return {"body": _NODE.format(uri=uri).encode(), "headers": {"Content-Type": "application/xml"}}


def _public_url(path: str, name: str) -> str:
    found = _legacy.call("GET", _url(f"1/media/sandbox/{_legacy.spelled(path)}"), name).json()
    return str(found["url"])
