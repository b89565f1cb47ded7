"""The portal's own routes as an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from sciserver_common import __version__

JSON = "application/json"

RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}

TEXT = {"type": "string"}
MOMENT = {"type": "string", "format": "date-time"}
MOMENT_OR_NONE = {"type": ["string", "null"], "format": "date-time", "description": "null: does not expire."}
ROLES = {
    "type": "array",
    "items": {"type": "object", "required": ["id", "name"], "properties": {"id": TEXT, "name": TEXT}},
}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": sorted(properties), "properties": properties}


SCHEMAS: dict[str, Any] = {
    "SignIn": _object(
        auth=_object(
            identity=_object(
                password=_object(user=_object(name=TEXT, password={"type": "string", "format": "password"}))
            )
        )
    ),
    "TokenV3": _object(
        token=_object(
            methods={"type": "array", "items": {"const": "password"}},
            user=_object(id=TEXT, name=TEXT, domain=_object(id=TEXT, name=TEXT)),
            issued_at=MOMENT,
            expires_at=MOMENT_OR_NONE,
            roles=ROLES,
        )
    ),
    "TokenV2": _object(
        access=_object(
            token=_object(id=TEXT, issued_at=MOMENT, expires=MOMENT_OR_NONE),
            user=_object(
                id=TEXT,
                name=TEXT,
                username=TEXT,
                roles={"type": "array", "items": _object(name=TEXT)},
                roles_links={"type": "array"},
            ),
            serviceCatalog={"type": "array"},
        )
    ),
    "User": _object(user=_object(id=TEXT, name=TEXT, domain_id=TEXT, enabled={"type": "boolean"})),
    "Error": _object(error=_object(code={"type": "integer"}, title=TEXT, message=TEXT)),
    "Health": _object(status={"const": "ok"}),
    "ClientSettings": {"type": "object", "additionalProperties": TEXT},
}


def _answer(description: str, schema: str | None = None, **more: Any) -> dict[str, Any]:
    content = {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}} if schema else {}
    return {"description": description, **content, **more}


def _error(description: str, **more: Any) -> dict[str, Any]:
    return _answer(description, "Error", **more)


NOT_VALID = _error("The token is unknown, expired, revoked, or a service's.")
NO_TOKEN = _error("There is no token in the request.")
NO_HUB = _error("The sign-in service does not answer.", headers=RETRY_AFTER)

TASK_NAME = {
    "name": "TaskName",
    "in": "query",
    "description": "What the client is doing; not looked at.",
    "schema": TEXT,
}
IN_PATH = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "The token. It is kept out of the platform's logs; proxies before it may keep it.",
    "schema": TEXT,
}
USER_ID = {"name": "user_id", "in": "path", "required": True, "description": "The user's name.", "schema": TEXT}

SUBJECT: list[dict[str, list[str]]] = [{"subject_token": []}, {"auth_token": []}]


def _read(summary: str, schema: str, *parameters: Any, **errors: Any) -> dict[str, Any]:
    """The methods GET and HEAD of a route that needs the hub."""
    security = errors.pop("security", [])
    statuses = {name.removeprefix("status_"): value for name, value in errors.items()}
    operation = {
        "summary": summary,
        "parameters": [*parameters, TASK_NAME],
        "security": security,
        "responses": {"200": _answer("It is valid.", schema), **statuses, "503": NO_HUB},
    }
    # An answer to HEAD has no body.
    bare = {
        status: {name: value for name, value in answer.items() if name != "content"}
        for status, answer in operation["responses"].items()
    }
    return {"get": operation, "head": operation | {"summary": f"{summary} No body.", "responses": bare}}


def _revoke(*parameters: Any, **errors: Any) -> dict[str, Any]:
    security = errors.pop("security", [])
    statuses = {name.removeprefix("status_"): value for name, value in errors.items()}
    return {
        "summary": "Revoke a token.",
        "parameters": [*parameters, TASK_NAME],
        "security": security,
        "responses": {"204": _answer("It is revoked."), **statuses, "503": NO_HUB},
    }


def _public(summary: str, schema: str | None) -> dict[str, Any]:
    """The methods GET and HEAD of a route that everybody may ask."""
    content = {"content": {JSON: {"schema": {"type": "object"}}}}
    answer = _answer("As described.", schema) if schema else {"description": "This document.", **content}
    bare = {"description": answer["description"]}
    return {
        "get": {"summary": summary, "security": [], "responses": {"200": answer}},
        "head": {"summary": f"{summary} No body.", "security": [], "responses": {"200": bare}},
    }


def document(url: str) -> dict[str, Any]:
    """The document; `url` is where the portal is reached, without a slash at its end."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SciServer portal",
            "version": __version__,
            "description": "Tokens for SciServer's client libraries, in the form of OpenStack's Keystone. "
            "Slashes in paths may be doubled.",
        },
        "servers": [{"url": url}],
        "paths": {
            "/keystone/v3/tokens": {
                "post": {
                    "summary": "Sign in with name and password. A token of yours may take the password's place.",
                    "parameters": [TASK_NAME],
                    "security": [],
                    "requestBody": {
                        "required": True,
                        "content": {JSON: {"schema": {"$ref": "#/components/schemas/SignIn"}}},
                    },
                    "responses": {
                        "200": {
                            "description": "Signed in.",
                            "headers": {"X-Subject-Token": {"description": "The token.", "schema": TEXT}},
                            "content": {"text/plain": {"schema": {"type": "string", "description": "The token."}}},
                        },
                        "400": _error("The body cannot be understood, or names another method than 'password'."),
                        "401": _error("The user name or the password is wrong."),
                        "403": _error("You may not sign in here, or the provider takes no passwords from programs."),
                        "413": _error("The body is larger than 64 KiB."),
                        "429": _error("Too many attempts have failed.", headers=RETRY_AFTER),
                        "503": NO_HUB,
                    },
                },
                **_read(
                    "Describe the token in X-Subject-Token, or else in X-Auth-Token.",
                    "TokenV3",
                    security=SUBJECT,
                    status_401=NO_TOKEN,
                    status_404=NOT_VALID,
                ),
                "delete": _revoke(security=SUBJECT, status_401=NO_TOKEN, status_404=NOT_VALID),
            },
            "/keystone/v3/tokens/{token}": {
                **_read("Describe a token.", "TokenV3", IN_PATH, status_404=NOT_VALID),
                "delete": _revoke(IN_PATH, status_404=NOT_VALID),
            },
            "/keystone/v2.0/tokens/{token}": _read(
                "The same in the older form.", "TokenV2", IN_PATH, status_404=NOT_VALID
            ),
            "/keystone/v3/users/{user_id}": _read(
                "Describe yourself.",
                "User",
                USER_ID,
                security=[{"auth_token": []}],
                status_400=_error("There are two different tokens in the request."),
                status_401=_error("There is no token in the request, or it is not valid."),
                status_403=_error("This is somebody else."),
            ),
            "/sciscript.json": _public("Settings of the client libraries, outside of containers.", "ClientSettings"),
            "/health": _public("Whether the portal answers.", "Health"),
            "/openapi.json": _public("This document.", None),
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "subject_token": {"type": "apiKey", "in": "header", "name": "X-Subject-Token"},
                "auth_token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            },
        },
    }
