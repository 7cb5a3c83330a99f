"""Time a newcomer's path: fresh clone, service, first flag, first SDK call seen in the console.

    python benchmarks/newcomer.py [--repository .] [--within 300]

Does what README says under "Your own service", with README's own commands and README's own code, so
that README cannot rot. Packages come from the index as they would for a newcomer. Exits 1 when it
takes longer than promised. Needs git, Python and Chromium.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

SECTION = "## Your own service"
PASSWORD = "a long enough password"
HERE = "/projects/web-shop/environments/production"
# A newcomer's program goes on; README's lines alone would end at once.
GOES_ON = "\nprint('called', flush=True)\nimport time\ntime.sleep(120)\n"


@dataclass(frozen=True)
class Readme:
    """What README tells a newcomer to type."""

    commands: list[str]
    install: str
    program: str


def read(text: str) -> Readme:
    """Take the commands and the program out of README's section."""
    section = text.partition(SECTION)[2].partition("\n## ")[0]
    console = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    program = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    install = re.search(r"`(pip install [^`]+)`", section)
    if console is None or program is None or install is None:
        sys.exit(f"README has no commands or no program under {SECTION!r}")
    commands = [line[2:] for line in console[1].splitlines() if line.startswith("$ ")]
    return Readme(commands, install[1], program[1])


@dataclass
class Watch:
    """Prints how long each step took."""

    began: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def step(self, words: str) -> None:
        """Say what is done, and in how many seconds since the step before."""
        now = time.monotonic()
        print(f"{now - self.last:7.1f} s  {words}", flush=True)
        self.last = now

    @property
    def total(self) -> float:
        """Give the seconds since the beginning."""
        return time.monotonic() - self.began


def wait_for(found: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> Any:
    """Wait until something is there, for as long as the process lives."""
    while not (answer := found()):
        if process.poll() is not None:
            sys.exit(f"it ended:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)
    return answer


def started(folder: Path, name: str, script: str, **more: str) -> tuple[Any, Path]:
    """Start a shell as a newcomer's, without anything of ours in it."""
    log = folder / f"{name}.log"
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    kept |= {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_"))}
    # The environment that this program runs in is none of the newcomer's.
    ours = str(Path(sys.executable).parent)
    kept["PATH"] = ":".join(part for part in kept["PATH"].split(":") if part != ours)
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-ec", script],
            cwd=folder / "flagstone",
            env={**kept, **more},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process, log


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process, and whatever it started, at the end."""
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def free_port() -> int:
    """Give a port that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def make_account(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("Project", exact=True).fill("Web shop")
    page.get_by_label("Your e-mail").fill("owner@shop.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Create account and project").click()
    page.get_by_role("heading", name="No flag yet").wait_for()


def make_flag(page: Page, url: str, key: str) -> None:
    page.goto(f"{url}{HERE}/new-flag")
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Create flag").click()
    page.locator(".fs-sentence").wait_for()


def make_key(page: Page, url: str) -> str:
    page.goto(f"{url}{HERE}/keys")
    page.get_by_label("Who will use it?").fill("checkout service")
    page.get_by_role("button", name="Make key").click()
    return page.locator("#created-key").inner_text()


def walk(folder: Path, repository: str, watch: Watch) -> None:
    """Walk the whole path in a folder of its own."""
    subprocess.run(["git", "clone", "-q", repository, str(folder / "flagstone")], check=True)
    watch.step("git clone")
    readme = read((folder / "flagstone" / "README.md").read_text())
    port = free_port()
    script = "\n".join(
        [*readme.commands[:-1], "echo ready-to-serve", f"exec {readme.commands[-1]}"]
    )
    service, log = started(folder, "service", script, FLAGSTONE_PORT=str(port))
    with ending(service), sync_playwright() as playwright:
        wait_for(lambda: "ready-to-serve" in log.read_text(), service, log)
        watch.step(readme.commands[0])
        found = wait_for(
            lambda: re.search(r"http://\S+/setup\?code=\S+", log.read_text()), service, log
        )
        watch.step(readme.commands[-1])
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        url = f"http://127.0.0.1:{port}"
        make_account(page, found[0])
        flag = re.search(r'get_boolean\("([^"]+)"', readme.program)
        assert flag is not None, "README's program asks for a flag"
        make_flag(page, url, flag[1])
        watch.step(f"an account and the flag {flag[1]}")
        key = make_key(page, url)
        program = re.sub(r"http://127\.0\.0\.1:\d+", url, readme.program)
        program = program.replace("fs_srv_…", key)
        (folder / "app.py").write_text(program + GOES_ON)
        watch.step("a key")
        own = 'python3 -m venv "$OWN" && . "$OWN/bin/activate"'
        lines = [own, readme.install, "echo installed", "exec python ../app.py"]
        app, said = started(folder, "app", "\n".join(lines), OWN=str(folder / "own"))
        with ending(app):
            wait_for(lambda: "installed" in said.read_text(), app, said)
            watch.step(f"{readme.install}, in an environment of its own")
            wait_for(lambda: "called" in said.read_text(), app, said)
            watch.step("the first call of the SDK")
            seen(page, url)
            watch.step("seen in the console")
        browser.close()


def seen(page: Page, url: str) -> None:
    """Look at who is connected until somebody is."""
    deadline = time.monotonic() + 100
    while True:
        page.goto(f"{url}{HERE}/instances")
        if "flagstone-python" in page.locator("main").inner_text():
            return
        if time.monotonic() > deadline:
            sys.exit(f"the console does not show it:\n{page.locator('main').inner_text()[:1000]}")
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repository", default=str(Path(__file__).resolve().parents[1]))
    parser.add_argument("--within", type=float, default=300, metavar="SECONDS")
    given = parser.parse_args()
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="flagstone-newcomer-") as folder:
        walk(Path(folder), given.repository, watch)
        total = watch.total
    print(f"{total:7.1f} s  in all, of {given.within:g} s that it may take")
    sys.exit(total > given.within)


if __name__ == "__main__":
    main()
