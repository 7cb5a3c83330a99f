"""How a command sends a change: to be told, at once, for others to approve, or for its time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from flags.effect_words import witness_sentence
from flags.sentence import describe
from web.cli.budgets import quote_words
from web.cli.changes import waiting_words
from web.cli.context import Invocation
from web.cli.options import comment_option, waiting_options
from web.cli.output import EXIT_USAGE, CommandError
from web.cli.receipts import finish, wait_option

preview_option = click.option(
    "--preview", is_flag=True, help="say whom it would move, change nothing"
)
preview_token_option = click.option(
    "--preview-token", metavar="TOKEN", help="of the preview of exactly this; a budget may ask"
)


@dataclass(frozen=True)
class Way:
    """What was said of how a change is sent."""

    comment: str
    preview: bool = False
    preview_token: str | None = None
    ask: bool = False
    at: str | None = None
    override: str = ""
    wait_seconds: int | None = None

    def document(self, comment: str = "") -> dict[str, Any]:
        """Give what stands beside the instructions; ``comment`` is said where nobody said one."""
        said: dict[str, Any] = {"comment": self.comment or comment}
        if self.preview:
            if self.preview_token is not None:
                raise CommandError("--preview gives a token, and takes none", exit_code=EXIT_USAGE)
            return {**said, "mode": "preview"}
        said["mode"] = "request" if self.ask else "apply" if self.at is None else "schedule"
        more = {"at": self.at, "override": self.override, "preview_token": self.preview_token}
        return said | {name: value for name, value in more.items() if value}


def changing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of everything that makes a change, as its ``way``."""

    @functools.wraps(command)
    def with_way(*arguments: Any, **given: Any) -> Any:
        way = Way(**{name: given.pop(name) for name in Way.__dataclass_fields__})
        return command(*arguments, way=way, **given)

    with_options: Callable[..., Any] = with_way
    for option in (
        wait_option,
        waiting_options,
        comment_option,
        preview_token_option,
        preview_option,
    ):
        with_options = option(with_options)
    return with_options


def token_words(answer: dict[str, Any]) -> list[str]:
    """Say how exactly what was previewed is applied."""
    token = answer.get("preview_token")
    return [] if token is None else [f"To apply exactly this: --preview-token {token}"]


def send_change(
    invocation: Invocation,
    flag_key: str,
    environment: str,
    instructions: list[dict[str, Any]],
    way: Way,
    *,
    comment: str = "",
    if_match: str | None = None,
) -> None:
    """Send a change, and say what it did, would do, or waits for."""
    remote = invocation.remote
    answer = remote.post(
        remote.project_path("changes"),
        {"environment": environment, **way.document(comment), "instructions": instructions},
        if_match=if_match,
        wait_seconds=way.wait_seconds,
    )
    tell_change(invocation, answer, way, flag_key, environment)


def tell_change(
    invocation: Invocation,
    answer: dict[str, Any],
    way: Way,
    flag_key: str = "",
    environment: str = "",
) -> None:
    """Say what a change did, would do, or waits for."""
    if "content_hash" in answer:
        invocation.output.document(answer, waiting_words(answer))
        return
    lines = [answer["sentence"]]
    after = answer["after"].get(flag_key)
    if after is not None:
        state = describe(after, environment=environment)
        # Mostly the change's own sentence says it already.
        lines += [] if state in lines[0] else [state]
    if answer["mode"] == "preview":
        lines = ["Preview; nothing is written.", *lines, *_effect(answer)]
        lines += token_words(answer)
    finish(invocation.output, answer, "\n".join(lines), way.wait_seconds)


def _effect(answer: dict[str, Any]) -> list[str]:
    """Say whom a preview moves; an older service does not know."""
    if "verdict" not in answer:
        return []
    lines = [answer["verdict_sentence"], witness_sentence(answer["witness"])]
    depend = [
        f"{each['flag']} ({each['verdict'].replace('_', ' ')})"
        for each in answer["verdicts"]
        if each["dependant"] and each["verdict"] != "no_op"
    ]
    if depend:
        lines.append(f"Flags that depend on it: {', '.join(depend)}.")
    lines.extend(
        f"Not yet: {each['sentence']}. {each['hint']}." for each in answer.get("blocked_by", ())
    )
    lines.append(answer["blast_radius"]["sentence"])
    lines.extend(
        f"Also in {key}: {each['verdict_sentence']}"
        for key, each in answer["elsewhere"].items()
        if each["verdict"] != "no_op"
    )
    lines.extend(quote_words(answer.get("budgets", {})))
    return [line for line in lines if line]
