"""Changes: read, previewed or applied, always by the same code and never in part.

A change names instructions (:mod:`flags.instructions`). They are done to a working copy; what
differs afterwards is written, audited and published as the environment's next revision, all in the
caller's transaction. Nothing differs: nothing is written, and there is no revision.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.allowances import Quote
from flags.approvals import approvals_needed, check_approvals, is_protective
from flags.audit import find_done
from flags.budgets import Spending
from flags.canonical import canonical_bytes
from flags.conflicts import base_of_flag, conflict_of
from flags.definitions import Definitions, check_definitions, definitions_after
from flags.edits import apply_instruction, refuse_cycle
from flags.effects import Effect
from flags.errors import FlagstoneError, InvalidInputError, NotFoundError, VersionConflictError
from flags.instructions import PROJECT_WIDE, Change, Instruction, PutState, Undo
from flags.inversion import check_undone
from flags.models import Environment, FlagEnvironment, FlagRow, Project, Revision
from flags.movements import document_or_none, movements
from flags.moving import effect_in
from flags.plain import MAX_FLAG_BYTES, MAX_NESTING, check_plain
from flags.problems import as_input_error
from flags.publish import load_flags, load_segments
from flags.references import check_references
from flags.revisions import load_flag_set, lock_all_environments, lock_environment
from flags.sentence import describe
from flags.sources import load_source
from flags.spending import quote_change, spend_change
from flags.staging import Blocked, blocked_by, overrule
from flags.telling import tell_of_change
from flags.workspace import State, Workspace
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
_READ_AGAIN = "read it again, and decide anew"
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
    workspace = _load(session, environment, others)
    _check_versions(environment, workspace, change, expected_version, expected_flag_versions)
    _do(workspace, change)
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
    environment, others = _pick(_environments(session, project_key), project_key, environment_key)
    workspace = _anticipate(lambda: _load(session, environment, others), after)
    _do(workspace, change)
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
    environments = _environments(session, project_key)
    environment, others = _pick(environments, project_key, environment_key)
    workspace = _load(session, environment, others)
    _check_versions(environment, workspace, change, expected_version, expected_flag_versions)
    if after:
        workspace = _anticipate(lambda: _load(session, environment, others), after)
    _do(workspace, change)
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


def _anticipate(load: Callable[[], Workspace], changes: Sequence[Change]) -> Workspace:
    """Give the environment as changes will have left it, without those that will fail."""
    workspace, done = load(), list[Change]()
    for change in changes:
        try:
            _do(workspace, change)
        except FlagstoneError:
            # It was done in part: begin again with those before it.
            workspace = load()
            for each in done:
                _do(workspace, each)
        else:
            done.append(change)
    workspace.settle()
    return workspace


def _named(change: Change, kind: str) -> list[str]:
    names = (getattr(instruction, kind, None) for instruction in change.instructions)
    return [name for name in names if name is not None]


def _affected(
    workspace: Workspace, environment: Environment, others: list[Environment]
) -> list[Environment]:
    return [environment, *(others if workspace.changed_everywhere() else [])]


def _environments(session: Session, project_key: str) -> list[Environment]:
    return list(
        session.exec(
            select(Environment)
            .join(Project, col(Project.id) == col(Environment.project_id))
            .where(Project.key == project_key)
        )
    )


def lock_for(
    session: Session, project_key: str, environment_key: str, change: Change
) -> tuple[Environment, list[Environment]]:
    """Take the locks that a change needs; give its environment, and the others it may change."""
    if any(isinstance(instruction, PROJECT_WIDE) for instruction in change.instructions):
        environments = lock_all_environments(session, project_key)
        return _pick(environments, project_key, environment_key)
    return lock_environment(session, project_key, environment_key), []


def _pick(
    environments: list[Environment], project_key: str, environment_key: str
) -> tuple[Environment, list[Environment]]:
    others = [each for each in environments if each.key != environment_key]
    if len(others) == len(environments):
        raise NotFoundError(
            f"there is no environment {environment_key!r} in project {project_key!r}",
            field="environment",
        )
    (environment,) = (each for each in environments if each.key == environment_key)
    return environment, others


def _load(session: Session, environment: Environment, others: list[Environment]) -> Workspace:
    assert environment.id is not None
    environment_id = environment.id
    states: dict[str, dict[str, State]] | None = None

    def elsewhere(flag_key: str) -> Mapping[str, State]:
        nonlocal states
        if states is None:
            states = _states(session, others)
        return states.get(flag_key, {})

    return Workspace(
        environment_key=environment.key,
        flags=load_flags(session, environment),
        segments=load_segments(session, environment),
        earlier=lambda number: load_flag_set(session, environment_id, number),
        elsewhere=elsewhere,
        entry=lambda entry_id: find_done(session, environment, entry_id),
        source=lambda key, at: load_source(session, environment.project_id, key, at),
    )


def _states(session: Session, others: list[Environment]) -> dict[str, dict[str, State]]:
    found: dict[str, dict[str, State]] = {}
    for other in others:
        rows = session.exec(
            select(col(FlagRow.key), col(FlagEnvironment.state))
            .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
            .where(FlagEnvironment.environment_id == other.id)
        )
        for key, state in rows:
            found.setdefault(key, {})[other.key] = state
    return found


def _check_versions(
    environment: Environment,
    workspace: Workspace,
    change: Change,
    expected_version: int | None,
    expected_flag_versions: Mapping[str, int] | None,
) -> None:
    newest = environment.revision
    if expected_version is not None and expected_version != environment.revision:
        raise VersionConflictError(
            f"environment {environment.key!r} is at revision {environment.revision}, "
            f"and not at {expected_version} any more",
            hint=_READ_AGAIN,
            conflict=conflict_of(workspace, change, expected_version, newest),
        )
    for key, expected in (expected_flag_versions or {}).items():
        flag = workspace.flags.get(key)
        if flag is not None and flag.version != expected:
            base = base_of_flag(workspace, key, expected, newest)
            raise VersionConflictError(
                f"flag {key!r} is at version {flag.version} in {environment.key!r}, "
                f"and not at {expected} any more",
                hint=_READ_AGAIN,
                conflict=None if base is None else conflict_of(workspace, change, base, newest),
            )


def _do(workspace: Workspace, change: Change) -> None:
    for index, instruction in enumerate(change.instructions):
        apply_instruction(workspace, instruction, f"instructions[{index}]")
    # Only now: an instruction may name a segment that a later one adds.
    check_references(workspace, change)
    for index, instruction in enumerate(change.instructions):
        # Two states that are put one after the other may be a circle in between.
        if isinstance(instruction, PutState):
            refuse_cycle(workspace, instruction.flag, f"instructions[{index}].prerequisites")
    if any(isinstance(instruction, Undo) for instruction in change.instructions):
        check_undone(workspace)
    _check_sizes(workspace)


def _check_sizes(workspace: Workspace) -> None:
    for key in workspace.changed_flags():
        size = len(canonical_bytes(workspace.flags[key].document()))
        if size > MAX_FLAG_BYTES:
            raise InvalidInputError(
                f"flag {key!r} would take {size:,} bytes; at most {MAX_FLAG_BYTES:,} are allowed",
                field="instructions",
                hint="use fewer target keys, or smaller values",
            )


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
