"""From the portal's options and the deployment to the settings of Canaille and Flask."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sciserver_auth.portal import THEME_DIR
from sciserver_common.deployment import Deployment
from sciserver_common.secrets import secret
from sciserver_common.service_app import ServiceError

if TYPE_CHECKING:
    from sciserver_auth.portal.app import Portal

SIGNING_KEY = "portal-signing-key.pem"

# What people may change about themselves. Never in this list: `groups` and `user_name`, which decide over rights.
OWN_FIELDS = [
    "given_name",
    "family_name",
    "display_name",
    "emails",
    "password",
    "photo",
    "organization",
    "preferred_language",
]

# PBKDF2 rounds as OWASP's password storage recommendations have it for SHA-512; passlib's own default is a tenth.
PASSWORD_ROUNDS = 210_000


class PortalError(ServiceError):
    """The portal cannot do what was asked; the text is meant for the operator."""


def canaille_settings(portal: Portal, deployment: Deployment) -> dict[str, Any]:
    """All settings of the application.

    Every setting that the environment or a file in the working directory could change otherwise is given here.

    Raises
    ------
    PortalError
        An option cannot be used.
    """
    origin = urlsplit(deployment.public_url)
    prefix = deployment.service_prefix("portal").rstrip("/")
    own_access = {
        "PERMISSIONS": ["edit_self", "use_oidc"],
        "READ": ["user_name", "groups", "lock_date"],
        "WRITE": OWN_FIELDS,
        "FILTER": None,
    }
    # Upstream's default also gives these rights to whoever registers the user name "admin".
    administrators = {
        "PERMISSIONS": ["manage_users", "manage_all_groups", "manage_oidc", "delete_account"],
        "READ": [],
        "WRITE": ["groups", "lock_date"],
        "FILTER": {"groups": portal.admin_group},
    }
    return {
        "SECRET_KEY": secret(deployment, "portal-session"),
        "SERVER_NAME": public_host(deployment),
        "TRUSTED_HOSTS": [origin.hostname],
        "PREFERRED_URL_SCHEME": origin.scheme,
        "APPLICATION_ROOT": f"{prefix}/",
        "DEBUG": False,
        "PERMANENT_SESSION_LIFETIME": datetime.timedelta(seconds=portal.session_lifetime),
        "CANAILLE": {
            "NAME": portal.site_name,
            "DATABASE": "sql",
            "THEME": str(THEME_DIR),
            "LOGO": f"{prefix}/_theme/{THEME_DIR.name}/logo.svg",
            "FAVICON": f"{prefix}/_theme/{THEME_DIR.name}/favicon.svg",
            "FORCE_HTTPS": origin.scheme == "https",
            "ENABLE_REGISTRATION": portal.registration,
            "ENABLE_INTRUDER_LOCKOUT": portal.login_delay,
            "MIN_PASSWORD_LENGTH": portal.minimum_password_length,
            "LOGIN_ATTRIBUTES": {
                "user_name": "{{ login | trim | lower | safe }}",
                "emails": "{{ login | trim | safe }}",
            },
            "SMTP": smtp_settings(portal),
            "SMPP": None,
            "SENTRY_DSN": None,
            "ACL": {"DEFAULT": own_access, "ADMIN": administrators},
        },
        "CANAILLE_OIDC": {
            "ACTIVE_JWKS": [signing_key(deployment)],
            "TRUSTED_DOMAINS": [origin.hostname],
            "DYNAMIC_CLIENT_REGISTRATION_OPEN": False,
            "USERINFO_MAPPING": claim_templates(),
        },
        "CANAILLE_SQL": {
            "DATABASE_URI": database_url(portal, deployment),
            "PASSWORD_SCHEMES": "pbkdf2_sha512",
            "PASSWORD_HASH_PARAMS": {"pbkdf2_sha512__rounds": PASSWORD_ROUNDS},
            "POOL_PRE_PING": True,
        },
    }


def claim_templates() -> dict[str, str]:
    """Templates of the claims.

    `safe` everywhere: a claim is not a piece of a page, and O'Brien would arrive as ``O&#39;Brien``.
    """
    given_and_family = "{{ [user.given_name or '', user.family_name or ''] | join(' ') | trim | safe }}"
    return {
        # Never given to a second person (OpenID Connect Core 1.0 §2), which a user name may be after a deletion.
        "SUB": "{{ user.id }}",
        # Upstream takes the display name here, which everybody may set to anything: it must not name the hub's user.
        "PREFERRED_USERNAME": "{{ user.user_name | safe }}",
        "NAME": "{{ user.display_name | safe if user.display_name else "
        "([user.given_name or '', user.family_name or ''] | join(' ') | trim or user.user_name) | safe }}",
        "NICKNAME": given_and_family,
        "GIVEN_NAME": "{{ (user.given_name or '') | safe }}",
        "FAMILY_NAME": "{{ (user.family_name or '') | safe }}",
        "EMAIL": "{{ (user.preferred_email or '') | safe }}",
        "WEBSITE": "{{ (user.profile_url or '') | safe }}",
    }


def public_host(deployment: Deployment) -> str:
    """Host and port as browsers send them in `Host`: without a port that the scheme implies."""
    origin = urlsplit(deployment.public_url)
    host = origin.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if origin.port in {None, {"http": 80, "https": 443}.get(origin.scheme)}:
        return host
    return f"{host}:{origin.port}"


def smtp_settings(portal: Portal) -> dict[str, Any] | None:
    """How to send mail; None switches everything off that needs it."""
    if not portal.smtp_host:
        return None
    password = None
    if portal.smtp_password_file:
        try:
            password = Path(portal.smtp_password_file).expanduser().read_text().strip()
        except OSError as error:
            raise PortalError(f"Portal.smtp_password_file cannot be read: {error}") from error
    return {
        "HOST": portal.smtp_host,
        "PORT": portal.smtp_port,
        "TLS": portal.smtp_security == "starttls",
        "SSL": portal.smtp_security == "tls",
        "LOGIN": portal.smtp_login or None,
        "PASSWORD": password,
        "FROM_ADDR": portal.smtp_from or None,
    }


def database_url(portal: Portal, deployment: Deployment) -> str:
    """SQLAlchemy's URL of the database."""
    if not portal.database_url:
        return f"sqlite:///{deployment.portal_dir / 'portal.sqlite'}"
    try:
        url = make_url(portal.database_url)
    except ArgumentError as error:
        # The value may hold a password: it is not repeated.
        raise PortalError(
            "Portal.database_url is not a database URL: use e.g. postgresql://user:password@host/name"
        ) from error
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


def signing_key(deployment: Deployment) -> dict[str, Any]:
    """The private key that signs tokens, as a JWK; made at the first call and kept in a file as PEM."""
    jwk = RSAKey.import_key(secret(deployment, SIGNING_KEY, _new_key))
    return {**jwk.as_dict(private=True), "kid": jwk.thumbprint(), "use": "sig"}


def _new_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()


def forget_environment() -> None:
    """Take Canaille's own variables away: the portal has one place for its options."""
    for name in list(os.environ):
        if name.startswith(("CANAILLE", "OAUTH2_")):
            del os.environ[name]
    # Otherwise a canaille.toml in the working directory is read.
    os.environ["CANAILLE_CONFIG"] = os.devnull
