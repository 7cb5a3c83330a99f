"""What fuzzing throws at the engine and the importers, and how much of it.

``FLAGSTONE_FUZZ_EXAMPLES=100000`` raises the number of examples of every property that is marked
with :func:`fuzzed`; without it, the few of the suite are the same in each run.

Large things (whole flag sets, contexts) come from ``random`` with a seed that Hypothesis draws:
that is fast. Damage is drawn by Hypothesis itself, so that it shrinks.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st

from flagstone.engine.bucketing import HASHES
from tests.sdk.engine.strategies import NOW, TIMES, Equal, Iterating, Liar, Name, Raising

MANY: Final = int(os.environ.get("FLAGSTONE_FUZZ_EXAMPLES", "0"))


def examples(few: int) -> int:
    """Return how many examples to try: ``few`` in the suite, more where they were asked for."""
    return MANY or few


def fuzzed(few: int) -> settings:
    """Return settings for a property of the suite: ``few`` examples, the same ones each time."""
    return settings(
        max_examples=examples(few),
        derandomize=not MANY,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


class Seeded(random.Random):
    """A source of chance that says its seed."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start

    def __repr__(self) -> str:
        return f"Seeded({self.start})"


# Hypothesis draws from a range of this size evenly; in a larger one it prefers small numbers.
seeds: st.SearchStrategy[random.Random] = st.integers(0, 2**24 - 1).map(Seeded)


@contextlib.contextmanager
def shown(*things: object) -> Iterator[None]:
    """Show what a property failed for."""
    try:
        yield
    except Exception:
        for thing in things:
            with contextlib.suppress(Exception):
                note(repr(thing)[:20_000])
        raise


# Any JSON, and what is nearly JSON.


def nested(levels: int, kind: str) -> Any:
    """Return something that holds itself so many times over."""
    inner: Any = True
    for _ in range(levels):
        inner = [inner] if kind == "list" else {kind: inner}
    return inner


ODD: dict[str, Callable[[], Any]] = {
    "null": lambda: None, "nan": lambda: float("nan"), "infinity": lambda: float("inf"),
    "minus zero": lambda: -0.0,
    "large": lambda: 1e308, "tiny": lambda: 5e-324, "2**53": lambda: 2**53, "2**64": lambda: 2**64,
    "10**400": lambda: 10**400, "10**4400": lambda: 10**4400, "negative": lambda: -(2**63) - 1,
    "float 2**53": lambda: float(2**53), "surrogate": lambda: "\ud800", "nul": lambda: "a\x00b",
    "emoji": lambda: "\U0001f600", "empty": lambda: "", "space": lambda: " ", "dot": lambda: "a.b",
    "long": lambda: "a" * 5000, "number": lambda: "12", "digits": lambda: "9" * 5000,
    "exponent": lambda: "1e400", "nan text": lambda: "NaN", "true text": lambda: "true",
    "time": lambda: TIMES[0], "version": lambda: "1.2.3-a.1", "group": lambda: "(a+)+$",
    "open": lambda: "([", "percent": lambda: "%s{}{0}", "name": lambda: "__proto__",
    "lists": lambda: nested(60, "list"), "deep lists": lambda: nested(900, "list"),
    "deeper lists": lambda: nested(5000, "list"), "deep nots": lambda: nested(60, "not"),
    "deeper nots": lambda: nested(3000, "not"), "objects": lambda: nested(70, "all"),
    "an empty name": lambda: {"": 0}, "many": lambda: list(range(300)), "pair": lambda: [0, 1],
    "self": lambda: {"flag": "first"}, "segment": lambda: {"segment": "beta"}, "yes": lambda: True,
    "sixty": lambda: 60,
}  # fmt: skip
FOREIGN: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"x", "tuple": lambda: ("a", 1), "set": lambda: {"a"}, "object": object,
    "numbers as names": lambda: {1: 2}, "no name": lambda: {None: 1}, "complex": lambda: 1j,
    "text": lambda: Name("x"), "datetime": lambda: datetime(2026, 1, 1, tzinfo=UTC),
    "huge name": lambda: {10**4400: 1},
}  # fmt: skip

