"""Locks of WebDAV clients, on wsgidav's lock manager. They live in this process, and end with it.

A lock keeps other WebDAV clients from writing; containers, the page and the REST interfaces know nothing of locks.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any
from xml.etree import ElementTree

from wsgidav import util
from wsgidav.dav_error import (
    HTTP_LOCKED,
    HTTP_PRECONDITION_FAILED,
    DAVError,
    DAVErrorCondition,
    PRECONDITION_CODE_LockConflict,
)
from wsgidav.lock_man.lock_manager import LockManager
from wsgidav.lock_man.lock_storage import LockStorageDict

from scidrive_service.tree import Entry
from scidrive_service.webdav.access import Refused
from scidrive_service.webdav.places import Place, Places
from scidrive_service.webdav.requests import Request

LOCKS_PER_PERSON = 200

LONGEST = 24 * 3600.0
"""Seconds; clients that need a lock for longer refresh it."""


class _Storage(LockStorageDict):
    """Locks in memory, not too many and not for ever."""

    @property
    def is_empty(self) -> bool:
        return not self._dict

    def create(self, path: str, lock: dict[str, Any]) -> dict[str, Any]:
        locks = list(self._dict.values())
        held = Counter(other["principal"] for other in locks if isinstance(other, dict))
        if held[lock["principal"]] >= LOCKS_PER_PERSON:
            raise Refused(507, f"You hold {LOCKS_PER_PERSON} locks already.")
        timeout = float(lock["timeout"])
        lock["timeout"] = LONGEST if timeout < 0 else min(timeout, LONGEST)
        made: dict[str, Any] = super().create(path, lock)
        return made

    def refresh(self, token: str, *, timeout: float) -> dict[str, Any]:
        made: dict[str, Any] = super().refresh(token, timeout=LONGEST if timeout < 0 else min(timeout, LONGEST))
        return made


class _Manager(LockManager):
    def _get_write_conflicts(self, *arguments: Any) -> DAVErrorCondition:
        if self.storage.is_empty:  # nearly always: no need to look at each parent
            return DAVErrorCondition(PRECONDITION_CODE_LockConflict)
        return super()._get_write_conflicts(*arguments)


class _Exclusive:
    """In place of wsgidav's lock for many readers, which is written in Python: what it guards takes no time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.acquire_read = self.acquire_write = self._lock.acquire
        self.release = self._lock.release


class Locks:
    """What requests ask about locks.

    Attributes
    ----------
    manager
        wsgidav's.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._storage = _Storage()
        self.manager = _Manager(self._storage)
        self.manager._lock, self._storage._lock = _Exclusive(), _Exclusive()

    @property
    def any(self) -> bool:
        """Whether anybody has locked anything."""
        return not self._storage.is_empty

    def tokens(self, request: Request) -> list[str]:
        """Tokens in the header ``If``."""
        util.parse_if_header_dict(request.environ)
        found: list[str] = request.environ["wsgidav.ifLockTokenList"]
        return found

    def check_if(self, request: Request, place: Place, entry: Entry | None) -> None:
        """Evaluate the header ``If``.

        Raises
        ------
        DAVError
            412: it does not hold.
        """
        if request.header("If") is None:
            return
        self.tokens(request)
        held = self.manager.get_indirect_url_lock_list(place.key, principal=request.person.name)
        conditions = request.environ["wsgidav.conditions.if"]
        tokens = [lock["token"] for lock in held]
        etag = entry.etag if entry else ""
        if not util.test_if_header_dict(_HasTags, conditions, place.key, tokens, etag):
            raise DAVError(HTTP_PRECONDITION_FAILED, "The header If does not hold.")

    def require(self, request: Request, place: Place, *, deep: bool = False) -> None:
        """Refuse a change of what others have locked.

        Parameters
        ----------
        deep
            The change is of everything below, too.

        Raises
        ------
        DAVError
            423.
        """
        if self._storage.is_empty:
            return
        tokens, name = self.tokens(request), request.person.name
        self.manager.check_write_permission(url=place.key, depth="0", token_list=tokens, principal=name)
        if not deep:
            return
        conflict = DAVErrorCondition(PRECONDITION_CODE_LockConflict)
        below = self._storage.get_lock_list(
            place.key.rstrip("/"), include_root=False, include_children=True, token_only=False
        )
        for lock in below:
            if lock["principal"] != name or lock["token"] not in tokens:
                conflict.add_href(lock["root"])
        if conflict.hrefs:
            raise DAVError(HTTP_LOCKED, err_condition=conflict)

    def require_member(self, request: Request, place: Place, *, deep: bool = False) -> None:
        """`require`, for what comes into its folder or leaves it: the folder's own lock counts as well."""
        self.require(request, place.parent)
        self.require(request, place, deep=deep)

    def writing(self, request: Request, place: Place) -> AbstractContextManager[None]:
        """Nobody else gets a lock while a body comes in."""
        made: AbstractContextManager[None] = self.manager.write_transaction(
            url=place.key, token_list=self.tokens(request), principal=request.person.name
        )
        return made

    def forget(self, place: Place) -> None:
        """What was locked is gone, and so are its locks."""
        if not self._storage.is_empty:
            self.manager.remove_all_locks_from_url(place.key, recursive=True)

    def discovery(self, place: Place, name: str) -> ElementTree.Element:
        """The property ``lockdiscovery``, as `name` may see it: nobody learns the token of another person's lock."""
        found = ElementTree.Element("{DAV:}lockdiscovery")
        if self._storage.is_empty or place.volume is None:
            return found
        for lock in self.manager.get_url_lock_list(place.key):
            active = ElementTree.SubElement(found, "{DAV:}activelock")
            for kind in ("type", "scope"):
                element = ElementTree.SubElement(active, f"{{DAV:}}lock{kind}")
                ElementTree.SubElement(element, f"{{DAV:}}{lock[kind]}")
            ElementTree.SubElement(active, "{DAV:}depth").text = lock["depth"]
            if lock["owner"]:
                active.append(ElementTree.fromstring(lock["owner"]))  # noqa: S314 - parsed once already
            seconds = max(0, int(lock["expire"] - time.time()))
            ElementTree.SubElement(active, "{DAV:}timeout").text = f"Second-{seconds}"
            if lock["principal"] == name:
                token = ElementTree.SubElement(active, "{DAV:}locktoken")
                ElementTree.SubElement(token, "{DAV:}href").text = lock["token"]
            root = ElementTree.SubElement(active, "{DAV:}lockroot")
            href = self._places.href(self._places.path_of(lock["root"]), is_folder=False)
            ElementTree.SubElement(root, "{DAV:}href").text = href
        return found


class _HasTags:
    """What wsgidav asks of a resource when it evaluates ``If``."""

    @staticmethod
    def support_etag() -> bool:
        return True
