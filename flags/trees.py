"""A directory of files against a project: what it would take to make the project like the files.

New flags are made; every environment that differs gets one change, through the one door of every
change; all of it is one transaction. What the files do not name stays, unless it is to be pruned.
"""

from __future__ import annotations

import copy
import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select

from flags import instructions as grammar
from flags.actor import Actor
from flags.budgets import Spending
from flags.canonical import same
from flags.change_requests import submit
from flags.changes import Change, ChangeResult, apply_change, preview_change
from flags.conditions import flags_of, segments_of
from flags.errors import (
    FlagstoneError,
    InvalidInputError,
    NotFoundError,
    StateError,
    VersionConflictError,
)
from flags.files import Tree, flag_file, segment_files
from flags.instructions import PROJECT_WIDE
from flags.models import ChangeRequest, Environment, SegmentRow
from flags.request_rows import Writing
from flags.revisions import lock_all_environments
from flags.services import create_flag, list_environments, list_flags
from flags.views import FlagView

_ABOUT = ("name", "description", "owner", "client", "metadata", "kind", "expires")
_STATE = ("enabled", "off", "default", "prerequisites", "targets", "rules")
Allowed = Callable[[str, Change], bool]


@dataclass(frozen=True, slots=True)
class Wish:
    """How a tree is applied.

    Parameters
    ----------
    prune : bool
        Archive flags and remove segments that the files do not name.
    only : collection of str, optional
        In these environments alone.
    base : mapping
        The revision that an environment must still be at, by its key.
    """

    comment: str = ""
    override: str = ""
    prune: bool = False
    only: Collection[str] | None = None
    base: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TreeOutcome:
    """What became of a project, or would: flags made, and what changed in each environment.

    ``previews`` say whom each change moves and who must approve it; ``base`` is at which revision
    each environment was. ``published`` are the revisions made, by environment, and ``requests``
    what was asked for instead.
    """

    created: list[str]
    previews: dict[str, ChangeResult]
    results: dict[str, ChangeResult]
    base: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    requests: list[ChangeRequest] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.created or self.previews)


def export_tree(session: Session, project_key: str) -> dict[str, Any]:
    """Give a project as files, by key, and the revision that each environment is at."""
    environments = list_environments(session, project_key)
    flags = list_flags(session, project_key)
    return {
        "base": {each.key: each.revision for each in environments},
        "flags": {view.key: flag_file(view) for view in flags},
        "segments": _segments(session, environments),
    }


def _segments(session: Session, environments: Iterable[Environment]) -> dict[str, Any]:
    keys = {each.id: each.key for each in environments}
    rows = session.exec(select(SegmentRow).where(col(SegmentRow.environment_id).in_(list(keys))))
    return segment_files(
        (keys[row.environment_id], row.key, row.name, row.condition) for row in rows
    )


def apply_tree(
    session: Session,
    project_key: str,
    tree: Tree,
    wish: Wish,
    *,
    actor: Actor,
    now: dt.datetime,
    preview: bool,
    allowed: Allowed,
    by: Writing | None = None,
    previewed: Mapping[str, int] | None = None,
) -> TreeOutcome:
    """Make a project like the files, in the caller's transaction.

    Parameters
    ----------
    preview : bool
        Do it, and undo it again.
    allowed : callable
        Refuses a change of an environment that the caller may not make there; says whether they
        may override what must be on elsewhere first.
    by : Writing, optional
        Ask others to approve each environment's change, and apply none. New flags are made all the
        same: they are off everywhere.
    previewed : mapping, optional
        The revisions of all environments on which the caller has previewed exactly this.

    Raises
    ------
    VersionConflictError
        If an environment moved since the base.
    NeedsApprovalError, NotYetElsewhereError
        As of any change (:func:`flags.changes.apply_change`); never of a preview.
    """
    environments = lock_all_environments(session, project_key)
    base = {each.key: each.revision for each in environments}
    trusted = preview or previewed == base
    # What moved since is no revision of any environment.
    stale = None if previewed is None else -1
    wanted = _wanted(environments, tree, wish)
    with session.begin_nested() as savepoint:
        made = _create(session, project_key, tree, actor=actor, now=now)
        flags = {view.key: view for view in list_flags(session, project_key, archived=None)}
        plan = _Plan(tree, wish, flags, _segments(session, environments), wanted)
        previews, results = {}, {}
        requests, earlier = list[ChangeRequest](), list[Change]()
        for key in wanted:
            instructions, places = plan.of(key)
            if not instructions:
                continue
            change = Change.model_construct(
                environment=key,
                comment=wish.comment,
                override="" if preview else wish.override,
                mode="apply" if by is None else "request",
                at=None,
                instructions=instructions,
            )
            may_override = allowed(key, change)
            try:
                told = preview_change(
                    session, project_key, key, change, now=now, after=_shared(earlier)
                )
                if not told.changed:
                    continue
                previews[key] = told
                if by is not None:
                    requests.append(
                        submit(
                            session,
                            project_key,
                            key,
                            change,
                            by=by,
                            now=now,
                            previewed=told.revision_number if trusted else stale,
                            after=_shared(earlier),
                        )
                    )
                    earlier.append(change)
                    continue
                results[key] = apply_change(
                    session,
                    project_key,
                    key,
                    change,
                    actor=actor,
                    now=now,
                    # What is undone again needs nobody's leave; the preview names whose it would.
                    exempt=preview,
                    spending=Spending(
                        set() if preview else {str(actor)}, previewed=stale, trusted=trusted
                    ),
                    may_override=may_override,
                )
            except FlagstoneError as error:
                raise _placed(error, places, key) from error
        if preview:
            savepoint.rollback()
    revisions = {each.key: each.revision for each in environments}
    published = {key: revision for key, revision in revisions.items() if revision != base[key]}
    return TreeOutcome(made, previews, {} if preview else results, base, published, requests)