odd = st.sampled_from(sorted(ODD)).map(lambda name: ODD[name]())
foreign = st.sampled_from(sorted(FOREIGN)).map(lambda name: FOREIGN[name]())
scalars = (
    st.none() | st.booleans() | st.integers(-10, 10) | st.integers() | st.floats()
    | st.text(max_size=5) | odd
)  # fmt: skip


def json_of(names: list[str], leaves: st.SearchStrategy[Any] = scalars) -> st.SearchStrategy[Any]:
    """Any JSON, with these names among those of its objects."""
    keys = st.sampled_from(names) | st.text(max_size=3)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
        ),
        max_leaves=8,
    )  # fmt: skip


def places_in(document: Any) -> list[tuple[Any, Any]]:
    """Return every place in a document: what holds it, and its name there."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        if type(holder) not in (dict, list):
            continue
        for name in holder if type(holder) is dict else range(len(holder)):
            found.append((holder, name))
            waiting.append(holder[name])
            if len(found) > 3000:
                return found
    return found


CHANGES = ["replace", "replace", "replace", "remove", "copy", "wrap", "rename", "add", "nudge"]


def damage(draw: st.DrawFn, document: Any, junk: st.SearchStrategy[Any], most: int = 4) -> Any:
    """Change a document of our own in a few places; it may come out as something else."""
    whole = [document]
    names = [name for _, name in places_in(document) if type(name) is str] or ["x"]
    for _ in range(draw(st.integers(0, most))):
        places = places_in(whole)
        holder, name = places[draw(st.integers(0, len(places) - 1))]
        change = draw(st.sampled_from(CHANGES))
        if change == "replace" or holder is whole:
            holder[name] = draw(junk)
        elif change == "remove":
            del holder[name]
        elif change == "copy":
            other, there = places[draw(st.integers(0, len(places) - 1))]
            with contextlib.suppress(RecursionError):
                holder[name] = copy.deepcopy(other[there])
        elif change == "wrap":
            holder[name] = [holder[name]]
        elif change == "nudge":
            holder[name] = nudged(holder[name])
        elif type(holder) is dict:
            other_name = names[draw(st.integers(0, len(names) - 1))]
            value = holder.pop(name) if change == "rename" else draw(junk)
            holder[other_name] = value
        else:
            holder.append(draw(junk))
    return whole[0]


def nudged(value: Any) -> Any:
    """Return something of the same type, a little beside."""
    if type(value) is bool:
        return not value
    if type(value) is int:
        return value + 1
    if type(value) is float:
        return math.nextafter(value, math.inf)
    if type(value) is str:
        return value[:-1]
    if type(value) is list:
        return value * 2
    return dict(list(value.items())[1:]) if type(value) is dict else value


def text_of(document: Any) -> str:
    """Return a text that looks like JSON, and sometimes is."""
    try:
        return json.dumps(document, default=repr)
    except (RecursionError, TypeError, ValueError):
        return "[" * 2000


def is_finite(document: Any) -> bool:
    """Whether a document is JSON that can be written: no NaN, no endless number."""
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        again = json.loads(json.dumps(document, allow_nan=False))
        # A subclass of text equals its text, and yet the door takes one and refuses the other.
        return bool(again == document) and kinds_in(again) == kinds_in(document)
    return False


def kinds_in(document: Any) -> list[type]:
    """Return the type of everything in a document, in its order."""
    inside = [*document, *document.values()] if isinstance(document, dict) else document
    parts = inside if isinstance(inside, list) else []
    return [type(document), *(kind for part in parts for kind in kinds_in(part))]


def written_twice(draw: st.DrawFn, document: Any) -> str:
    """Return the text of a document in which one name stands twice in an object."""
    objects = [document] + [
        holder[name] for holder, name in places_in(document) if type(holder[name]) is dict
    ]
    objects = [each for each in objects if each]
    chosen = objects[draw(st.integers(0, len(objects) - 1))]
    name = list(chosen)[draw(st.integers(0, len(chosen) - 1))]
    mark = "\x01twice\x01"
    before = dict(chosen)
    chosen[mark] = draw(st.sampled_from([before[name], None, 1]))
    text = json.dumps(document)
    chosen.clear()
    chosen.update(before)
    return text.replace(json.dumps(mark), json.dumps(name))


# Sound flag sets of the whole grammar.

NAMES: Final = ["targetingKey", "country", "age", "email", "tags", "device", "a.b", "é", "v"]
TEXTS: Final = [
    "de", "DE", "u1", "u2", "ann@acme.com", "1.2.3", "v2.0-rc.1", "10.0.0.7", "::1", "", "ü", "7",
    "07", "1.50", "ß", "true", "null", "\U0001f600", "a" * 300, "2026-01-01T00:00:00Z", "\ud800",
]  # fmt: skip
NUMBERS: Final = [0, 1, 1.0, 2, -3, 2.5, 18, 10**9, 2**53, 2**64, 1e300, -0.0, 1e-7, 0.1, 10**20]
PATTERNS: Final = [
    "^d", "[0-9]+", "@acme\\.com$", "(?i)DE", "(a|aa)+$", "\\bde\\b", "[^a-z]", "(?s)^.*$",
    "a{2,5}", "(?m)^u\\d$", "ü|ß", "",
]  # fmt: skip
ORDERS: Final = ["eq", "lt", "lte", "gt", "gte"]
OPERATORS: Final = [
    "in", "contains", "starts_with", "ends_with", "regex", "lt", "lte", "gt", "gte", "before",
    "after", *(f"{kind}_{order}" for kind in ("semver", "version") for order in ORDERS), "exists",
    "cidr", "type", "mod",
]  # fmt: skip
READ_AS: Final = ["number", "string", "auto", "length", "joined"]
FIELDS: Final = [
    "all", "any", "not", "segment", "flag", "bucket", "attr", "op", "values", "values_from", "as",
    "ci", "elements", "strict", "each", "variants", "on", "value", "by", "hash", "salt", "of",
    "ranges", "flags", "segments", "schema", "environment", "version", "key", "type", "client",
    "enabled", "killed", "off", "prerequisites", "targets", "rules", "default", "metadata", "keys",
    "variant", "until", "id", "when", "serve", "start", "end", "track", "split", "missing", "to",
    "clock",
]  # fmt: skip


def aims_in(document: Any) -> list[tuple[Any, Any]]:
    """Return where the flags of a document look, and for what."""
    aims: list[tuple[Any, Any]] = []
    for holder, name in places_in(document):
        if name == "values" and type(holder[name]) is list:
            aims.extend((holder.get("attr", []), value) for value in holder[name])
        elif name == "keys" and type(holder[name]) is list:
            aims.extend((holder.get("by", "targetingKey"), key) for key in holder[name])
        elif name == "by":
            aims.extend((holder[name], f"u{number}") for number in range(3))
    return aims


class Author:
    """Writes flag sets that are sound, of the whole grammar, and contexts that meet them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.pick = rng.choice
        self.segments: list[str] = []
        self.flags: list[str] = []
        self.aims: list[tuple[Any, Any]] = []

    def chance(self, one_in: int) -> bool:
        return self.rng.randrange(one_in) == 0

    def some(self, make: Callable[[], Any], least: int = 1, most: int = 3) -> list[Any]:
        return [make() for _ in range(self.rng.randint(least, most))]

    def path(self) -> Any:
        return self.pick([*NAMES, ["device", "os"], ["device"], ["a.b", "é", "v"]])

    def scalar(self) -> Any:
        return self.pick([*TEXTS, *NUMBERS, True, False, None])

    def value(self, depth: int = 0) -> Any:
        kind = self.rng.randrange(6) if depth < 3 else 0
        if kind == 4:
            return self.some(lambda: self.value(depth + 1), 0)
        if kind == 5:
            return {self.pick(NAMES): self.value(depth + 1) for _ in range(self.rng.randrange(3))}
        return self.scalar()

    def constant(self, op: str, read_as: str | None) -> Any:
        """Return a constant that the operator can use when it is read so."""
        number = self.pick([*NUMBERS, "7", " 12 ", "-1.5e3"] if read_as == "number" else NUMBERS)
        if op in ("in", "contains"):
            return {"number": number, "string": self.scalar()}.get(read_as or "", self.value())
        if op == "regex":
            return self.pick(PATTERNS)
        if op in ("lt", "lte", "gt", "gte"):
            return number if read_as == "number" else self.pick([*TEXTS, *NUMBERS])
        if op in ("before", "after"):
            numbers = [] if read_as == "string" else [0, 1.78e9]
            return number if read_as == "number" else self.pick([*TIMES, *numbers])
        if op == "cidr":
            return self.pick(["10.0.0.0/8", "::/0", "10.0.0.7", "1.2.3.4/31"])
        if op == "type":
            return self.pick(["string", "number", "boolean", "array", "object", "null"])
        if op == "mod":
            return [self.pick([2, 3, -7, 2.5]), self.pick([0, 1, 0.5])]
        if op.startswith("semver"):
            return self.pick(["1.2.3", "2.0.0", "1.2.3-beta.1+x"])
        return number if read_as == "number" else self.pick(TEXTS)

    def leaf(self, inner: bool) -> dict[str, Any]:
        op = self.pick(["in", *OPERATORS])
        leaf: dict[str, Any] = {"attr": [] if inner and self.chance(2) else self.path(), "op": op}
        if op == "exists":
            return leaf
        if self.chance(8) and op not in ("regex", "type"):
            leaf["values_from"] = self.pick([{"attr": self.path()}, {"clock": "now"}])
        else:
            numeric = op.split("_")[0] not in ("starts", "ends", "regex", "semver", "cidr", "type")
            allowed = READ_AS if numeric else READ_AS[1:]
            read_as = self.pick(allowed) if self.chance(3) else None
            values = self.some(lambda: self.constant(op, read_as), 1, 4)
            # Constants of one kind are tested in place, a mixture is not.
            alike = [value for value in values if type(value) is type(values[0])]
            leaf["values"] = values if self.chance(3) else alike
            if read_as:
                leaf["as"] = read_as
        if op in ("in", "contains", "starts_with", "ends_with", "regex") and self.chance(3):
            leaf["ci"] = True
        if op.startswith("semver") and self.chance(3):
            leaf["strict"] = True
        if self.chance(4):
            leaf["elements"] = True
        return leaf

    def bucketing(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "by": self.pick(["targetingKey", "country", "age", ["device", "os"], "v", "tags"]),
            "hash": self.pick(["flagstone", "flagstone", *sorted(HASHES)]),
            "salt": self.pick(["a", "layer:ü", "\ud800", "exp-42"]),
            "of": self.pick([1, 2, 7, 100, 9998, 10_000, 2**53 - 1]),
        }
        if document["hash"] != "flagstone" and self.chance(4):
            document["salt"] = ""
        return document

    def ranges(self, of: int, parts: int) -> list[list[int]]:
        """Cut ``[0, of]`` into ranges that do not overlap; some are empty or touch."""
        edges = sorted(self.pick([0, of, self.rng.randint(0, of)]) for _ in range(2 * parts))
        return [[edges[2 * i], edges[2 * i + 1]] for i in range(parts)]

    def bucket(self) -> dict[str, Any]:
        bucketing = self.bucketing()
        ranges = self.ranges(bucketing["of"], self.rng.randint(1, 3))
        if self.chance(3):
            ranges += self.ranges(bucketing["of"], 1)
        self.rng.shuffle(ranges)
        return {"bucket": {**bucketing, "ranges": ranges}}

    def condition(self, depth: int = 0, *, inner: bool = False) -> Any:
        kind = self.rng.randrange(14 if depth < 4 else 8)
        if kind >= 12:
            return {"not": self.condition(depth + 1, inner=inner)}
        if kind >= 10:
            return {"any": self.some(lambda: self.condition(depth + 1, inner=inner))}
        if kind >= 8:
            return {"all": self.some(lambda: self.condition(depth + 1, inner=inner))}
        if kind == 7 and depth < 4:
            return {"attr": self.path(), "each": self.condition(depth + 1, inner=True)}
        if inner or kind < 4:
            return True if self.chance(10) else self.leaf(inner)
        if kind == 4 and self.segments:
            return {"segment": self.pick(self.segments)}
        if kind == 5 and self.flags:
            return {"flag": self.pick(self.flags), **self.of_flag(depth)}
        return self.bucket()

    def of_flag(self, depth: int) -> dict[str, Any]:
        parts = {
            "variants": ["a"],
            "on": self.chance(2),
            "value": self.condition(depth + 1, inner=True),
        }
        names = self.rng.sample(sorted(parts), self.rng.randint(1, 3))
        return {name: parts[name] for name in names}

    def split(self) -> dict[str, Any]:
        bucketing = self.bucketing()
        spans = self.ranges(bucketing["of"], self.rng.randint(1, 8))
        self.rng.shuffle(spans)
        split = {**bucketing, "to": [{"variant": self.pick("abc"), "ranges": [s]} for s in spans]}
        if self.chance(2):
            split["missing"] = self.pick(["skip", "a", "c"])
        return {"split": split}

    def rule(self, index: int) -> dict[str, Any]:
        rule: dict[str, Any] = {
            "id": f"r{index}",
            "when": self.leaf(False) if self.chance(2) else self.condition(),
            "track": self.chance(2),
        }
        if self.chance(4):  # rules alike stand in one table
            values = self.some(lambda: self.constant("in", None))
            rule["when"] = {"attr": self.pick(["country", "age"]), "op": "in", "values": values}
        rule["serve"] = self.pick("abc") if self.chance(2) else self.split()
        if self.chance(6):
            rule["start"] = self.pick(TIMES)
        if self.chance(6) and "start" not in rule:
            rule["end"] = self.pick(TIMES)
        return rule

    def variants(self, kind: str) -> dict[str, Any]:
        values: dict[str, Callable[[], Any]] = {
            "boolean": lambda: self.chance(2),
            "string": lambda: self.pick(TEXTS),
            "integer": lambda: self.pick([0, 1, -7, 2**53 - 1, 3.0]),
            "float": lambda: self.pick([0, 1.5, 1e300, -0.0]),
            "object": lambda: self.value(),
        }
        variants: dict[str, Any] = {name: {"value": values[kind]()} for name in "abc"}
        variants["b"]["on"] = self.chance(2)
        return variants

    def target(self) -> dict[str, Any]:
        target: dict[str, Any] = {
            "variant": self.pick("abc"),
            "by": self.pick(["targetingKey", "targetingKey", "country", "age", ["device", "os"]]),
            "keys": self.some(lambda: self.pick([*TEXTS, 7, -1, 2**64]), 0),
        }
        if self.chance(3):
            target["until"] = self.pick(TIMES)
        return target

    def flag(self, key: str) -> dict[str, Any]:
        kind = self.pick(["boolean", "string", "integer", "float", "object"])
        flag: dict[str, Any] = {
            "key": key,
            "type": kind,
            "version": self.rng.randrange(9),
            "client": self.chance(2),
            "variants": self.variants(kind),
            "enabled": not self.chance(12),
            "killed": self.chance(12),
            "off": self.pick(["a", "b", None]),
            "default": self.pick(["a", "c", None]),
            "metadata": {self.pick(NAMES): self.value() for _ in range(self.rng.randrange(2))},
            "targets": self.some(self.target, 0) if self.chance(2) else [],
            "rules": [self.rule(index) for index in range(self.pick([0, 1, 1, 2, 4]))],
        }
        if self.flags and self.chance(4):
            wanted = self.pick([["a"], ["a", "b", "c"]])
            flag["prerequisites"] = [{"flag": self.pick(self.flags), "variants": wanted}]
        return flag

    def flag_set(self) -> dict[str, Any]:
        """Return a sound flag set: who comes later may refer to who came before."""
        segments: dict[str, Any] = {}
        for key in ["beta", "st.aff"][: self.rng.randrange(3)]:
            segments[key] = self.condition(1)
            self.segments.append(key)
        flags: dict[str, Any] = {}
        for key in ["first", "second", "third/é"][: self.rng.randint(1, 3)]:
            flags[key] = self.flag(key)
            self.flags.append(key)
        document = {
            "schema": 1,
            "environment": "test",
            "version": 3,
            "segments": segments,
            "flags": flags,
        }
        self.aims = aims_in(document)
        return document

    def plain_context(self) -> dict[str, Any]:
        """Return a context of JSON, in part aimed at what the flags ask."""
        context = {name: self.value() for name in NAMES if self.chance(3)}
        if self.chance(2):
            context["device"] = {"os": self.value(1), "é": self.scalar()}
        for _ in range(self.rng.randrange(6)):
            self.aim(context, self.beside)
        return context

    def aim(self, context: dict[Any, Any], make: Callable[[Any], Any]) -> None:
        """Put something where a flag looks, made from what it looks for there."""
        if self.aims:
            path, value = self.pick(self.aims)
            path = path if type(path) is list else [path]
            path = [name for name in path if isinstance(name, str)]  # a damaged one may be anything
            for name in path[:-1]:
                inside = context.get(name)
                context[name] = context = dict(inside) if type(inside) is dict else {}
            if path:
                context[path[-1]] = make(value)

    def beside(self, value: Any) -> Any:
        """Return a value, or one that is easily taken for it."""
        kind = self.rng.randrange(8)
        if kind < 4:
            return value
        if kind == 4:
            return [self.scalar(), value]
        if type(value) is str:
            texts = [value.upper(), value.lower(), f"{value}x", f"x{value}", value[1:]]
            return self.pick([*texts, int(value)] if value.isdecimal() else texts)
        if type(value) is bool:
            return self.pick([int(value), float(value), str(value).lower()])
        if type(value) in (int, float) and abs(value) < 1e308:
            near = [value + 1, value - 1, bool(value), str(value), int(value)]
            return self.pick([*near, float(value), -value])
        return value

    def context(self) -> Any:
        """Return a context of any objects at all, or something that is none."""
        if self.chance(25):
            return self.pick([None, [], "x", 7, Raising(), {1: 2}])
        context: dict[Any, Any] = self.plain_context()
        for _ in range(self.rng.randrange(4)):
            make = self.pick(_STRANGE)
            if self.chance(2):
                self.aim(context, lambda value, make=make: self.pick([make(), [make()], (value,)]))
            else:
                context[self.pick([*NAMES, "\ud800", 1, None, Equal(), Name("v")])] = make()
        return context

    def now(self) -> Any:
        """Return a point in time, or something that is none."""
        return self.pick(
            [
                NOW, NOW, NOW, 0.0, float("nan"), float("inf"), -1e300, 1767225600.0, 5, 10**400,
                True, None, "x", TIMES[0], datetime(2026, 1, 1), datetime.max, [], Raising(),
                datetime.min.replace(tzinfo=UTC),
            ]
        )  # fmt: skip


def _selfish() -> dict[str, Any]:
    own: dict[str, Any] = {}
    own["os"] = own
    own["é"] = [own]
    return own


class Treacherous(dict):  # type: ignore[type-arg]
    """An object whose names can be asked for, but not read."""

    def __getitem__(self, name: object) -> Any:
        raise RuntimeError("no")

    get = __getitem__  # type: ignore[assignment]


_BOTTOMLESS = nested(50_000, "list")
_STRANGE: Final[list[Callable[[], Any]]] = [
    *ODD.values(),
    *FOREIGN.values(),
    _selfish,
    lambda: [_selfish()],
    lambda: _BOTTOMLESS,
    lambda: {"os": Raising(), "é": Liar("de")},
    lambda: [Raising(), "de", Liar("u1")],
    lambda: Iterating(["de"]),
    Raising,
    Equal,
    lambda: Liar("de"),
    lambda: iter([]),
    lambda: range(3),
    lambda: Treacherous({"os": "ios", "é": 1}),
    lambda: [Treacherous({"os": 1}), "de"],
]


def anything(rng: random.Random) -> Any:
    """Return any object."""
    author = Author(rng)
    return rng.choice(_STRANGE)() if author.chance(2) else author.value()
