"""Completion of flags' keys, asked of the service; silent where it does not answer."""

from __future__ import annotations

import click

_MOST = 200


def flag_keys(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Give the keys of flags that begin so."""
    from web.cli.profile import settle
    from web.cli.remote import Remote

    root = ctx.find_root()
    try:
        names = ("url", "token", "project")
        url, token, project = settle(root, *(root.params[name] for name in names))
        remote = Remote(url, token, project)
        found = remote.get(remote.project_path("flags"), fields="key", limit=500)["items"]
    except Exception:  # noqa: BLE001
        # Whoever presses Tab wants no story about networks.
        return []
    return [each["key"] for each in found if each["key"].startswith(incomplete)][:_MOST]