def _shared(changes: list[Change]) -> list[Change]:
    """Give what changes of other environments make of the flags everywhere, if it is approved."""
    kept = []
    for change in changes:
        everywhere = [each for each in change.instructions if isinstance(each, PROJECT_WIDE)]
        if everywhere:
            kept.append(change.model_copy(update={"instructions": everywhere}))
    return kept


def _wanted(environments: list[Environment], tree: Tree, wish: Wish) -> list[str]:
    by_key = {each.key: each for each in sorted(environments, key=lambda each: each.position)}
    for key in wish.only or ():
        if key not in by_key:
            raise NotFoundError(f"there is no environment {key!r}", field="environments")
    for kind, files in (("flags", tree.flags), ("segments", tree.segments)):
        for name, file in files.items():
            for key in file.environments:
                if key not in by_key:
                    raise NotFoundError(
                        f"there is no environment {key!r}",
                        field=f"{kind}.{name}.environments.{key}",
                        hint=f"there are {', '.join(by_key)}",
                    )
    for key, revision in wish.base.items():
        if key in by_key and by_key[key].revision != revision:
            raise VersionConflictError(
                f"environment {key!r} is at revision {by_key[key].revision}, "
                f"and not at {revision} any more",
                field=f"base.{key}",
                hint="export it again, and bring your edits to that",
            )
    return [key for key in by_key if wish.only is None or key in wish.only]


def _create(
    session: Session, project_key: str, tree: Tree, *, actor: Actor, now: dt.datetime
) -> list[str]:
    known = {view.key for view in list_flags(session, project_key, archived=None)}
    made = []
    for key in sorted(set(tree.flags) - known):
        file = tree.flags[key]
        about = file.model_dump(include={"key", "type", *_ABOUT})
        first = next(iter(file.environments.values()), None)
        ends = {} if first is None else {"off": first.off, "default": first.default}
        variants = {name: each.model_dump() for name, each in file.variants.items()}
        try:
            create_flag(
                session, project_key, {**about, **ends, "variants": variants}, actor=actor, now=now
            )
        except FlagstoneError as error:
            error.field = f"flags.{key}.{error.field}" if error.field else f"flags.{key}"
            raise
        made.append(key)
    return made


