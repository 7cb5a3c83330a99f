"""What the demo tells: when which verdict fell, and how soon a rollback reached everybody.

Here everything is read: verdicts and flag changes are the service's own.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import queue
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

from web.cli.output import CommandError
from web.cli.remote import Remote
from web.demo import scenario
from web.demo.processes import Processes

POLL_SECONDS = 0.5
# A web process that died is started again; until then polls may fail.
SILENCE_SECONDS = 15.0
_COLOURS = {
    "HARM": "bold red",
    "INVALID": "bold red",
    "VALUE_PROVEN": "bold green",
    "FUTILE": "bold yellow",
    "NOT_PROVEN_IN_TIME": "bold yellow",
}


@dataclass
class Story:
    """What has been seen so far, told as it is seen.

    Attributes
    ----------
    started : float
        When the shop opened; every time that is told counts from here.
    verdicts : dict
        Experiment → (when, verdict).
    served : dict
        (shop process, revision) → when that process came to serve it.
    rollback : tuple of int and float, optional
        The revision that took the broken change away, and when the worker began that look.
    met : dict
        Shop process → experiment → how many of its visitors met the change.
    """

    console: Console
    remote: Remote
    processes: Processes
    shops: int
    started: float = field(default_factory=time.time)
    verdicts: dict[str, tuple[float, str]] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    served: dict[tuple[int, int], float] = field(default_factory=dict)
    rollback: tuple[int, float] | None = None
    met: dict[int, dict[str, int]] = field(default_factory=dict)
    _told: set[int] = field(default_factory=set)

    @property
    def missing(self) -> list[str]:
        """Experiments without a verdict."""
        return [key for key in scenario.KEYS if key not in self.verdicts]

    def follow(self, deadline: float | None) -> None:
        """Tell what happens until every experiment has its verdict or time is up.

        Raises
        ------
        CommandError
            If the service or a shop process dies, with its last words.
        """
        answered = time.time()
        waiting = (
            self.console.status("visitors are coming")
            if self.console.is_terminal
            else contextlib.nullcontext()
        )
        with waiting as status:
            while deadline is None or time.time() < deadline:
                self.processes.check()
                try:
                    self._ask()
                    answered = time.time()
                except CommandError:
                    if time.time() - answered > SILENCE_SECONDS:
                        raise
                self._hear()
                if status is not None:
                    status.update(self._progress())
                if self._finished():
                    return
                time.sleep(POLL_SECONDS)  # Verdicts are another process's: they must be asked for.

    def sum_up(self) -> None:
        """Say what happened, when, and how many met the broken variant before it was gone."""
        met = self._met()
        self._line()
        self._line(f"[bold]What happened[/bold]{'':<41}visitors")
        self._line(f"{'experiment':<20}{'verdict':<20}{'after':>7}{'looks':>7}{'met it':>8}  now")
        for key in scenario.KEYS:
            at, verdict = self.verdicts.get(key, (None, "no verdict yet"))
            after = "–" if at is None else f"{at - self.started:.1f} s"
            document = self.documents.get(key, {"looks": 0, "state": ""})
            state = document["state"].lower().replace("_", " ")
            self._line(
                f"{key:<20}{verdict:<20}{after:>7}{document['looks']:>7}{met[key]:>8,}  {state}"
            )
        if self.verdicts.get(scenario.BROKEN, (0, ""))[1] == "HARM":
            self._tell_of_the_rollback(met[scenario.BROKEN])

    def _line(self, text: str = "") -> None:
        # A terminal wraps between words; a log keeps its lines whole.
        self.console.print(text, soft_wrap=not self.console.is_terminal, highlight=False)

    def _clock(self, at: float | None = None) -> str:
        return f"[dim]{(time.time() if at is None else at) - self.started:5.1f} s[/dim]"

    def _progress(self) -> str:
        looks = (f"{key}: look {doc['looks']}" for key, doc in self.documents.items())
        return f"{time.time() - self.started:.0f} s, {', '.join(looks)}"

    def _ask(self) -> None:
        """Read where the experiments stand: one request for all."""
        for document in reversed(self.remote.get(self.remote.project_path("experiments"))["items"]):
            self._tell(document)

    def _tell(self, document: dict[str, Any]) -> None:
        key, state, verdict = document["key"], document["state"], document["verdict"]
        before = self.documents.get(key)
        self.documents[key] = document
        if verdict is None:
            if before is not None and before["state"] != state:
                self._line(f"{self._clock()}  {key}: {state.lower()}")
            return
        if key in self.verdicts:
            return
        # What shipped may be on its way already: the first verdict is what the shop waited for.
        first = document["verdicts"][0]
        verdict, at = first["verdict"], dt.datetime.fromisoformat(first["at"]).timestamp()
        self.verdicts[key] = (at, verdict)
        colour = _COLOURS.get(verdict, "bold")
        self._line(
            f"{self._clock(at)}  {key}: [{colour}]{verdict}[/{colour}] – "
            f"{escape(first['sentence'])}"
        )
        if key == scenario.BROKEN and verdict == "HARM":
            self.rollback = (self._last_revision(key), at)

    def _last_revision(self, key: str) -> int:
        records = self.remote.get(self.remote.project_path("experiments", key, "record"))["records"]
        revisions = [(record["body"].get("flag") or {}).get("revision") for record in records]
        return max((number for number in revisions if number), default=0)

    def _hear(self) -> None:
        """Take what the shop's processes said about the revisions that they serve."""
        with contextlib.suppress(queue.Empty):
            while True:
                line = self.processes.said.get_nowait()
                if "met" in line:
                    self.met[line["process"]] = line["met"]
                if line.get("revision") is not None and "at" in line:
                    self.served.setdefault((line["process"], line["revision"]), line["at"])
        if self.rollback is None:
            return
        for process in range(self.shops):
            when = self._served_rollback(process)
            if when is not None and process not in self._told:
                self._told.add(process)
                self._line(
                    f"{self._clock(when)}  {scenario.BROKEN}: revision {self.rollback[0]} without "
                    f"it is served by shop process {process + 1}"
                )

    def _met(self) -> Counter[str]:
        """Count the visitors who met each change, as the shop's processes served them."""
        total: Counter[str] = Counter()
        for counts in self.met.values():
            total.update(counts)
        return total

    def _served_rollback(self, process: int) -> float | None:
        if self.rollback is None:
            return None
        revision = self.rollback[0]
        return min(
            (at for (who, n), at in self.served.items() if who == process and n >= revision),
            default=None,
        )

    def _finished(self) -> bool:
        if self.missing:
            return False
        last = max(at for at, _verdict in self.verdicts.values())
        return self._rolled_back_everywhere() or time.time() - last > SILENCE_SECONDS

    def _rolled_back_everywhere(self) -> bool:
        return self.rollback is None or len(self._told) == self.shops

    def _tell_of_the_rollback(self, met: int) -> None:
        at = self.verdicts[scenario.BROKEN][0]
        self._line(
            f"\nThe broken checkout was turned off {at - self.started:.1f} s after the start. "
            f"{met:,} visitors had met it."
        )
        if self.rollback is None or not self._rolled_back_everywhere():
            return
        revision, began = self.rollback
        times = [self._served_rollback(process) for process in range(self.shops)]
        late = max(when - began for when in times if when is not None)
        self._line(
            f"Revision {revision} was served by all {self.shops} shop processes {late:.2f} s after "
            "the worker\nbegan the look that found the harm; nobody touched anything."
        )
