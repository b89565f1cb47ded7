"""A real hub, its proxy and the real service, for tests over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import requests

from casjobs_service.contexts import Contexts
from casjobs_service.duckdb_catalog import comment_statements, read_catalog
from sciserver_common.deployment import SERVICE_PORTS
from sciserver_common.scopes import CASJOBS_WRITE
from tests.common.hub_platform import ServicePlatform
from tests.support import wait_until

STARS = 1000
"""Rows of ``Sky.Stars``: ``objID`` from 2^53 + 1, so that no double can hold most of them."""

FIRST = 2**53 + 1

SKY = f"""
CREATE TABLE Stars AS
SELECT {FIRST} + i AS objID, i * 0.36e0 AS ra, i * 0.18e0 - 90 AS "dec", CAST(15 + i % 10 AS FLOAT) AS mag,
       CASE WHEN i % 3 = 0 THEN 'STAR' ELSE 'GALAXY' END AS class,
       CASE WHEN i % 4 = 0 THEN NULL ELSE i % 100 END AS visits
FROM range({STARS}) r(i);
CREATE TABLE Fields AS SELECT CAST(i AS INTEGER) AS fieldID, 'field ' || i AS name FROM range(10) r(i);
"""  # noqa: S608 - our own constants


def make_context(contexts: Contexts, name: str, script: str = SKY, **settings: Any) -> None:
    """A context of the embedded engine with the tables that `script` makes."""
    context = contexts.create(name, **settings)
    assert context.data_file is not None
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{context.data_file}' AS {name}; USE {name}")
        connection.execute(script)
        tables = read_catalog(lambda sql, values: connection.execute(sql, values).fetchall(), name)
        for table in tables.tables:
            columns = [_described(column) for column in table.columns]
            for statement in comment_statements(
                name, table.name, columns, description=f"All {table.name}", created="2026-01-31T12:00:00Z"
            ):
                connection.execute(statement)
        catalog = read_catalog(lambda sql, values: connection.execute(sql, values).fetchall(), name, sizes=True)
    contexts.update(name, catalog=catalog, loaded="2026-01-31T12:00:00Z")


def _described(column: Any) -> Any:
    known = {
        "ra": {"unit": "deg", "ucd": "pos.eq.ra;meta.main", "description": "Right ascension"},
        "dec": {"unit": "deg", "ucd": "pos.eq.dec;meta.main", "description": "Declination"},
        "mag": {"unit": "mag", "ucd": "phot.mag", "description": "Größe"},
    }
    return type(column)(column.name, column.type, **known.get(column.name, {}))


class CasJobsPlatform(ServicePlatform):
    """The processes of one deployment with CasJobs.

    Parameters
    ----------
    config
        Lines for the configuration, e.g. ``c.Quick.seconds = 5``.
    """

    def __init__(self, home: Path, config: str = "") -> None:
        super().__init__(home, "casjobs", "jupyterhub_config.py", (CASJOBS_WRITE,))
        self.port = SERVICE_PORTS["casjobs"]
        (self.home / "service.json").write_text(json.dumps({"port": self.port}))
        with self._config.open("a") as file:
            file.write(f"\n{config}\n")
        self.contexts = Contexts.of(self.deployment)

    @property
    def rest(self) -> str:
        """The REST interface, behind the proxy."""
        return f"{self.url}/RestApi"

    def client(self, name: str, *scopes: str, direct: bool = False) -> Client:
        """Somebody who uses the service with a token."""
        return Client(f"{self.direct_url}/RestApi" if direct else self.rest, self.token(name, *scopes))


class Client(requests.Session):
    """Somebody with a token, who speaks as SciServer's client library does."""

    def __init__(self, rest: str, token: str = "") -> None:
        super().__init__()
        self.rest = rest
        self.trust_env = False
        # The proxy closes idle connections after 5 seconds, maybe just as the next request comes.
        self.headers["Connection"] = "close"
        if token:
            self.headers["X-Auth-Token"] = token

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request below the REST interface's address."""
        return self.request(method, f"{self.rest}/{path}", timeout=90, **options)

    def query(self, sql: str, context: str = "MyDB", accept: str = "text/plain", **options: Any) -> requests.Response:
        """A quick query; the client's ``executeQuery``."""
        headers = {"Content-Type": "application/json", "Accept": accept} | options.pop("headers", {})
        params = {"TaskName": "SciScript-Python.CasJobs.executeQuery"} | options.pop("params", {})
        body = {"Query": sql, "TaskName": "SciScript-Python.CasJobs.executeQuery"} | options.pop("body", {})
        return self.call(
            "POST",
            f"contexts/{context}/query",
            data=json.dumps(body).encode(),
            headers=headers,
            params=params,
            **options,
        )

    def csv(self, sql: str, context: str = "MyDB") -> str:
        """A quick query's answer as CSV; it must work."""
        answer = self.query(sql, context)
        assert answer.status_code == 200, answer.text
        return answer.content.decode()

    def submit(self, sql: str, context: str = "MyDB", **body: Any) -> int:
        """A job's number; the client's ``submitJob``."""
        answer = self.call(
            "PUT",
            f"contexts/{context}/jobs?TaskName=SciScript-Python.CasJobs.submitJob",
            data=json.dumps({"Query": sql, "TaskName": "SciScript-Python.CasJobs.submitJob", **body}).encode(),
            headers={"Content-Type": "application/json", "Accept": "text/plain"},
        )
        assert answer.status_code == 200, answer.text
        return int(answer.content.decode())

    def job(self, number: int, **params: Any) -> dict[str, Any]:
        """A job's record."""
        answer = self.call("GET", f"jobs/{number}", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ended(self, number: int) -> dict[str, Any]:
        """A job's record when it has ended."""
        return wait_until(lambda: (job := self.job(number, wait=10))["Status"] >= 3 and job, what=f"job {number} ends")

    def upload(self, table: str, data: bytes, context: str = "MyDB", **options: Any) -> requests.Response:
        """The client's ``uploadCSVDataToTable``: no Content-Type."""
        return self.call("POST", f"contexts/{context}/Tables/{table}", data=data, **options)
