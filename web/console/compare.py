"""Two environments side by side, and what is promoted from one to the other."""

from __future__ import annotations

import json
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from flags import change_requests, changes
from flags.comparison import Comparison, Difference, compare_environments
from flags.diff import differences
from flags.errors import FlagstoneError, InvalidInputError
from flags.models import Environment
from flags.plain import MAX_INSTRUCTIONS
from flags.services import list_environments
from web.auth.guard import needs, who_and_when, writing
from web.auth.roles import Role
from web.auth.scope import may_override, require_for_change
from web.console.base import back_to, blueprint, place, seen_version, show, status_of
from web.console.effects import shown_effect
from web.console.forms import manner_of
from web.transactions import now, reading, transaction

PAGE = 100
_COMPARE = "/projects/<project_key>/environments/<environment_key>/compare"
_KINDS = ("flag", "segment")


@blueprint.get(_COMPARE)
@needs(Role.VIEWER)
def show_comparison(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Show what differs from another environment, with the value after a promotion."""
    return _page(project_key, environment_key, request.args.to_dict())


@blueprint.post(_COMPARE)
@needs(Role.EDITOR)
def promote_differences(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Preview a promotion of what was chosen, then apply it, ask for it or schedule it."""
    form = request.form.to_dict()
    here = (project_key, environment_key)
    try:
        picks = _picks(form)
        change = _change(form, picks)
        form["picks"] = json.dumps(picks)
        with reading() as session:
            require_for_change(session, *here, change)
            silent = place(session, *here).production and not change.comment.strip()
            preview = None
            if silent or not form.get("confirmed"):
                preview = changes.preview_change(session, *here, change, now=now())
        if preview is not None:
            form["comment"] = form.get("comment") or f"Promoted from {form.get('with', '')}"
            return _page(*here, form, preview=preview)
        expected = seen_version("revision")
        if change.mode != "apply":
            with transaction() as session:
                made = change_requests.submit(
                    session,
                    *here,
                    change,
                    by=writing(session),
                    now=now(),
                    expected_version=expected,
                )
            return back_to(_address("list_changes", *here, _anchor=f"change-{made.id}"))
        with transaction() as session:
            result = changes.apply_change(
                session,
                *here,
                change,
                expected_version=expected,
                may_override=may_override(session, *here, change),
                **who_and_when(),
            )
    except FlagstoneError as error:
        return _page(*here, form, problem=error)
    done = result.revision_number if result.changed else 0
    source = form.get("with", "")
    return back_to(_address("show_comparison", *here, **{"with": source}, done=done))


def _address(name: str, project_key: str, environment_key: str, **more: Any) -> str:
    return url_for(
        f"console.{name}", project_key=project_key, environment_key=environment_key, **more
    )


def _picks(form: dict[str, str]) -> list[list[str]]:
    """Give what is promoted, as kinds and keys; nothing named is everything."""
    if form.get("picks"):
        try:
            found = json.loads(form["picks"])
        except (ValueError, RecursionError):
            found = None
    elif form.get("what") == "all":
        found = []
    else:
        named = [form["what"]] if form.get("what") else request.form.getlist("pick")
        found = [list(each.partition(":")[::2]) for each in named]
        if not found:
            message = "nothing was chosen"
            raise InvalidInputError(message, field="pick", hint="tick what is to be promoted")
    if not isinstance(found, list) or not all(
        isinstance(each, list) and len(each) == 2 and each[0] in _KINDS for each in found
    ):
        message = "this page did not send that"
        raise InvalidInputError(message, field="pick", hint="load the page again")
    if len(found) > MAX_INSTRUCTIONS:
        message = f"at most {MAX_INSTRUCTIONS} things can be chosen at once"
        raise InvalidInputError(message, field="pick", hint="choose fewer, or promote everything")
    return found


def _change(form: dict[str, str], picks: list[list[str]]) -> changes.Change:
    source = form.get("with", "")
    common = {
        "do": "promote",
        "source": source,
        "targets": form.get("targets") == "yes",
        "segments": form.get("segments") == "yes",
    }
    instructions = [{**common, kind: key} for kind, key in picks] or [common]
    return changes.parse_change({**manner_of(form), "instructions": instructions})


def _page(
    project_key: str,
    environment_key: str,
    asked: dict[str, str],
    *,
    problem: FlagstoneError | None = None,
    preview: changes.ChangeResult | None = None,
) -> ResponseReturnValue:
    targets, segments = asked.get("targets") == "yes", asked.get("segments") == "yes"
    found = None
    with reading() as session:
        target = place(session, project_key, environment_key)
        others = [each for each in list_environments(session, project_key) if each.id != target.id]
        source = _source(others, asked.get("with", ""))
        if source is not None:
            found = compare_environments(
                session,
                project_key,
                source.key,
                environment_key,
                targets=targets,
                segments=segments,
            )
    after = asked.get("after", "")
    left = [each for each in (found.differences if found else []) if _name(each) > after]
    effect = None if preview is None or preview.effect is None else shown_effect(preview.effect)
    return show(
        "compare.html",
        status=status_of(problem),
        source=source,
        target=target,
        others=others,
        found=found,
        counts=_counts(found),
        rows=left[:PAGE],
        more=_name(left[PAGE - 1]) if len(left) > PAGE else None,
        after=after,
        targets=targets,
        segments=segments,
        name_of=_name,
        done=request.args.get("done", type=int),
        problem=problem,
        preview=preview,
        preview_fields=_fields(preview),
        effect=effect,
        elsewhere={} if preview is None else preview.elsewhere,
        resent={
            "with": asked.get("with", ""),
            "picks": asked.get("picks", ""),
            "confirmed": "yes",
            **{name: "yes" for name, on in (("targets", targets), ("segments", segments)) if on},
            **({} if preview is None else {"revision": str(preview.revision_number)}),
        },
        form=asked,
        project_key=project_key,
        environment_key=environment_key,
    )


def _source(others: list[Environment], wanted: str) -> Environment | None:
    """Give the environment that was asked for; else where features are tried out, if anywhere."""
    chosen = [each for each in others if each.key == wanted]
    tried = [each for each in others if not each.production]
    return next(iter([*chosen, *tried, *others]), None)


def _counts(found: Comparison | None) -> dict[str, int]:
    kinds = [each.kind for each in found.differences] if found else []
    return {kind: kinds.count(kind) for kind in _KINDS}


def _name(difference: Difference) -> str:
    return f"{difference.kind}:{difference.key}"


def _fields(preview: changes.ChangeResult | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the fields that differ, by the flag or segment that each is of."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    if preview is None:
        return old, new
    things = [(key, preview.before[key], after) for key, after in preview.after.items()]
    things += [
        (f"segment {key}", preview.segments_before.get(key), after)
        for key, after in preview.segments_after.items()
    ]
    for key, before, after in things:
        left, right = differences(before or {}, after or {})
        for fields, into in ((left, old), (right, new)):
            named = {path: value for path, value in fields.items() if path != "version"}
            into.update({f"{key}: {path}": value for path, value in named.items()})
    return old, new
