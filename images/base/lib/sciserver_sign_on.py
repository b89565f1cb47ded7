"""Server extension: who has signed out of the hub is out of this server too, at once.

A single-user server asks the hub who somebody is when a request comes, and believes the answer for five minutes. A
WebSocket, over which notebooks run code, is asked about when it opens and never again. So the hub says when to ask
again (`POST <server>/api/sign-on/recheck`), and sockets whose token is worth nothing any more are closed.

The hub's word may get lost, or a token expire. Therefore this server also asks by itself now and then, as long as
sockets are open. What runs in kernels and terminals goes on, and is there after the next sign-in.
"""

import asyncio
import weakref

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.websocket import WebSocketHandler

CLOSE_CODE = 4401
"""Of the range for applications (RFC 6455 §7.4.2), after HTTP's 401."""

REASON = "You have signed out. Reload the page to sign in again."

INTERVAL = 300.0
"""Seconds after which open sockets are asked about without being told to: as long as HubOAuth believes an answer."""

RETRY = 5.0
"""Seconds to wait after the hub did not answer."""

HUB_TIMEOUT = 20.0
"""Seconds to wait for one answer of the hub."""

NOT_SERVED = 424
"""The hub's own status for a server that is not there now, which JupyterLab understands; see `_get_user`."""


class SignOn:
    """Knows the open WebSockets, and asks the hub whether their tokens are still good.

    Parameters
    ----------
    provider
        The server's identity provider, JupyterHub's.
    log
        The server's logger.
    """

    def __init__(self, provider, log):
        self.hub_auth = provider.hub_auth
        self.log = log
        self.task = None
        self._tokens = weakref.WeakKeyDictionary()  # of each handler of a WebSocket
        self._wanted = asyncio.Event()
        self._identify = provider.get_user
        provider.get_user = self._get_user

    async def _get_user(self, handler):
        """Take the place of the provider's method.

        Raises
        ------
        tornado.web.HTTPError
            424 for a page of somebody who has signed out. At 403 JupyterLab would tell that the kernel has died, and
            forget it. At this status it offers a button that leads to the hub, where one can sign in, and goes on
            with its kernels when that is done, also in another tab.
        """
        user = await self._identify(handler)
        if user is not None and isinstance(handler, WebSocketHandler):
            in_cookie = not getattr(handler, "_token_authenticated", False)
            self._tokens[handler] = self.hub_auth.get_token(handler, in_cookie=in_cookie)
        elif user is None and _is_from_open_page(handler):
            handler.current_user = handler._jupyter_current_user = None
            raise web.HTTPError(NOT_SERVED, REASON)
        return user

    def recheck(self):
        """Believe nothing that the hub has said so far. However often this is called, checks do not overlap."""
        self.hub_auth.cache.clear()
        self._wanted.set()

    async def run(self):
        """Check when asked to, and now and then; does not end."""
        wait = INTERVAL
        while True:
            try:
                await asyncio.wait_for(self._wanted.wait(), wait)
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                wait = INTERVAL if await self._check() else RETRY
            except Exception:
                self.log.exception("Cannot check who is still signed in")
                wait = RETRY

    async def _check(self):
        """Close what is to be closed; whether all is known and done now."""
        done = True
        for token in {token for handler, token in self._tokens.items() if not _is_over(handler)}:
            try:
                good = await asyncio.wait_for(self._is_good(token), HUB_TIMEOUT)
            except (TimeoutError, web.HTTPError) as error:
                # The hub restarts, maybe. Nobody is thrown out for that.
                self.log.warning("The hub does not say who is still signed in: %s", error or "no answer")
                done = False
                break
            if not good:
                done = self._close(token) and done
        # Answers that were under way when the cache was emptied.
        self.hub_auth.cache.clear()
        return done

    async def _is_good(self, token):
        model = await self.hub_auth.user_for_token(token, use_cache=False, sync=False)
        return bool(model and self.hub_auth.check_scopes(self.hub_auth.access_scopes, model))

    def _close(self, token):
        """Close the sockets that came with `token`; whether none of them is left."""
        handlers = [handler for handler, its in self._tokens.items() if its == token and not _is_over(handler)]
        # One that is only about to open comes next time.
        opened = [handler for handler in handlers if handler.ws_connection is not None]
        for handler in opened:
            # A client may leave the closing unanswered and go on sending, for seconds: nobody listens.
            handler.on_message = _ignore
            handler.close(CLOSE_CODE, REASON)
        if opened:
            self.log.info("Closed %i connections of somebody who has signed out", len(opened))
        return len(opened) == len(handlers)


def _is_from_open_page(handler):
    """Whether a page of this server, which must have been opened by somebody signed in, calls what needs a user.

    The page's own cookie tells: that of the sign-in is cleared by the first answer without it.
    """
    if not isinstance(handler, APIHandler) or not handler.get_cookie("_xsrf"):
        return False
    method = getattr(handler, handler.request.method.lower(), None)
    return not getattr(method, "__allow_unauthenticated", False)


def _is_over(handler):
    """Whether a WebSocket has closed, or was refused after its user was known."""
    if handler.ws_connection is not None:
        return False
    stream = handler.request.connection.stream
    return handler._finished or stream is None or stream.closed()


def _ignore(message):
    """Take the place of a handler's `on_message`."""


class RecheckHandler(APIHandler):
    """`POST /api/sign-on/recheck`: 202, for everybody who may use this server."""

    auth_resource = "sign-on"
    _track_activity = False  # the hub's doing, not the user's

    def initialize(self, sign_on):
        self.sign_on = sign_on

    @web.authenticated
    @authorized
    def post(self):
        """Have the hub asked again about everybody."""
        self.sign_on.recheck()
        self.set_status(202)
        self.finish()


def _jupyter_server_extension_points():
    return [{"module": __name__}]


def _load_jupyter_server_extension(serverapp):
    provider = serverapp.identity_provider
    # Without a hub there is nobody to ask.
    if hasattr(provider, "hub_auth"):
        settings = serverapp.web_app.settings
        sign_on = settings[__name__] = SignOn(provider, serverapp.log)
        path = url_path_join(settings["base_url"], "api/sign-on/recheck")
        serverapp.web_app.add_handlers(".*$", [(path, RecheckHandler, {"sign_on": sign_on})])


async def _start_jupyter_server_extension(serverapp):
    sign_on = serverapp.web_app.settings.get(__name__)
    if sign_on:
        # Kept, because the event loop holds its tasks weakly.
        sign_on.task = asyncio.create_task(sign_on.run())
