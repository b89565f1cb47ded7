"""What must exist in the portal's database: the hub's OpenID Connect client and the administrators' group."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from canaille.app import models
from canaille.backends import Backend
from canaille.backends.sql.backend import SQLBackend
from flask import Flask
from sqlalchemy import select

from sciserver_common.deployment import Deployment
from sciserver_common.secrets import secret

if TYPE_CHECKING:
    from sciserver_auth.portal.app import Portal

HUB_CLIENT_ID = "jupyterhub"
HUB_CLIENT_SECRET = "hub-oauth-client"  # noqa: S105  (the name of the secret)


def provision(site: Flask, portal: Portal, deployment: Deployment) -> None:
    """Create or correct the client and the group; without effect when nothing changed."""
    with site.app_context(), Backend.instance.session():
        _ensure_hub_client(portal, deployment)
        ensure_group(portal.admin_group)


def ensure_group(name: str) -> Any:
    """The group called `name`, created where it is missing: a name that exists cannot be taken by a user."""
    group = Backend.instance.get(models.Group, display_name=name)
    if group is None:
        group = models.Group(display_name=name, description="Administrators of the platform")
        Backend.instance.save(group)
    return group


def _ensure_hub_client(portal: Portal, deployment: Deployment) -> None:
    hub = f"{deployment.public_url}/hub"
    wanted: dict[str, Any] = {
        "client_secret": secret(deployment, HUB_CLIENT_SECRET),
        "client_name": portal.site_name,
        # The same host as the portal's own: Canaille asks no consent for it.
        "client_uri": deployment.public_url,
        "redirect_uris": [f"{hub}/oauth_callback"],
        "post_logout_redirect_uris": [f"{hub}/login", f"{hub}/"],
        # "password" (RFC 6749 §4.3) is deprecated, but the client libraries sign in with name and password and know
        # nothing else (contract §2.1). Only the hub can use it, for its token API.
        "grant_types": ["authorization_code", "refresh_token", "password"],
        "response_types": ["code"],
        "scope": ["openid", "profile", "email", "groups"],
        "token_endpoint_auth_method": "client_secret_basic",
        "id_token_signed_response_alg": "RS256",
    }
    client = Backend.instance.get(models.Client, client_id=HUB_CLIENT_ID)
    if client is None:
        client = models.Client(client_id=HUB_CLIENT_ID, client_id_issued_at=datetime.datetime.now(datetime.UTC))
    changed = {name: value for name, value in wanted.items() if getattr(client, name) != value}
    if changed:
        Backend.instance.update(client, **changed)
        Backend.instance.save(client)
    if client not in client.audience:
        client.audience = [client]
        Backend.instance.save(client)


def remove_expired(site: Flask, token_lifetime: int, batch: int = 500) -> int:
    """Delete tokens and codes that nobody can use any more; the number of deleted rows.

    Each renewal of a hub session leaves a row behind. Small batches: the database is locked for a moment only.
    """
    # A margin over the lifetime, because an administrator may have shortened it since the tokens were made.
    oldest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=2 * token_lifetime + 86400)
    removed = 0
    with site.app_context(), Backend.instance.session():
        for model in (models.Token, models.AuthorizationCode):
            rows = SQLBackend.db_session.scalars(select(model).where(model.issue_date < oldest).limit(batch)).all()
            for row in rows:
                Backend.instance.delete(row)
            removed += len(rows)
    return removed
