"""Back from one audit entry: the fields that it changed get their values of before, and no others.

What else was changed since stays. Where the same fields were changed again, nothing is undone: the
error names them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flags.canonical import same
from flags.conditions import flags_of, segments_of
from flags.diff import differences, item_path, member_name, member_path, named_by
from flags.errors import NotInvertibleError, StateError, UndoConflictError
from flags.workspace import (
    Done,
    FlagCopy,
    SegmentCopy,
    Workspace,
    empty_state,
    variants_in_use,
)

_STATE = tuple(empty_state(off=None, default=None))
_EVERYWHERE = (
    *("name", "description", "owner", "client", "archived", "metadata", "variants"),
    *("expires", "kind"),
)


def undo(workspace: Workspace, entry_id: int, at: str) -> None:
    """Take back what an audit entry of this environment says.

    Raises
    ------
    NotInvertibleError
        If it is no entry of a flag or a segment.
    UndoConflictError
        If a later change touched the same fields.
    """
    done = workspace.entry(entry_id)
    kind, _, key = done.resource.partition(":")
    if kind == "flag":
        _undo_flag(workspace, done, key, at)
    elif kind == "segment":
        _undo_segment(workspace, done, key, at)
    else:
        raise NotInvertibleError(
            f"entry {done.id} ({done.action} of {done.resource}) cannot be undone",
            field=f"{at}.entry",
            hint="only changes of flags and segments can",
        )


def _undo_flag(workspace: Workspace, done: Done, key: str, at: str) -> None:
    flag = workspace.edit_archived(key, at)
    if done.before is None:
        _undo_creation(workspace, done, flag, at)
        return

    def order() -> list[str] | None:
        earlier = None if done.revision is None else workspace.earlier(done.revision - 1)
        found = None if earlier is None else earlier["flags"].get(key)
        return None if found is None else [rule["id"] for rule in found["rules"]]

    restored = _restored(flag.whole(), done, at, order)
    for name in _EVERYWHERE:
        setattr(flag, name, restored[name])
    flag.state = {name: restored[name] for name in _STATE}


def _undo_creation(workspace: Workspace, done: Done, flag: FlagCopy, at: str) -> None:
    # A key is never given out again, so the flag is archived: readers have what they had.
    now, then = flag.whole(), dict(done.after)
    touched = [name for name in then if name != "version" and not same(now[name], then[name])]
    state = empty_state(off=then["off"], default=then["default"])
    touched += [
        f"its state in {other}"
        for other, found in workspace.elsewhere(flag.key).items()
        if not same(found, state)
    ]
    if touched:
        raise _conflict(done, touched, at)
    flag.archived = True


def _undo_segment(workspace: Workspace, done: Done, key: str, at: str) -> None:
    segment = workspace.note_segment(key)
    if done.before is None or done.after is None:
        if not same(segment and segment.document(), done.after):
            raise _conflict(done, [f"segment {key}"], at)
        if done.before is None:
            del workspace.segments[key]
        else:
            workspace.segments[key] = SegmentCopy(**copy.deepcopy(done.before))
        return
    if segment is None:
        raise _conflict(done, [f"segment {key}"], at)
    restored = _restored(segment.document(), done, at, lambda: None)
    segment.name, segment.condition = restored["name"], restored["condition"]


def _conflict(done: Done, touched: list[str], at: str) -> UndoConflictError:
    shown = ", ".join(touched[:10]) + (", …" if len(touched) > 10 else "")
    return UndoConflictError(
        f"entry {done.id} cannot be undone: a later change touched {shown}",
        field=f"{at}.entry",
        hint="undo the later change first, or set the fields by hand",
    )


def _restored(
    current: dict[str, Any], done: Done, at: str, order: Callable[[], list[str] | None]
) -> dict[str, Any]:
    before = {path: value for path, value in done.before.items() if path != "version"}
    after = {path: value for path, value in done.after.items() if path != "version"}
    restoring = _Restoring(copy.deepcopy(current), before, after, order)
    restoring.run()
    if restoring.unordered:
        raise NotInvertibleError(
            f"entry {done.id} cannot be undone: it does not say in which order the rules were",
            field=f"{at}.entry",
            hint="revert_to brings back how an earlier revision had the flag",
        )
    if restoring.touched:
        raise _conflict(done, restoring.touched, at)
    # To undo must be to do the opposite; whatever else came out is not written.
    restoring.document.pop("version", None)
    fields = {name: value for name, value in current.items() if name != "version"}
    old, new = (_without_orders(each) for each in differences(restoring.document, fields))
    if not same([old, new], [_without_orders(before), _without_orders(after)]):
        raise NotInvertibleError(
            f"entry {done.id} cannot be undone: its fields cannot be told apart",
            field=f"{at}.entry",
        )
    return restoring.document


def _without_orders(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in fields.items() if not path.endswith("rules.order")}


@dataclass(slots=True)
class _Restoring:
    """One document on its way back; what speaks against it is collected."""

    document: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]
    order: Callable[[], list[str] | None]
    touched: list[str] = field(default_factory=list)
    unordered: bool = False
    _places: dict[str, tuple[Any, str]] = field(default_factory=dict)
    _objects: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _lists: list[tuple[str, list[Any]]] = field(default_factory=list)

    def run(self) -> None:
        """Put the values of before in place."""
        self._note(self.document, "")
        orders = {f"{path}.order" for path, _ in self._lists}
        dropped: list[tuple[list[Any], str]] = []
        for path in [path for path in self.after if path not in orders]:
            place = self._place(path)
            if place is None:
                continue
            container, name = place
            if path in self.before:
                container[name] = self.before[path]
            elif isinstance(container, dict):
                del container[name]
            else:
                dropped.append((container, name))
        gone = [path for path in self.before if path not in self.after and path not in orders]
        added: list[tuple[list[Any], dict[str, Any]]] = []
        for path in gone:
            self._bring_back(path, added)
        for path, items in self._lists:
            self._arrange(
                path,
                items,
                {name for container, name in dropped if container is items},
                [item for container, item in added if container is items],
            )

    def _note(self, node: Any, path: str) -> None:
        if not isinstance(node, dict):
            return
        self._objects.append((path, node))
        for name, value in node.items():
            here = member_path(path, name)
            self._places[here] = (node, name)
            by = named_by(name, value)
            if by is None:
                self._note(value, here)
                continue
            self._lists.append((here, value))
            for item in value:
                inner = item_path(here, item[by])
                self._places[inner] = (value, item[by])
                self._note(item, inner)

    def _place(self, path: str) -> tuple[Any, str] | None:
        """Find the field, if it still has what the entry gave it."""
        place = self._places.get(path)
        if place is None or not same(_value(*place), self.after[path]):
            self.touched.append(path)
            return None
        return place

    def _bring_back(self, path: str, added: list[tuple[list[Any], dict[str, Any]]]) -> None:
        value = self.before[path]
        if path in self._places:
            self.touched.append(path)
            return
        for here, items in self._lists:
            if isinstance(value, dict) and path == item_path(here, str(value.get("id"))):
                added.append((items, value))
                return
        for here, node in self._objects:
            name = member_name(here, path)
            if name is not None:
                node[name] = value
                return
        self.touched.append(path)

    def _arrange(
        self, path: str, items: list[Any], dropped: set[str], added: list[dict[str, Any]]
    ) -> None:
        """Take out what was added, put back what was removed, each where it was."""
        now = [item["id"] for item in items]
        by_id = {item["id"]: item for item in [*items, *added]}
        then = self.before.get(f"{path}.order", [])
        left = self.after.get(f"{path}.order", now)
        moved = [name for name in then if name in left] != [name for name in left if name in then]
        if added or (moved and f"{path}.order" in self.before):
            if any(item["id"] not in then for item in added):
                # Entries of earlier versions keep the order of those alone that stayed.
                found = self.order()
                if found is None:
                    self.unordered = True
                    return
                then, left = found, [name for name in found if name in now]
            kept = [name for name in now if name in left]
            if kept != [name for name in left if name in now]:
                self.touched.append(f"{path}.order")
                return
            then = [name for name in then if name in by_id]
            for name, previous in _with_previous(now):
                if name not in then and name not in dropped:
                    then.insert(then.index(previous) + 1 if previous in then else 0, name)
        else:
            then = now
        items[:] = [by_id[name] for name in then if name not in dropped]


def _value(container: Any, name: str) -> Any:
    if isinstance(container, dict):
        return container[name]
    return next(item for item in container if item["id"] == name)


def _with_previous(names: list[str]) -> Iterator[tuple[str, str | None]]:
    previous = None
    for name in names:
        yield name, previous
        previous = name


def check_undone(workspace: Workspace) -> None:
    """Refuse a result in which something names what is not there (any more).

    Only at the end of a change: an undo may need what a later one brings back.
    """
    live = workspace.live_flags()
    asking = [
        (f"flag {flag.key}", rule["when"]) for flag in live.values() for rule in flag.state["rules"]
    ]
    asking += [(f"segment {each.key}", each.condition) for each in workspace.segments.values()]
    named: list[tuple[str, str, set[str]]] = []
    for who, condition in asking:
        for key in segments_of(condition) - set(workspace.segments):
            raise _dangling(who, f"segment {key!r}")
        named += [(who, key, variants) for key, variants in flags_of(condition).items()]
    for flag in live.values():
        for each in flag.state["prerequisites"]:
            named.append((f"flag {flag.key}", each["flag"], set(each["variants"])))
        states = {workspace.environment_key: flag.state}
        if flag.key in workspace.flags_before:
            states.update(workspace.elsewhere(flag.key))
        for environment, state in states.items():
            for variant in sorted(variants_in_use(state) - set(flag.variants)):
                raise _dangling(f"flag {flag.key} in {environment}", f"variant {variant!r}")
    for who, key, variants in named:
        if key not in live:
            raise _dangling(who, f"flag {key!r}")
        for variant in sorted(variants - set(live[key].variants)):
            raise _dangling(who, f"variant {variant!r} of flag {key!r}")


def _dangling(who: str, what: str) -> StateError:
    return StateError(
        f"{who} would name {what}, which would not be there",
        field="instructions",
        hint="undo what belongs together in one change, or change that first",
    )
