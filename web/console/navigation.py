"""Where the console leads: one table of entries, from which the header and ``/switch`` are drawn.

To add a page to the navigation, add a line to :data:`ENTRIES`; the page's template says
``{% set tab = "<key>" %}``. Its endpoint takes ``project_key`` and ``environment_key``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from web.auth.roles import Role


@dataclass(frozen=True)
class Entry:
    """A page that the header leads to.

    Parameters
    ----------
    key : str
        What a template names as its ``tab``.
    words : str
        What people read.
    endpoint : str
        The view.
    group : str
        Under which word it is folded away; empty for those that always show.
    role : Role
        Who sees it.
    of_project : bool
        Whether that role is needed in the project, and not in the environment.
    """

    key: str
    words: str
    endpoint: str
    group: str = ""
    role: Role = Role.VIEWER
    of_project: bool = False


_VALUE = "Value"
_SETUP = "Setup"

# What owners need every day comes first and is never folded; a group stays together.
ENTRIES = (
    Entry("today", "Today", "console.show_today"),
    Entry("flags", "Flags", "console.list_flags"),
    Entry("experiments", "Experiments", "console.list_experiments"),
    Entry("library", "Library", "console.show_library", _VALUE),
    Entry("outcomes", "Outcomes", "console.show_outcomes", _VALUE),
    Entry("ledger", "Ledger", "console.show_ledger", _VALUE),
    Entry("requests", "Requests", "console.list_requests", _VALUE),
    Entry("changes", "Changes", "console.list_changes"),
    Entry("compare", "Compare", "console.show_comparison"),
    Entry("news", "News", "console.show_news"),
    Entry("audit", "Audit", "console.show_audit"),
    Entry("instances", "Instances", "console.show_instances", _SETUP),
    Entry("connect", "Connect", "console.show_connection", _SETUP),
    Entry("metrics", "Metrics", "console.list_metrics", _SETUP),
    Entry("sources", "Sources", "console.list_sources", _SETUP),
    Entry("layers", "Layers", "console.list_layers", _SETUP),
    Entry("policies", "Policies", "console.list_policies", _SETUP),
    Entry("cleanup", "Clean up", "console.list_cleanup", _SETUP),
    Entry("environment", "Environment", "console.show_environment", _SETUP),
    Entry("people", "People", "console.list_people", _SETUP, Role.ADMIN, of_project=True),
    Entry("keys", "Keys", "console.list_keys", _SETUP, Role.ADMIN, of_project=True),
    Entry("kill_hooks", "Kill hooks", "console.list_kill_hooks", _SETUP, Role.ADMIN),
    Entry("webhooks", "Webhooks", "console.list_webhooks", _SETUP, Role.ADMIN, of_project=True),
)
FIRST = "console.list_flags"
_BY_KEY = {each.key: each.endpoint for each in ENTRIES}


def endpoint_of(tab: str) -> str:
    """Give the view of a tab; the first one for a tab that is not in the table."""
    return _BY_KEY.get(tab, FIRST)


def menu(here: Role, in_project: Role) -> list[tuple[str, list[Entry]]]:
    """Give the entries that somebody sees with these roles, in runs of one group."""
    seen = [each for each in ENTRIES if (in_project if each.of_project else here).covers(each.role)]
    return [(group, list(run)) for group, run in groupby(seen, key=lambda each: each.group)]
