"""The WebDAV door of the file service."""

from __future__ import annotations

from scidrive_service.webdav.access import Access, Refused
from scidrive_service.webdav.door import Door
from scidrive_service.webdav.server import Server

__all__ = ["Access", "Door", "Refused", "Server"]
