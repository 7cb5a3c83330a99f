"""Pages for owners: server-drawn over the same services as the API, readable without scripts."""

from web.console import access, audit, experiments, flags, keys
from web.console.base import blueprint
from web.console.problem import render_problem

__all__ = ["access", "audit", "blueprint", "experiments", "flags", "keys", "render_problem"]
