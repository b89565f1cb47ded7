"""What a token may do: the platform's scopes, and which of them each kind of token carries.

A scope is a JupyterHub custom scope. It names an action, not a person: whoever holds a token acts as its owner,
and a service lets the owner touch only what is theirs or was shared with them.
"""

from __future__ import annotations

from typing import Any

PREFIX = "custom:sciserver:"

CASJOBS_QUERY = "custom:sciserver:casjobs:query"
CASJOBS_WRITE = "custom:sciserver:casjobs:write"
FILES_READ = "custom:sciserver:files:read"
FILES_WRITE = "custom:sciserver:files:write"
FILES_SHARE = "custom:sciserver:files:share"
JOBS_READ = "custom:sciserver:jobs:read"
JOBS_SUBMIT = "custom:sciserver:jobs:submit"

# Of services, never of people.
SIGN_ON_PASSWORD = "custom:sciserver:sign-on:password"  # noqa: S105 - the name of a scope
SIGN_ON_WATCH = "custom:sciserver:sign-on:watch"

SCOPES: dict[str, dict[str, Any]] = {
    CASJOBS_QUERY: {"description": "Run SQL queries; read your tables and the state of your queries"},
    CASJOBS_WRITE: {
        "description": "Make, fill and drop tables of your MyDB; submit and cancel long queries",
        "subscopes": [CASJOBS_QUERY],
    },
    FILES_READ: {"description": "List and read files that are yours or shared with you"},
    FILES_WRITE: {
        "description": "Write, move and delete files that are yours or shared for writing",
        "subscopes": [FILES_READ],
    },
    FILES_SHARE: {"description": "Share your volumes, and make public links", "subscopes": [FILES_READ]},
    JOBS_READ: {"description": "See your jobs and their results"},
    JOBS_SUBMIT: {"description": "Submit and cancel jobs", "subscopes": [JOBS_READ]},
    SIGN_ON_PASSWORD: {"description": "Exchange a name and a password for a token"},
    SIGN_ON_WATCH: {"description": "Learn whose tokens have changed"},
}
"""Definitions as `JupyterHub.custom_scopes` takes them."""

USER_SCOPES = [CASJOBS_QUERY, CASJOBS_WRITE, FILES_READ, FILES_WRITE, FILES_SHARE, JOBS_READ, JOBS_SUBMIT]
"""What every person may do, and may give to a token of theirs."""

TOKEN_API_SCOPES = [CASJOBS_WRITE, FILES_WRITE, FILES_SHARE, JOBS_SUBMIT]
"""Of a token for name and password: all services, nothing of the hub's own."""

SERVER_SCOPES = ["users:activity!user", "access:servers!server", *TOKEN_API_SCOPES]
"""Of the token inside a container: its own server, and the services."""

JOB_SCOPES = [CASJOBS_WRITE, FILES_WRITE]
"""Of a job's token. It cannot submit jobs, so a mistake cannot multiply, and cannot open data to others."""

SERVICE_CLIENT_SCOPES = [*TOKEN_API_SCOPES]
"""What a service's page may do in the name of the person who has opened it."""
