"""SciDrive's doors as tests in a whole deployment use them, and a running container."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import docker
import requests
from docker.models.containers import Container

from sciserver_common.scopes import FILES_SHARE, FILES_WRITE
from sciserver_spawner.naming import container_name
from tests.support import Person, Platform

WORKSPACE = "/home/idies/workspace"


class Doors:
    """What one person reaches from outside, with a token."""

    def __init__(self, platform: Platform, person: Person) -> None:
        self.name = person.name
        self.token = person.token(FILES_WRITE, FILES_SHARE)
        self.url = f"{platform.url}/services/scidrive"

    def rest(self, method: str, path: str, **options: Any) -> requests.Response:
        """A call of the file service: `path` follows ``api/``."""
        return self.ask(method, f"/fileservice/api/{path}", **options)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"X-Auth-Token": self.token} | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=60, allow_redirects=False, **options)

    def dav(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request of WebDAV, with the token as the password."""
        return requests.request(
            method,
            f"{self.url}/dav/{path}",
            auth=(self.name, self.token),
            timeout=60,
            allow_redirects=False,
            **options,
        )

    def get(self, place: str, path: str | bytes = "") -> list[requests.Response]:
        """A file by REST and by WebDAV."""
        where = f"{place}/{quote(path)}" if path else place
        # WebDAV's SciDrive is one's own.
        where_dav = where.replace(f"SciDrive/{self.name}", "SciDrive", 1)
        return [self.rest("GET", f"file/{where}"), self.dav("GET", where_dav)]

    def names(self, place: str, level: int = 2) -> set[str]:
        """What is in a folder."""
        answer = self.rest("GET", f"jsontree/{place}?level={level}")
        assert answer.status_code == 200, answer.text
        root = answer.json()["root"]
        return {entry["name"] for entry in [*root.get("files", []), *root.get("folders", [])]}

    def share(self, place: str, name: str, *actions: str, kind: str = "USER") -> None:
        body = [{"name": name, "type": kind, "allowedActions": actions}]
        answer = self.rest("PATCH", f"share/{place}", json=body)
        assert answer.ok, answer.text


class Inside:
    """A person's running container."""

    def __init__(self, platform: Platform, engine: docker.DockerClient, name: str) -> None:
        self.container: Container = engine.containers.get(container_name(platform.deployment.id, name, ""))

    def run(self, *command: str, check: bool = True) -> str:
        """A command in the workspace; its output, and with ``check=False`` that of one that failed."""
        status, output = self.container.exec_run(list(command), workdir=WORKSPACE)
        text = output.decode(errors="replace")
        assert status == 0 or not check, text
        return text

    def sh(self, script: str, *, check: bool = True) -> str:
        return self.run("sh", "-c", script, check=check)

    def python(self, script: str, *arguments: str, check: bool = True) -> str:
        return self.run("python3", "-c", script, *arguments, check=check)

    def start(self, script: str, *arguments: str) -> None:
        """A program that goes on by itself."""
        self.container.exec_run(["python3", "-c", script, *arguments], workdir=WORKSPACE, detach=True)

    def mounts(self) -> dict[str, bool]:
        """Place below the workspace of each user volume, and whether it can be written."""
        found = {}
        for mount in self.container.attrs["Mounts"]:
            place = mount["Destination"].removeprefix(f"{WORKSPACE}/")
            # Data volumes have one name only.
            if place != mount["Destination"] and "/" in place:
                found[place] = mount["RW"]
        return found

    def settings(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.run("cat", "/etc/sciserver/sciscript.json"))
        return found