@dataclass(slots=True)
class _Plan:
    """The instructions that make each environment like the files, in an order that can be done."""

    tree: Tree
    wish: Wish
    flags: Mapping[str, FlagView]
    segments: Mapping[str, Any]
    wanted: list[str]

    def of(self, environment: str) -> tuple[list[Any], list[str]]:
        """Give an environment's instructions, and the file's path of each."""
        first, last = environment == self.wanted[0], environment == self.wanted[-1]
        done = self._segments(environment)
        # What a flag is everywhere: more of it first, and less of it when nobody serves it.
        if first:
            done += [each for key in self.tree.flags for each in self._about(key)]
        done += [each for key in self.tree.flags for each in self._state(key, environment)]
        if last:
            done += [each for key in self.tree.flags for each in self._fewer_variants(key)]
        if self.wish.prune:
            # What other flags ask about still goes when none of them does so anywhere.
            done += self._archived(asked=False) if first else []
            done += self._archived(asked=True) if last else []
            done += self._fewer_segments(environment)
        return [each for each, _ in done], [path for _, path in done]

    def _about(self, key: str) -> list[tuple[Any, str]]:
        file, view, at = self.tree.flags[key], self.flags[key], f"flags.{key}"
        if file.type != view.type:
            raise StateError(
                f"flag {key!r} has the type {view.type}, and its file says {file.type}",
                field=f"{at}.type",
                hint="a flag keeps its type; make another one",
            )
        done: list[tuple[Any, str]] = []
        if view.archived:
            done.append((grammar.Restore(do="restore", flag=key), at))
        about = {name: getattr(file, name) for name in _ABOUT}
        differs = {name: value for name, value in about.items() if value != getattr(view, name)}
        if differs:
            done.append((grammar.UpdateFlag(do="update_flag", flag=key, **differs), at))
        for name, variant in file.stored_variants().items():
            here = f"{at}.variants.{name}"
            given = {"flag": key, "variant": name, "value": variant["value"]}
            given["on"] = variant.get("on", True)
            if name not in view.variants:
                done.append((grammar.AddVariant(do="add_variant", **given), here))
            elif not same(view.variants[name], variant):
                done.append((grammar.UpdateVariant(do="update_variant", **given), here))
        return done

    def _state(self, key: str, environment: str) -> list[tuple[Any, str]]:
        file = self.tree.flags[key]
        if environment not in file.environments:
            return []
        state = file.environments[environment]
        put = grammar.PutState(
            do="put_state", flag=key, **{name: getattr(state, name) for name in _STATE}
        )
        return [(put, f"flags.{key}.environments.{environment}")]

    def _fewer_variants(self, key: str) -> list[tuple[Any, str]]:
        gone = [
            name for name in self.flags[key].variants if name not in self.tree.flags[key].variants
        ]
        return [
            (grammar.RemoveVariant(do="remove_variant", flag=key, variant=name), f"flags.{key}")
            for name in gone
        ]

    def _archived(self, *, asked: bool) -> list[tuple[Any, str]]:
        gone = {
            key: view
            for key, view in self.flags.items()
            if key not in self.tree.flags and not view.archived
        }
        asks = {key: _asked(view) & set(gone) for key, view in gone.items()}
        wanted = {
            other
            for key, view in self.flags.items()
            if key not in gone and not view.archived
            for other in _asked(view)
        }
        for file in self.segments.values():
            for here in file["environments"].values():
                wanted |= set(flags_of(here["condition"]))
        return [
            (grammar.Archive(do="archive", flag=key), f"flags.{key}")
            for key in _outermost(asks)
            if (key in wanted) is asked
        ]

    def _segments(self, environment: str) -> list[tuple[Any, str]]:
        done: list[tuple[Any, str]] = []
        for key, file in self.tree.segments.items():
            here = file.environments.get(environment)
            if here is None:
                continue
            at = f"segments.{key}.environments.{environment}"
            known = self.segments.get(key, {}).get("environments", {}).get(environment)
            given = {"segment": key, "condition": here.condition, "name": here.name}
            if known is None:
                done.append((grammar.AddSegment(do="add_segment", **given), at))
            elif not same([known["condition"], known.get("name", "")], [here.condition, here.name]):
                done.append((grammar.UpdateSegment(do="update_segment", **given), at))
        return done

    def _fewer_segments(self, environment: str) -> list[tuple[Any, str]]:
        gone = {
            key: file["environments"][environment]["condition"]
            for key, file in self.segments.items()
            if environment in file["environments"]
            and (
                key not in self.tree.segments
                or environment not in self.tree.segments[key].environments
            )
        }
        asks = {key: segments_of(condition) & set(gone) for key, condition in gone.items()}
        return [
            (grammar.RemoveSegment(do="remove_segment", segment=key), f"segments.{key}")
            for key in _outermost(asks)
        ]


def _asked(view: FlagView) -> set[str]:
    """Give the flags that a flag asks about, in any environment."""
    found: set[str] = set()
    for here in view.environments.values():
        found |= {each["flag"] for each in here.document["prerequisites"]}
        for rule in here.document["rules"]:
            found |= set(flags_of(rule["when"]))
    return found


def _outermost(asks: Mapping[str, set[str]]) -> list[str]:
    """Give things in an order in which each goes before what it asks about; a circle at the end."""
    left, order = copy.deepcopy(dict(asks)), list[str]()
    while left:
        asked = set().union(*left.values())
        free = sorted(key for key in left if key not in asked) or sorted(left)
        order += free
        for key in free:
            del left[key]
    return order


def _placed(error: FlagstoneError, places: list[str], environment: str) -> FlagstoneError:
    """Tell a fault by the file that holds it."""
    match = re.match(r"instructions\[(\d+)\](.*)", error.field or "")
    if match and int(match[1]) < len(places):
        error.field = f"{places[int(match[1])]}{match[2]}"
    elif isinstance(error, InvalidInputError) and not error.field:
        error.field = f"environments.{environment}"
    return error
