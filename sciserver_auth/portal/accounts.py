"""Accounts for the operator's command; usable while the portal runs, since both only share the database."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager

from canaille.app import models
from canaille.backends import Backend
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sciserver_auth.names import PORTAL_NAME_RULE, is_portal_name
from sciserver_auth.portal.app import Portal
from sciserver_common.deployment import Deployment
from sciserver_common.service_app import ServiceError


class AccountError(Exception):
    """The account cannot be made, found or changed; the text says why."""


class AccountsElsewhere(AccountError):
    """Another identity provider has the accounts of this deployment."""

    def __init__(self) -> None:
        super().__init__(
            "The accounts of this deployment are at another identity provider (c.Portal.identity_provider is False): "
            "make and lock them there. To end somebody's access here, use the person's account page in the hub."
        )


def add_user(
    deployment: Deployment,
    name: str,
    password: str,
    *,
    admin: bool = False,
    email: str | None = None,
    display_name: str | None = None,
    config_file: str | None = None,
) -> None:
    """Make an account, in the administrators' group where `admin` is true.

    Raises
    ------
    AccountError
        The name is not allowed or taken, the address is taken, or the password is too short.
    """
    if not is_portal_name(name):
        raise AccountError(f"{name!r} cannot be a user name. {PORTAL_NAME_RULE}")
    with _database(deployment, config_file) as portal:
        _check_password(portal, password)
        if Backend.instance.get(models.User, user_name=name):
            raise AccountError(f"The user {name!r} exists already.")
        if email and Backend.instance.query(models.User, emails=email):
            raise AccountError(f"The address {email!r} belongs to another account.")
        user = models.User(
            user_name=name,
            family_name=display_name or name,
            formatted_name=display_name or name,
            display_name=display_name,
            emails=[email] if email else [],
        )
        try:
            Backend.instance.save(user)
        except IntegrityError as error:
            raise AccountError(f"The user {name!r} exists already.") from error
        Backend.instance.set_user_password(user, password)
        if admin:
            from sciserver_auth.portal.provisioning import ensure_group

            group = ensure_group(portal.admin_group)
            group.members = [*group.members, user]
            Backend.instance.save(group)


def set_password(deployment: Deployment, name: str, password: str, *, config_file: str | None = None) -> None:
    """Give an account a new password, and lift the delay that wrong ones have earned.

    Raises
    ------
    AccountError
        There is no such user, or the password is too short.
    """
    with _database(deployment, config_file) as portal:
        _check_password(portal, password)
        user = Backend.instance.get(models.User, user_name=name)
        if not user:
            raise AccountError(f"There is no user {name!r}.")
        user.password_failure_timestamps = []
        Backend.instance.set_user_password(user, password)


def set_locked(deployment: Deployment, name: str, locked: bool, *, config_file: str | None = None) -> None:
    """Lock an account, or unlock it.

    While it is locked nobody signs in with it. The running portal also has the hub end all access of the person:
    sessions, tokens and servers (`sciserver_auth.portal.notices`).

    Raises
    ------
    AccountError
        There is no such user.
    """
    with _database(deployment, config_file):
        user = Backend.instance.get(models.User, user_name=name)
        if not user:
            raise AccountError(f"There is no user {name!r}.")
        user.lock_date = datetime.datetime.now(datetime.UTC) if locked else None
        Backend.instance.save(user)


def user_exists(deployment: Deployment, name: str, *, config_file: str | None = None) -> bool:
    """Whether there is an account with this user name.

    Raises
    ------
    AccountError
        The database cannot be reached.
    """
    with _database(deployment, config_file):
        return Backend.instance.get(models.User, user_name=name) is not None


def has_admin(deployment: Deployment, *, config_file: str | None = None) -> bool:
    """Whether somebody is in the administrators' group.

    Raises
    ------
    AccountError
        The database cannot be reached.
    """
    with _database(deployment, config_file) as portal:
        group = Backend.instance.get(models.Group, display_name=portal.admin_group)
        return bool(group and group.members)


def _check_password(portal: Portal, password: str) -> None:
    if len(password) < portal.minimum_password_length:
        raise AccountError(f"The password is too short: use at least {portal.minimum_password_length} characters.")
    if len(password) > 1000:
        raise AccountError("The password is too long: use at most 1000 characters.")


@contextmanager
def _database(deployment: Deployment, config_file: str | None) -> Iterator[Portal]:
    portal = Portal()
    try:
        portal.read_config(config_file)
        if not portal.identity_provider:
            raise AccountsElsewhere
        site = portal.prepare(deployment)
        with site.app_context(), Backend.instance.session():
            yield portal
    except ServiceError as error:
        raise AccountError(str(error)) from error
    except SQLAlchemyError as error:
        raise AccountError(
            f"The database of the portal cannot be used ({type(error).__name__}). Check Portal.database_url."
        ) from error
