"""A realm of Keycloak: groups from a mapper of the client, administrators by a realm role."""

from sciserver_common.deployment import Deployment

c = get_config()
deployment = Deployment.load()

c.Portal.identity_provider = False
c.SciServerAuthenticator.login_service = "Keycloak"

c.SciServerAuthenticator.issuer = "https://keycloak.example.org/realms/astro"
c.SciServerAuthenticator.backchannel_url = ""
c.SciServerAuthenticator.client_id = "sciserver"
c.SciServerAuthenticator.client_secret = (deployment.secrets_dir / "provider-client").read_text().strip()

# Keycloak refuses scopes that it does not know, such as the portal's "groups".
c.SciServerAuthenticator.scope = ["openid", "profile", "email"]

# The mapper "Group Membership" sends full paths: "/galaxies" is "galaxies" here.
c.SciServerAuthenticator.groups_claim = "groups"
c.SciServerAuthenticator.group_pattern = "/(.+)"

# Everybody with this role of the realm may come in; who has the other one is an administrator.
c.SciServerAuthenticator.required_claims = {"realm_access.roles": ["sciserver"]}
c.SciServerAuthenticator.admin_claims = {"realm_access.roles": ["sciserver-admin"]}
