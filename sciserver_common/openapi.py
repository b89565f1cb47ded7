"""What the OpenAPI 3.1 documents of our services have in common."""

from __future__ import annotations

from typing import Any

from sciserver_common import __version__

JSON = "application/json"
TEXT: dict[str, Any] = {"type": "string"}
NAME: dict[str, Any] = {"type": "string", "minLength": 1}


def reference(schema: str) -> dict[str, str]:
    """A schema of the document, by name."""
    return {"$ref": f"#/components/schemas/{schema}"}


def array(items: dict[str, Any] | str) -> dict[str, Any]:
    """A list of what a schema, or one of the document, describes."""
    return {"type": "array", "items": reference(items) if isinstance(items, str) else items}


def number(low: int, high: int) -> dict[str, Any]:
    """A whole number in these bounds, both included."""
    return {"type": "integer", "minimum": low, "maximum": high}


def header(description: str, kind: str = "string") -> dict[str, Any]:
    """A header of an answer."""
    return {"description": description, "schema": {"type": kind}}


RETRY_AFTER = {"Retry-After": header("Seconds to wait.", "integer")}
CHALLENGE = {"WWW-Authenticate": header("How to authenticate.")}


def parameter(
    name: str, place: str, description: str, schema: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A parameter in the path, the query or a header; text unless a schema says otherwise."""
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": description, "schema": schema or TEXT, **required, **more}


def answer(description: str, schema: dict[str, Any] | str | None = None, **more: Any) -> dict[str, Any]:
    """An answer in JSON; without a schema, one without a body."""
    found = reference(schema) if isinstance(schema, str) else schema
    content = {"content": {JSON: {"schema": found}}} if found is not None else {}
    return {"description": description, **content, **more}


def with_head(get: dict[str, Any]) -> dict[str, Any]:
    """An operation that HEAD has as well."""
    bare = {
        status: {key: value for key, value in answer.items() if key != "content"}
        for status, answer in get["responses"].items()
    }
    return {"get": get, "head": get | {"summary": f"{get['summary']} No body.", "responses": bare}}


def document(title: str, description: str, url: str, paths: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A document; `url` is where the service is reached, without a slash at its end."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__, "description": description},
        "servers": [{"url": url}],
        "security": [{"token": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
