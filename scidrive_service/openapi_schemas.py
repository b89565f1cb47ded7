"""Schemas of the OpenAPI document."""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
BOOLEAN = {"type": "boolean"}
ACTIONS = {"type": "array", "items": {"enum": ["read", "write", "delete", "grant"]}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], *optional: str, **more: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_NODE = {"name": TEXT, "lastModified": TEXT, "creationTime": TEXT}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": _object({"status": {"const": "error"}, "error": TEXT}),
    "DropboxError": _object({"error": TEXT}),
    "Health": _object({"status": {"const": "ok"}, "version": TEXT}, "version"),
    "Done": _object({"status": {"const": "success"}, "path": TEXT}, "path"),
    "Stored": _object(
        {"status": {"const": "success"}, "path": TEXT, "name": TEXT, "size": COUNT, "etag": TEXT},
        "status",
        "name",
    ),
    "Unpacked": _object(
        {
            "status": {"const": "success"},
            "files": COUNT,
            "folders": COUNT,
            "bytes": COUNT,
            "failed": _list(_object({"path": TEXT, "error": TEXT, "status": COUNT})),
            "last": TEXT,
            "isComplete": BOOLEAN,
        }
    ),
    "FileService": _object({"identifier": TEXT, "name": TEXT, "description": TEXT, "apiEndpoint": TEXT}),
    "Volumes": _object(
        {
            "identifier": TEXT,
            "name": TEXT,
            "description": TEXT,
            "apiEndpoint": TEXT,
            "rootVolumes": _list(
                _object(
                    {
                        "id": COUNT,
                        "name": TEXT,
                        "description": TEXT,
                        "allowedActions": _list(TEXT),
                        "userVolumes": _list(_reference("UserVolume")),
                    }
                )
            ),
            "dataVolumes": _list(
                _object(
                    {"id": COUNT, "name": TEXT, "displayName": TEXT, "description": TEXT, "allowedActions": ACTIONS}
                )
            ),
        }
    ),
    "UserVolume": _object(
        {
            "id": COUNT,
            "resourceUUID": TEXT,
            "name": TEXT,
            "description": TEXT,
            "owner": TEXT,
            "allowedActions": ACTIONS,
            "sharedWith": _list(_reference("Sharee")),
        },
        description="`sharedWith` is told to those who may share it.",
    ),
    "Sharee": _object({"name": TEXT, "type": {"enum": ["USER", "GROUP"]}, "allowedActions": ACTIONS}, "type"),
    "Description": _object({"name": TEXT, "description": TEXT}, "name", "description"),
    "Usage": _object(
        {
            "type": {"enum": ["PER_USER", "PER_VOLUME"]},
            "numberOfFilesUsed": {"type": ["integer", "null"]},
            "numberOfFilesQuota": {"type": ["integer", "null"]},
            "numberOfBytesUsed": {"type": ["integer", "null"]},
            "numberOfBytesQuota": {"type": ["integer", "null"]},
        }
    ),
    "Tree": _object({"queryPath": TEXT, "root": _reference("Folder")}),
    "Folder": _object(
        {
            **_NODE,
            "files": {"type": "array", "minItems": 1, "items": _object({**_NODE, "size": COUNT})},
            "folders": {"type": "array", "minItems": 1, "items": _reference("Folder")},
        },
        "files",
        "folders",
    ),
    "Destination": _object(
        {
            "destinationPath": TEXT,
            "destinationRootVolume": {"type": ["string", "null"]},
            "destinationOwnerName": {"type": ["string", "null"]},
            "destinationUserVolume": {"type": ["string", "null"]},
            "destinationDataVolume": {"type": ["string", "null"]},
            "destinationFileService": {"type": ["string", "object", "null"]},
        },
        "destinationRootVolume",
        "destinationOwnerName",
        "destinationUserVolume",
        "destinationDataVolume",
        "destinationFileService",
    ),
    "WantedFile": _object({"filePath": TEXT, "etag": TEXT, "maxSize": COUNT}, "etag", "maxSize"),
    "Files": _object(
        {
            "statusCode": TEXT,
            "fileDataResponse": _list(
                _object(
                    {
                        "filePath": {},
                        "statusCode": TEXT,
                        "data": {"type": ["string", "null"]},
                        "error": {"type": ["string", "null"]},
                    }
                )
            ),
        }
    ),
    "Metadata": _object(
        {
            "size": TEXT,
            "bytes": COUNT,
            "rev": {"type": "integer"},
            "thumb_exists": BOOLEAN,
            "modified": TEXT,
            "path": TEXT,
            "is_dir": BOOLEAN,
            "icon": {"enum": ["file", "table", "folder_public"]},
            "root": {"enum": ["sandbox", "dropbox"]},
            "mime_type": TEXT,
            "is_deleted": BOOLEAN,
            "hash": TEXT,
            "items": COUNT,
            "contents": _list(_reference("Metadata")),
        },
        "is_deleted",
        "hash",
        "items",
        "contents",
    ),
    "Account": _object(
        {
            "uid": TEXT,
            "display_name": TEXT,
            "quota_info": _object({"normal": COUNT, "shared": COUNT, "quota": COUNT}),
        }
    ),
    "Address": _object({"url": TEXT, "expires": TEXT}),
    "ChunkedUpload": _object({"upload_id": TEXT, "offset": COUNT, "expires": TEXT}),
    "Links": _object({"links": _list(_object({"id": TEXT, "path": TEXT, "created": TEXT, "expires": TEXT}))}),
    "NewLink": _object({"path": TEXT, "seconds": {"type": "number", "minimum": 1}}, "seconds"),
    "Expiring": _object({"files": _list(_object({"path": TEXT, "size": COUNT, "expires": TEXT}))}),
    "Found": _object(
        {
            "entries": _list(
                _object(
                    {
                        "path": TEXT,
                        "name": TEXT,
                        "isFolder": BOOLEAN,
                        "size": COUNT,
                        "lastModified": TEXT,
                        "creationTime": TEXT,
                        "above": _list(TEXT),
                    }
                )
            ),
            "more": BOOLEAN,
        }
    ),
    "Upload": _object(
        {
            "id": TEXT,
            "url": TEXT,
            "offset": COUNT,
            "length": {"type": ["integer", "null"]},
            "path": {"type": ["string", "null"]},
            "expires": TEXT,
        },
        "url",
        "offset",
        "length",
        "path",
        "expires",
    ),
    "Finish": _object({"path": TEXT, "overwrite": BOOLEAN}, "path", "overwrite"),
    "Mounts": _object(
        {"mounts": _list(_object({"root": TEXT, "owner": TEXT, "volume": TEXT, "mode": {"enum": ["rw", "ro"]}}))}
    ),
}
