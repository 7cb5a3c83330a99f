"""``cli.md``: every command with its arguments and options, and what exit codes mean."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from web.cli import main, output
from web.reference.markdown import code, page, table

EXIT_CODES = (
    (output.EXIT_OK, "ok", "it is done; of `--test`: the flag is on, the verdict is a proof"),
    (output.EXIT_ERROR, "error", "refused or failed; standard error says why, where, what to do"),
    (output.EXIT_USAGE, "usage", "the command line itself is wrong; nothing was sent"),
    (output.EXIT_CONFLICT, "conflict", "somebody was faster (HTTP 409 and 412): read again"),
    (output.EXIT_NEEDS_APPROVAL, "needs approval", "the environment wants others to approve it"),
    (
        output.EXIT_NOT_CONVERGED,
        "not converged",
        "done, but not every SDK serves it yet (`--wait`)",
    ),
    (
        output.EXIT_FALSE,
        "no",
        "`--test`: the flag is false, the verdict no proof, a promise broken",
    ),
)

_HOW = """A table on a terminal, JSON in a pipe (or with `--json`). Errors go to standard error: a
sentence, its place (`at:`) and what to do (`hint:`). `flagstone COMMAND --help` says the same as
this page. Completion: `eval "$(_FLAGSTONE_COMPLETE=bash_source flagstone)"` (or `zsh_source`)."""


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, click.Command]]:
    """Give every command with its words, in the order of the alphabet."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        elif not command.hidden:
            yield " ".join((*before, name)), command


def commands_page() -> str:
    """Write the page."""
    codes = [[code(str(number)), name, says] for number, name, says in EXIT_CODES]
    found = list(commands(main))
    nouns: dict[str, list[str]] = {}
    for words, command in found:
        nouns.setdefault(words.partition(" ")[0], []).append(_section(words, command))
    return page(
        "Command line",
        "the commands of `web/cli`",
        _HOW,
        "## Exit codes\n\n" + table(["code", "name", "when"], codes),
        "## Before the noun\n\n" + _options(main),
        "## Commands\n\n" + " · ".join(f"[`{noun}`](#flagstone-{noun})" for noun in nouns),
        *("\n\n".join([f"## flagstone {noun}", *parts]) for noun, parts in nouns.items()),
    )


def _section(words: str, command: click.Command) -> str:
    places = [_metavar(each) for each in command.params if isinstance(each, click.Argument)]
    says = _prose(command.help or "")
    parts = [f"### `{' '.join(['flagstone', words, *places])}`", says, _options(command)]
    return "\n\n".join(part for part in parts if part)


def _metavar(argument: click.Argument) -> str:
    name = (argument.metavar or (argument.name or "").upper()).strip("[]")
    if argument.nargs == -1:
        name += "…"
    return name if argument.required else f"[{name}]"


def _options(command: click.Command) -> str:
    rows = [
        [_option(each), (each.help or "") + _unless(each)]
        for each in command.params
        if isinstance(each, click.Option) and not each.hidden
    ]
    return table(["option", "says"], rows) if rows else ""


def _option(option: click.Option) -> str:
    names = ", ".join(option.opts)
    if option.secondary_opts:
        names += " / " + ", ".join(option.secondary_opts)
    if option.is_flag or option.count:
        return code(names)
    if isinstance(option.type, click.Choice):
        return f"{code(names)} {' · '.join(code(each) for each in option.type.choices)}"
    return code(f"{names} {option.metavar or option.type.name.upper()}")


def _unless(option: click.Option) -> str:
    notes = ["needed"] if option.required else []
    notes += ["may be repeated"] if option.multiple else []
    shown = option.show_default and option.default not in (None, "", ())
    notes += [f"{option.default} unless said"] if shown else []
    return f" ({', '.join(notes)})" if notes else ""


def _prose(text: str) -> str:
    # Click marks paragraphs that keep their lines with \b.
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(
        "```text\n" + each.replace("\b", "").strip("\n") + "\n```"
        if "\b" in each
        else " ".join(each.split())
        for each in paragraphs
    )
