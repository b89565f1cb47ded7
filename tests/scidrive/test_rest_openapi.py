"""The OpenAPI document says what the service does."""

from __future__ import annotations

import os
import re
import zlib
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tornado.web import RequestHandler

from scidrive_service.handlers.routes import ROUTES, pattern
from scidrive_service.openapi import document
from tests.scidrive.drive_platform import DrivePlatform

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

EXAMPLES = 5
"""Of each operation, beside those in the document."""

schema = schemathesis.openapi.from_dict(document("http://scidrive.invalid"))
schema.config.phases.update(phases=["examples", "fuzzing"])
# A made-up token beside ours would be all that is looked at.
schema.config.generation.update(with_security_parameters=False)

SERVICE_PATHS = [
    "Storage/zoe/persistent/there.txt",
    "Storage/zoe/persistent/folder",
    "Storage/zoe/persistent",
    "SciDrive/zoe/there.txt",
    "Survey/readme.txt",
    "Temporary/zoe/scratch/new/file",
]
EXISTING = {
    "path": ["there.txt", "folder", "folder/new", "new.bin"],
    "root": ["Storage", "Temporary"],
    "owner": ["zoe"],
    "volume": ["persistent", "scratch", "other"],
}


@schemathesis.serializer("application/offset+octet-stream", "application/x-tar", "application/gzip")
def part(context: Any, value: Any) -> bytes:
    """Of an upload: any bytes."""
    return value if isinstance(value, bytes) else str(value).encode()


def test_the_document_is_of_version_3_1() -> None:
    value = document("http://localhost")
    assert value["openapi"].startswith("3.1")
    for each in value["components"]["schemas"].values():
        Draft202012Validator.check_schema(each)


def test_it_has_all_routes_and_no_others() -> None:
    described = {
        (path, method.upper())
        for path, operations in document("http://localhost")["paths"].items()
        for method in operations
    }
    assert described == {(path, method) for path, handler in ROUTES for method in handler.methods()}


def test_each_method_has_a_rule() -> None:
    """A method without one refuses everybody, which is safe, and a mistake."""
    for path, handler in ROUTES:
        for method in handler.methods():
            function = getattr(handler, method.lower())
            assert hasattr(function, "access_rule"), (path, method)
            assert function is not getattr(RequestHandler, method.lower())


def test_only_these_are_open() -> None:
    found = {
        path
        for path, handler in ROUTES
        for method in handler.methods()
        if getattr(handler, method.lower()).access_rule.is_open and method != "OPTIONS"
    }
    assert found == {
        "/health",
        "/openapi.json",
        "/fileservice/api/ping",
        "/fileservice/api/health",
        "/media/{link}/{path}",
    }


def test_each_reference_leads_somewhere() -> None:
    value = document("http://localhost")
    names = set(re.findall(r"'#/components/schemas/(\w+)'", str(value)))
    assert names == set(value["components"]["schemas"])


def test_no_path_hides_another() -> None:
    """Each path is answered by its own handler, and by no earlier one."""
    for number, (path, _) in enumerate(ROUTES):
        address = re.sub(r"\{\w+\}", "x", path)
        first = next(index for index, (other, _) in enumerate(ROUTES) if re.fullmatch(pattern(other), address))
        assert first == number, path


def test_it_is_served(platform: DrivePlatform) -> None:
    answer = requests.get(f"{platform.url}/openapi.json", timeout=30)
    assert answer.status_code == 200
    assert answer.json() == document(platform.url)
    assert requests.head(f"{platform.url}/openapi.json", timeout=30).status_code == 200


@pytest.fixture(scope="module")
def zoe(platform: DrivePlatform) -> dict[str, list[str]]:
    """What somebody has whose files are by chance: values of the document's parameters."""
    client = platform.client("zoe", direct=True)
    assert client.call("GET", "api/usage").status_code == 200
    assert client.call("GET", "fileservice/api/volumes/").status_code == 200
    assert client.call("GET", "vospace-2.0/1/metadata/sandbox/").status_code == 200
    fill(platform)
    links = [
        client.call("POST", "api/links", json={"path": f"Storage/zoe/persistent/{name}"}).json()["url"]
        for name in ("there.txt", "folder")
    ]
    return {"link": [link.split("/media/")[1].split("/")[0] for link in links]}


def fill(platform: DrivePlatform) -> None:
    """As a container does it, which is faster."""
    for directory in (platform.volume("zoe"), platform.drive("zoe")):
        for name in ("there.txt", "folder/inner.csv"):
            file = directory / name
            if directory.is_dir() and not file.exists():
                if not file.parent.is_dir():
                    file.parent.unlink(missing_ok=True)
                    file.parent.mkdir()
                file.write_text("a,b\n1,2\n")
                for path in (file.parent, file):
                    os.chown(path, 1000, 1000)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_what_it_says_is_true(case: Any, platform: DrivePlatform, zoe: dict[str, list[str]]) -> None:
    """Requests by chance; most of them about something that exists."""
    client = platform.client("zoe", direct=True)
    if case.operation.path == "/api/uploads/{upload}":
        zoe["upload"] = [client.call("POST", "api/uploads", json={}).json()["id"]]
    for name, value in case.path_parameters.items():
        known = EXISTING | zoe | ({"path": SERVICE_PATHS} if "/fileservice/" in case.operation.path else {})
        chosen = zlib.crc32(str(value).encode()) % 8
        if chosen and name in known and "/1/" not in case.operation.path.replace("{path}", "") * (name == "root"):
            case.path_parameters[name] = quote(known[name][chosen % len(known[name])], safe="")
    fill(platform)
    case.call_and_validate(
        base_url=platform.direct_url, headers={"X-Auth-Token": platform.token("zoe")}, checks=CHECKS, timeout=90
    )
    if case.operation.path == "/api/uploads" and case.method == "POST":
        for upload in client.call("GET", "api/uploads").json():
            client.call("DELETE", f"api/uploads/{upload['id']}")
