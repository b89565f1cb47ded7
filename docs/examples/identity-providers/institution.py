"""One institution, through CILogon: its people go straight to its own page and keep their local names."""

from sciserver_common.deployment import Deployment

c = get_config()
deployment = Deployment.load()

c.Portal.identity_provider = False
c.SciServerAuthenticator.login_service = "Example University"

c.SciServerAuthenticator.issuer = "https://cilogon.org"
c.SciServerAuthenticator.backchannel_url = ""
c.SciServerAuthenticator.client_id = "cilogon:/client_id/0123456789abcdef"
c.SciServerAuthenticator.client_secret = (deployment.secrets_dir / "provider-client").read_text().strip()
c.SciServerAuthenticator.scope = ["openid", "email", "profile", "org.cilogon.userinfo"]

# CILogon shows no list of institutions. This is convenience; the next line is what keeps others out.
c.SciServerAuthenticator.extra_authorize_params = {"selected_idp": "https://idp.example.edu/idp/shibboleth"}
c.SciServerAuthenticator.required_claims = {"idp": ["https://idp.example.edu/idp/shibboleth"]}

# ada@example.edu is "ada" here.
c.SciServerAuthenticator.username_claim = "eppn"
c.SciServerAuthenticator.allowed_domains = ["example.edu"]
c.SciServerAuthenticator.strip_domains = ["example.edu"]

# Staff only: affiliations are one string, with semicolons.
c.SciServerAuthenticator.groups_claim = lambda claims: claims.get("affiliation", "").split(";")
c.SciServerAuthenticator.group_pattern = "(staff|student)@example[.]edu"
c.SciServerAuthenticator.allowed_groups = {"staff"}

c.SciServerAuthenticator.admin_users = {"ada"}

# CILogon does not announce RP-initiated logout; this page ends its session.
c.SciServerAuthenticator.logout_redirect_url = "https://cilogon.org/logout"
