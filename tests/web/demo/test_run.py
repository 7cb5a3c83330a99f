"""``flagstone demo`` as a process: it ends when told to, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Demo:
    """A demo that writes into a file, with a folder of its own for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.log = folder / "said"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "web.cli", "demo", "--no-browser", "--seconds", "120"],
                env={
                    **os.environ,
                    "TMPDIR": str(self.temporary),
                    "http_proxy": "http://127.0.0.1:9",
                },
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.family: list[psutil.Process] = []

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def remember(self) -> list[psutil.Process]:
        """Remember every process that the demo has started so far."""
        self.family = psutil.Process(self.process.pid).children(recursive=True)
        return self.family

    def left(self) -> list[psutil.Process]:
        return [each for each in self.family if lives(each)]


@pytest.fixture
def demo(tmp_path: Path, wait_until: Callable[..., Any]) -> Iterator[Demo]:
    """A demo whose shop is open."""
    started = Demo(tmp_path)

    def open_shop() -> bool:
        assert started.process.poll() is None, started.said
        shops = [p for p in started.remember() if "web.demo.shop" in " ".join(command_of(p))]
        return len(shops) == 2

    try:
        wait_until(open_shop, seconds=90, every=0.1)
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        for process in started.left():
            process.kill()


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != "zombie"
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def named(demo: Demo, module: str) -> psutil.Process:
    return next(each for each in demo.family if module in " ".join(command_of(each)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_at_once_and_leaves_nothing(
    demo: Demo, number: signal.Signals
) -> None:
    demo.remember()
    demo.process.send_signal(number)
    assert demo.process.wait(60) == 0, demo.said
    assert "Stopped." in demo.said
    assert "Traceback" not in demo.said
    assert demo.left() == []
    assert list(demo.temporary.iterdir()) == []


def test_a_demo_introduces_itself_and_when_it_is_killed_takes_its_processes_along(
    demo: Demo, wait_until: Callable[..., Any]
) -> None:
    wait_until(lambda: "under Experiments." in demo.said, seconds=60, every=0.1)
    assert "Flagstone runs at http://127.0.0.1:" in demo.said
    assert "sign in as owner@shop.example  password " in demo.said
    assert "10 % of its visitors" in demo.said
    assert "\x1b" not in demo.said, "no colours in a file"
    assert max(len(line) for line in demo.said.splitlines()) <= 80
    assert len(demo.remember()) >= 5, "service, web, worker and two shop processes"
    demo.process.kill()
    wait_until(lambda: not demo.left(), seconds=60, every=0.1)


@pytest.mark.parametrize(
    ("module", "words"),
    [("web.demo.serve", "the service ended"), ("web.demo.shop", "the shop process 1 ended")],
)
def test_a_process_that_dies_is_named_with_its_last_words(
    demo: Demo, wait_until: Callable[..., Any], module: str, words: str
) -> None:
    named(demo, module).kill()
    assert demo.process.wait(60) == 1, demo.said
    assert f"Error: {words} with status -9" in demo.said
    assert "its last words were:" in demo.said
    assert "Traceback" not in demo.said
    # A killed supervisor's processes notice by themselves, within a few seconds.
    wait_until(lambda: not demo.left(), seconds=60, every=0.1)
    # What a killed supervisor kept for its counters nobody can take away.
    assert [each for each in demo.temporary.iterdir() if "demo" in each.name] == []
