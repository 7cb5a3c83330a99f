"""What would become of people if the service and its snapshots were gone: the callers' defaults.

Clients say in their heartbeats which flags the code around them asks for, and with which defaults.
Those are compared with what the newest flag set serves to the contexts seen lately. A client that
runs goes on with what it has; it is one that starts without a snapshot that gets the defaults.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col, func

from flags.affected import asked_attributes
from flags.context_samples import Sample, load_sample
from flags.effect_counts import Share, share_of
from flags.effect_words import interval, percent, sample_sentence
from flags.heartbeats import SILENT_AFTER
from flags.models import SdkInstance
from flags.revisions import load_bytes
from flags.services import get_environment
from flagstone.engine import CompiledFlagSet, compile_flag_set, parse_flag_set

# Some microseconds each, in a web process: beyond it fewer contexts are looked at.
MAX_EVALUATIONS = 100_000
# Ways in which callers differ; a fleet has a handful.
MAX_GROUPS = 50
_SHOWN_VALUES = 3
_SHOWN_FLAGS = 3
_EXACT = 2**53
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class CallersDefault:
    """One default that stands in callers' code; ``flips`` of the contexts would notice.

    ``type`` is that of the getter. A default that was too long to tell has no ``value``, and what
    it would do is not known (``flips`` None), as where no context was seen.
    """

    type: str
    value: Any
    told: bool
    instances: int
    flips: Share | None

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        said = {"type": self.type, **({"value": self.value} if self.told else {})}
        return {
            **said,
            "instances": self.instances,
            "flips": self.flips and self.flips.document(),
        }


@dataclass(frozen=True, slots=True)
class FlagOutage:
    """What callers of one flag get, and would get; ``flag_type`` None: there is no such flag.

    ``served`` are the most frequent values with their counts.
    """

    flag: str
    flag_type: str | None
    served: tuple[tuple[Any, int], ...]
    defaults: tuple[CallersDefault, ...]
    flips: Share | None

    @property
    def disagree(self) -> bool:
        """Whether callers have different defaults."""
        return len(self.defaults) > 1

    @property
    def asked_as_another_type(self) -> bool:
        """Whether some caller gets its default already, since it asks for another type."""
        kinds = {each.type for each in self.defaults}
        return self.flag_type is not None and not all(
            kind in {self.flag_type, "null", "other"} or {kind, self.flag_type} <= _NUMBERS
            for kind in kinds
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """What would be served in an environment without us.

    ``flips`` is the share of contexts that would get another value of at least one flag, over all
    clients that told their defaults; None where nothing can be counted.
    """

    revision: int
    instances: int
    incomplete: int
    sample: Sample
    looked_at: int
    flags: tuple[FlagOutage, ...]
    flips: Share | None

    @property
    def sentence(self) -> str:
        """Say it in plain words."""
        if not self.instances:
            return "No SDK has told its defaults yet, so nobody knows what an outage would serve."
        if self.flips is None:
            return f"What an outage would change is not known: {sample_sentence(self.sample)}"
        noun = "instance" if self.instances == 1 else "instances"
        over = (
            f"Counted over {self.looked_at:,} contexts and the defaults of {self.instances} {noun}"
        )
        if not self.flips.count:
            return (
                "If the service and its snapshots were gone now, nobody would notice "
                f"(at most {percent(self.flips.high)} of all). {over}."
            )
        worst = [each for each in self.flags if each.flips is not None and each.flips.count]
        named = ", ".join(
            f"{each.flag} ({percent(each.flips.share)})"
            for each in worst[:_SHOWN_FLAGS]
            if each.flips is not None
        )
        return (
            f"If the service and its snapshots were gone now, {percent(self.flips.share)} would "
            f"get another answer (of all {interval(self.flips)}), most by {named}. {over}."
        )

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {
            "revision": self.revision,
            "sentence": self.sentence,
            "instances": self.instances,
            "incomplete": self.incomplete,
            "sample": self.sample.document(),
            "looked_at": self.looked_at,
            "flips": self.flips and self.flips.document(),
            "flags": [
                {
                    "flag": each.flag,
                    "flag_type": each.flag_type,
                    "flips": each.flips and each.flips.document(),
                    "served": [
                        {"value": value, **share_of(count, self.looked_at).document()}
                        for value, count in each.served
                    ],
                    "defaults": [default.document() for default in each.defaults],
                    "disagree": each.disagree,
                    "asked_as_another_type": each.asked_as_another_type,
                }
                for each in self.flags
            ],
        }


def preview_outage(
    session: Session, project_key: str, environment_key: str, *, now: dt.datetime
) -> Outage:
    """Compare what living clients would serve without us with what they serve now."""
    environment = get_environment(session, project_key, environment_key)
    assert environment.id is not None
    groups, incomplete = _groups(session, environment.id, now)
    sample = load_sample(session, environment.id, now=now)
    compiled = None
    if environment.revision:
        document = orjson.loads(load_bytes(session, environment.id, environment.revision))
        compiled = compile_flag_set(parse_flag_set(document, strict=False))
    outage = outage_of(compiled, groups, sample, now=now.timestamp())
    return replace(outage, revision=environment.revision, incomplete=incomplete)


@dataclass(frozen=True, slots=True)
class Group:
    """Clients that said the same: how many, and the defaults of each flag."""

    instances: int
    defaults: Mapping[str, Sequence[Mapping[str, Any]]]


def _groups(session: Session, environment_id: int, now: dt.datetime) -> tuple[list[Group], int]:
    """Read what living clients said, equal texts once; and how many did not say everything."""
    said = session.execute(
        sa.select(
            func.count(),
            func.max(col(SdkInstance.defaults)),
            func.sum(sa.case((col(SdkInstance.defaults_complete).is_(False), 1), else_=0)),
        )
        .where(
            col(SdkInstance.environment_id) == environment_id,
            col(SdkInstance.seen_at) >= now - SILENT_AFTER,
            col(SdkInstance.defaults_hash).is_not(None),
        )
        .group_by(col(SdkInstance.defaults_hash))
        .order_by(func.count().desc(), col(SdkInstance.defaults_hash))
        .limit(MAX_GROUPS)
    ).all()
    return [Group(row[0], orjson.loads(row[1])) for row in said], sum(row[2] for row in said)


def outage_of(
    compiled: CompiledFlagSet | None, groups: Sequence[Group], sample: Sample, *, now: float
) -> Outage:
    """Count over a sample who would notice; pure.

    Parameters
    ----------
    compiled : CompiledFlagSet or None
        What is served now.
    groups : sequence of Group
        What clients said.
    sample : Sample
        Contexts seen lately, those with the smallest hashes first.
    now : float
        POSIX seconds at which the sample is evaluated.
    """
    keys = sorted({key for group in groups for key in group.defaults})
    if compiled is not None:
        sample = sample.knowing(asked_attributes(compiled.flag_set, keys))
    contexts = sample.contexts[: max(1, MAX_EVALUATIONS // max(1, len(keys)))]
    size = len(contexts)
    # Bit i of a number is context i: unions over flags are cheap, and exact.
    flips: dict[tuple[str, bytes], int | None] = {}
    found = []
    for key in keys:
        flag = None if compiled is None else compiled.flag_set.flags.get(key)
        served = _served(compiled, key, contexts, now) if flag is not None else []
        counts: Counter[bytes] = Counter()
        for group in groups:
            for default in group.defaults.get(key, ()):
                counts[_name(default)] += group.instances
        defaults = []
        for name, instances in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
            default = orjson.loads(name)
            mask = 0 if flag is None else _mask(served, default)
            flips[key, name] = mask
            defaults.append(
                CallersDefault(
                    default["type"],
                    default.get("value"),
                    "value" in default,
                    instances,
                    share_of(mask.bit_count(), size) if size and mask is not None else None,
                )
            )
        found.append(
            FlagOutage(
                key,
                None if flag is None else flag.type,
                _frequent(served),
                tuple(defaults),
                _flag_flips(groups, key, flips, size),
            )
        )
    return Outage(
        revision=0,
        instances=sum(group.instances for group in groups),
        incomplete=0,
        sample=sample,
        looked_at=size,
        flags=tuple(
            sorted(found, key=lambda each: (-(each.flips.share if each.flips else 0), each.flag))
        ),
        flips=_union(groups, keys, flips, size),
    )


def _served(
    compiled: CompiledFlagSet | None, key: str, contexts: Sequence[Mapping[str, Any]], now: float
) -> list[Any]:
    """Give the value that each context gets; where that is the caller's default, ``_ABSENT``."""
    if compiled is None:
        return []
    found = []
    for context in contexts:
        details = compiled.evaluate(key, context, now)
        found.append(_ABSENT if details.variant is None else details.value)
    return found


