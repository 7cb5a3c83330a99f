"""Signing in with OpenID Connect: the authorization code flow with PKCE, state and nonce.

What the issuer says is believed only out of an ID token that it signed, for this client, this
attempt and this hour. Nothing here knows of Flask. Needs the extra ``oidc`` (Authlib).

References
----------
OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE); RFC 9700 (best current practice).
"""

from __future__ import annotations

import functools
import secrets
import ssl
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast
from urllib.parse import quote_plus, urlencode

import httpx

from web.auth.oidc_settings import OidcSettings
from web.errors import SignInRefusedError, SignInUnavailableError

SCOPE = "openid email profile"
TIMEOUT_SECONDS = 10.0
KEEP_SECONDS = 3600.0
LEEWAY_SECONDS = 60
# Signatures that only the issuer can make: not "none", and none with a shared secret.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]


@functools.cache
def _trusted() -> ssl.SSLContext:
    # To read all certificates of the world for each call would take longer than the call.
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Attempt:
    """What the browser keeps, signed, while it is with the issuer."""

    state: str
    nonce: str
    verifier: str
    following: str

    def document(self) -> dict[str, str]:
        """Return what goes into the cookie."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Attempt:
        """Read what came back in the cookie."""
        return cls(*(str(document[name]) for name in ("state", "nonce", "verifier", "following")))


@dataclass(frozen=True)
class Identity:
    """Who the issuer says that somebody is."""

    issuer: str
    subject: str
    email: str
    name: str
    claims: Mapping[str, Any]


@dataclass
class Provider:
    """An issuer: its addresses and keys, asked for once an hour.

    Parameters
    ----------
    settings : OidcSettings
        Which issuer, as which client.
    redirect_uri : str
        Where it sends the browser back to.
    """

    settings: OidcSettings
    _metadata: tuple[float, dict[str, Any]] | None = None
    _keys: tuple[float, dict[str, Any]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, redirect_uri: str, following: str, now: float) -> tuple[str, Attempt]:
        """Return where to send the browser, and what it has to bring back."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            following=following,
        )
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        endpoint = self._address("authorization_endpoint", now)
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", attempt

    def finish(
        self, redirect_uri: str, answer: Mapping[str, str], attempt: Attempt, now: float
    ) -> Identity:
        """Turn what the issuer sent back into who it is.

        Raises
        ------
        SignInRefusedError
            The answer is not to this attempt, or the ID token is not to be believed.
        SignInUnavailableError
            The issuer cannot be reached.
        """
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise SignInRefusedError("this answer belongs to another attempt to sign in")
        # RFC 9207: an issuer that names itself must be the one that was asked.
        if answer.get("iss", self.settings.issuer) != self.settings.issuer:
            raise SignInRefusedError("another issuer answered")
        code = answer.get("code")
        if not code:
            raise SignInRefusedError("the other side did not let you in")
        token = self._exchange(redirect_uri, code, attempt, now)
        claims = self._claims(str(token.get("id_token") or ""), attempt, now)
        if claims.get("email_verified") is not True:
            raise SignInRefusedError("the other side has not verified your e-mail address")
        return Identity(
            issuer=self.settings.issuer,
            subject=str(claims["sub"]),
            email=str(claims.get("email") or "").strip().lower(),
            name=str(claims.get("name") or ""),
            claims=claims,
        )

    def _exchange(
        self, redirect_uri: str, code: str, attempt: Attempt, now: float
    ) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        client_id, secret = self.settings.client_id, self.settings.client_secret
        auth = None
        if secret:
            # RFC 6749, section 2.3.1: both are encoded as in a form before they are joined.
            auth = httpx.BasicAuth(quote_plus(client_id), quote_plus(secret))
        else:
            form["client_id"] = client_id
        endpoint = self._address("token_endpoint", now)
        try:
            answer = httpx.post(
                endpoint, data=form, auth=auth, timeout=TIMEOUT_SECONDS, verify=_trusted()
            )
            found = answer.json()
        except (httpx.HTTPError, ValueError):
            raise SignInUnavailableError(self.settings.label) from None
        if answer.is_server_error:
            raise SignInUnavailableError(self.settings.label)
        if not answer.is_success or not isinstance(found, dict):
            raise SignInRefusedError("the other side does not take this code")
        return found

    def _claims(self, id_token: str, attempt: Attempt, now: float) -> dict[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        options = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        params = {"nonce": attempt.nonce, "client_id": self.settings.client_id}
        for again in (False, True):
            try:
                keys = KeySet.import_key_set(cast("Any", self._key_set(now, anew=again)))
                found = jwt.decode(id_token, keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError, KeyError, TypeError):
                # Maybe signed with a key that is newer than what we remember.
                continue
            claims = CodeIDToken(found.claims, found.header, options, params)
            try:
                claims.validate(now=int(now), leeway=LEEWAY_SECONDS)
            except (JoseError, ValueError, TypeError):
                break
            return dict(found.claims)
        raise SignInRefusedError("the other side's answer is not to be believed")

    def _address(self, name: str, now: float) -> str:
        with self._lock:
            if self._metadata is None or now - self._metadata[0] > KEEP_SECONDS:
                base = self.settings.issuer.rstrip("/")
                found = self._get(f"{base}/.well-known/openid-configuration")
                # Who answers for another issuer could have people of any sign in here.
                if found.get("issuer") != self.settings.issuer:
                    raise SignInUnavailableError(self.settings.label)
                self._metadata = (now, found)
            address = self._metadata[1].get(name)
        if not isinstance(address, str):
            raise SignInUnavailableError(self.settings.label)
        return address

    def _key_set(self, now: float, *, anew: bool) -> dict[str, Any]:
        address = self._address("jwks_uri", now)
        with self._lock:
            if anew or self._keys is None or now - self._keys[0] > KEEP_SECONDS:
                self._keys = (now, self._get(address))
            return self._keys[1]

    def _get(self, address: str) -> dict[str, Any]:
        try:
            answer = httpx.get(address, timeout=TIMEOUT_SECONDS, verify=_trusted())
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, ValueError):
            raise SignInUnavailableError(self.settings.label) from None
        if not isinstance(found, dict):
            raise SignInUnavailableError(self.settings.label)
        return found
