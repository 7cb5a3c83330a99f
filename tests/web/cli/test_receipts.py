"""Who serves a change by now: real SDK processes, some of them stopped and let go again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

_CLIENTS = """
import socket, sys
socket.gethostname = lambda: sys.argv[3]
from flagstone import Client, Timing
timing = Timing(heartbeat_seconds=0.5)
client = Client(sys.argv[1], sys.argv[2], start_wait_seconds=60, timing=timing, host_name=True)
print(client.status().instance, flush=True)
sys.stdin.read()
client.close(1.0)
"""


@dataclass
class Sdk:
    """An application with an SDK client, in a process of its own."""

    process: subprocess.Popen[str]
    host: str
    instance: str = ""

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


@dataclass
class Fleet:
    """Applications of a project of its own, and the command line for it."""

    cli: Any
    sdks: list[Sdk]

    def call(self, path: str, *, wait: int | None = None, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.cli.token}", **options.pop("headers", {})}
        if wait is not None:
            headers["Prefer"] = f"respond-async, wait={wait}"
        path = f"{self.cli.url}/api/v1/projects/{self.cli.project}/{path}"
        return httpx.post(path, headers=headers, timeout=90, **options)

    def switch(self, verb: str, *, wait: int | None = None, **options: Any) -> httpx.Response:
        path = f"flags/checkout/environments/production/{verb}"
        return self.call(path, wait=wait, json={}, **options)


@pytest.fixture(scope="module")
def fleet(cli: Any) -> Iterator[Fleet]:
    """Three applications that serve the newest revision."""
    cli = dataclasses.replace(cli, project=f"p-{uuid.uuid4().hex[:8]}")
    fleet = Fleet(cli, [])
    key = {"Authorization": f"Bearer {cli.token}"}
    made = httpx.post(
        f"{cli.url}/api/v1/projects", json={"key": cli.project}, headers=key, timeout=60
    )
    assert made.status_code == 201, made.text
    cli.ok("flags", "create", "checkout")
    body = {"kind": "srv", "name": "web", "environment": "production"}
    secret = fleet.call("tokens", json=body).json()["token"]
    with contextlib.ExitStack() as stack:
        for number in range(3):
            host = f"host-{'abc'[number]}"
            command = [sys.executable, "-c", _CLIENTS, cli.url, secret, host]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.callback(_end, process)
            fleet.sdks.append(Sdk(process, host))
        for sdk in fleet.sdks:
            assert sdk.process.stdout is not None
            sdk.instance = sdk.process.stdout.readline().strip()
        _wait_for_instances(cli, 3)
        yield fleet


def _wait_for_instances(cli: Any, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while len(cli.ok("instances")) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _end(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.communicate()


def test_a_change_is_answered_when_every_instance_serves_it(fleet: Fleet) -> None:
    answer = fleet.switch("on", wait=30)
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert "Flagstone-Made" not in answer.headers
    receipt = answer.json()["receipt"]
    assert receipt["converged"]
    assert receipt["revision"] == answer.json()["revision"]
    assert receipt["instances"] == {"applied": 3, "behind": 0, "without_flags": 0, "silent": 0}
    assert receipt["seconds"] < 30
    # Without the wish there is none, and no header of ours goes out.
    plain = fleet.switch("off")
    assert "receipt" not in plain.json()
    assert not {"preference-applied", "flagstone-made"} & set(plain.headers)


def test_a_stopped_process_is_named_and_a_retry_finds_it_when_it_goes_on(
    fleet: Fleet, wait_until: Any
) -> None:
    cli, stopped = fleet.cli, fleet.sdks[1]
    before = fleet.switch("on", wait=30).json()["revision"]
    stopped.signal(signal.SIGSTOP)
    try:
        again = {"headers": {"Idempotency-Key": "kill-1"}}

        def killed_but_there() -> httpx.Response | None:
            # Asked again, the same change is told of anew: the others may need their time.
            answer = fleet.switch("kill", wait=1, **again)
            assert answer.status_code == 202
            return answer if answer.json()["receipt"]["instances"]["behind"] == 1 else None

        killed = wait_until(killed_but_there, seconds=60)
        receipt = killed.json()["receipt"]
        assert not receipt["converged"]
        assert receipt["instances"] == {"applied": 2, "behind": 1, "without_flags": 0, "silent": 0}
        (straggler,) = receipt["stragglers"]
        assert (straggler["host"], straggler["instance"]) == (stopped.host, stopped.instance)
        assert (straggler["state"], straggler["revision"]) == ("behind", before)
        # The command says it too, in a table and by its exit code.
        shown = cli.terminal("flags", "kill", "checkout", "--wait", "1", columns=160)
        assert shown.code == 5
        assert "2 of 3 instances" in shown.out
        assert "host-b" in shown.out
        assert "1 of 3 SDK instances do not serve revision" in shown.error
    finally:
        stopped.signal(signal.SIGCONT)
    retried = fleet.switch("kill", wait=30, **again)
    assert retried.status_code == 200
    assert retried.headers["Idempotency-Replayed"] == "true"
    assert retried.json()["receipt"]["instances"]["applied"] == 3
    first, second = killed.json(), retried.json()
    assert first.pop("receipt") != second.pop("receipt")
    assert first == second


def test_whoever_waits_is_woken_when_the_last_one_follows(fleet: Fleet) -> None:
    stopped = fleet.sdks[2]
    stopped.signal(signal.SIGSTOP)
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(fleet.switch("unkill", wait=30)))
    waiting.start()
    try:
        # Others are served meanwhile, by the same threads: nobody who waits holds one.
        crowd = [
            threading.Thread(target=lambda: answers.append(fleet.switch("off", wait=30)))
            for _ in range(20)
        ]
        for each in crowd:
            each.start()
        assert fleet.switch("off", wait=0).status_code == 202
        assert not answers
    finally:
        stopped.signal(signal.SIGCONT)
    for each in [waiting, *crowd]:
        each.join(100)
    assert [each.status_code for each in answers] == [200] * 21
    assert all(each.json()["receipt"]["seconds"] < 25 for each in answers)


def test_commands_wait_and_say_how_many_serve_it(fleet: Fleet) -> None:
    assert len(fleet.sdks) == 3
    cli = fleet.cli
    on = cli.ok("flags", "on", "checkout", "--wait", "30")
    assert on["receipt"]["converged"]
    entry = cli.ok("flags", "history", "checkout")[0]["id"]
    assert cli.ok("flags", "undo", str(entry), "--wait", "30")["receipt"]["converged"]
    asked = cli.ok("flags", "on", "checkout", "--request", "--wait", "30")
    assert "receipt" not in asked
    assert json.dumps(asked)
    shown = cli.terminal("flags", "set", "checkout", "--rollout", "on=10%", "--wait", "30")
    assert shown.code == 0, shown.error
    assert "is served by 3 of 3 instances after" in shown.out


def test_what_alters_several_environments_waits_for_each(fleet: Fleet, tmp_path: Any) -> None:
    cli, folder = fleet.cli, str(tmp_path)
    created = cli.ok("flags", "create", "banner", "--wait", "30")
    assert {each["environment"] for each in created["receipts"]} == {"production", "staging"}
    cli.ok("export", "-o", folder)
    path = tmp_path / "flags" / "banner.json"
    document = json.loads(path.read_text())
    for state in document["environments"].values():
        state["enabled"] = True
    path.write_text(json.dumps(document))
    stopped = fleet.sdks[0]
    stopped.signal(signal.SIGSTOP)
    try:
        late = cli.terminal("apply", "-f", folder, "--wait", "0", columns=160)
        assert late.code == 5
        assert "production: Revision" in late.out
        assert "staging: No SDK is connected" in late.out
        assert "SDK instances in production do not serve revision" in late.error
    finally:
        stopped.signal(signal.SIGCONT)
    source = tmp_path / "flagd.json"
    theirs = {"state": "ENABLED", "variants": {"a": True, "b": False}, "defaultVariant": "a"}
    source.write_text(json.dumps({"flags": {"theirs": theirs}}))
    into = ("import", "flagd", str(source), "--into", f"{cli.project}/production", "--yes")
    assert cli.ok(*into, "--wait", "30")["receipt"]["converged"]
    held = cli.ok("holdout", "set", "0.01", "--wait", "30")
    assert held["receipt"]["converged"]
    ended = cli.ok("holdout", "end", "--wait", "30")
    assert (ended["on"], ended["receipt"]["converged"]) == (False, True)
    assert ended["receipt"]["revision"] >= held["receipt"]["revision"]
