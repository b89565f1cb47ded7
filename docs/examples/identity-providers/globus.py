"""Globus Auth: names of the shape ada@example.edu, no groups."""

from urllib.parse import urlencode

from sciserver_common.deployment import Deployment

c = get_config()
deployment = Deployment.load()

c.Portal.identity_provider = False
c.SciServerAuthenticator.login_service = "Globus"

c.SciServerAuthenticator.issuer = "https://auth.globus.org"
c.SciServerAuthenticator.backchannel_url = ""
c.SciServerAuthenticator.client_id = "01234567-89ab-cdef-0123-456789abcdef"
c.SciServerAuthenticator.client_secret = (deployment.secrets_dir / "provider-client").read_text().strip()

c.SciServerAuthenticator.scope = ["openid", "profile", "email"]
# Otherwise Globus gives no refresh token, and people sign in again every two days.
c.SciServerAuthenticator.extra_authorize_params = {"access_type": "offline"}

c.SciServerAuthenticator.username_claim = "preferred_username"
c.SciServerAuthenticator.allowed_domains = ["example.edu"]
c.SciServerAuthenticator.strip_domains = ["example.edu"]

# Globus does not announce RP-initiated logout; it has a page of its own, with a link back.
query = urlencode({"redirect_uri": f"{deployment.public_url}/hub/login", "redirect_name": "SciServer"})
c.SciServerAuthenticator.logout_redirect_url = f"https://auth.globus.org/v2/web/logout?{query}"

c.SciServerAuthenticator.admin_users = {"ada"}
