"""What the short lists can be asked for by a filter: those that are read whole.

Each is asked for what it shows. Flags, experiments, releases, the audit and changes that wait have
searches of their own, in the database.
"""

from __future__ import annotations

from collections.abc import Callable

from flags.filter_items import Entry, Read, listed
from flags.filters import Field
from web.auth.guard import current_caller
from web.webhooks.kill_hooks import SCOPES


def _texts(*names: str) -> Callable[[Entry], list[str]]:
    """Read texts, and lists of texts; what is not said is no text."""

    def read(entry: Entry) -> list[str]:
        found: list[str] = []
        for name in names:
            said = entry[name]
            found += [said] if isinstance(said, str) else (said or [])
        return found

    return read


def _text(means: str, *names: str) -> tuple[Field, Read]:
    return Field("text", means), _texts(*names)


def _time(means: str, name: str) -> tuple[Field, Read]:
    return Field("time", means), lambda entry: entry[name]


def _one(means: str, ways: dict[str, Callable[[Entry], bool]]) -> tuple[Field, Read]:
    def read(entry: Entry) -> set[str]:
        return {name for name, holds in ways.items() if holds(entry)}

    return Field("one", means, tuple(ways)), read


def _among(means: str, name: str, values: tuple[str, ...]) -> tuple[Field, Read]:
    return Field("one", means, values), lambda entry: {entry[name]}


def _by(means: str) -> tuple[Field, Read]:
    """Read who made it: with the kind before the name or without, or ``me``."""

    def read(entry: Entry) -> list[str]:
        name = entry["created_by"]
        mine = ["me"] if name == str(current_caller().actor) else []
        return [name, name.partition(":")[2], *mine]

    return Field("text", f"{means}; me for you"), read


_ROLES = ("none", "viewer", "editor", "approver", "admin")

TOKENS = listed(
    _texts("name"),
    name=_text("what it is called", "name"),
    kind=_among("for what it is", "kind", ("srv", "cli", "usr")),
    role=_among("of a usr key", "role", _ROLES[1:]),
    env=_text("where it is good, if that is said of it", "environment", "environments"),
    by=_by("who made it"),
    created=_time("when it was made", "created_at"),
    used=_time("when it was used last", "last_used_at"),
    ends=_time("when it ends", "expires_at"),
    has=_one("beside it", {"budget": lambda key: key["budget"] is not None}),
    is_=_one(
        "what it is",
        {
            "live": lambda key: key["live"],
            "revoked": lambda key: key["revoked_at"] is not None,
            "unused": lambda key: key["last_used_at"] is None,
        },
    ),
)
PEOPLE = listed(
    _texts("email", "name"),
    email=_text("the address", "email"),
    name=_text("what they are called", "name"),
    role=_among("for everything", "role", _ROLES),
    created=_time("when they were made", "created_at"),
    is_=_one("what they are", {"disabled": lambda person: person["disabled"]}),
)
MEMBERS = listed(
    _texts("email", "name"),
    email=_text("the address", "email"),
    name=_text("what they are called", "name"),
    role=_among("in the project, if one was given there", "role", _ROLES),
    everywhere=_among("for everything", "everywhere", _ROLES),
    may=(
        Field("one", "what comes of that in some environment", _ROLES),
        lambda member: set(member["may"].values()),
    ),
    env=(
        Field("text", "an environment in which they have a role of its own"),
        lambda member: list(member["environments"]),
    ),
    has=_one("beside it", {"budget": lambda member: bool(member["budget"] or member["budgets"])}),
    is_=_one("what they are", {"disabled": lambda member: member["disabled"]}),
)
WEBHOOKS = listed(
    _texts("name", "url"),
    name=_text("who receives it", "name"),
    url=_text("where it is sent", "url"),
    form=_among("how it is told", "form", ("full", "slack")),
    kind=_text("of which kinds, if not of all", "kinds"),
    env=_text("of which environments, if not of all", "environments"),
    by=_by("who made it"),
    created=_time("when it was made", "created_at"),
    failing=_time("since when nothing arrives", "failing_since"),
    is_=_one(
        "how it is",
        {
            "enabled": lambda hook: hook["enabled"],
            "failing": lambda hook: hook["failing_since"] is not None,
        },
    ),
)
KILL_HOOKS = listed(
    _texts("name", "names"),
    name=_text("what it is called", "name"),
    scope=_among("by what it finds flags", "scope", tuple(SCOPES)),
    kills=_text("a flag, owner or tag that it names", "names"),
    by=_by("who made it"),
    created=_time("when it was made", "created_at"),
    used=_time("when it was used last", "used_at"),
    is_=_one(
        "how it is",
        {
            "revoked": lambda hook: hook["revoked_at"] is not None,
            "unused": lambda hook: hook["used_at"] is None,
        },
    ),
)
SEGMENTS = listed(
    _texts("key", "name"),
    key=_text("its key", "key"),
    name=_text("what it is called", "name"),
    created=_time("when it was made", "created_at"),
)
ENVIRONMENTS = listed(
    _texts("key", "name"),
    key=_text("its key", "key"),
    name=_text("what it is called", "name"),
    after=_text("where what serves more must be on first", "after"),
    created=_time("when it was made", "created_at"),
    is_=_one(
        "how it is",
        {
            "production": lambda environment: environment["production"],
            "reviewed": lambda environment: environment["approvals_needed"] > 0,
        },
    ),
)
