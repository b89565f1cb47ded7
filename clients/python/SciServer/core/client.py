"""The two clients. Their methods are the operations of `SciServer.core.casjobs` and its neighbours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from SciServer.core import casjobs
from SciServer.core.asynchronous import AsyncDriver
from SciServer.core.blocking import BlockingDriver
from SciServer.core.policy import Policy
from SciServer.core.result import AsyncResult, Result
from SciServer.core.rows import Rows
from SciServer.core.settings import Settings
from SciServer.core.tokens import Token
from SciServer.core.wire import Operation

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds that a service may be silent, where an operation does not say otherwise."""

RETRIES = 3


class _Part:
    """A group of a client's methods."""

    def __init__(self, client: Client) -> None:
        self._client = client


class _AsyncPart:
    """A group of an asynchronous client's methods."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client


def _blocking(operation: Callable[Concatenate[Any, P], Operation[T]]) -> Callable[Concatenate[_Part, P], T]:
    """A method that carries out an operation."""

    @wraps(operation)
    def method(self: _Part, /, *args: P.args, **kwargs: P.kwargs) -> T:
        client = self._client
        return client.driver.run(operation(client, *args, **kwargs))

    return method


def _coroutine(
    operation: Callable[Concatenate[Any, P], Operation[T]],
) -> Callable[Concatenate[_AsyncPart, P], Awaitable[T]]:
    """A coroutine that carries out an operation."""

    @wraps(operation)
    async def method(self: _AsyncPart, /, *args: P.args, **kwargs: P.kwargs) -> T:
        client = self._client
        return await client.driver.run(operation(client, *args, **kwargs))

    return method


def _blocking_rows(
    operation: Callable[Concatenate[Any, P], Operation[Rows]],
) -> Callable[Concatenate[_Part, P], Result]:
    """A method whose operation opens a stream of rows."""

    @wraps(operation)
    def method(self: _Part, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        client = self._client
        return Result(client.driver.run(operation(client, *args, **kwargs)), client.driver)

    return method


def _coroutine_rows(
    operation: Callable[Concatenate[Any, P], Operation[Rows]],
) -> Callable[Concatenate[_AsyncPart, P], Awaitable[AsyncResult]]:
    """A coroutine whose operation opens a stream of rows."""

    @wraps(operation)
    async def method(self: _AsyncPart, /, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        client = self._client
        return AsyncResult(await client.driver.run(operation(client, *args, **kwargs)), client.driver)

    return method


class CasJobs(_Part):
    """SQL queries and tables; `Client.casjobs`."""

    contexts = _blocking(casjobs.contexts)
    tables = _blocking(casjobs.tables)
    table = _blocking(casjobs.table_details)
    functions = _blocking(casjobs.functions)
    query = _blocking_rows(casjobs.query)
    explain = _blocking(casjobs.explain)
    submit = _blocking(casjobs.submit)
    job = _blocking(casjobs.job)
    jobs = _blocking(casjobs.jobs)
    wait = _blocking(casjobs.wait)
    cancel = _blocking(casjobs.cancel)
    resubmit = _blocking(casjobs.resubmit)
    job_result = _blocking_rows(casjobs.job_result)
    read = _blocking_rows(casjobs.read)
    upload = _blocking(casjobs.upload)
    drop = _blocking(casjobs.drop)


class AsyncCasJobs(_AsyncPart):
    """SQL queries and tables; `AsyncClient.casjobs`."""

    contexts = _coroutine(casjobs.contexts)
    tables = _coroutine(casjobs.tables)
    table = _coroutine(casjobs.table_details)
    functions = _coroutine(casjobs.functions)
    query = _coroutine_rows(casjobs.query)
    explain = _coroutine(casjobs.explain)
    submit = _coroutine(casjobs.submit)
    job = _coroutine(casjobs.job)
    jobs = _coroutine(casjobs.jobs)
    wait = _coroutine(casjobs.wait)
    cancel = _coroutine(casjobs.cancel)
    resubmit = _coroutine(casjobs.resubmit)
    job_result = _coroutine_rows(casjobs.job_result)
    read = _coroutine_rows(casjobs.read)
    upload = _coroutine(casjobs.upload)
    drop = _coroutine(casjobs.drop)


class Client:
    """A deployment's services.

    Several threads may use one client.

    Parameters
    ----------
    settings
        Where the services are; by default what this machine's `sciscript.json` says.
    token
        By default looked up for each request: the token file, `SciServer.Authentication.setToken`, and the environment
        variable ``SCISERVER_TOKEN``.
    timeout
        Seconds that a service may be silent. Queries may be silent for ten minutes.
    retries
        How often a request is sent again: when a service says that it is too busy (503 or 429 with Retry-After), and
        if it does no harm also when the connection broke.

    Raises
    ------
    SettingsError
        A settings file cannot be used.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
    ) -> None:
        self.settings = settings if settings is not None else Settings.load()
        self.driver = BlockingDriver(Policy(self.settings, Token(token) if token else None, timeout, retries))
        self.casjobs = CasJobs(self)

    def close(self) -> None:
        """Close its connections."""
        self.driver.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """A deployment's services; as `Client`, with coroutines."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
    ) -> None:
        self.settings = settings if settings is not None else Settings.load()
        self.driver = AsyncDriver(Policy(self.settings, Token(token) if token else None, timeout, retries))
        self.casjobs = AsyncCasJobs(self)

    async def close(self) -> None:
        """Close its connections."""
        await self.driver.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
