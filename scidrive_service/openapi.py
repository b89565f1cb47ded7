"""The REST interfaces as an OpenAPI 3.1 document."""

from __future__ import annotations

import re
from typing import Any

from scidrive_service.openapi_schemas import SCHEMAS
from sciserver_common import __version__

JSON = "application/json"
TEXT = {"type": "string"}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _array(schema: str) -> dict[str, Any]:
    return {"type": "array", "items": _reference(schema)}


def _answer(description: str, schema: dict[str, Any] | str | None = None, **more: Any) -> dict[str, Any]:
    found = _reference(schema) if isinstance(schema, str) else schema
    content = {"content": {JSON: {"schema": found}}} if found is not None else {}
    return {"description": description, **content, **more}


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


RETRY_AFTER = {"Retry-After": _header("Seconds to wait.", "integer")}
CHALLENGE = {"WWW-Authenticate": _header("How to authenticate.")}

ERRORS = {
    "400": "The request cannot be understood; the text says why.",
    "401": "There is no token in the request, or it is not valid.",
    "403": "The token may not do this, or you may not.",
    "404": "There is no such file or volume, or not for you.",
    "409": "Something is there already, or is a file where a folder is needed, or the other way round.",
    "412": "The file is not the one that the request speaks of.",
    "413": "It is too large.",
    "415": "It cannot be taken in this form.",
    "416": "The file has no such part.",
    "500": "Our fault.",
    "503": "A part of the service does not answer.",
    "507": "There is no room: a quota or the disk is full.",
}
HEADERS = {"401": CHALLENGE, "503": RETRY_AFTER}


