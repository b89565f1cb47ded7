"""Signing somebody out at the portal, for the hub: ``POST /services/portal/api/sign-out``.

Not part of OpenID Connect, where only the browser itself can be sent to sign out (RP-Initiated Logout 1.0). The
discovery document names the address as ``sciserver_end_sessions_endpoint``.
"""

from __future__ import annotations

import datetime
import hmac
import time
from typing import Any
from urllib.parse import unquote_plus

from canaille.app import models
from canaille.app.flask import csrf
from canaille.backends import Backend
from canaille.backends.sql.backend import SQLBackend
from flask import Flask, Response, current_app, jsonify, request
from sqlalchemy import update

from sciserver_auth.portal import notices, sessions
from sciserver_auth.portal.provisioning import HUB_CLIENT_ID

PATH = "/api/sign-out"
DISCOVERY_KEY = "sciserver_end_sessions_endpoint"

LONGEST_SID = 40


def add_route(site: Flask) -> None:
    """Add the endpoint. It has no cookie to protect: the client's secret is what counts."""
    site.add_url_rule(PATH, "sciserver_sign_out", csrf.exempt(_sign_out), methods=["POST"])


def _sign_out() -> Response:
    """End all sessions of the person in the form field ``sub``; or the one in ``sid``, if that is there.

    The client authenticates as at the token endpoint, with Basic (RFC 6749 §2.3.1); only the hub may. 200 with
    ``{"signed_out": true}``, or false where there is no such account. 401 or 400 with an error as in RFC 6749 §5.2.
    """
    if not _is_hub():
        answer = _answer(401, error="invalid_client", error_description="Only the hub can sign people out.")
        answer.headers["WWW-Authenticate"] = 'Basic realm="portal"'
        return answer
    subjects = request.form.getlist("sub")
    if len(subjects) != 1 or not subjects[0]:
        return _answer(400, error="invalid_request", error_description="Send one subject in the form field sub.")
    sids = request.form.getlist("sid")
    if len(sids) > 1 or any(not 0 < len(sid) <= LONGEST_SID for sid in sids):
        return _answer(400, error="invalid_request", error_description="Send one session in the form field sid.")
    user = Backend.instance.get(models.User, id=subjects[0])
    if user is not None and sids:
        sessions.end(current_app, set(sids))
    elif user is not None:
        sign_out_everywhere(user)
    return _answer(200, signed_out=user is not None)


def sign_out_everywhere(user: Any) -> None:
    """Make void all sessions, tokens and codes that an account has at the portal, and tell the hub."""
    now = time.time()
    connection = SQLBackend.db_session.connection()
    sessions.end_before(connection, user.id, now)
    tokens = models.Token.__table__
    connection.execute(
        update(tokens)
        .where(tokens.c.subject_id == user.id, tokens.c.revokation_date.is_(None))
        .values(revokation_date=datetime.datetime.fromtimestamp(now, datetime.UTC))
    )
    notices.record(connection, user.id, notices.SIGNED_OUT, now)
    SQLBackend.db_session.info[notices.NOTICED] = True
    SQLBackend.db_session.commit()


def _is_hub() -> bool:
    given = request.authorization
    if given is None or given.type != "basic":
        return False
    hub = Backend.instance.get(models.Client, client_id=HUB_CLIENT_ID)
    name, password = unquote_plus(given.username or ""), unquote_plus(given.password or "")
    right = hub is not None and hmac.compare_digest(password.encode(), (hub.client_secret or "").encode())
    return right and bool(hub.client_secret) and name == HUB_CLIENT_ID


def _answer(status: int, **body: Any) -> Response:
    answer = jsonify(body)
    answer.status_code = status
    answer.headers["Cache-Control"] = "no-store"
    return answer
