"""The two clients. Their methods are the operations of `SciServer.core.casjobs` and its neighbours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from SciServer.core import casjobs, files, portal, remote
from SciServer.core.asynchronous import AsyncDriver
from SciServer.core.blocking import BlockingDriver
from SciServer.core.places import FileService, SciDrive
from SciServer.core.policy import Policy
from SciServer.core.remote import AsyncFile
from SciServer.core.result import AsyncResult, Result
from SciServer.core.settings import Settings
from SciServer.core.tokens import Token
from SciServer.core.wire import Operation

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

TIMEOUT = 60.0
"""Seconds that a service may be silent, where an operation does not say otherwise."""

RETRIES = 3


class _Part:
    """A group of a client's methods; what operations take first."""

    def __init__(self, client: Client) -> None:
        self._driver = client.driver
        self.settings = client.settings


class _AsyncPart:
    """A group of an asynchronous client's methods; what operations take first."""

    def __init__(self, client: AsyncClient) -> None:
        self._driver = client.driver
        self.settings = client.settings


def _blocking(operation: Callable[Concatenate[Any, P], Operation[T]]) -> Callable[Concatenate[_Part, P], T]:
    """A method that carries out an operation."""

    def method(self: _Part, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._driver.run(operation(self, *args, **kwargs))

    return _described(method, operation)


def _coroutine(
    operation: Callable[Concatenate[Any, P], Operation[T]],
) -> Callable[Concatenate[_AsyncPart, P], Coroutine[Any, Any, T]]:
    """A coroutine that carries out an operation."""

    async def method(self: _AsyncPart, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._driver.run(operation(self, *args, **kwargs))

    return _described(method, operation)


def _opening(
    operation: Callable[Concatenate[Any, P], Operation[S]], kind: Callable[[S, BlockingDriver], T]
) -> Callable[Concatenate[_Part, P], T]:
    """A method whose operation opens something that goes on needing the driver."""

    def method(self: _Part, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return kind(self._driver.run(operation(self, *args, **kwargs)), self._driver)

    return _described(method, operation)


def _opening_coroutine(
    operation: Callable[Concatenate[Any, P], Operation[S]], kind: Callable[[S, AsyncDriver], T]
) -> Callable[Concatenate[_AsyncPart, P], Coroutine[Any, Any, T]]:
    """A coroutine whose operation opens something that goes on needing the driver."""

    async def method(self: _AsyncPart, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return kind(await self._driver.run(operation(self, *args, **kwargs)), self._driver)

    return _described(method, operation)


def _described(method: F, operation: Callable[..., Any]) -> F:
    """The method with the operation's name, text and parameters, for ``help`` and completion."""
    parameters = list(inspect.signature(operation).parameters.values())
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__, method.__doc__ = operation.__name__, operation.__doc__
    method.__signature__ = inspect.Signature([own, *parameters[1:]])  # type: ignore[attr-defined]
    return method


class CasJobs(_Part):
    """SQL queries and tables; `Client.casjobs`."""

    contexts = _blocking(casjobs.contexts)
    tables = _blocking(casjobs.tables)
    table = _blocking(casjobs.table_details)
    functions = _blocking(casjobs.functions)
    query = _opening(casjobs.query, Result)
    explain = _blocking(casjobs.explain)
    submit = _blocking(casjobs.submit)
    job = _blocking(casjobs.job)
    jobs = _blocking(casjobs.jobs)
    wait = _blocking(casjobs.wait)
    cancel = _blocking(casjobs.cancel)
    resubmit = _blocking(casjobs.resubmit)
    job_result = _opening(casjobs.job_result, Result)
    read = _opening(casjobs.read, Result)
    upload = _blocking(casjobs.upload)
    drop = _blocking(casjobs.drop)


class AsyncCasJobs(_AsyncPart):
    """SQL queries and tables; `AsyncClient.casjobs`."""

    contexts = _coroutine(casjobs.contexts)
    tables = _coroutine(casjobs.tables)
    table = _coroutine(casjobs.table_details)
    functions = _coroutine(casjobs.functions)
    query = _opening_coroutine(casjobs.query, AsyncResult)
    explain = _coroutine(casjobs.explain)
    submit = _coroutine(casjobs.submit)
    job = _coroutine(casjobs.job)
    jobs = _coroutine(casjobs.jobs)
    wait = _coroutine(casjobs.wait)
    cancel = _coroutine(casjobs.cancel)
    resubmit = _coroutine(casjobs.resubmit)
    job_result = _opening_coroutine(casjobs.job_result, AsyncResult)
    read = _opening_coroutine(casjobs.read, AsyncResult)
    upload = _coroutine(casjobs.upload)
    drop = _coroutine(casjobs.drop)


class _Place(_Part):
    """What can be done with files in either place, which the subclass names."""

    list = _blocking(files.listing)
    stat = _blocking(files.stat)
    read = _blocking(files.read)
    open = _opening(files.remote, remote.blocking)
    get = _blocking(files.get)
    put = _blocking(files.put)
    mkdir = _blocking(files.mkdir)
    remove = _blocking(files.remove)
    move = _blocking(files.move)
    copy = _blocking(files.copy)
    usage = _blocking(files.usage)


class Files(_Place):
    """Files in volumes; `Client.files`."""

    volumes = _blocking(files.volumes)
    share = _blocking(files.share)

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.place = FileService(client.settings)


class SciDriveFiles(_Place):
    """Files in SciDrive; `Client.scidrive`."""

    link = _blocking(files.link)
    unlink = _blocking(files.unlink)

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.place = SciDrive(client.settings)


class _AsyncPlace(_AsyncPart):
    """What can be done with files in either place, which the subclass names."""

    list = _coroutine(files.listing)
    stat = _coroutine(files.stat)
    read = _coroutine(files.read)
    open = _opening_coroutine(files.remote, AsyncFile)
    get = _coroutine(files.get)
    put = _coroutine(files.put)
    mkdir = _coroutine(files.mkdir)
    remove = _coroutine(files.remove)
    move = _coroutine(files.move)
    copy = _coroutine(files.copy)
    usage = _coroutine(files.usage)


class AsyncFiles(_AsyncPlace):
    """Files in volumes; `AsyncClient.files`."""

    volumes = _coroutine(files.volumes)
    share = _coroutine(files.share)

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client)
        self.place = FileService(client.settings)


class AsyncSciDriveFiles(_AsyncPlace):
    """Files in SciDrive; `AsyncClient.scidrive`."""

    link = _coroutine(files.link)
    unlink = _coroutine(files.unlink)

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client)
        self.place = SciDrive(client.settings)


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
        self.files = Files(self)
        self.scidrive = SciDriveFiles(self)

    def login(self, user: str, password: str) -> None:
        """Sign in; this client uses the token from now on.

        Raises
        ------
        NotSignedInError
            The name or the password is wrong.
        """
        operation = portal.login(self, user, Token(password))
        # Tracebacks may show variables.
        del password
        self.driver.policy = replace(self.driver.policy, token=self.driver.run(operation))

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
        self.files = AsyncFiles(self)
        self.scidrive = AsyncSciDriveFiles(self)

    async def login(self, user: str, password: str) -> None:
        """Sign in; this client uses the token from now on."""
        operation = portal.login(self, user, Token(password))
        del password
        token = await self.driver.run(operation)
        self.driver.policy = replace(self.driver.policy, token=token)

    async def close(self) -> None:
        """Close its connections."""
        await self.driver.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
