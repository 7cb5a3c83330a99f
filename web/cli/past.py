"""``flagstone flags diff|revert``: a flag against another environment or an earlier revision."""

from __future__ import annotations

import json
from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import environment_option, flag_key_argument
from web.cli.output import EXIT_USAGE, CommandError
from web.cli.sending import Way, changing_options, send_change

_STATE = ("enabled", "killed", "off", "default", "prerequisites", "targets", "rules", "variants")
_LONGEST_VALUE = 80


@click.command()
@flag_key_argument
@click.option("--revision", type=click.IntRange(min=1), help="as it was then")
@click.option("--with", "other", help="as it is in this environment")
@environment_option
@pass_invocation
def diff(
    invocation: Invocation,
    flag_key: str,
    environment: str,
    revision: int | None,
    other: str | None,
) -> None:
    """Say field by field what is different from an earlier revision or another environment."""
    from flags.diff import differences
    from flags.sentence import describe

    if (revision is None) == (other is None):
        raise CommandError(
            "say what to compare with: --revision 17, or --with staging", exit_code=EXIT_USAGE
        )
    remote = invocation.remote
    now = remote.get(remote.project_path("flags", flag_key, "environments", environment))
    if other is not None:
        then = remote.get(remote.project_path("flags", flag_key, "environments", other))
        name = other
    else:
        path = remote.project_path("environments", environment, "revisions", str(revision))
        then = remote.get(path)["flag_set"]["flags"].get(flag_key)
        name = f"revision {revision}"
        if then is None:
            raise CommandError(f"revision {revision} has no flag {flag_key}")
    old, new = differences(
        {field: then[field] for field in _STATE}, {field: now[field] for field in _STATE}
    )
    fields = [
        {"field": field, "before": old.get(field), "after": new.get(field)}
        for field in dict.fromkeys([*old, *new])
    ]
    lines = [
        f"{name}: {describe(then, environment=other or environment)}",
        f"now: {now['sentence']}",
        *(
            f"  {each['field']}: {_value(each['before'])} → {_value(each['after'])}"
            for each in fields
        ),
    ]
    words = "\n".join(lines) if fields else f"{flag_key} is as in {name}."
    invocation.output.document({"flag": flag_key, "with": name, "fields": fields}, words)


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


@click.command()
@flag_key_argument
@click.option("--to", "revision", type=click.IntRange(min=1), required=True, help="as it was then")
@environment_option
@changing_options
@pass_invocation
def revert(
    invocation: Invocation, flag_key: str, revision: int, environment: str, way: Way
) -> None:
    """Bring a flag back to how an earlier revision of the environment had it."""
    instruction = {"do": "revert_to", "revision": revision, "flag": flag_key}
    words = f"Back to revision {revision}"
    send_change(invocation, flag_key, environment, [instruction], way, comment=words)
