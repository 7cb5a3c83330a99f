"""The REST interface for programs: every route of ``/api/v1``."""

from web.api import (
    account,
    audit,
    evaluate,
    events,
    experiment_verbs,
    experiments,
    flags,
    imports,
    instances,
    ledger,
    members,
    projects,
    releases,
    requests,
    sources,
    tokens,
)
from web.api.blueprint import blueprint

__all__ = [
    "account",
    "audit",
    "blueprint",
    "evaluate",
    "events",
    "experiment_verbs",
    "experiments",
    "flags",
    "imports",
    "instances",
    "ledger",
    "members",
    "projects",
    "releases",
    "requests",
    "sources",
    "tokens",
]
