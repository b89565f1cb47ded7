"""Which address is answered by which handler."""

from __future__ import annotations

import re

from tornado import web

from scidrive_service.handlers import dropbox, fileservice, media, own, public, resumable, tars, volumes, vospace
from scidrive_service.handlers.base import Handler

ROUTES: list[tuple[str, type[Handler]]] = [
    ("/health", volumes.Health),
    ("/openapi.json", public.Description),
    # SciDrive, contract §4
    ("/vospace-2.0/nodes/{path}", vospace.Node),
    ("/vospace-2.0/1/metadata/{root}/{path}", dropbox.Metadata),
    ("/vospace-2.0/1/files_put/{root}/{path}", dropbox.FilesPut),
    ("/vospace-2.0/1/files/{root}/{path}", dropbox.Files),
    ("/vospace-2.0/1/media/{root}/{path}", dropbox.Media),
    ("/vospace-2.0/1/shares/{root}/{path}", dropbox.Shares),
    ("/vospace-2.0/1/search/{root}/{path}", dropbox.Search),
    ("/vospace-2.0/1/fileops/{operation}", dropbox.FileOperation),
    ("/vospace-2.0/1/account/info", dropbox.Account),
    ("/vospace-2.0/1/chunked_upload", resumable.ChunkedUpload),
    ("/vospace-2.0/1/commit_chunked_upload/{root}/{path}", resumable.CommitChunkedUpload),
    ("/media/{link}/{path}", media.Linked),
    # The file service, contract §5
    ("/storem/fileservices", volumes.FileServices),
    ("/fileservice/api/volumes", volumes.Volumes),
    ("/fileservice/api/volume/{root}/{owner}/{volume}", volumes.Volume),
    ("/fileservice/api/share/{root}/{owner}/{volume}", volumes.Share),
    ("/fileservice/api/file/{path}", fileservice.File),
    ("/fileservice/api/folder/{path}", fileservice.Folder),
    ("/fileservice/api/jsontree/{path}", fileservice.Tree),
    ("/fileservice/api/data/{path}", fileservice.Data),
    ("/fileservice/api/multiple-file", fileservice.MultipleFiles),
    ("/fileservice/api/usage", volumes.Usage),
    ("/fileservice/api/ping", volumes.Ping),
    ("/fileservice/api/health", volumes.Health),
    # Ours
    ("/api/usage", volumes.Usage),
    ("/api/archive/{path}", tars.Archive),
    ("/api/expiring", own.Expiring),
    ("/api/search", own.Search),
    ("/api/links", own.Links),
    ("/api/links/{link}", own.Link),
    ("/api/uploads", resumable.Beginning),
    ("/api/uploads/{upload}", resumable.Continuation),
    ("/api/mounts", own.Mounts),
]
"""Paths below the service's prefix, as the OpenAPI document has them. ``{path}`` may be empty, and have slashes."""


def rules(prefix: str, jobs_prefix: str) -> list[tuple[str, type[web.RequestHandler]]]:
    """For Tornado.

    Parameters
    ----------
    prefix
        The service's, with both slashes.
    jobs_prefix
        Where the client libraries ask which file services there are.
    """
    return [
        *((pattern(prefix + path), handler) for path, handler in ROUTES),
        (pattern(f"{jobs_prefix}/storem/fileservices"), volumes.FileServices),
    ]


def pattern(path: str) -> str:
    """Regular expression for a path with ``{name}`` in it.

    Slashes may be doubled or follow at the end: clients put addresses together from pieces, and a redirect would lose
    the body.
    """
    expression = re.sub("/+", "/+", re.escape(path))
    expression = expression.replace(r"/+\{path\}", r"(?:/+(?P<path>.*))?")
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", expression) + "/*"
