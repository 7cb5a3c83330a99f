"""What an import did, or would do: which flags differ, before and after, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flags.effects import Effect
from flags.import_plan import ImportPlan
from flags.sentence import describe


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What an import did, or would do.

    ``before`` and ``after`` hold the published documents of the flags that differ, by key (``None``
    before a flag that is new), ``segments_before`` and ``segments_after`` likewise; ``sentences``
    say what each of them does then. ``refused`` names what stayed out, with the reason; ``effect``
    is whom a previewed import moves.
    """

    created: list[str]
    updated: list[str]
    unchanged: list[str]
    refused: dict[str, str]
    before: dict[str, dict[str, Any] | None]
    after: dict[str, dict[str, Any]]
    segments_before: dict[str, Any]
    segments_after: dict[str, Any]
    sentences: dict[str, str]
    revision_number: int
    published: dict[str, int]
    effect: Effect | None = None

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.after or self.segments_after)


def outcome_of(plan: ImportPlan) -> ImportOutcome:
    """Say what a plan comes to, before it is carried out."""
    created, updated, segments = plan.created(), plan.updated(), plan.changed_segments()
    _, segments_then = plan.result()
    differing = {*created, *updated}
    changed = [key for key in plan.imported if key in differing]
    after = {key: plan.imported[key].document() for key in changed}
    refused = dict(plan.refused)
    refused.update((f"segment {key}", why) for key, why in plan.refused_segments.items())
    sentences = {
        key: describe(flag, environment=plan.environment.key) for key, flag in after.items()
    }
    return ImportOutcome(
        created=created,
        updated=updated,
        unchanged=[key for key in plan.imported if key not in after],
        refused=refused,
        before={key: plan.flags[key].document() if key in plan.flags else None for key in changed},
        after=after,
        segments_before={
            key: plan.segments[key].document() if key in plan.segments else None for key in segments
        },
        segments_after={key: segments_then[key].document() for key in segments},
        sentences=sentences,
        revision_number=plan.environment.revision,
        published={},
    )
