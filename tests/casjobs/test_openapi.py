"""The OpenAPI document says what the service does."""

from __future__ import annotations

import re
import zlib
from typing import Any

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

from casjobs_service.handlers.routes import ROUTES, pattern
from casjobs_service.openapi import document
from tests.casjobs.casjobs_platform import CasJobsPlatform

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

EXAMPLES = 5
"""Of each operation, beside those in the document."""

schema = schemathesis.openapi.from_dict(document("http://casjobs.invalid"))
schema.config.phases.update(phases=["examples", "fuzzing"])
# A made-up token beside ours would be all that is looked at.
schema.config.generation.update(with_security_parameters=False)

EXISTING = {"context": ["Sky", "MyDB"], "table": ["Stars", "MyTable"], "user": ["eva"], "result": [1]}


def test_the_document_is_of_version_3_1() -> None:
    value = document("http://localhost")
    assert value["openapi"].startswith("3.1")
    for schema in value["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_it_has_all_routes_and_no_others() -> None:
    described = {
        (path, method.upper())
        for path, operations in document("http://localhost")["paths"].items()
        for method in operations
    }
    served = {(path, method) for path, handler in ROUTES for method in handler.methods()}
    assert described == served


def test_each_method_has_a_rule() -> None:
    """A method without one refuses everybody, which is safe, and a mistake."""
    for path, handler in ROUTES:
        for method in handler.methods():
            function = getattr(handler, method.lower())
            assert hasattr(function, "access_rule"), (path, method)
            assert function is not getattr(RequestHandler, method.lower())


def test_each_reference_leads_somewhere() -> None:
    value = document("http://localhost")
    names = set(re.findall(r"'#/components/schemas/(\w+)'", str(value)))
    assert names <= set(value["components"]["schemas"])
    # And nothing is described that nobody uses.
    assert names == set(value["components"]["schemas"])


def test_no_path_hides_another() -> None:
    """Each path is answered by its own handler, and by no earlier one."""
    for number, (path, _) in enumerate(ROUTES):
        address = re.sub(r"\{\w+\}", "x", path)
        first = next(index for index, (other, _) in enumerate(ROUTES) if re.fullmatch(pattern(other), address))
        assert first == number, path


def test_it_is_served(platform: CasJobsPlatform) -> None:
    answer = requests.get(f"{platform.url}/openapi.json", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == document(platform.url)
    assert requests.head(f"{platform.url}/openapi.json", timeout=30).status_code == 200


@pytest.fixture(scope="module")
def eva(platform: CasJobsPlatform) -> tuple[str, int]:
    """The token of somebody whose tables and history are by chance, and the number of a finished job of hers."""
    client = platform.client("eva", direct=True)
    number = client.submit("select 1 as one")
    assert client.upload("MyTable", b"a\n1\n").status_code == 200
    assert client.ended(number)["Status"] == 5
    return platform.token("eva"), number


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_what_it_says_is_true(case: Any, platform: CasJobsPlatform, eva: tuple[str, int]) -> None:
    """Requests by chance; most of them about something that exists."""
    token, job = eva
    for name, value in case.path_parameters.items():
        existing = [job] if name == "job" else EXISTING[name]
        chosen = zlib.crc32(str(value).encode()) % 4
        if value != 1 and chosen:
            case.path_parameters[name] = existing[chosen % len(existing)]
        elif name == "job":
            case.path_parameters[name] = job
    case.call_and_validate(base_url=platform.direct_url, headers={"X-Auth-Token": token}, checks=CHECKS, timeout=90)
