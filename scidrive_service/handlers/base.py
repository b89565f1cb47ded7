"""What all requests have in common: who asks, the path, parameters as the clients write them, work in threads."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from scidrive_service import paths
from scidrive_service.errors import FileError
from scidrive_service.files import Files, Person
from scidrive_service.handlers import problems
from scidrive_service.handlers.parts import Parts
from scidrive_service.handlers.problems import Problem
from scidrive_service.paths import Path
from sciserver_common.requests import RequestHandler

ADMIN = "admin:users"
"""Scope of the hub by which a token is an administrator's, also here."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Handler(RequestHandler):
    """Base of the service's handlers."""

    expected_errors = (FileError,)

    @property
    def parts(self) -> Parts:
        """The service's parts."""
        parts: Parts = self.settings["parts"]
        return parts

    @property
    def files(self) -> Files:
        return self.parts.files

    @property
    def person(self) -> Person:
        """Who is calling."""
        return Person(self.user["name"], frozenset(self.groups), self.has_scope(ADMIN))

    def run(self, function: Callable[_P, _T], *arguments: _P.args, **keywords: _P.kwargs) -> Awaitable[_T]:
        """Call a function that blocks, in a thread."""
        return self.parts.run(function, *arguments, **keywords)

    def run_long(self, function: Callable[_P, _T], *arguments: _P.args, **keywords: _P.kwargs) -> Awaitable[_T]:
        """As `run`, for what may take minutes."""
        return self.parts.run_long(self.user["name"], functools.partial(function, *arguments, **keywords))

    # -- the address

    def decode_argument(self, value: bytes | None, name: str | None = None) -> str:
        """A part of the address: names of files need not be text. None: there is not even a slash before it."""
        return os.fsdecode(value or b"")

    @staticmethod
    def path(text: str | None) -> Path:
        """A path out of the address, or of a parameter; see `paths.parse`."""
        return paths.parse(text or "")

    def parameter(self, name: str) -> str | None:
        """As the base's. The R client begins its own parameters with a second ``?``: what follows is no value."""
        value = super().parameter(name)
        return value.partition("?TaskName=")[0] if value is not None else None

    def path_parameter(self, name: str) -> Path | None:
        """A path in a parameter; None if it is not there."""
        values = self.request.query_arguments.get(name)
        return paths.parse(os.fsdecode(values[-1])) if values else None

    def flag(self, name: str, default: bool) -> bool:
        """A parameter that is true or false, in any spelling."""
        value = self.parameter(name)
        return default if value is None else self.truth(f"The parameter {name}", value)

    # -- the body

    def json_body(self) -> Any:
        """The body as JSON, whatever ``Content-Type`` says.

        Raises
        ------
        Problem
            400: it is something else.
        """
        try:
            return json.loads(self.body())
        except (ValueError, RecursionError) as error:
            raise Problem(400, "The body is not JSON.") from error

    def json_object(self) -> dict[str, Any]:
        """The body, a JSON object; an empty one if there is no body."""
        value = self.json_body() if self.body().strip() else {}
        if not isinstance(value, dict):
            raise Problem(400, "The body is not a JSON object.")
        return value

    @staticmethod
    def text(value: Any, name: str, *, longest: int = 4096) -> str:
        """A text out of a JSON body."""
        if not isinstance(value, str) or len(value) > longest:
            raise Problem(400, f"{name} must be a text of at most {longest} characters.")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Problem(400, f"{name} is not Unicode text.") from error
        return value

    # -- answers

    @property
    def base_url(self) -> str:
        """Where this client reaches the service, no slash at its end: a container that came directly gets our internal
        address, all others the public one."""
        deployment = self.parts.deployment
        internal = deployment.internal_url("scidrive")
        is_direct = "X-Forwarded-For" not in self.request.headers and self.request.host == urlsplit(internal).netloc
        return internal if is_direct else deployment.service_url("scidrive")

    def status_of(self, error: Exception) -> int:
        return error.status if isinstance(error, FileError) else super().status_of(error)

    def describe(self, error: BaseException | None, status: int) -> dict[str, Any]:
        return problems.plain(problems.text_of(error, status))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, FileError):
            return
        super().log_exception(typ, value, tb)
