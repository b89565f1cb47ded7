"""CILogon: people of several institutions, named as their institution names them (ada@example.edu)."""

from sciserver_common.deployment import Deployment

c = get_config()
deployment = Deployment.load()

c.Portal.identity_provider = False
c.SciServerAuthenticator.login_service = "your institution (CILogon)"

c.SciServerAuthenticator.issuer = "https://cilogon.org"
c.SciServerAuthenticator.backchannel_url = ""
c.SciServerAuthenticator.client_id = "cilogon:/client_id/0123456789abcdef"
c.SciServerAuthenticator.client_secret = (deployment.secrets_dir / "provider-client").read_text().strip()

c.SciServerAuthenticator.scope = ["openid", "email", "profile", "org.cilogon.userinfo"]
# eduPersonPrincipalName. Accounts of Google, GitHub or ORCID have none and are refused.
c.SciServerAuthenticator.username_claim = "eppn"

# Identity providers whose people may come in, and the domains that their names may have.
c.SciServerAuthenticator.required_claims = {
    "idp": [
        "https://idp.example.edu/idp/shibboleth",
        "https://login.partner.example.org/idp",
    ]
}
c.SciServerAuthenticator.allowed_domains = ["example.edu", "partner.example.org"]

c.SciServerAuthenticator.admin_users = {"ada@example.edu"}

# CILogon does not announce RP-initiated logout; this page ends its session.
c.SciServerAuthenticator.logout_redirect_url = "https://cilogon.org/logout"
