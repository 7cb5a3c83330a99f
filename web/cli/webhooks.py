"""``flagstone webhooks …``: where what happens in a project is sent, and what came of it."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.options import filter_option
from web.cli.output import moment

_FORM = click.Choice(["full", "slack"])
_SECRET = "The secret, shown this once, with which your receiver checks the signature:"  # noqa: S105


@click.group()
def webhooks() -> None:
    """Send what happens to your own programs or to Slack, signed and retried."""


@webhooks.command(name="list")
@filter_option("env:production is:failing")
@pass_invocation
def list_webhooks(invocation: Invocation, filter_: str | None) -> None:
    """List the project's webhooks."""
    remote = invocation.remote
    found = remote.items(remote.project_path("webhooks"), filter=filter_)
    invocation.output.table(
        found if invocation.output.as_json else [_row(each) for each in found],
        [(name, name) for name in ("id", "name", "receiver", "form", "of", "state")],
        empty="No webhook yet. Make one: flagstone webhooks create ours https://example.com/hook",
    )


def _row(webhook: dict[str, Any]) -> dict[str, Any]:
    state = "good" if webhook["enabled"] else "disabled"
    if webhook["enabled"] and webhook["failing_since"]:
        state = f"failing since {moment(webhook['failing_since'])}"
    kinds, places = ", ".join(webhook["kinds"]), ", ".join(webhook["environments"])
    of = " in ".join(part for part in (kinds or "everything", places) if part)
    # The path of an address may be a secret, and terminals are shared.
    receiver = "/".join(webhook["url"].split("/")[:3]) + "/…"
    return {**webhook, "state": state, "of": of, "receiver": receiver}


@webhooks.command()
@click.argument("name")
@click.argument("url")
@click.option("--form", type=_FORM, default="full", help="slack: nothing but a text")
@click.option("-e", "--environment", "environments", multiple=True, help="only of this one; again")
@click.option("-k", "--kind", "kinds", multiple=True, help="only flag, flag.killed, …; again")
@pass_invocation
def create(
    invocation: Invocation,
    name: str,
    url: str,
    form: str,
    environments: tuple[str, ...],
    kinds: tuple[str, ...],
) -> None:
    """Make a webhook and print its secret, this once."""
    remote = invocation.remote
    body = {"name": name, "url": url, "form": form}
    answer = remote.post(
        remote.project_path("webhooks"),
        {**body, "environments": list(environments), "kinds": list(kinds)},
    )
    said = f"Webhook {answer['id']} is made. {_SECRET}\n{answer['secret']}"
    invocation.output.document(answer, f"{said}\nTry it: flagstone webhooks test {answer['id']}")


@webhooks.command()
@click.argument("webhook_id", type=int)
@click.option("--name", help="who receives it")
@click.option("--url", help="where it is sent")
@click.option("--form", type=_FORM, help="slack: nothing but a text")
@click.option("-e", "--environment", "environments", multiple=True, help="only of this one; again")
@click.option("-k", "--kind", "kinds", multiple=True, help="only flag, flag.killed, …; again")
@click.option("--enable/--disable", "enabled", default=None, help="send to it, or do not")
@pass_invocation
def update(invocation: Invocation, /, webhook_id: int, **given: Any) -> None:
    """Change a webhook; options that are not given stay as they are."""
    remote = invocation.remote
    named = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value not in (None, ())
    }
    answer = remote.patch(remote.project_path("webhooks", str(webhook_id)), named)
    state = "enabled" if answer["enabled"] else "disabled"
    invocation.output.document(answer, f"Webhook {webhook_id} is changed; it is {state}.")


@webhooks.command()
@click.argument("webhook_id", type=int)
@pass_invocation
def delete(invocation: Invocation, webhook_id: int) -> None:
    """Take a webhook away, with its log."""
    remote = invocation.remote
    remote.delete(remote.project_path("webhooks", str(webhook_id)))
    invocation.output.document({"deleted": webhook_id}, f"Webhook {webhook_id} is gone.")


@webhooks.command()
@click.argument("webhook_id", type=int)
@click.option("--overlap", type=int, default=24, help="hours in which the old secret signs too")
@pass_invocation
def rotate(invocation: Invocation, webhook_id: int, overlap: int) -> None:
    """Give a webhook a new secret and print it, this once."""
    answer = _post(invocation, webhook_id, "rotate", overlap_hours=overlap)
    until = answer["previous_secret_until"]
    also = f"\nThe old one signs too until {moment(until)}." if until else ""
    invocation.output.document(answer, f"{_SECRET}\n{answer['secret']}{also}")


@webhooks.command()
@click.argument("webhook_id", type=int)
@pass_invocation
def test(invocation: Invocation, webhook_id: int) -> None:
    """Send a message of the kind webhook.test."""
    answer = _post(invocation, webhook_id, "test")
    invocation.output.document(
        answer, f"It is on its way. What came of it: flagstone webhooks log {webhook_id}"
    )


@webhooks.command()
@click.argument("webhook_id", type=int)
@click.option("--state", type=click.Choice(["waiting", "delivered", "given_up"]), help="only these")
@click.option("--limit", type=int, default=50, show_default=True, help="at most so many")
@pass_invocation
def log(invocation: Invocation, webhook_id: int, state: str | None, limit: int) -> None:
    """List what was sent to a webhook, newest first."""
    remote = invocation.remote
    path = remote.project_path("webhooks", str(webhook_id), "deliveries")
    found = remote.items(path, limit=limit, state=state)
    invocation.output.table(
        found if invocation.output.as_json else [_sent(each) for each in found],
        [(name, name) for name in ("id", "at", "kind", "state", "tries", "last", "what")],
        empty="Nothing was sent yet. Try it: flagstone webhooks test",
    )


def _sent(delivery: dict[str, Any]) -> dict[str, Any]:
    attempts = delivery["attempts"]
    last = ""
    if attempts:
        said = attempts[0]["status"] or attempts[0]["error"]
        last = f"{said} in {attempts[0]['duration_ms']} ms"
    what = {"at": moment(delivery["at"]), "tries": len(attempts), "last": last}
    return {**delivery, **what, "what": delivery["sentence"]}


@webhooks.command()
@click.argument("webhook_id", type=int)
@click.option("--delivery", type=int, help="this one only")
@click.option("--since", help="everything since a time, as 2026-12-01T09:00:00Z")
@click.option("--only-failed", is_flag=True, help="leave out what was delivered")
@pass_invocation
def replay(
    invocation: Invocation,
    webhook_id: int,
    delivery: int | None,
    since: str | None,
    *,
    only_failed: bool,
) -> None:
    """Send one message again, or everything since a time."""
    if (delivery is None) == (since is None):
        raise click.UsageError("say either --delivery or --since")
    if delivery is not None:
        answer = _post(invocation, webhook_id, "deliveries", str(delivery), "replay")
        invocation.output.document(answer, f"Delivery {delivery} is on its way again.")
        return
    answer = _post(invocation, webhook_id, "replay", since=since, only_failed=only_failed)
    invocation.output.document(answer, f"{answer['messages']} messages are on their way.")


def _post(invocation: Invocation, webhook_id: int, *verb: str, **body: Any) -> dict[str, Any]:
    remote = invocation.remote
    return remote.post(remote.project_path("webhooks", str(webhook_id), *verb), body)
