"""Who does something: a person, a program with a token, an alert's hook, the service itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["user", "token", "hook", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change, as the audit names it: ``user:ada@example.org``."""

    kind: ActorKind
    name: str

    def __str__(self) -> str:
        """Give the form that is stored."""
        return f"{self.kind}:{self.name}"


SYSTEM = Actor("system", "flagstone")
