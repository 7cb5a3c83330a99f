"""``flagstone release`` and ``flagstone releases …``."""

from __future__ import annotations

from typing import Any

import click

from web.cli.context import Invocation, pass_invocation
from web.cli.files import read_data
from web.cli.options import which_environment_option
from web.cli.output import CommandError
from web.cli.receipts import finish, wait_option


@click.command()
@click.argument("flag")
@click.option("--variant", required=True, help="what everybody is to get")
@click.option("--guard", "guards", multiple=True, required=True, help="an event: more is harm")
@click.option("--customer", required=True, help="the one accountable person")
@click.option("--steps", default="1,5,25,50,100", show_default=True, help="in per cent")
@click.option("--hold", default="1h", show_default=True, help="least time of a step")
@click.option("--minimum-units", type=int, help="least units in each group; 100 unless said")
@click.option("--approval", is_flag=True, help="every step waits for another person")
@click.option("--max-wait", help="then it goes back; 7d unless said")
@click.option("--control", help="what everybody has; the flag's default unless said")
@click.option("--key", help="name of the release; FLAG-VARIANT unless said")
@click.option("-e", "--environment", default="production", show_default=True, help="where")
@wait_option
@pass_invocation
def release(invocation: Invocation, /, wait_seconds: int | None, **given: Any) -> None:
    """Give a variant to everybody, step by step; harm turns it back by itself."""
    steps: list[Any] = [_share(each) for each in given.pop("steps").split(",")]
    if given.pop("approval"):
        steps = [{"share": round(each / 100, 6), "approval": True} for each in steps]
    document = {name: value for name, value in given.items() if value is not None}
    document |= {"guards": list(document["guards"]), "steps": steps}
    remote = invocation.remote
    drafted = remote.post(remote.project_path("releases"), document)
    answer = remote.act(
        "releases", drafted["key"], "start", drafted["environment"], wait_seconds=wait_seconds
    )
    said = f"{answer['key']} has started. {answer['sentence']}"
    finish(invocation.output, answer, said, wait_seconds)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        message = f"{text.strip()!r} is no step"
        raise CommandError(message, field="steps", hint="per cent: 1,5,25,50,100") from None
    return int(number) if number == int(number) else number


@click.group()
def releases() -> None:
    """Guarded releases: steps that wait for the harm bounds."""


@releases.command(name="list")
@click.option("--state", help="such as RAMPING")
@click.option("--flag", help="only those of one flag")
@click.option("-e", "--environment", help="only those of one environment")
@pass_invocation
def list_releases(invocation: Invocation, /, **which: str | None) -> None:
    """List releases, newest first, and what their steps wait for."""
    remote = invocation.remote
    found = remote.items(remote.project_path("releases"), limit=None, **which)
    if not invocation.output.as_json:
        found = [{**each, **_step(each)} for each in found]
    columns = ("key", "flag", "environment", "state", "verdict", "step", "waits for")
    invocation.output.table(
        found,
        [(name, "release" if name == "key" else name) for name in columns],
        empty="No release yet. Begin with: flagstone release FLAG --variant new --guard errors",
    )


def _step(document: dict[str, Any]) -> dict[str, str]:
    told = document["release"]
    if told is None:
        return {"step": "", "waits for": ""}
    waits = ", ".join(each["kind"] for each in told["waits_for"])
    return {"step": f"{told['step'] + 1} of {told['steps']}", "waits for": waits}


@releases.command()
@click.option(
    "-f",
    "--file",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="the release, as TOML or JSON",
)
@pass_invocation
def create(invocation: Invocation, file: str) -> None:
    """Draft a release from a file; `start` serves its first step."""
    document = read_data(file)
    remote = invocation.remote
    answer = remote.post(remote.project_path("releases"), document)
    invocation.output.document(
        answer,
        f"Drafted {answer['key']}. Begin with: flagstone releases start {answer['key']}",
    )


def _verb(verb: str, text: str) -> None:
    @releases.command(name=verb, help=text)
    @click.argument("release")
    @which_environment_option
    @wait_option
    @pass_invocation
    def command(
        invocation: Invocation, release: str, environment: str | None, wait_seconds: int | None
    ) -> None:
        remote = invocation.remote
        answer = remote.act("releases", release, verb, environment, wait_seconds=wait_seconds)
        finish(invocation.output, answer, answer["sentence"], wait_seconds)


_verb("start", "Seal the release and serve its first step.")
_verb("approve", "Approve the present step (anybody but who started).")


@releases.command()
@click.argument("release")
@click.option("-m", "--reason", required=True, help="why; kept in the record")
@which_environment_option
@wait_option
@pass_invocation
def stop(
    invocation: Invocation,
    release: str,
    reason: str,
    environment: str | None,
    wait_seconds: int | None,
) -> None:
    """Stop a release now; everybody gets the control variant."""
    answer = invocation.remote.act(
        "releases", release, "stop", environment, {"reason": reason}, wait_seconds=wait_seconds
    )
    finish(invocation.output, answer, f"{release} is stopped and rolled back.", wait_seconds)


@releases.command()
@click.argument("release")
@which_environment_option
@pass_invocation
def card(invocation: Invocation, release: str, environment: str | None) -> None:
    """Print the release's card: where it stands, what it waits for, who is accountable."""
    remote = invocation.remote
    path = remote.project_path("releases", release, "card.txt")
    text = remote.get_text(path, environment=environment)
    invocation.output.text(text, {"release": release, "card": text})
