"""Run the demo: start the service and the shop, watch what the service decides, sum up.

The demo is a user like any other: it sets the service up, creates flags and seals plans over REST,
and from then on only reads. Every verdict and every flag change is the service's own.
"""

from __future__ import annotations

import re
import secrets
import signal
import sys
import time
import webbrowser
from typing import Any

import httpx
from rich.console import Console

from web.cli.forecasts import wait_for_forecast
from web.cli.output import CommandError
from web.cli.remote import REQUEST_TIMEOUT_SECONDS, Remote
from web.demo import scenario
from web.demo.processes import Processes, processes
from web.demo.story import Story

SHOP_PROCESSES = 2
# Of --seconds, kept for summing up and for ending every process.
END_SECONDS = 12.0
FORECAST_SECONDS = 30.0
EMAIL = "owner@shop.example"

_INTRODUCTION = """\
A small shop opens: a banner is shown to 10 % of its visitors, and three
experiments start, of which one breaks the checkout, one helps and one changes
nothing. Watch the service find out which is which, turn the broken one off and
ship the good one while nobody touches anything, here or under Experiments.
"""
_GO_ON = """\
Your own flags: start `flagstone serve`, open the address that it prints, make a
flag and a key, and go on with the quick start in README.md."""


def demo(*, seconds: float | None, open_browser: bool, port: int, seed: int | None) -> None:
    """Show the whole path; end after ``seconds``, else when the owner presses Ctrl-C.

    Raises
    ------
    CommandError
        If the service does not start or dies, or if an experiment has no verdict in time.
    """
    began = time.time()
    # Plain text where nobody is looking: no colours, no box, nothing wrapped.
    console = Console(highlight=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def interrupt(*_: object) -> None:
        # Once: a second Ctrl-C must not leave processes behind.
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in handlers:
        signal.signal(number, interrupt)
    try:
        with processes() as started:
            deadline = None if seconds is None else began + seconds - END_SECONDS
            try:
                story = _show(console, started, port, seed, open_browser=open_browser)
                story.follow(deadline)
                _end(console, story, started)
            except (CommandError, httpx.HTTPError) as error:
                # A process that died says more than the silence that it left behind.
                started.check(grace_seconds=1.0)
                if isinstance(error, CommandError):
                    raise
                raise CommandError(f"the service could not be set up: {error}") from error
            if seconds is None and console.is_terminal:
                console.print("\nThe shop goes on; look around. Ctrl-C ends everything.")
                while True:
                    started.check()
                    time.sleep(1.0)
    except KeyboardInterrupt:
        console.print("\nStopped.")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _show(
    console: Console, started: Processes, port: int, seed: int | None, *, open_browser: bool
) -> Story:
    url = started.start_service(port)
    password = secrets.token_urlsafe(9)
    remote = Remote(url, _set_up(url, started.service_log(), password), scenario.PROJECT)
    console.print(f"\n[bold]Flagstone[/bold] runs at {url}", soft_wrap=True)
    console.print(f"  sign in as [bold]{EMAIL}[/bold]  password [bold]{password}[/bold]\n")
    console.print(_INTRODUCTION, soft_wrap=True)
    key = _open_shop(remote)
    started.start_shop(SHOP_PROCESSES, url, key, scenario.SEED if seed is None else seed)
    story = Story(console, remote, started, SHOP_PROCESSES)
    _start_experiments(remote)
    if open_browser and sys.stdout.isatty():
        webbrowser.open(f"{url}/")
    return story


def _set_up(url: str, log: str, password: str) -> str:
    """Make the first account with the code that the service printed; return a personal key."""
    code = re.search(r"/setup\?code=(\S+)", log)
    if code is None:
        raise CommandError("the service printed no address to set it up")
    # No proxy of the environment is on the way to this machine.
    with httpx.Client(
        base_url=f"{url}/api/v1", timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False
    ) as client:
        account = {"email": EMAIL, "password": password}
        first = {**account, "code": code[1], "project": scenario.PROJECT, "project_name": "Shop"}
        client.post("/setup", json=first).raise_for_status()
        session = client.post("/session", json=account).raise_for_status().json()
        created = client.post(
            f"/projects/{scenario.PROJECT}/tokens",
            json={"kind": "usr", "name": "demo", "role": "admin"},
            headers={"X-CSRF-Token": session["csrf_token"]},
        )
        token: str = created.raise_for_status().json()["token"]
        return token


def _open_shop(remote: Remote) -> str:
    """Create the flags and a plain 10 % rollout; return a server key."""
    for draft in scenario.flags():
        remote.post(remote.project_path("flags"), draft)
    instructions: list[dict[str, Any]] = [
        {"do": "turn_on", "flag": draft["key"]} for draft in scenario.flags()
    ]
    instructions.append(
        {
            "do": "add_rule",
            "flag": scenario.ROLLOUT_FLAG,
            "rule": {
                "id": "first-tenth",
                "serve": {"split": {"weights": {"on": 100}, "coverage": 0.1}},
            },
        }
    )
    remote.post(
        remote.project_path("changes"),
        {
            "environment": scenario.ENVIRONMENT,
            "comment": "Open the shop: a plain 10 % rollout, three flags for experiments",
            "instructions": instructions,
        },
    )
    created = remote.post(
        remote.project_path("tokens"),
        {"kind": "srv", "name": "shop processes", "environment": scenario.ENVIRONMENT},
    )
    key: str = created["token"]
    return key


def _start_experiments(remote: Remote) -> None:
    plans = scenario.plans()
    for plan in plans:
        remote.post(remote.project_path("experiments"), plan)
        remote.post(remote.project_path("experiments", plan["key"], "seal"))
    for plan in plans:
        # Nothing starts before the worker has said what it can prove; all three take a second.
        wait_for_forecast(remote, plan["key"], seconds=FORECAST_SECONDS)
        remote.post(remote.project_path("experiments", plan["key"], "start"))


def _end(console: Console, story: Story, started: Processes) -> None:
    if story.missing:
        said = started.complaints()
        raise CommandError(
            f"no verdict yet on: {', '.join(story.missing)}"
            + (f"\nthe service complained:\n{said}" if said else ""),
            hint="give it more --seconds, or a less busy machine",
        )
    story.sum_up()
    card = story.remote.get_text(
        story.remote.project_path("experiments", scenario.BROKEN, "card.txt")
    )
    console.print(f"\n{card}", markup=False, soft_wrap=True, end="")
    console.print(_GO_ON, markup=False, soft_wrap=True)
