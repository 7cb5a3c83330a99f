"""``settings.md``: what an operator may set, as ``web/settings.py`` documents it."""

from __future__ import annotations

import re

import web.auth.oidc_settings
import web.settings
from web.reference.markdown import code, page, table

_VARIABLE = re.compile(r"^    (FLAGSTONE_[A-Z_]+)\s+(.*)$")


def variables() -> dict[str, str]:
    """Give every variable with what the docstring of its module says of it."""
    found: dict[str, str] = {}
    name = ""
    documented = f"{web.settings.__doc__}\n{web.auth.oidc_settings.__doc__}"
    for line in documented.splitlines():
        named = _VARIABLE.match(line) or re.match(r"^    (FLAGSTONE_[A-Z_]+)()$", line)
        if named:
            name = named[1]
            found[name] = named[2].strip()
        elif name and line.startswith(" " * 8):
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def settings_page() -> str:
    """Write the page."""
    rows = []
    for name, text in variables().items():
        says, _, default = text.rpartition("; ")
        # A bracket in prose would be taken for HTML.
        shown = (says or text).replace("<", "&lt;")
        rows.append([code(name), shown, default if says else ""])
    return page(
        "Settings",
        "`web/settings.py` and `web/auth/oidc_settings.py`",
        "Read once, at the start, by `flagstone serve`, `flagstone worker` and `flagstone db`. All "
        "processes of one installation get the same ones. What cannot be used is refused by name.",
        table(["variable", "is", "unless set"], rows),
        "The command line reads `FLAGSTONE_URL`, `FLAGSTONE_TOKEN`, `FLAGSTONE_PROJECT` and "
        "`FLAGSTONE_ENVIRONMENT` ([cli.md](cli.md)).",
    )
