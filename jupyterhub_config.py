"""The hub of a SciServer deployment: which classes, services and roles.

Site settings do not belong here but in `jupyterhub_config.d/*.py` of the deployment's home directory; they are read
last and may change everything. See docs/how-to/configure.md.
"""

import os
import sys
from pathlib import Path

from sciserver_auth.portal import LOGO
from sciserver_auth.redaction import LOGGING_CONFIG
from sciserver_common import scopes
from sciserver_common.deployment import SERVICES, SOURCE, Deployment, proxy_command
from sciserver_common.sciscript import sciscript
from sciserver_common.secrets import secret
from sciserver_spawner.images import catalogue
from sciserver_spawner.network import with_network

c = get_config()

deployment = with_network(Deployment.load())

# `sciserver up` runs the proxy and the services beside the hub, so that they live on while the hub restarts. Run as
# `jupyterhub -f jupyterhub_config.py`, the hub starts them itself.
supervised = os.environ.get("SCISERVER_SUPERVISED") == "1"

# -- addresses
c.JupyterHub.bind_url = f"http://{deployment.bind_address}:{deployment.port}"
c.JupyterHub.public_url = deployment.public_url + "/"
c.JupyterHub.hub_bind_url = f"http://{deployment.internal_host}:{deployment.service_port('hub')}"
c.ConfigurableHTTPProxy.should_start = not supervised
c.ConfigurableHTTPProxy.api_url = deployment.proxy_api_url
c.ConfigurableHTTPProxy.auth_token = secret(deployment, "proxy")
c.ConfigurableHTTPProxy.command = proxy_command()
c.ConfigurableHTTPProxy.pid_file = str(deployment.run_dir / "proxy.pid")
# SciDrive's WebDAV has a port of its own: threads serve it, not the service's event loop.
c.Proxy.extra_routes = {deployment.service_prefix("scidrive") + "dav/": deployment.internal_origin("dav")}
# Also how often a proxy that lost its routes (it was killed) gets them back, in seconds.
c.JupyterHub.last_activity_interval = 5

# -- state
c.JupyterHub.db_url = f"sqlite:///{deployment.hub_dir}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret = bytes.fromhex(secret(deployment, "hub-cookie"))
c.CryptKeeper.keys = [bytes.fromhex(secret(deployment, "hub-crypt"))]
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = not supervised

# -- sign-on
c.JupyterHub.authenticator_class = "sciserver"
c.SciServerAuthenticator.issuer = deployment.service_url("portal")
c.SciServerAuthenticator.backchannel_url = deployment.internal_url("portal")
c.SciServerAuthenticator.client_id = "jupyterhub"
c.SciServerAuthenticator.client_secret = secret(deployment, "hub-oauth-client")
c.SciServerAuthenticator.oauth_callback_url = f"{deployment.public_url}/hub/oauth_callback"
c.SciServerAuthenticator.store_url = f"sqlite:///{deployment.hub_dir}/sign-on.sqlite"
c.JupyterHub.oauth_require_pkce = True

# -- no tokens in the log
c.JupyterHub.logging_config = LOGGING_CONFIG

# -- what tokens may do: docs/reference/scopes.md
c.JupyterHub.custom_scopes = scopes.SCOPES
c.JupyterHub.extra_user_scopes = {
    *scopes.USER_SCOPES,
    "access:services!service=casjobs",
    "access:services!service=scidrive",
}
c.JupyterHub.token_expires_in_max_seconds = 366 * 24 * 3600
c.Spawner.server_token_scopes = scopes.SERVER_SCOPES

# -- servers
c.JupyterHub.spawner_class = "sciserver"
c.SciServerSpawner.deployment_id = deployment.id
c.SciServerSpawner.network_name = deployment.network
c.SciServerSpawner.volumes_root = str(deployment.volumes_dir)
c.SciServerSpawner.mounts_url = deployment.internal_url("scidrive") + "/api/mounts"
c.SciServerSpawner.mounts_token = secret(deployment, "scidrive-service")
c.SciServerSpawner.data_root = str(deployment.data_dir)
c.SciServerSpawner.client_settings = sciscript(deployment.container_url)
c.SciServerSpawner.images = [
    {
        "name": image.name,
        "image": image.tag,
        "title": image.title,
        "description": image.description,
        "cmd": image.command,
    }
    for image in catalogue()
]
c.Spawner.default_url = "/lab"
c.Spawner.poll_interval = 30
c.Spawner.http_timeout = 30
c.Spawner.consecutive_failure_limit = 0
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 3
# The start page, with its progress, is shown after this many seconds rather than ten.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 1}

# -- services
# Tokens of services are 256 random bits: to stretch them as if they were passwords would cost 5 ms at each request.
c.JupyterHub.trust_user_provided_tokens = True
c.JupyterHub.services = [
    {
        "name": "portal",
        "url": deployment.internal_origin("portal"),
        "api_token": secret(deployment, "portal-service"),
        "display": False,
    },
    {
        "name": "casjobs",
        "url": deployment.internal_origin("casjobs"),
        "api_token": secret(deployment, "casjobs-service"),
        "oauth_client_allowed_scopes": scopes.SERVICE_CLIENT_SCOPES,
        "oauth_no_confirm": True,
    },
    {
        "name": "scidrive",
        "url": deployment.internal_origin("scidrive"),
        "api_token": secret(deployment, "scidrive-service"),
        "oauth_client_allowed_scopes": scopes.SERVICE_CLIENT_SCOPES,
        "oauth_no_confirm": True,
    },
    # The client libraries look for the file service there. SciDrive's process answers; it has no pages and no token.
    {"name": "racm", "url": deployment.internal_origin("racm"), "display": False},
]
if not supervised:
    for service, module in SERVICES.items():
        entry = next(entry for entry in c.JupyterHub.services if entry["name"] == service)
        entry["command"] = [sys.executable, "-m", module, "--config", str(Path(__file__).resolve())]
        entry["environment"] = {"SCISERVER_HOME": str(deployment.home)}
c.JupyterHub.load_roles = [
    {"name": "portal", "scopes": [scopes.SIGN_ON_PASSWORD, scopes.SIGN_ON_WATCH], "services": ["portal"]},
    {"name": "casjobs", "scopes": [scopes.SIGN_ON_WATCH], "services": ["casjobs"]},
    {"name": "scidrive", "scopes": [scopes.SIGN_ON_WATCH], "services": ["scidrive"]},
]

# -- pages
c.JupyterHub.logo_file = str(LOGO)
c.JupyterHub.template_paths = [str(SOURCE / "dashboard" / "templates")]
c.JupyterHub.template_vars = {
    # Asked for when a page is made: site settings come after this line.
    "portal_url": lambda user: deployment.service_url("portal") if c.Portal.get("identity_provider", True) else "",
    "portal_registration": lambda user: c.Portal.get("registration", True),
}

for path in sorted(deployment.config_dir.glob("*.py")):
    load_subconfig(str(path))

# What is in an object store cannot be mounted.
if c.SciDrive.get("drive_url"):
    c.SciServerSpawner.scidrive = False
