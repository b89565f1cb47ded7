"""Names of security events that a provider sends to the hub (RFC 8417 §2.2, claim ``events``)."""

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
"""OpenID Connect Back-Channel Logout 1.0 §2.4: every logout token has it."""

ACCOUNT_DISABLED = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
"""OpenID RISC Profile 1.0 §2.3: nobody can sign in with the account for now."""

ACCOUNT_PURGED = "https://schemas.openid.net/secevent/risc/event-type/account-purged"
"""OpenID RISC Profile 1.0 §2.2: the account was deleted for good."""