def _mask(served: Sequence[Any], default: Mapping[str, Any]) -> int | None:
    """Mark the contexts that would notice the default; None where it was not told."""
    if "value" not in default:
        return None
    convert = _GETTERS.get(default["type"], _anything)
    # Written as the getter would write it: 0 and 0.0 are one default of a float.
    fallback = convert(default["value"]) or _anything(default["value"])
    seen: dict[int, bool] = {}
    mask = 0
    for place, value in enumerate(served):
        # Values are those of variants, the same objects again and again.
        noticed = seen.get(id(value))
        if noticed is None:
            noticed = seen[id(value)] = value is not _ABSENT and convert(value) not in {
                _OTHER_TYPE,
                fallback,
            }
        if noticed:
            mask |= 1 << place
    return mask


def _flag_flips(
    groups: Sequence[Group], key: str, flips: Mapping[tuple[str, bytes], int | None], size: int
) -> Share | None:
    return _union([group for group in groups if key in group.defaults], [key], flips, size)


def _union(
    groups: Sequence[Group],
    keys: Sequence[str],
    flips: Mapping[tuple[str, bytes], int | None],
    size: int,
) -> Share | None:
    """Give the share of contexts that notice any of the flags, over all clients of the groups."""
    clients = sum(group.instances for group in groups)
    if not clients or not size:
        return None
    noticed = 0
    for group in groups:
        mask = 0
        for key in keys:
            for default in group.defaults.get(key, ()):
                mask |= flips[key, _name(default)] or 0
        noticed += group.instances * mask.bit_count()
    # So many contexts were looked at, however many clients would serve each of them; and neither
    # nobody nor everybody is said where that is not so.
    count = round(noticed / clients)
    if noticed and not count:
        count = 1
    if count == size and noticed < clients * size:
        count = size - 1
    return share_of(count, size)


