"""Carries out operations with the synchronous httpx."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import httpx

from SciServer.core import logs, policy
from SciServer.core.errors import ServiceError
from SciServer.core.policy import LIMITS, Policy
from SciServer.core.wire import Answer, Call, Close, Open, Operation, Pull, Request, Sleep, Step

T = TypeVar("T")


class BlockingStream:
    """An answer whose body is still coming."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self._response = response
        self._url = url
        self._pieces: Iterator[bytes] = response.iter_bytes()
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def pull(self) -> bytes | None:
        try:
            return next(self._pieces, None)
        except httpx.RequestError:
            self.close()
            raise policy.torn(self._url) from None
        except BaseException as error:
            # Ctrl-C: the service learns that nobody waits any more.
            self.close()
            # Frames below hold the request's headers, which verbose tracebacks would show.
            raise error.with_traceback(None) from None

    def close(self) -> None:
        self._response.close()


class BlockingDriver:
    """Carries out operations in the thread that asks for it; several threads may."""

    def __init__(self, policy: Policy) -> None:
        logs.keep_secrets()
        self.policy = policy
        self._http = httpx.Client(follow_redirects=False, limits=LIMITS)

    def close(self) -> None:
        self._http.close()

    def run(self, operation: Operation[T]) -> T:
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
                    outcome = self._step(step)
                except BaseException as error:
                    failure = error
        except StopIteration as end:
            result: T = end.value
            return result

    def _step(self, step: Step) -> Any:
        match step:
            case Request():
                return self._whole(self._open(step))
            case Open():
                return self._open(step.request)
            case Pull():
                return self._own(step.stream).pull()
            case Close():
                return self._own(step.stream).close()
            case Sleep():
                return time.sleep(step.seconds)
            case Call():
                return step.function()

    @staticmethod
    def _own(stream: Any) -> BlockingStream:
        if not isinstance(stream, BlockingStream):
            raise TypeError("This stream belongs to another client.")
        return stream

    def _open(self, request: Request) -> BlockingStream:
        attempt = 0
        while True:
            failure: httpx.RequestError | httpx.Response
            try:
                failure = self._send(request)
            except httpx.RequestError as error:
                failure = error
            except httpx.InvalidURL:
                raise ServiceError("The address of the request is not valid: check the names in it.") from None
            except KeyboardInterrupt:
                raise KeyboardInterrupt from None
            if isinstance(failure, httpx.Response) and failure.status_code < 300:
                return BlockingStream(failure, request.url)
            pause = self.policy.pause(request, attempt, failure)
            if isinstance(failure, httpx.Response):
                body = self._error_body(failure)
                if pause is None:
                    raise policy.error_of(failure.status_code, failure.headers, body) from None
            elif pause is None:
                raise policy.unreachable(request.url, failure, request.patience or self.policy.timeout) from None
            attempt += 1
            time.sleep(pause)

    def _send(self, request: Request) -> httpx.Response:
        built = self._http.build_request(
            request.method,
            request.url,
            params=request.params or None,
            headers=self.policy.headers(request),
            content=request.body() if callable(request.body) else request.body,
            timeout=self.policy.timeouts(request),
        )
        return self._http.send(built, stream=True, follow_redirects=request.follows and request.auth == "none")

    @staticmethod
    def _error_body(response: httpx.Response) -> bytes:
        with suppress(httpx.RequestError):
            response.read()
            return response.content
        return b""

    @staticmethod
    def _whole(stream: BlockingStream) -> Answer:
        pieces = []
        try:
            while (piece := stream.pull()) is not None:
                pieces.append(piece)
        finally:
            stream.close()
        return Answer(stream.status, stream.headers, b"".join(pieces))
