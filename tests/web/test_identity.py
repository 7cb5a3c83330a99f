"""A worker's name tells for certain whether its process has ended, or says nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from web.identity import is_gone, worker_name

SAY_NAME = "from web.identity import worker_name; print(worker_name())"


def test_a_process_that_ended_is_gone_and_a_living_one_is_not() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SAY_NAME], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert is_gone(ended)
    assert not is_gone(worker_name())


def test_two_names_of_one_process_differ() -> None:
    assert worker_name() != worker_name()
    assert str(os.getpid()) in worker_name()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "somebody",
        "host:1:2",
        "host:0123456789ab:999999:abcd",
        "host:-:1:abcd",
        f"{worker_name().rsplit(':', 2)[0]}:not-a-number:abcd",
        f"{worker_name().rsplit(':', 2)[0]}:1:abcd",
    ],
)
def test_of_others_nothing_is_claimed(name: str) -> None:
    assert not is_gone(name)
