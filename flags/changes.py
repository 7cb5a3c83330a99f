"""Changes: read, previewed or applied, always by the same code and never in part.

A change names instructions (:mod:`flags.instructions`). They are done to a working copy; what
differs afterwards is written, audited and published as the environment's next revision, all in the
caller's transaction. Nothing differs: nothing is written, and there is no revision.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session

from flags.actor import Actor
from flags.allowances import Quote
from flags.approvals import approvals_needed, check_approvals, is_protective
from flags.budgets import Spending
from flags.definitions import Definitions, check_definitions, definitions_after
from flags.doing import anticipate, check_versions, do_change
from flags.effects import Effect
from flags.errors import InvalidInputError
from flags.instructions import Change, Instruction
from flags.loading import environments_of, load_workspace, lock_for, pick
from flags.models import Environment, Revision
from flags.movements import document_or_none, movements
from flags.moving import effect_in
from flags.plain import MAX_NESTING, check_plain
from flags.problems import as_input_error
from flags.sentence import describe
from flags.spending import quote_change, spend_change
from flags.staging import Blocked, blocked_by, overrule
from flags.telling import tell_of_change
from flags.workspace import Workspace
from flags.writing import Writer, bump_versions

__all__ = [
    "Change",
    "ChangeResult",
    "Instruction",
    "apply_change",
    "check_budgets",
    "lock_for",
    "parse_change",
    "preview_change",
]

# The change around a condition or a value adds a few levels of its own.
_ENVELOPE_NESTING = 8
_WITHOUT_FLAG = frozenset({"add_segment", "update_segment", "remove_segment", "undo"})
_SCHEDULE = '"mode": "schedule", "at": "2026-12-01T09:00:00Z"'


@dataclass(frozen=True)
class ChangeResult:
    """What a change did, or would do.

    ``before`` and ``after`` hold the published documents of the flags that differ, by key (``None``
    where the flag was or is not published); ``segments_before`` and ``segments_after`` likewise.
    ``revision_number`` is the environment's newest. ``published`` are the numbers of all revisions
    made, by environment key: what a flag is everywhere changes every environment. ``effect`` is
    whom a previewed change moves in its environment, and ``elsewhere`` whom in each other one that
    it alters. ``approvals_needed`` is how many other people
    must approve it, and ``definitions`` what they approve. ``blocked_by`` says what must be on
    elsewhere first. ``quotes`` are what it would use of budgets.
    """

    revision: Revision | None
    revision_number: int
    before: dict[str, dict[str, Any] | None]
    after: dict[str, dict[str, Any] | None]
    sentence: str
    changed: bool
    segments_before: dict[str, Any] = field(default_factory=dict)
    segments_after: dict[str, Any] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    effect: Effect | None = None
    elsewhere: dict[str, Effect] = field(default_factory=dict)
    approvals_needed: int = 0
    blocked_by: list[Blocked] = field(default_factory=list)
    definitions: Definitions = field(default_factory=dict)
    quotes: Sequence[Quote] = ()


def parse_change(document: Any) -> Change:
    """Read a change as a program or a form sent it.

    ``{"environment"?, "comment"?, "mode"?, "flag"?, "instructions": [{"do": …, "flag": …}, …]}``;
    a ``flag`` beside the instructions stands for every instruction that names none.

    Raises
    ------
    InvalidInputError
        With the path of the field and a hint.
    """
    if not isinstance(document, Mapping):
        raise InvalidInputError("a change is a JSON object", hint='{"instructions": [{"do": …}]}')
    check_plain(dict(document), "", max_nesting=MAX_NESTING + _ENVELOPE_NESTING)
    given = _with_flag(dict(document))
    try:
        change = Change.model_validate(given)
    except ValidationError as error:
        raise as_input_error(error, given) from None
    if (change.at is None) == (change.mode == "schedule") and change.mode != "request":
        word = "needs a" if change.at is None else "has no"
        raise InvalidInputError(
            f"a change with the mode {change.mode} {word} time", field="at", hint=_SCHEDULE
        )
    if change.override and change.mode in {"request", "schedule"}:
        raise InvalidInputError(
            "only a change that is applied at once can override a rule",
            field="override",
            hint="leave it out; the rule is asked when the change is applied",
        )
    return change


def _with_flag(document: dict[str, Any]) -> dict[str, Any]:
    flag = document.pop("flag", None)
    instructions = document.get("instructions")
    if flag is None or not isinstance(instructions, list):
        return document
    document["instructions"] = [
        {"flag": flag, **each}
        if isinstance(each, dict)
        and each.get("do") not in _WITHOUT_FLAG
        and (each.get("do") != "promote" or "segment" not in each)
        else each
        for each in instructions
    ]
    return document


def apply_change(
    session: Session,
    project_key: str,
    environment_key: str,
    change: Change,
    *,
    actor: Actor,
    now: dt.datetime,
    expected_version: int | None = None,
    expected_flag_versions: Mapping[str, int] | None = None,
    expected_definitions: Mapping[str, Any] | None = None,
    approvals: int = 0,
    exempt: bool = False,
    spending: Spending | None = None,
    may_override: bool = False,
) -> ChangeResult:
    """Apply a change in the caller's write transaction.

    Parameters
    ----------
    expected_version : int, optional
        The revision number that the caller read; any other is a conflict.
    expected_flag_versions : mapping, optional
        The versions of single flags that the caller read, by key.
    expected_definitions : mapping, optional
        What was approved (:func:`flags.definitions.definitions_after`); all else is refused.
    approvals : int
        How many people other than its authors approved exactly this change.
    exempt : bool
        Whether it needs no approval here: it carries out what has rules of its own (a sealed
        plan, an administrator's holdout).
    spending : Spending, optional
        Whose budgets pay for it; that of the actor, without a preview, if nothing is said.
    may_override : bool
        Whether who is asking may give a reason (``change.override``) instead of waiting until it
        was on elsewhere.

    Raises
    ------
    VersionConflictError
        If the environment or a flag moved since the caller read it.
    InvalidInputError, NotFoundError, AlreadyExistsError, StateError
        If an instruction cannot be done; ``field`` says which. Nothing is written.
    NeedsApprovalError
        If an environment that it changes wants more approvals than there are.
    StaleChangeError
        If it makes something else of the flags than what is expected.
    OverBudgetError
        If it does more than a budget allows of somebody who answers for it.
    NotYetElsewhereError
        If what it serves must have been on in another environment first.
    """
    environment, others = lock_for(session, project_key, environment_key, change)
    workspace = load_workspace(session, environment, others)
    check_versions(environment, workspace, change, expected_version, expected_flag_versions)
    do_change(workspace, change)
    if expected_definitions is not None:
        check_definitions(workspace, expected_definitions)
    flags, segments = workspace.changed_flags(), workspace.changed_segments()
    if not flags and not segments:
        return _result(workspace, environment, [], [], None, {})
    if not exempt:
        affected = _affected(workspace, environment, others)
        check_approvals(change, affected, approvals)
        if any(each.after is not None for each in affected) and not is_protective(change):
            moved = movements(session, workspace, environment, others)
            blocked = [each for there in moved for each in blocked_by(session, there, now=now)]
            overrule(session, environment, change, blocked, allowed=may_override, by=actor, now=now)
    spend_change(
        session, workspace, change, environment, others, spending or Spending({str(actor)}), now
    )
    published = Writer(session, workspace, change, actor, now).write(environment, others)
    result = _result(
        workspace, environment, flags, segments, published.get(environment.key), published
    )
    tell_of_change(
        session,
        environment,
        change,
        before=result.before,
        after=result.after,
        segments=segments,
        published=result.published,
        actor=actor,
        now=now,
    )
    return result


def check_budgets(
    session: Session,
    project_key: str,
    environment_key: str,
    change: Change,
    spending: Spending,
    now: dt.datetime,
    after: Sequence[Change] = (),
) -> None:
    """Refuse what no budget of those who write it will ever pay, though it is applied later.

    ``after`` are the changes that will have been made by then.
    """
    environment, others = pick(environments_of(session, project_key), project_key, environment_key)
    workspace = anticipate(lambda: load_workspace(session, environment, others), after)
    do_change(workspace, change)
    spend_change(session, workspace, change, environment, others, spending, now, dry=True)


def preview_change(
    session: Session,
    project_key: str,
    environment_key: str,
    change: Change,
    *,
    now: dt.datetime | None = None,
    expected_version: int | None = None,
    expected_flag_versions: Mapping[str, int] | None = None,
    expected_definitions: Mapping[str, Any] | None = None,
    after: Sequence[Change] = (),
    spending: Spending | None = None,
) -> ChangeResult:
    """Say what a change would do, by doing it to a copy. Works in a reading session.

    With ``now`` it is also proved whom the change moves, and counted over the contexts seen lately
    (:mod:`flags.effects`), and what it would use of the budgets of who answers for it
    (``spending``). It is told as of when the changes in ``after`` will have been made, but for
    those that cannot be made.
    """
    environments = environments_of(session, project_key)
    environment, others = pick(environments, project_key, environment_key)
    workspace = load_workspace(session, environment, others)
    check_versions(environment, workspace, change, expected_version, expected_flag_versions)
    if after:
        workspace = anticipate(lambda: load_workspace(session, environment, others), after)
    do_change(workspace, change)
    if expected_definitions is not None:
        check_definitions(workspace, expected_definitions)
    needed = approvals_needed(change, _affected(workspace, environment, others))
    flags, segments = workspace.changed_flags(), workspace.changed_segments()
    quotes = (
        quote_change(session, workspace, change, environment, others, spending, now)
        if now is not None and spending is not None
        else []
    )
    bump_versions(workspace)
    moved = list(movements(session, workspace, environment, others))
    result = _result(workspace, environment, flags, segments, None, {})
    # Of what it names too: that it is so already may be another change's doing.
    definitions = definitions_after(workspace, _named(change, "flag"), _named(change, "segment"))
    result = replace(result, approvals_needed=needed, definitions=definitions)
    if now is None:
        return result
    effects = {
        each.environment.key: effect_in(
            session, each.environment, each.after, each.before, each.segments_before, now
        )
        for each in moved
    }
    effect = effects.pop(environment.key)
    blocked = [] if is_protective(change) else moved
    return replace(
        result,
        effect=effect,
        elsewhere=effects,
        quotes=quotes,
        blocked_by=[found for each in blocked for found in blocked_by(session, each, now=now)],
    )


def _named(change: Change, kind: str) -> list[str]:
    names = (getattr(instruction, kind, None) for instruction in change.instructions)
    return [name for name in names if name is not None]


def _affected(
    workspace: Workspace, environment: Environment, others: list[Environment]
) -> list[Environment]:
    return [environment, *(others if workspace.changed_everywhere() else [])]


def _result(
    workspace: Workspace,
    environment: Environment,
    flags: list[str],
    segments: list[str],
    revision: Revision | None,
    published: dict[str, Revision],
) -> ChangeResult:
    before = {key: document_or_none(workspace.flags_before[key]) for key in flags}
    after = {key: document_or_none(workspace.flags[key]) for key in flags}
    sentences = []
    for key, document in after.items():
        if document is None:
            sentences.append(f"{key} is archived.")
        else:
            words = describe(document, environment=workspace.environment_key)
            sentences.append(words if len(after) == 1 else f"{key}: {words}")
    for key in segments:
        word = "is removed" if key not in workspace.segments else "changes"
        sentences.append(f"Segment {key} {word}.")
    return ChangeResult(
        revision=revision,
        revision_number=environment.revision,
        before=before,
        after=after,
        sentence=" ".join(sentences) or "Nothing changes.",
        changed=bool(flags or segments),
        segments_before={
            key: old and old.document()
            for key, old in workspace.segments_before.items()
            if key in segments
        },
        segments_after={
            key: new.document() if (new := workspace.segments.get(key)) else None
            for key in segments
        },
        published={key: each.number for key, each in published.items()},
    )
