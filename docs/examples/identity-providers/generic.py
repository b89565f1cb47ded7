"""Any OpenID Connect provider, in place of the embedded portal."""

from sciserver_common.deployment import Deployment

c = get_config()
deployment = Deployment.load()

c.Portal.identity_provider = False
c.SciServerAuthenticator.login_service = "the observatory"

# Exactly as the provider's discovery document spells it, with or without a slash at the end.
c.SciServerAuthenticator.issuer = "https://login.example.org"
# Set for the portal; this provider is reached at its public address.
c.SciServerAuthenticator.backchannel_url = ""
c.SciServerAuthenticator.client_id = "sciserver"
c.SciServerAuthenticator.client_secret = (deployment.secrets_dir / "provider-client").read_text().strip()

# Which claims to ask for, and which one is the user's name.
c.SciServerAuthenticator.scope = ["openid", "profile", "email"]
c.SciServerAuthenticator.username_claim = "preferred_username"
c.SciServerAuthenticator.groups_claim = "groups"

# Who may come in, and who is an administrator. Without these lines, nobody.
c.SciServerAuthenticator.allowed_groups = {"astronomers"}
c.SciServerAuthenticator.admin_users = {"ada"}