def _frequent(served: Sequence[Any]) -> tuple[tuple[Any, int], ...]:
    counts = Counter(id(value) for value in served)
    by_id = {id(value): value for value in served}
    return tuple(
        (None if by_id[each] is _ABSENT else by_id[each], count)
        for each, count in counts.most_common(_SHOWN_VALUES)
    )


def _name(default: Mapping[str, Any]) -> bytes:
    return orjson.dumps(default, option=orjson.OPT_SORT_KEYS)


# What a getter of each type lets through, written as JSON; all else gets the default already.
_OTHER_TYPE = b""
_NUMBERS = frozenset({"integer", "float"})


def _anything(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _only(*kinds: type) -> Callable[[Any], bytes]:
    def convert(value: Any) -> bytes:
        return _anything(value) if value.__class__ in kinds else _OTHER_TYPE

    return convert


def _integer(value: Any) -> bytes:
    if value.__class__ is float and value.is_integer() and abs(value) <= _EXACT:
        value = int(value)
    return _anything(value) if value.__class__ is int else _OTHER_TYPE


def _float(value: Any) -> bytes:
    if value.__class__ is int and abs(value) <= _EXACT:
        value = float(value)
    return _anything(value) if value.__class__ is float else _OTHER_TYPE


_GETTERS: Mapping[str, Callable[[Any], bytes]] = {
    "boolean": _only(bool),
    "string": _only(str),
    "integer": _integer,
    "float": _float,
    "object": _only(dict, list),
}
