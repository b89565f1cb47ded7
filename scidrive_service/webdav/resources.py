"""LOCK, UNLOCK and PROPPATCH, as wsgidav has them: what it wants to know about our files."""

from __future__ import annotations

import io
from typing import Any
from xml.etree import ElementTree

from wsgidav.dav_error import HTTP_FORBIDDEN, HTTP_INSUFFICIENT_STORAGE, HTTP_NOT_FOUND, DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider, _DAVResource
from wsgidav.request_server import RequestServer

from scidrive_service.errors import FileError
from scidrive_service.tree import Entry
from scidrive_service.webdav.access import Refused
from scidrive_service.webdav.locks import Locks
from scidrive_service.webdav.places import Place, Places
from scidrive_service.webdav.requests import Answer, Request

LARGEST_VALUE = 64 * 1024
"""Bytes of one property that a client sets."""

_REQUEST = "scidrive.request"
_CONFIG: dict[str, Any] = {"hotfixes": {}, "mutable_live_props": []}


class Resources:
    """wsgidav's part of the door."""

    def __init__(self, places: Places, locks: Locks) -> None:
        self._server = RequestServer(_Provider(places, locks))
        self._places = places
        self._locks = locks

    def answer(self, request: Request) -> Answer:
        """LOCK, UNLOCK and PROPPATCH.

        Raises
        ------
        DAVError, FileError, Refused
            The request is refused.
        """
        _, body = request.xml()
        environ = request.environ
        environ.update(
            {
                _REQUEST: request,
                # As text, and not as WSGI has it: names need not be UTF-8.
                "PATH_INFO": "/" + "/".join(request.place.path),
                "CONTENT_LENGTH": str(len(body)),
                "wsgi.input": io.BytesIO(body),
                "wsgidav.auth.user_name": request.person.name,
                "wsgidav.config": _CONFIG,
                "wsgidav.provider": self._server._davProvider,
                "wsgidav.verbose": 1,
            }
        )
        if request.method == "LOCK":
            self._check_lock(request, body)
        begun: list[Any] = []
        data = b"".join(self._server(environ, lambda status, headers, error=None: begun.extend((status, headers))))
        status, headers = int(begun[0][:3]), begun[1]
        kept = [(name, value) for name, value in headers if name.lower() in {"lock-token", "content-type"}]
        if any(value.startswith("text/html") for _, value in kept):
            data, kept = b"", []
        return Answer(status, data, [*kept, ("Content-Length", str(len(data)))])

    def _check_lock(self, request: Request, body: bytes) -> None:
        """What wsgidav leaves open: another person's lock is not refreshed."""
        tokens = self._locks.tokens(request)
        if not body and len(tokens) == 1:
            lock = self._locks.manager.get_lock(tokens[0])
            if lock is None or lock["principal"] != request.person.name:
                raise Refused(412, "You have no such lock.")


class _Provider(DAVProvider):
    """Finds resources."""

    def __init__(self, places: Places, locks: Locks) -> None:
        super().__init__()
        self.verbose = 1
        self.places = places
        self.locks = locks
        self.set_share_path("")
        self.set_lock_manager(locks.manager)

    def get_resource_inst(self, path: str, environ: dict[str, Any]) -> _DAVResource | None:
        request: Request = environ[_REQUEST]
        names = tuple(name for name in path.split("/") if name)
        place = request.place if names == request.place.path else self.places.find(request.person, names)
        entry = place.entry()
        if entry is None:
            return None
        kind = _Folder if entry.is_folder else _File
        return kind(path, environ, place, entry)

    def ref_url_to_path(self, ref_url: str) -> str:
        return "/" + "/".join(self.places.path_of(ref_url))


class _Resource(_DAVResource):
    """What files and folders have in common."""

    provider: _Provider

    def _set_up(self, place: Place, entry: Entry) -> None:
        self._place = place
        self._entry = entry
        self._changes: dict[str, str | None] = {}

    @property
    def _request(self) -> Request:
        request: Request = self.environ[_REQUEST]
        return request

    def get_ref_url(self) -> str:
        return self._place.key

    def get_href(self) -> str:
        return self.provider.places.href(self._place.path, is_folder=self.is_collection)

    def get_last_modified(self) -> float:
        return self._entry.modified

    def get_etag(self) -> str | None:
        return self._entry.etag or None

    def support_etag(self) -> bool:
        return bool(self._entry.etag)

    def prevent_locking(self) -> bool:
        """Whoever may only read must not keep others from writing."""
        return not self._may_write()

    def _may_write(self) -> bool:
        volume = self._place.volume
        return volume is not None and "write" in volume.actions

    def get_property_value(self, name: str) -> Any:
        if name == "{DAV:}lockdiscovery":
            return self.provider.locks.discovery(self._place, self._request.person.name)
        raise DAVError(HTTP_NOT_FOUND)

    def set_property_value(self, name: str, value: Any, *, dry_run: bool = False) -> None:
        """wsgidav asks for each property whether it can be changed, and then to change it: with the first, all are."""
        if not dry_run:
            changes, self._changes = self._changes, {}
            if changes and self._place.volume is not None:
                self._place.volume.set_properties(self._place.inner, changes)
            return
        if not self._may_write():
            raise DAVError(HTTP_FORBIDDEN, "You may only read here.")
        if name.startswith("{DAV:}"):
            raise DAVError(HTTP_FORBIDDEN, "This property is the server's own.")
        text = None if value is None else ElementTree.tostring(value, encoding="unicode")
        if text is not None and len(text) > LARGEST_VALUE:
            raise DAVError(HTTP_INSUFFICIENT_STORAGE, f"A property has {LARGEST_VALUE} characters at most.")
        self._changes[name] = text


class _File(_Resource, DAVNonCollection):
    def __init__(self, path: str, environ: dict[str, Any], place: Place, entry: Entry) -> None:
        DAVNonCollection.__init__(self, path, environ)
        self._set_up(place, entry)

    def get_content_length(self) -> int:
        return self._entry.size

    def get_content(self) -> Any:
        raise DAVError(HTTP_FORBIDDEN)  # `transfers` does it


class _Folder(_Resource, DAVCollection):
    def __init__(self, path: str, environ: dict[str, Any], place: Place, entry: Entry) -> None:
        DAVCollection.__init__(self, path, environ)
        self._set_up(place, entry)

    def get_member_names(self) -> list[str]:
        raise DAVError(HTTP_FORBIDDEN)  # `properties` does it

    def create_empty_resource(self, name: str) -> _DAVResource:
        """For a lock on what is not there yet (RFC 4918, 7.3)."""
        place = self._place.member(name)
        self.provider.locks.require_member(self._request, place)
        try:
            entry = place.inside.create(place.inner, overwrite=False, parents=False).commit()
        except FileError as error:
            raise Refused(error.status, error.message) from error
        return _File(self.path.rstrip("/") + "/" + name, self.environ, place, entry)
