"""Pages of ``docs/`` as programs: what they show is run, and what it says is compared.

- ```` ```console ```` is a transcript: lines after ``$ `` (and ``> `` below them) are given to one
  bash per page, in order, on a terminal; the other lines are what they must say. ``…`` stands for
  any text, on a line of its own for any lines. A command may fail only before ``$ echo $?``.
- ```` ```python file=shop.py ```` (any language) is written to that file before what comes later.
- Any other block is shown only, and says why above itself: ``<!-- not run: … -->``.
"""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^```(\S+)?(?: (.*))?$")
_NOT_RUN = re.compile(r"^<!-- not run: .+ -->$")
_ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07)")
_END = "\x02end of command"
COLUMNS = 100
COMMAND_SECONDS = 120.0


@dataclass
class Command:
    """One command of a transcript, and the lines that it must say."""

    text: str
    line: int
    expected: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    """A file that the reader is to write."""

    name: str
    text: str
    line: int


@dataclass(frozen=True)
class Shown:
    """A block that is not run; ``excused`` if the page says why."""

    line: int
    excused: bool


Step = Command | File | Shown


def steps(page: str) -> Iterator[Step]:
    """Read what a page does, block by block."""
    lines = page.splitlines()
    place = 0
    while place < len(lines):
        opening = _FENCE.match(lines[place])
        if opening is None:
            place += 1
            continue
        start = place + 1
        place = next(n for n in itertools.count(start) if lines[n] == "```")
        block, info = lines[start:place], opening[2] or ""
        if info.startswith("file="):
            yield File(info.removeprefix("file="), "\n".join(block) + "\n", start)
        elif opening[1] == "console":
            yield from _commands(block, start)
        else:
            before = next((each for each in reversed(lines[: start - 1]) if each.strip()), "")
            yield Shown(start, bool(_NOT_RUN.match(before.strip())))
        place += 1


def _commands(block: list[str], start: int) -> Iterator[Command]:
    command: Command | None = None
    for number, line in enumerate(block, start + 1):
        if line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line[2:], number)
        elif command is None:
            message = f"line {number}: a transcript begins with a command"
            raise ValueError(message)
        elif line.startswith("> ") and not command.expected:
            command.text += "\n" + line[2:]
        else:
            command.expected.append(line)
    if command is not None:
        yield command


def agrees(expected: list[str], said: list[str]) -> bool:
    """Tell whether output is what a page shows, where ``…`` stands for anything."""
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            parts = (re.escape(part) for part in line.rstrip().split("…"))
            pattern += ".*".join(parts) + r" *\n"
    # What must not be broken over lines looks like any space to who reads or writes a page.
    text = "".join(each.rstrip() + "\n" for each in said).replace("\u00a0", " ")
    return re.fullmatch(pattern, text) is not None


class Terminal:
    """A bash whose output is a terminal; commands run one after the other in one folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._commands = folder / ".command"
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**environment, "COLUMNS": str(COLUMNS), "TERM": "xterm", "HOME": str(folder)},
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def run(self, command: str) -> tuple[list[str], int]:
        """Run one command; give the lines that it said, and its exit code."""
        self._commands.write_text(command + "\n", encoding="utf-8")
        assert self._process.stdin is not None
        tell = (
            f". {self._commands} </dev/null; code=$?; printf '{_END} %d\\n' $code; (exit $code)\n"
        )
        self._process.stdin.write(tell.encode())
        self._process.stdin.flush()
        text = self._read_to_end(command)
        said, _, code = text.rpartition(_END)
        lines = _ESCAPE.sub("", said.replace("\r\n", "\n")).split("\n")
        return [line for line in lines if line.strip()], int(code)

    def _read_to_end(self, command: str) -> str:
        said = b""
        deadline = time.monotonic() + COMMAND_SECONDS
        while not re.search(_END.encode() + rb" \d+\r?\n$", said):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._ours], [], [], max(left, 0))
            if not ready:
                message = f"{command!r} did not end in {COMMAND_SECONDS:.0f} s: {said[-2000:]!r}"
                raise TimeoutError(message)
            said += os.read(self._ours, 65536)
        return said.decode()

    def close(self) -> None:
        """End the shell, and what it still runs."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"kill $(jobs -p) 2>/dev/null; wait; exit\n")
        self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)


def play(page: str, folder: Path, environment: Mapping[str, str], names: Mapping[str, str]) -> None:
    """Do what a page says and hold what is said against it.

    Parameters
    ----------
    names : mapping of str to str
        What the page writes (an address, the beginning of a key), and what it is here.
    """

    def here(text: str) -> str:
        for written, real in names.items():
            text = text.replace(written, real)
        return text

    def there(text: str) -> str:
        for written, real in names.items():
            text = text.replace(real, written)
        return text

    terminal = Terminal(folder, environment)
    try:
        todo = [step for step in steps(page) if not isinstance(step, Shown)]
        for step, following in itertools.zip_longest(todo, todo[1:]):
            if isinstance(step, File):
                (folder / step.name).write_text(here(step.text), encoding="utf-8")
                continue
            lines, code = terminal.run(here(step.text))
            said = [there(line) for line in lines]
            shown = "\n".join(said)
            asked = isinstance(following, Command) and following.text == "echo $?"
            assert code == 0 or asked, (
                f"line {step.line}: $ {step.text}\nexit code {code}:\n{shown}"
            )
            expected = [line for line in step.expected if line.strip()]
            assert agrees(expected, said), f"line {step.line}: $ {step.text}\nsays now:\n{shown}"
    finally:
        terminal.close()
