"""Many processes write at once; one is killed in the middle of writing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flags import audit
from flags.actor import Actor
from flags.publish import build_document, canonical_bytes, etag_of
from flags.revisions import list_revisions, unpack
from flags.services import create_flag, create_project, get_environment, get_flag, get_project
from flagstone.engine import parse_flag_set

WRITER = Path(__file__).parent / "programs" / "writer.py"
PROCESSES = 4
EACH = 150


def start(shop: Any, name: str, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(WRITER), shop.database.url, shop.project, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "ready\n", process.communicate()
    return process


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.fixture
def counter(shop: Any) -> Any:
    """Give a project with one environment and one flag, both at their beginning."""
    shop.project = f"{shop.project}-one"
    actor = Actor("system", "test")
    draft = {"key": "counter", "type": "integer", "variants": {"count": {"value": 0}}}
    with shop.database.write() as session:
        create_project(
            session,
            key=shop.project,
            environments=[("production", "", True)],
            actor=actor,
            now=shop.now,
        )
        create_flag(session, shop.project, draft, actor=actor, now=shop.now)
    return shop


def check_whole(shop: Any) -> int:
    """Check that revisions, rows and audit agree; give the newest revision's number."""
    with shop.database.read() as session:
        environment = get_environment(session, shop.project, "production")
        revisions = list_revisions(session, environment.id, limit=100_000)
        assert [each.number for each in revisions] == list(range(environment.revision, 0, -1))
        for revision in revisions:
            data = unpack(revision)
            assert revision.etag == etag_of(data)
            assert parse_flag_set(data).version == revision.number
        newest = canonical_bytes(build_document(session, environment))
        assert newest == unpack(revisions[0])
        project = get_project(session, shop.project)
        entries = audit.entries(session, project.id, limit=None)
        assert audit.verify_chain(entries) is None
        audited = [each.revision for each in entries if each.revision is not None]
        assert sorted(audited) == list(range(1, environment.revision + 1))
    return int(environment.revision)


@pytest.mark.slow
def test_no_update_is_lost_and_no_number_skipped_by_four_processes(counter: Any) -> None:
    before = check_whole(counter)
    processes = [start(counter, f"p{number}", EACH) for number in range(PROCESSES)]
    for process in processes:
        let_go(process)
    outcomes = [process.communicate(timeout=150) for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, outcomes
    numbers = [int(line) for output, _ in outcomes for line in output.split()]
    assert sorted(numbers) == list(range(before + 1, before + PROCESSES * EACH + 1))
    assert check_whole(counter) == before + PROCESSES * EACH
    with counter.database.read() as session:
        flag = get_flag(session, counter.project, "counter")
    assert flag.variants["count"]["value"] == PROCESSES * EACH // 2
    (target,) = flag.environments["production"].document["targets"]
    assert sorted(target["keys"]) == sorted(
        f"p{number}-{step}" for number in range(PROCESSES) for step in range(0, EACH, 2)
    )


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_writes_leaves_whole_revisions(counter: Any) -> None:
    for attempt in range(3):
        process = start(counter, f"killed-{attempt}", 0)
        let_go(process)
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(10 + attempt)]
        process.kill()
        rest, errors = process.communicate()
        assert process.returncode == -9, errors
        seen += [int(line) for line in rest.split("\n")[:-1]]
        assert check_whole(counter) >= seen[-1]
    before = check_whole(counter)
    last = start(counter, "survivor", 2)
    output, errors = last.communicate("go\n", timeout=120)
    assert [int(line) for line in output.split()] == [before + 1, before + 2], errors
    assert check_whole(counter) == before + 2
