"""Where people may sign in with an account that they have elsewhere; read from the environment.

::

    FLAGSTONE_OIDC_ISSUER         https://login.example.com; without it there is no single sign-on
    FLAGSTONE_OIDC_CLIENT_ID      as registered there, with the redirect address
                                  <where browsers reach the service>/login/oidc/callback
    FLAGSTONE_OIDC_CLIENT_SECRET  of that client
    FLAGSTONE_OIDC_NAME           what the button says: Sign in with …; the issuer's host
    FLAGSTONE_OIDC_DOMAINS        example.com,example.org: only addresses there; any
    FLAGSTONE_OIDC_DEFAULT_ROLE   role of who signs in for the first time; without one and without
                                  a mapping, only people who are there already come in
    FLAGSTONE_OIDC_ROLE_CLAIM     the claim that holds somebody's groups; groups
    FLAGSTONE_OIDC_ROLES          platform=admin,shop=editor: the highest that fits, at each sign-in
    FLAGSTONE_PASSWORD_LOGIN      off: nobody signs in with a password; on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from flags.errors import InvalidInputError
from web.auth.roles import Role, parse_role

DEFAULT_CLAIM = "groups"


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One issuer, and what its people may do here."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    name: str = ""
    domains: tuple[str, ...] = ()
    default_role: Role | None = None
    role_claim: str = DEFAULT_CLAIM
    roles: tuple[tuple[str, Role], ...] = ()

    @property
    def label(self) -> str:
        """What the button names."""
        return self.name or urlsplit(self.issuer).hostname or self.issuer

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the highest role that somebody's groups give; ``None``: nothing is said."""
        if not self.roles:
            return None
        said = claims.get(self.role_claim)
        groups = {said} if isinstance(said, str) else set(filter(_is_text, _as_list(said)))
        found = [role for group, role in self.roles if group in groups]
        return max(found, key=lambda role: role.rank) if found else self.default_role or Role.NONE


def read_oidc(env: Mapping[str, str]) -> OidcSettings | None:
    """Read the settings.

    Raises
    ------
    InvalidInputError
        With the name of the variable that is bad as its field.
    """
    issuer = env.get("FLAGSTONE_OIDC_ISSUER", "").strip()
    if not issuer:
        return None
    _check_issuer(issuer)
    client_id = env.get("FLAGSTONE_OIDC_CLIENT_ID", "").strip()
    if not client_id:
        _refuse("FLAGSTONE_OIDC_CLIENT_ID", "is empty", "as the issuer registered this service")
    default = env.get("FLAGSTONE_OIDC_DEFAULT_ROLE", "").strip()
    return OidcSettings(
        issuer=issuer,
        client_id=client_id,
        client_secret=env.get("FLAGSTONE_OIDC_CLIENT_SECRET", ""),
        name=env.get("FLAGSTONE_OIDC_NAME", "").strip(),
        domains=tuple(_parts(env.get("FLAGSTONE_OIDC_DOMAINS", "").lower())),
        default_role=_role("FLAGSTONE_OIDC_DEFAULT_ROLE", default) if default else None,
        role_claim=env.get("FLAGSTONE_OIDC_ROLE_CLAIM", "").strip() or DEFAULT_CLAIM,
        roles=_roles(env.get("FLAGSTONE_OIDC_ROLES", "")),
    )


def written(oidc: OidcSettings | None) -> dict[str, str]:
    """Return the variables from which :func:`read_oidc` reads these settings again."""
    if oidc is None:
        return {}
    return {
        "FLAGSTONE_OIDC_ISSUER": oidc.issuer,
        "FLAGSTONE_OIDC_CLIENT_ID": oidc.client_id,
        "FLAGSTONE_OIDC_CLIENT_SECRET": oidc.client_secret,
        "FLAGSTONE_OIDC_NAME": oidc.name,
        "FLAGSTONE_OIDC_DOMAINS": ",".join(oidc.domains),
        "FLAGSTONE_OIDC_DEFAULT_ROLE": oidc.default_role or "",
        "FLAGSTONE_OIDC_ROLE_CLAIM": oidc.role_claim,
        "FLAGSTONE_OIDC_ROLES": ",".join(f"{group}={role}" for group, role in oidc.roles),
    }


def read_password_login(env: Mapping[str, str], oidc: OidcSettings | None) -> bool:
    """Read whether people may sign in with a password."""
    said = env.get("FLAGSTONE_PASSWORD_LOGIN", "").strip().lower() or "on"
    if said not in {"on", "off"}:
        _refuse("FLAGSTONE_PASSWORD_LOGIN", f"is {said!r}", "on or off")
    if said == "off" and oidc is None:
        hint = "set FLAGSTONE_OIDC_ISSUER first, or nobody could sign in"
        _refuse("FLAGSTONE_PASSWORD_LOGIN", "is off and there is no other way", hint)
    return said == "on"


def _check_issuer(issuer: str) -> None:
    name = "FLAGSTONE_OIDC_ISSUER"
    try:
        parts = urlsplit(issuer)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        _refuse(name, "is no address", "write https://login.example.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        _refuse(name, "is not https", "only an issuer on this machine may do without")
    if not host or parts.query or parts.fragment or "@" in parts.netloc:
        _refuse(name, "is no address of an issuer", "write https://login.example.com")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _roles(text: str) -> tuple[tuple[str, Role], ...]:
    name = "FLAGSTONE_OIDC_ROLES"
    found = []
    for part in _parts(text):
        group, sign, role = part.rpartition("=")
        if not sign or not group.strip():
            _refuse(name, f"holds {part[:60]!r}", "write group=role,group=role")
        found.append((group.strip(), _role(name, role.strip())))
    return tuple(found)


def _role(variable: str, text: str) -> Role:
    try:
        return parse_role(text)
    except InvalidInputError as error:
        message = f"{variable}: {error.message}"
        raise InvalidInputError(message, field=variable, hint=error.hint) from None


def _refuse(variable: str, what: str, hint: str) -> None:
    raise InvalidInputError(f"{variable} {what}", field=variable, hint=hint)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _as_list(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def _is_text(each: Any) -> bool:
    return isinstance(each, str)
