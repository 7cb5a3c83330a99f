"""Pages for owners: server-drawn over the same services as the API, readable without scripts."""

from web.console import (
    access,
    assets,
    audit,
    changes,
    experiments,
    flag,
    flags,
    keys,
    layers,
    ledger,
    metrics,
    people,
    policies,
    releases,
    report,
    requests,
    unscheduled,
    who,
    words,
)
from web.console.base import blueprint
from web.console.problem import render_problem

__all__ = [
    "access",
    "assets",
    "audit",
    "blueprint",
    "changes",
    "experiments",
    "flag",
    "flags",
    "keys",
    "layers",
    "ledger",
    "metrics",
    "people",
    "policies",
    "releases",
    "render_problem",
    "report",
    "requests",
    "unscheduled",
    "who",
    "words",
]
