"""The three files of a recorded history: options that name them, and what is said of a bad one."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from web.cli.output import CommandError

_Command = TypeVar("_Command", bound=Callable[..., object])


def history_files(command: _Command) -> _Command:
    """Give a command ``--exposures``, ``--outcomes`` and ``--plan``."""
    for name, words in (
        ("--plan", "TOML, with a [replay.exposures] table"),
        ("--outcomes", "CSV: what they did; it may be the same file"),
        ("--exposures", "CSV: who met what, when"),
    ):
        file = click.Path(exists=True, dir_okay=False)
        command = click.option(name, type=file, required=True, help=words)(command)
    return command


@contextlib.contextmanager
def named_if_no_csv(exposures: str, outcomes: str) -> Iterator[None]:
    """Name the files where the CSV reader gives up without a place."""
    try:
        yield
    except csv.Error as error:
        raise CommandError(f"{exposures}, {outcomes}: not CSV: {error}") from error
