"""Settings of the service, read once from the environment.

::

    FLAGSTONE_DATABASE_URL     sqlite:///… (default: a file in the data directory) or postgresql://…
    FLAGSTONE_DATA_DIR         events, snapshots and the default database; ./flagstone-data
    FLAGSTONE_EVENTS_URL       postgresql://… to keep events there; a folder in the data directory
    FLAGSTONE_EVENTS_KEEP_DAYS
                               days that events are kept, if no live experiment needs them; for ever
    FLAGSTONE_HOST             address to listen on; 127.0.0.1
    FLAGSTONE_PORT             port to listen on, 0 for any free one; 8400
    FLAGSTONE_WORKERS          web processes; 1
    FLAGSTONE_TRUSTED_PROXIES  addresses whose X-Forwarded-* headers are believed; none
    FLAGSTONE_PUBLIC_URL       where browsers reach the service, as https://flags.example.com; what
                               their requests say
    FLAGSTONE_OFREP_REQUESTS_PER_SECOND
                               evaluation requests that one key may make of one web process; any
    FLAGSTONE_API_REQUESTS_PER_MINUTE
                               requests of the management API that one key or person may make of
                               one web process, 0 for any number; 3000
    FLAGSTONE_WEBHOOK_NETWORKS networks that webhooks may reach although they are not public, also
                               without TLS, as 10.0.0.0/8, fd00::/8; none
    FLAGSTONE_OIDC_ISSUER      where people sign in with an account that they have elsewhere, as
                               https://login.example.com (needs the extra oidc); nowhere
    FLAGSTONE_OIDC_CLIENT_ID   as registered there, with the redirect address
                               <public URL>/login/oidc/callback; none
    FLAGSTONE_OIDC_CLIENT_SECRET
                               of that client; none
    FLAGSTONE_OIDC_NAME        what the button says, Sign in with …; the issuer's host
    FLAGSTONE_OIDC_DOMAINS     domains whose addresses come in, as example.com,example.org; any
    FLAGSTONE_OIDC_DEFAULT_ROLE
                               role of who comes for the first time; only people known here come in
    FLAGSTONE_OIDC_ROLE_CLAIM  the claim that holds somebody's groups; groups
    FLAGSTONE_OIDC_ROLES       roles by group, set at each sign-in, as platform=admin,shop=editor;
                               roles are given here
    FLAGSTONE_PASSWORD_LOGIN   off: nobody signs in with a password; on
    FLAGSTONE_READY_FILE       written, as JSON, once the service answers; none
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from flags.errors import FlagstoneError, InvalidInputError
from web.auth.oidc_settings import OidcSettings, read_oidc, read_password_login, written
from web.webhooks.networks import Network, parse_networks

MAX_WORKERS = 64
API_REQUESTS_PER_MINUTE = 3000


class SettingsError(FlagstoneError):
    """A setting cannot be used; ``field`` and the message name its variable."""

    code = "bad_setting"


@dataclass(frozen=True, slots=True)
class Settings:
    """How one installation runs.

    Parameters
    ----------
    database_url : str
        Address of the control-plane database; empty for a SQLite file in ``data_directory``.
    data_directory : Path
        Where the event inbox and its archive live.
    events_url : str
        Address of the PostgreSQL database that keeps events; empty for a folder in
        ``data_directory``.
    events_keep_days : int
        How long events are kept, in days; 0 for ever. What a live experiment reads stays.
    host, port : str, int
        Where to listen. Port 0 takes any free port.
    workers : int
        Number of web processes.
    trusted_proxies : str
        Comma-separated addresses whose ``X-Forwarded-*`` headers are believed; empty for none.
    public_url : str
        Where browsers reach the service, for the addresses of event streams; empty to take it from
        their requests.
    ofrep_requests_per_second : float
        How many evaluation requests one key may make of one web process; 0 for any number.
    api_requests_per_minute : int
        How many requests of the management API one key or person may make of one web process; 0
        for any number.
    webhooks_reach : str
        Comma-separated networks that webhooks may reach although they are not public.
    oidc : OidcSettings, optional
        Where people may sign in with an account that they have elsewhere.
    password_login : bool
        Whether people may sign in with a password.
    ready_file : Path, optional
        Gets ``{"url", "port", "pid"}`` once the service answers.
    """

    database_url: str = ""
    data_directory: Path = field(default_factory=lambda: Path("flagstone-data"))
    events_url: str = ""
    events_keep_days: int = 0
    host: str = "127.0.0.1"
    port: int = 8400
    workers: int = 1
    trusted_proxies: str = ""
    public_url: str = ""
    ofrep_requests_per_second: float = 0.0
    api_requests_per_minute: int = API_REQUESTS_PER_MINUTE
    webhooks_reach: str = ""
    oidc: OidcSettings | None = None
    password_login: bool = True
    ready_file: Path | None = None

    def __post_init__(self) -> None:
        # Children run in the same folder today, but a relative path is a trap for cron and systemd.
        directory = Path(self.data_directory).expanduser().absolute()
        object.__setattr__(self, "data_directory", directory)
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{directory / 'flagstone.db'}")
        _check_url("FLAGSTONE_DATABASE_URL", self.database_url, with_sqlite=True)
        if self.events_url:
            _check_url("FLAGSTONE_EVENTS_URL", self.events_url, with_sqlite=False)
        if self.events_keep_days < 0:
            raise SettingsError(
                f"FLAGSTONE_EVENTS_KEEP_DAYS is {self.events_keep_days}",
                field="FLAGSTONE_EVENTS_KEEP_DAYS",
                hint="give a number of days, or 0 to keep events for ever",
            )
        if not self.host:
            raise SettingsError(
                "FLAGSTONE_HOST is empty",
                field="FLAGSTONE_HOST",
                hint="127.0.0.1 listens on this machine only, 0.0.0.0 on every network",
            )
        if not 0 <= self.port <= 65535:
            raise SettingsError(
                f"FLAGSTONE_PORT is {self.port}",
                field="FLAGSTONE_PORT",
                hint="give a number between 0 (any free port) and 65535",
            )
        if not 1 <= self.workers <= MAX_WORKERS:
            raise SettingsError(
                f"FLAGSTONE_WORKERS is {self.workers}",
                field="FLAGSTONE_WORKERS",
                hint=f"give a number from 1 to {MAX_WORKERS}",
            )
        _check_public_url(self.public_url)
        # Written so that "not a number" is refused too.
        if not 0 <= self.ofrep_requests_per_second < math.inf:
            raise SettingsError(
                f"FLAGSTONE_OFREP_REQUESTS_PER_SECOND is {self.ofrep_requests_per_second}",
                field="FLAGSTONE_OFREP_REQUESTS_PER_SECOND",
                hint="give a number from 0 (no limit)",
            )
        if self.api_requests_per_minute < 0:
            raise SettingsError(
                f"FLAGSTONE_API_REQUESTS_PER_MINUTE is {self.api_requests_per_minute}",
                field="FLAGSTONE_API_REQUESTS_PER_MINUTE",
                hint="give a number from 0 (no limit)",
            )
        try:
            parse_networks(self.webhooks_reach)
        except ValueError:
            raise SettingsError(
                f"FLAGSTONE_WEBHOOK_NETWORKS is {self.webhooks_reach!r}",
                field="FLAGSTONE_WEBHOOK_NETWORKS",
                hint="write networks, as 10.0.0.0/8, fd00::/8",
            ) from None

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """Networks that webhooks may reach although they are not public."""
        return parse_networks(self.webhooks_reach)

    @property
    def events_directory(self) -> Path:
        """Where the embedded event store lives."""
        return self.data_directory / "events"

    @property
    def events_place(self) -> Path | str:
        """Where events are kept: a folder, or the address of a PostgreSQL database."""
        return self.events_url or self.events_directory

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the settings; :class:`SettingsError` names the variable that is bad."""
        env = os.environ if environment is None else environment
        ready_file = env.get("FLAGSTONE_READY_FILE")
        try:
            oidc = read_oidc(env)
            password_login = read_password_login(env, oidc)
        except InvalidInputError as error:
            raise SettingsError(error.message, field=error.field, hint=error.hint) from None
        return cls(
            database_url=env.get("FLAGSTONE_DATABASE_URL", ""),
            data_directory=Path(env.get("FLAGSTONE_DATA_DIR") or "flagstone-data"),
            events_url=env.get("FLAGSTONE_EVENTS_URL", ""),
            events_keep_days=_integer(env, "FLAGSTONE_EVENTS_KEEP_DAYS", 0),
            host=env.get("FLAGSTONE_HOST", "127.0.0.1"),
            port=_integer(env, "FLAGSTONE_PORT", 8400),
            workers=_integer(env, "FLAGSTONE_WORKERS", 1),
            trusted_proxies=env.get("FLAGSTONE_TRUSTED_PROXIES", ""),
            public_url=env.get("FLAGSTONE_PUBLIC_URL", ""),
            ofrep_requests_per_second=_number(env, "FLAGSTONE_OFREP_REQUESTS_PER_SECOND", 0.0),
            api_requests_per_minute=_integer(
                env, "FLAGSTONE_API_REQUESTS_PER_MINUTE", API_REQUESTS_PER_MINUTE
            ),
            webhooks_reach=env.get("FLAGSTONE_WEBHOOK_NETWORKS", ""),
            oidc=oidc,
            password_login=password_login,
            ready_file=Path(ready_file) if ready_file else None,
        )

    def to_environment(self) -> dict[str, str]:
        """Give the variables from which :meth:`from_environment` reads these settings again."""
        variables = {
            "FLAGSTONE_DATABASE_URL": self.database_url,
            "FLAGSTONE_DATA_DIR": str(self.data_directory),
            "FLAGSTONE_EVENTS_URL": self.events_url,
            "FLAGSTONE_EVENTS_KEEP_DAYS": str(self.events_keep_days),
            "FLAGSTONE_HOST": self.host,
            "FLAGSTONE_PORT": str(self.port),
            "FLAGSTONE_WORKERS": str(self.workers),
            "FLAGSTONE_TRUSTED_PROXIES": self.trusted_proxies,
            "FLAGSTONE_PUBLIC_URL": self.public_url,
            "FLAGSTONE_OFREP_REQUESTS_PER_SECOND": repr(self.ofrep_requests_per_second),
            "FLAGSTONE_API_REQUESTS_PER_MINUTE": str(self.api_requests_per_minute),
            "FLAGSTONE_WEBHOOK_NETWORKS": self.webhooks_reach,
        }
        variables |= written(self.oidc)
        variables["FLAGSTONE_PASSWORD_LOGIN"] = "on" if self.password_login else "off"
        if self.ready_file is not None:
            variables["FLAGSTONE_READY_FILE"] = str(self.ready_file)
        return variables


def _integer(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}", field=name, hint="give a whole number") from None


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}", field=name, hint="give a number") from None


def _check_public_url(url: str) -> None:
    if not url:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        # Reading the port checks it.
        usable = usable and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "?" in url or "#" in url or "@" in url or not url.isprintable() or " " in url:
        raise SettingsError(
            "FLAGSTONE_PUBLIC_URL is not an address of a service",
            field="FLAGSTONE_PUBLIC_URL",
            hint="write https://flags.example.com, with a path only if a proxy adds one",
        )


def _check_url(variable: str, url: str, *, with_sqlite: bool) -> None:
    hint = "write postgresql://user@host/name"
    if with_sqlite:
        hint = f"write sqlite:////path/to/file.db or {hint.removeprefix('write ')}"
    try:
        backend = make_url(url).get_backend_name()
    except sa.exc.ArgumentError:
        # The text itself is not shown: it may hold a password.
        raise SettingsError(f"{variable} is not an address", field=variable, hint=hint) from None
    if backend not in {"postgresql", "postgres"} and not (with_sqlite and backend == "sqlite"):
        raise SettingsError(f"{variable} names {backend!r}", field=variable, hint=hint)