def _parameter(
    name: str, place: str, description: str, schema: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": description, "schema": schema or TEXT, **required, **more}


NAME = {"type": "string", "minLength": 1}
FLAG = {"enum": ["True", "False", "true", "false"]}

_SERVICE_PATH = "Root volume, owner, volume and the path in it; or a data volume and the path in it. With slashes."
PATH = {
    "path": _parameter("path", "path", "With slashes; empty: the root.", NAME),
    "root": _parameter("root", "path", "Root volume.", NAME),
    "owner": _parameter("owner", "path", "The volume's owner.", NAME),
    "volume": _parameter("volume", "path", "The volume.", NAME),
    "link": _parameter("link", "path", "Of the link.", NAME),
    "upload": _parameter("upload", "path", "Of the upload.", NAME),
    "operation": _parameter("operation", "path", "What to do.", {"enum": ["copy", "move", "create_folder", "delete"]}),
}
DROPBOX_ROOT = _parameter("root", "path", "Both are the same.", {"enum": ["sandbox", "dropbox"]})
TASK_NAME = _parameter("TaskName", "query", "What the client is doing.")


def _number(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def _quiet(description: str) -> dict[str, Any]:
    return _parameter("quiet", "query", description, FLAG)


def _operation(
    summary: str,
    answers: dict[str, Any],
    *parameters: dict[str, Any],
    body: dict[str, Any] | None = None,
    is_open: bool = False,
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "parameters": [*parameters], "responses": answers}
    if body is not None:
        operation["requestBody"] = body
    if is_open:
        operation["security"] = []
    return operation


def _json(schema: dict[str, Any] | str, *, required: bool = True, **more: Any) -> dict[str, Any]:
    found = _reference(schema) if isinstance(schema, str) else schema
    return {"required": required, "content": {JSON: {"schema": found, **more}}}


CONTENT = {
    "required": True,
    "description": "The file. Digests in Content-MD5, Digest, Content-Digest or Repr-Digest are checked.",
    "content": {"application/octet-stream": {}},
}
TAR = {
    "required": True,
    "description": "The archive. If not all of it could be made, the error tells what was, as the answer does.",
    "content": {"application/x-tar": {}, "application/gzip": {}},
}
ETAG = {"ETag": _header("Of the content.")}
FILE_HEADERS = {
    **ETAG,
    "Last-Modified": _header("When it was changed."),
    "Accept-Ranges": _header("bytes"),
    "Content-Disposition": _header("Its name, and whether to show it."),
    "Repr-Digest": _header("SHA-256 of the whole file, where it is known."),
}
FILE = {
    "200": {"description": "The file.", "content": {"*/*": {}}, "headers": FILE_HEADERS},
    "206": {
        "description": "A part of it. Of several ranges in one request, all is sent.",
        "content": {"*/*": {}},
        "headers": {**FILE_HEADERS, "Content-Range": _header("Which part.")},
    },
    "304": {"description": "You have it already.", "headers": FILE_HEADERS},
}
DONE = {"200": _answer("It is done.", "Done")}
METADATA = {"200": _answer("What is there.", "Metadata")}
ADDRESS = {"200": _answer("The address.", "Address")}
UPLOAD_HEADERS = {
    "Upload-Offset": _header("How far it has come.", "integer"),
    "Upload-Length": _header("How much it will be.", "integer"),
    "Upload-Expires": _header("When it is forgotten, if no more parts come."),
}
XML = {
    "content": {"application/xml": {"schema": TEXT}},
    "headers": {},
}


def _with_head(get: dict[str, Any]) -> dict[str, Any]:
    bare = {
        status: {key: value for key, value in answer.items() if key != "content"}
        for status, answer in get["responses"].items()
    }
    return {"get": get, "head": get | {"summary": f"{get['summary']} No body.", "responses": bare}}


def _file(summary: str, *parameters: dict[str, Any], is_open: bool = False) -> dict[str, Any]:
    return _with_head(_operation(summary, dict(FILE), *parameters, is_open=is_open))


def _scidrive() -> dict[str, Any]:
    node = {"description": "The node, in XML.", "content": {"application/xml": {"schema": TEXT}}}
    xml = {"content": {"application/xml": {"schema": TEXT}}}
    drive, root = PATH["path"], DROPBOX_ROOT
    form = {"content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}}
    search = _operation(
        "Files and folders by a part of their names.",
        {"200": _answer("What was found.", _array("Metadata"))},
        root,
        drive,
        _parameter("query", "query", "A part of the name.", NAME),
        _parameter("file_limit", "query", "At most so many.", _number(1, 1000)),
    )
    operation = _operation(
        "Copy, move, make a folder, delete.",
        METADATA,
        PATH["operation"],
        _parameter("root", "query", "Both are the same.", {"enum": ["sandbox", "dropbox"]}),
        _parameter("from_path", "query", "For copy and move."),
        _parameter("to_path", "query", "For copy and move."),
        _parameter("path", "query", "For the others."),
        body=form,
    )
    media = _operation("An address that opens the file for everybody, for some hours.", ADDRESS, root, drive)
    share = _operation("An address that opens the file for everybody, for long.", ADDRESS, root, drive)
    return {
        "/vospace-2.0/nodes/{path}": {
            "put": _operation("Make a folder.", {"201": node}, drive, body=xml),
            "get": _operation(
                "A file or folder, and what is in it.",
                {"200": node},
                drive,
                _parameter("limit", "query", "At most so many.", _number(0, 10_000)),
            ),
            "delete": _operation("Remove it.", {"204": _answer("It is gone.")}, drive, body=xml),
        },
        "/vospace-2.0/1/metadata/{root}/{path}": {
            "get": _operation(
                "A file, or a folder with what is in it.",
                METADATA | {"304": _answer("As it was with this hash.")},
                root,
                drive,
                _parameter("list", "query", "Whether to tell what is in it.", FLAG),
                _parameter("hash", "query", "Of an earlier answer."),
            )
        },
        "/vospace-2.0/1/files_put/{root}/{path}": {
            "put": _operation(
                "Upload a file.",
                {"200": _answer("It is there.", "Metadata", headers=ETAG)},
                root,
                drive,
                _parameter("overwrite", "query", "Whether it may replace one.", FLAG),
                body=CONTENT,
            )
        },
        "/vospace-2.0/1/files/{root}/{path}": _file("Download a file.", root, drive),
        "/vospace-2.0/1/media/{root}/{path}": {"get": media, "post": media},
        "/vospace-2.0/1/shares/{root}/{path}": {"get": share, "post": share},
        "/vospace-2.0/1/search/{root}/{path}": {"get": search, "post": search},
        "/vospace-2.0/1/fileops/{operation}": {"post": operation, "put": operation},
        "/vospace-2.0/1/account/info": {
            "get": _operation("Who you are, and how much you have.", {"200": _answer("You.", "Account")})
        },
        "/vospace-2.0/1/chunked_upload": {
            "put": _operation(
                "A part of a file.",
                {"200": _answer("It has come.", "ChunkedUpload")},
                _parameter("upload_id", "query", "From the answer to the first part."),
                _parameter("offset", "query", "Where the part begins.", _number(0, 2**53)),
                body=CONTENT,
            )
        },
        "/vospace-2.0/1/commit_chunked_upload/{root}/{path}": {
            "post": _operation(
                "Make the file of its parts.",
                METADATA,
                root,
                drive,
                _parameter("upload_id", "query", "Of the upload."),
                _parameter("overwrite", "query", "Whether it may replace one.", FLAG),
                body=form,
            )
        },
        "/media/{link}/{path}": _file(
            "A file by an address from media, shares or links. A folder comes as a ZIP archive.",
            PATH["link"],
            drive,
            is_open=True,
        ),
    }


def _fileservice() -> dict[str, Any]:
    path = _parameter("path", "path", _SERVICE_PATH, NAME, example="Storage/ada/persistent/notes.txt")
    names = (PATH["root"], PATH["owner"], PATH["volume"])
    exists = _quiet("True: it is no error if it is there already.")
    missing = _quiet("True: it is no error if it is not there.")
    return {
        "/storem/fileservices": {
            "get": _operation("The file services there are.", {"200": _answer("One.", _array("FileService"))})
        },
        "/fileservice/api/volumes": {
            "get": _operation("All volumes that you may see.", {"200": _answer("Volumes.", "Volumes")})
        },
        "/fileservice/api/volume/{root}/{owner}/{volume}": {
            "get": _operation("One volume.", {"200": _answer("The volume.", "UserVolume")}, *names),
            "put": _operation("Make a volume.", DONE, *names, exists, body=_json("Description", required=False)),
            "patch": _operation(
                "Give it another name or description.",
                {"200": _answer("The volume.", "UserVolume")},
                *names,
                body=_json("Description"),
            ),
            "delete": _operation("Remove a volume, with everything in it.", DONE, *names, missing),
        },
        "/fileservice/api/share/{root}/{owner}/{volume}": {
            "patch": _operation(
                "Say what others may do; nothing: no longer anything.", DONE, *names, body=_json(_array("Sharee"))
            )
        },
        "/fileservice/api/file/{path}": {
            **_file("Download a file.", path, _parameter("format", "query", "zip: a folder.", {"enum": ["zip"]})),
            "put": _operation(
                "Upload a file. Folders above it are made.",
                {"200": _answer("It is there.", "Stored", headers=ETAG)},
                path,
                _quiet("False: it may not replace another one."),
                _parameter("If-Match", "header", "Only if it replaces this one."),
                _parameter("If-None-Match", "header", "`*`: only if there is none."),
                body=CONTENT,
            ),
        },
        "/api/archive/{path}": {
            "get": _operation(
                "Download a folder with all that is in it, as a tar archive.",
                {"200": {"description": "The archive.", "content": {"application/x-tar": {}}}},
                path,
            ),
            "put": _operation(
                "Upload many files at once, as a tar archive, plain or in gzip. Each is made as if it came by itself.",
                {"200": _answer("All are there.", "Unpacked")},
                path,
                _parameter("overwrite", "query", "False: none may replace another file.", FLAG),
                body=TAR,
            ),
        },
        "/fileservice/api/folder/{path}": {"put": _operation("Make a folder.", DONE, path, exists)},
        "/fileservice/api/jsontree/{path}": {
            "get": _operation(
                "What is in a folder.",
                {"200": _answer("The folder. What is empty is left out.", "Tree")},
                path,
                _parameter("level", "query", "1: the folder itself; 2: what is in it; and so on.", _number(0, 100)),
                _parameter("options", "query", "Pattern of names."),
            )
        },
        "/fileservice/api/data/{path}": {
            "put": _operation(
                "Copy or move a file or folder.",
                DONE,
                path,
                _parameter("replaceExisting", "query", "Whether it may replace another one; if not said, no.", FLAG),
                _parameter("doCopy", "query", "False: move. If not said: copy.", FLAG),
                body=_json("Destination"),
            ),
            "delete": _operation("Remove a file, or a folder with all in it.", DONE, path, missing),
        },
        "/fileservice/api/multiple-file": {
            "post": _operation(
                "Several small files in one answer.",
                {"200": _answer("Each, or why not.", "Files")},
                body=_json({**_array("WantedFile"), "maxItems": 100}),
            )
        },
        "/fileservice/api/usage": {
            "get": _operation("How much there is, and may be.", {"200": _answer("Quotas.", _array("Usage"))})
        },
        "/fileservice/api/ping": _health("Whether somebody is there."),
        "/fileservice/api/health": _health("Whether the storage answers."),
    }


def _health(summary: str) -> dict[str, Any]:
    return _with_head(_operation(summary, {"200": _answer("Yes.", "Health")}, is_open=True))


def _own() -> dict[str, Any]:
    begun = _answer("It is begun.", "Upload", headers={"Location": _header("Of the upload."), **UPLOAD_HEADERS})
    offset = _parameter("Upload-Offset", "header", "Where the part begins.", _number(0, 2**53), required=True)
    return {
        "/health": _health("Whether the storage answers."),
        "/openapi.json": _with_head(
            _operation("This document.", {"200": _answer("It.", {"type": "object"})}, is_open=True)
        ),
        "/api/usage": {
            "get": _operation("How much there is, and may be.", {"200": _answer("Quotas.", _array("Usage"))})
        },
        "/api/expiring": {
            "get": _operation("Files that will be removed soon.", {"200": _answer("Files.", "Expiring")})
        },
        "/api/search": {
            "get": _operation(
                "Files and folders by name.",
                {"200": _answer("What was found.", "Found")},
                _parameter("path", "query", _SERVICE_PATH, NAME),
                _parameter("pattern", "query", "A part of the name, or with * and ?.", NAME),
                _parameter("limit", "query", "At most so many.", _number(1, 500)),
            )
        },
        "/api/links": {
            "get": _operation("Your links that are open.", {"200": _answer("Links.", "Links")}),
            "post": _operation("Make a link that opens a file for everybody.", ADDRESS, body=_json("NewLink")),
        },
        "/api/links/{link}": {"delete": _operation("Close a link.", DONE, PATH["link"])},
        "/api/uploads": {
            "options": _operation(
                "What of tus 1.0 there is.",
                {
                    "204": _answer(
                        "Headers.", headers={"Tus-Version": _header("1.0.0"), "Tus-Extension": _header("All.")}
                    )
                },
                is_open=True,
            ),
            "get": _operation("Your uploads that are not finished.", {"200": _answer("Uploads.", _array("Upload"))}),
            "post": _operation(
                "Begin an upload in parts.",
                {"201": begun},
                _parameter("Upload-Length", "header", "Bytes of the whole.", _number(0, 2**53)),
                _parameter("Upload-Metadata", "header", "Names with values in base64: path, overwrite."),
            ),
        },
        "/api/uploads/{upload}": {
            "get": _operation(
                "How far it has come.", {"200": _answer("So far.", "Upload", headers=UPLOAD_HEADERS)}, PATH["upload"]
            ),
            "head": _operation(
                "How far it has come.", {"200": _answer("So far.", headers=UPLOAD_HEADERS)}, PATH["upload"]
            ),
            "patch": _operation(
                "Add a part. With the last one the file appears.",
                {"204": _answer("It has come.", headers=UPLOAD_HEADERS)},
                PATH["upload"],
                offset,
                body={"required": True, "content": {"application/offset+octet-stream": {}}},
            ),
            "post": _operation(
                "Make the file of what has come.",
                {"200": _answer("It is there.", "Stored", headers=ETAG)},
                PATH["upload"],
                body=_json("Finish", required=False),
            ),
            "delete": _operation("Forget it.", {"204": _answer("It is gone.")}, PATH["upload"]),
        },
        "/api/mounts": {
            "get": _operation(
                "For the spawner: which volumes somebody's containers get.",
                {"200": _answer("Volumes.", "Mounts")},
                _parameter("user", "query", "Whose.", NAME),
                _parameter(
                    "group", "query", "A group of theirs; as often as need be.", {"type": "array", "items": TEXT}
                ),
            )
        },
    }


def _paths() -> dict[str, Any]:
    paths = {**_own(), **_fileservice(), **_scidrive()}
    for path, operations in paths.items():
        error = "DropboxError" if re.match("/vospace-2.0/1/", path) else "Error"
        for method, operation in operations.items():
            errors = {
                status: _answer(text, None if method == "head" else error, headers=HEADERS.get(status, {}))
                for status, text in ERRORS.items()
                if not (operation.get("security") == [] and status in {"401", "403"})
            }
            operation["responses"] = {**operation["responses"], **errors}
            if operation.get("security") != []:
                operation["parameters"] = [*operation["parameters"], TASK_NAME]
    return paths


def document(url: str) -> dict[str, Any]:
    """The document; `url` is where the service is reached, without a slash at its end."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SciServer SciDrive and file service",
            "version": __version__,
            "description": "Files in user volumes, data volumes and SciDrive. A path may have any number of slashes, "
            "also doubled; unknown parameters are ignored. WebDAV is at dav/.",
        },
        "servers": [{"url": url}],
        "security": [{"token": []}, {"bearer": []}],
        "paths": _paths(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
