"""The portal: tokens for the client libraries, and the embedded identity provider, Canaille, under one URL prefix.

Modules
-------
app
    `Portal`, the configurable application; ``python -m sciserver_auth.portal`` runs it.
server, handlers
    The HTTP server: routes of our own on Tornado, Canaille in threads; what all handlers share.
keystone
    The token API of SciServer's client libraries.
limits
    How often a password may be wrong; the client's address.
openapi
    The routes of our own, for programs.
settings
    From `Portal`'s traits and the deployment to Canaille's settings.
site
    The WSGI application: Canaille, our corrections to it, and the URL prefix.
provisioning
    What must exist in the database: the hub's client and the administrators' group.
sessions
    When sessions and tokens end before their time.
notices, delivery
    What happened to accounts, written down with the change and delivered to the hub.
sign_out
    The hub's way to sign somebody out everywhere.
accounts
    Accounts for the operator's command.
"""

from pathlib import Path

THEME_DIR = Path(__file__).parent / "theme"
LOGO = THEME_DIR / "static" / "logo.svg"
"""The platform's mark, drawn for this project; the hub's pages show the same file."""
