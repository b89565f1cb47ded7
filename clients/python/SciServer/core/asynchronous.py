"""Carries out operations with the asynchronous httpx."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import httpx

from SciServer.core import logs, policy
from SciServer.core.errors import ServiceError
from SciServer.core.policy import LIMITS, Policy
from SciServer.core.wire import Answer, Call, Close, Open, Operation, Pull, Request, Sleep, Step

T = TypeVar("T")


class AsyncStream:
    """An answer whose body is still coming."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self._response = response
        self._url = url
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def pull(self) -> bytes | None:
        try:
            return await anext(self._pieces, None)
        except httpx.RequestError:
            await self.close()
            raise policy.torn(self._url) from None
        except BaseException as error:
            # Cancelled: the service learns that nobody waits any more.
            await self.close()
            raise error.with_traceback(None) from None

    async def close(self) -> None:
        await self._response.aclose()


class AsyncDriver:
    """Carries out operations in the running event loop."""

    def __init__(self, policy: Policy) -> None:
        logs.keep_secrets()
        self.policy = policy
        self._http = httpx.AsyncClient(follow_redirects=False, limits=LIMITS)

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, operation: Operation[T]) -> T:
        """The result of an operation.

        Raises
        ------
        SciServerError
            As the operation says.
        """
        outcome: Any = None
        failure: BaseException | None = None
        try:
            while True:
                step = operation.throw(failure) if failure is not None else operation.send(outcome)
                outcome = failure = None
                try:
                    outcome = await self._step(step)
                except BaseException as error:
                    failure = error
        except StopIteration as end:
            result: T = end.value
            return result

    async def _step(self, step: Step) -> Any:
        match step:
            case Request():
                return await self._whole(await self._open(step))
            case Open():
                return await self._open(step.request)
            case Pull():
                return await self._own(step.stream).pull()
            case Close():
                return await self._own(step.stream).close()
            case Sleep():
                return await asyncio.sleep(step.seconds)
            case Call():
                return await asyncio.to_thread(step.function)

    @staticmethod
    def _own(stream: Any) -> AsyncStream:
        if not isinstance(stream, AsyncStream):
            raise TypeError("This stream belongs to another client.")
        return stream

    async def _open(self, request: Request) -> AsyncStream:
        attempt = 0
        while True:
            failure: httpx.RequestError | httpx.Response
            try:
                failure = await self._send(request)
            except httpx.RequestError as error:
                failure = error
            except httpx.InvalidURL:
                raise ServiceError("The address of the request is not valid: check the names in it.") from None
            if isinstance(failure, httpx.Response) and failure.status_code < 300:
                return AsyncStream(failure, request.url)
            pause = self.policy.pause(request, attempt, failure)
            if isinstance(failure, httpx.Response):
                body = await self._error_body(failure)
                if pause is None:
                    raise policy.error_of(failure.status_code, failure.headers, body) from None
            elif pause is None:
                raise policy.unreachable(request.url, failure, request.patience or self.policy.timeout) from None
            attempt += 1
            await asyncio.sleep(pause)

    async def _send(self, request: Request) -> httpx.Response:
        built = self._http.build_request(
            request.method,
            request.url,
            params=request.params or None,
            headers=self.policy.headers(request),
            content=_pieces(request.body) if callable(request.body) else request.body,
            timeout=self.policy.timeouts(request),
        )
        return await self._http.send(built, stream=True, follow_redirects=request.follows and request.auth == "none")

    @staticmethod
    async def _error_body(response: httpx.Response) -> bytes:
        with suppress(httpx.RequestError):
            await response.aread()
            return response.content
        return b""

    @staticmethod
    async def _whole(stream: AsyncStream) -> Answer:
        pieces = []
        try:
            while (piece := await stream.pull()) is not None:
                pieces.append(piece)
        finally:
            await stream.close()
        return Answer(stream.status, stream.headers, b"".join(pieces))


async def _pieces(body: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
    """Pieces that are read from disk, without holding up the event loop."""
    pieces = body()
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
