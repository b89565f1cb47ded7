"""Options that say what the provider's claims mean here: names, groups, administrators, and who may come in."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from tornado import web
from traitlets import Bool, Callable, Dict, List, TraitError, Unicode, Union, default, validate

from sciserver_auth import claims
from sciserver_auth.names import is_hub_name
from sciserver_auth.renewal import TokenRenewal

# A provider may send thousands of groups; a log line does not hold them.
MOST_NAMES_LOGGED = 5


class ClaimsMapping(TokenRenewal):
    """Makes the hub's user out of what the provider says; the rules themselves are in `sciserver_auth.claims`."""

    user_auth_state_key = "user_claims"

    allowed_domains = List(
        Unicode(),
        config=True,
        help="""
        Domains of the people who may come in, where the provider's user names are of the shape ``ada@example.edu``.

        Everybody else is refused, whatever other lists say. If empty, the domain does not matter.
        """,
    )

    strip_domains = List(
        Unicode(),
        config=True,
        help="""
        Domains that are left away from user names: with ``["example.edu"]``, ``ada@example.edu`` is ``ada`` here.

        People of other domains keep theirs. With several domains, two people may end up with one name: the second one
        is refused, until an administrator links that account to another user.
        """,
    )

    required_claims = Dict(
        value_trait=List(Unicode()),
        key_trait=Unicode(),
        config=True,
        help="""
        Claims that a person must have to come in, besides what other lists ask for: for each path the values, one of
        which is needed.

        The identity provider behind CILogon, for example, or a role of Keycloak's::

            c.SciServerAuthenticator.required_claims = {"idp": ["https://idp.example.edu/idp/shibboleth"]}
            c.SciServerAuthenticator.required_claims = {"realm_access.roles": ["astro"]}
        """,
    )

    admin_claims = Dict(
        value_trait=List(Unicode()),
        key_trait=Unicode(),
        config=True,
        help="""
        Claims that make an administrator, any of them: for each path the values. Written as `required_claims`.

        They count beside `admin_users` and `admin_groups`. Whoever has none of the three stops being an administrator
        at the next sign-in or renewal.
        """,
    )

    groups_claim = Union(
        [Unicode(), Callable()],
        default_value="groups",
        config=True,
        help="""
        Claim with the names of the person's groups; they become the hub's groups at each sign-in and renewal.

        A path with dots leads into nested claims, e.g. ``resource_access.sciserver.roles``. A function gets all claims
        and returns the names.
        """,
    )

    group_pattern = Unicode(
        "(.*)",
        config=True,
        help="""
        Regular expression for the names of groups, to be matched as a whole. Groups that do not match are left out.

        If there is a group in the expression, the hub calls the group what is inside: ``/(.+)`` takes Keycloak's slash
        away. Names that the hub cannot have (with a slash, or longer than 255 characters) are left out and logged.
        """,
    )

    provider_verifies_email = Bool(
        False,
        config=True,
        help="""
        Whether the provider confirms each mail address although it does not send ``email_verified``.

        Addresses that nobody has confirmed are neither used as user names nor to find existing users.
        """,
    )

    @validate("allowed_domains", "strip_domains")
    def _check_domains(self, proposal: Any) -> list[str]:
        domains = [domain.lower().removeprefix("@") for domain in proposal["value"]]
        if not all(re.fullmatch(r"[\w-]+(\.[\w-]+)*", domain) for domain in domains):
            raise TraitError(f'{proposal["trait"].name} holds domains, such as "example.edu"')
        return domains

    @validate("group_pattern")
    def _check_group_pattern(self, proposal: Any) -> str:
        try:
            re.compile(proposal["value"])
        except re.error as error:
            raise TraitError(f"group_pattern is not a regular expression: {error}") from None
        return str(proposal["value"])

    @default("username_claim")
    def _default_username_claim(self) -> str:
        return "preferred_username"

    @default("manage_groups")
    def _default_manage_groups(self) -> bool:
        return True

    @property
    def is_embedded(self) -> bool:
        """Whether people sign in at this deployment's own portal."""
        public = urlsplit(self.oauth_callback_url)
        return bool(public.netloc) and self.issuer == f"{public.scheme}://{public.netloc}/services/portal"

    @default("admin_groups")
    def _default_admin_groups(self) -> set[str]:
        # Who is in a group of that name at another provider was not told that it means anything here.
        return {"admin"} if self.is_embedded else set()

    @default("allow_all")
    def _default_allow_all(self) -> bool:
        if self.allowed_users or self.allowed_groups or self.allowed_scopes or self.allow_existing_users:
            return False
        # The portal knows the site's people only. Elsewhere an account may mean "somebody on the Internet".
        return self.is_embedded or bool(self.required_claims or self.allowed_domains)

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """The hub's name for the person.

        Raises
        ------
        tornado.web.HTTPError
            The provider gives none, one that cannot be the name of a directory and a container, or one of a domain
            that is not allowed.
        """
        claim = self.username_claim
        known = claims.without_unverified_email(user_info, vouched=self.provider_verifies_email)
        name = claim(known) if callable(claim) else claims.find(known, claim)
        if not isinstance(name, str) or not name.strip():
            if claim == "email" and "email" in user_info:
                self.log.warning("An unverified address was not taken for a user name")
                raise web.HTTPError(
                    403, "Your mail address is not confirmed. Confirm it at the sign-in service first."
                )
            self.log.error("The provider sends no claim %r", claim if isinstance(claim, str) else "(callable)")
            raise web.HTTPError(403, "The sign-in service has told us no user name for you. Ask an administrator.")
        try:
            name = claims.user_name(name, allowed_domains=self.allowed_domains, strip_domains=self.strip_domains)
        except claims.NameRefused as error:
            self.log.warning("A user name that the provider sent is not accepted: %r", name[:80])
            raise web.HTTPError(403, str(error)) from None
        if not is_hub_name(self.normalize_username(name)):
            self.log.warning("A user name that the provider sent is not usable here: %r", name[:80])
            raise web.HTTPError(
                403,
                "Your user name cannot be used here: it must start with a letter and consist of letters, digits and "
                "the characters . _ - @ + only, at most 63 in all. Ask an administrator.",
            )
        return name

    async def get_user_groups(self, auth_state: dict[str, Any]) -> set[str]:
        """Groups out of the claims; a person in no group is no error."""
        if self.auth_state_groups_key:
            # oauthenticator's own option, for those who know it: a path from the top of the state.
            given = claims.strings(await super().get_user_groups(auth_state))
        else:
            claim, said = self.groups_claim, auth_state[self.user_auth_state_key]
            given = claims.strings(claim(said) if callable(claim) else claims.find(said, claim))
        names, dropped = claims.group_names(given, self.group_pattern)
        if dropped:
            shown = [name[:80] for name in sorted(dropped)[:MOST_NAMES_LOGGED]]
            self.log.warning("%d groups have names that cannot be used here, such as %r", len(dropped), shown)
        return names

    def still_good(self, old_claims: dict[str, Any]) -> dict[str, Any]:
        """What an old identity token says, except of what grants something."""
        if callable(self.groups_claim) or self.auth_state_groups_key:
            return claims.without_paths(old_claims, None)
        return claims.without_paths(old_claims, [self.groups_claim, *self.admin_claims, *self.required_claims])

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Make an administrator of whom the claims say so; groups are looked at afterwards, by oauthenticator."""
        if self.admin_claims and not auth_model["admin"]:
            said = auth_model["auth_state"][self.user_auth_state_key]
            auth_model["admin"] = any(claims.satisfied(said, self.admin_claims))
        return auth_model

    def check_blocked_users(self, username: str, authentication: dict[str, Any] | None = None) -> bool:
        """Whether nothing keeps the person out: neither a list of names nor a required claim that is missing.

        The hub asks this before anything that lets people in, of which `allow_all` would be enough for it.
        """
        if authentication is not None and self.required_claims:
            said = authentication["auth_state"][self.user_auth_state_key]
            if not all(claims.satisfied(said, self.required_claims)):
                self.log.warning("%s lacks a required claim", username)
                return False
        return bool(super().check_blocked_users(username, authentication))
