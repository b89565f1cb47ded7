"""Somebody who speaks WebDAV."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import requests
from defusedxml import ElementTree

from tests.scidrive.drive_platform import DrivePlatform


def dav(platform: DrivePlatform) -> str:
    """The door's address without the proxy."""
    return f"{platform.deployment.internal_origin('dav')}/services/scidrive/dav"


class Dav(requests.Session):
    """Requests below one address, with a name and a token as password."""

    def __init__(self, url: str, name: str, token: str) -> None:
        super().__init__()
        self.url = url
        self.trust_env = False
        self.auth = (name, token)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request; the path is encoded here. Headers may be given by name, with underscores."""
        headers = {key.replace("_", "-"): options.pop(key) for key in list(options) if key[0].isupper()}
        options["headers"] = headers | options.get("headers", {})
        return self.request(method, f"{self.url}/{quote(path)}", timeout=60, **options)

    def find(self, path: str, depth: str = "1", body: str = "") -> dict[str, dict[str, Any]]:
        """PROPFIND: the properties that were found, by path and name without its namespace."""
        answer = self.ask("PROPFIND", path, Depth=depth, data=body.encode())
        assert answer.status_code == 207, answer.text
        found = {}
        for response in ElementTree.fromstring(answer.content):
            href = unquote(response.findtext("{DAV:}href") or "")
            properties = {}
            for part in response.findall("{DAV:}propstat"):
                if " 200 " in (part.findtext("{DAV:}status") or ""):
                    for element in part.find("{DAV:}prop") or ():
                        properties[element.tag.rpartition("}")[2]] = element.text or [child.tag for child in element]
            found[href.split("/dav/", 1)[1]] = properties
        return found

    def names(self, path: str) -> list[str]:
        """What is in a folder; folders with a slash."""
        found = self.find(path, body='<propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>')
        start = path.strip("/") + "/" if path.strip("/") else ""
        return sorted(name.removeprefix(start) for name in found if name != start)
