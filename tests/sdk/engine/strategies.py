"""Random flag sets and contexts that meet each other often enough to be interesting."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = ["targetingKey", "country", "age", "email", "tags", "device", "version"]
TEXTS = ["de", "DE", "at", "u1", "u2", "ann@acme.com", "1.2.3", "v2.0", "10.0.0.7", "", "ü", "7"]
TIMES = ["2026-01-01T00:00:00Z", "2026-06-01T12:00:00+02:00", "2027-01-01T00:00:00Z"]
NUMBERS = [0, 1, 1.0, 2, -3, 2.5, 18, 10**9]
NOW = 1_780_000_000.0  # between the second and the third of TIMES

scalars = st.sampled_from([*TEXTS, *TIMES, *NUMBERS, True, False, None])
values = scalars | st.lists(scalars, max_size=3) | st.just({"os": "ios"})
contexts = st.dictionaries(
    st.sampled_from(NAMES),
    values | st.dictionaries(st.sampled_from(["os", "name"]), scalars, max_size=2),
    max_size=6,
)
units = st.text() | st.integers() | st.integers(-(10**6), 10**6).map(float)
paths = st.sampled_from([*NAMES, ["device", "os"], ["device", "name"], ["tags"]])
OF = st.sampled_from([1, 7, 100, 10_000])

OPERATOR_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "in": values,
    "contains": st.sampled_from(TEXTS),
    "starts_with": st.sampled_from(TEXTS),
    "ends_with": st.sampled_from(TEXTS),
    "regex": st.sampled_from(["^d", "[0-9]+", "@acme\\.com$", "(?i)DE"]),
    **dict.fromkeys(("lt", "lte", "gt", "gte"), st.sampled_from([*TEXTS, *NUMBERS])),
    **dict.fromkeys(("before", "after"), st.sampled_from(TIMES)),
    **dict.fromkeys(
        (f"{kind}_{order}" for kind in ("semver", "version") for order in ("eq", "lt", "gte")),
        st.sampled_from(["1.2.3", "2.0", "1.2.3-beta.1"]),
    ),
    "cidr": st.sampled_from(["10.0.0.0/8", "::/0", "10.0.0.7"]),
    "type": st.sampled_from(["string", "number", "boolean", "array", "object", "null"]),
    "mod": st.sampled_from([[2, 0], [3, 1]]),
}


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(["in", "in", *OPERATOR_VALUES, "exists"]))
    leaf: dict[str, Any] = {"attr": draw(paths), "op": op}
    if op == "exists":
        return leaf
    if op in ("lt", "gte", "in", "before") and draw(st.integers(0, 9)) == 0:
        leaf["values_from"] = draw(
            st.sampled_from([{"attr": "age"}, {"attr": ["device", "os"]}, {"clock": "now"}])
        )
        return leaf
    leaf["values"] = draw(st.lists(OPERATOR_VALUES[op], min_size=1, max_size=4))
    if op in ("in", "contains", "starts_with", "ends_with", "regex") and draw(st.booleans()):
        leaf["ci"] = True
    if draw(st.integers(0, 3)) == 0:
        leaf["elements"] = True
    return leaf


@st.composite
def ranges(draw: st.DrawFn, of: int, parts: int) -> list[list[int]]:
    """Cut ``[0, of]`` into ``parts`` ranges that do not overlap, with gaps between them."""
    edges = sorted(draw(st.lists(st.integers(0, of), min_size=2 * parts, max_size=2 * parts)))
    return [[edges[2 * i], edges[2 * i + 1]] for i in range(parts)]


@st.composite
def buckets(draw: st.DrawFn) -> dict[str, Any]:
    of = draw(OF)
    return {
        "bucket": {
            "by": draw(st.sampled_from(["targetingKey", "country"])),
            "salt": draw(st.sampled_from(["a", "b", "layer:ü"])),
            "of": of,
            "ranges": draw(ranges(of, draw(st.integers(1, 3)))),
        }
    }


def conditions(segments: list[str], flags: list[str]) -> st.SearchStrategy[Any]:
    simple = leaves() | buckets() | st.just(True)
    if segments:
        simple |= st.sampled_from(segments).map(lambda key: {"segment": key})
    if flags:
        simple |= st.sampled_from(flags).flatmap(
            lambda key: st.sampled_from(
                [
                    {"flag": key, "variants": ["a"]},
                    {"flag": key, "on": True},
                    {"flag": key, "value": {"attr": [], "op": "in", "values": ["b", 2]}},
                ]
            )
        )
    simple |= st.sampled_from(["tags", "device"]).flatmap(
        lambda name: leaves().map(
            lambda leaf: {"attr": name, "each": {**leaf, "attr": []}},
        )
    )
    return st.recursive(
        simple,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts})
            | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts})
            | inner.map(lambda part: {"not": part})
        ),
        max_leaves=5,
    )


@st.composite
def splits(draw: st.DrawFn) -> dict[str, Any]:
    of = draw(OF)
    spans = draw(ranges(of, draw(st.integers(1, 4))))
    split: dict[str, Any] = {
        "by": draw(st.sampled_from(["targetingKey", "country", ["device", "os"]])),
        "salt": draw(st.sampled_from(["a", "b", "exp-42"])),
        "of": of,
        "to": [{"variant": draw(st.sampled_from("abc")), "ranges": [span]} for span in spans],
    }
    if draw(st.booleans()):
        split["missing"] = draw(st.sampled_from(["skip", "a", "c"]))
    return {"split": split}


@st.composite
def rules(draw: st.DrawFn, index: int, segments: list[str], flags: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": f"r{index}",
        "when": draw(conditions(segments, flags)),
        "serve": draw(st.sampled_from("abc") | splits()),
    }
    if draw(st.integers(0, 5)) == 0:
        rule["start"] = draw(st.sampled_from(TIMES))
    if draw(st.integers(0, 5)) == 0 and "start" not in rule:
        rule["end"] = draw(st.sampled_from(TIMES))
    if draw(st.booleans()):
        rule["track"] = True
    return rule


@st.composite
def flag_documents(
    draw: st.DrawFn, key: str, segments: list[str], flags: list[str]
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "key": key,
        "type": "string",
        "version": draw(st.integers(0, 9)),
        "client": draw(st.booleans()),
        "variants": {
            "a": {"value": "a"},
            "b": {"value": "b", "on": draw(st.booleans())},
            "c": {"value": ""},
        },
        "enabled": draw(st.integers(0, 9)) > 0,
        "killed": draw(st.integers(0, 9)) == 0,
        "off": draw(st.sampled_from(["a", "b", None])),
        "default": draw(st.sampled_from(["a", "c", None])),
        "metadata": draw(st.sampled_from([{}, {"owner": "growth"}])),
    }
    if flags and draw(st.booleans()):
        wanted = draw(st.sampled_from([["a"], ["a", "b", "c"]]))
        document["prerequisites"] = [{"flag": draw(st.sampled_from(flags)), "variants": wanted}]
    if draw(st.booleans()):
        document["targets"] = draw(
            st.lists(
                st.fixed_dictionaries(
                    {
                        "variant": st.sampled_from("abc"),
                        "keys": st.lists(st.sampled_from(["u1", "u2", "de", 7]), max_size=3),
                    },
                    optional={
                        "by": st.sampled_from(["targetingKey", "country"]),
                        "until": st.sampled_from(TIMES),
                    },
                ),
                max_size=3,
            )
        )
    count = draw(st.integers(0, 4))
    document["rules"] = [draw(rules(index, segments, flags)) for index in range(count)]
    return document


@st.composite
def flag_sets(draw: st.DrawFn) -> dict[str, Any]:
    """A sound flag set: who comes later may refer to who came before."""
    segments: dict[str, Any] = {}
    for key in ["beta", "staff"][: draw(st.integers(0, 2))]:
        segments[key] = draw(conditions(list(segments), []))
    flags: dict[str, Any] = {}
    for key in ["first", "second", "third"][: draw(st.integers(1, 3))]:
        flags[key] = draw(flag_documents(key, list(segments), list(flags)))
    return {
        "schema": 1,
        "environment": "test",
        "version": 3,
        "segments": segments,
        "flags": flags,
    }


class Raising:
    """An object that raises whatever is asked of it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Equal:
    """An object that claims to be equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("de")


class Liar(str):
    """A text that raises when it is compared."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        raise RuntimeError("no")

    def startswith(self, *_: object) -> bool:  # type: ignore[override]
        raise RuntimeError("no")


class Iterating(list):  # type: ignore[type-arg]
    """A list that raises when it is read."""

    def __iter__(self) -> Any:
        raise RuntimeError("no")


class Name(str):
    """A harmless subclass of text."""

    __slots__ = ()


def _selfish() -> dict[str, Any]:
    own: dict[str, Any] = {}
    own["device"] = own
    own["tags"] = [own]
    return own


def _deep() -> list[Any]:
    inner: list[Any] = []
    for _ in range(100_000):
        inner = [inner]
    return inner


_DEEP = _deep()
# Made when drawn: Hypothesis itself would ask them for a hash.
_WEIRD = {
    "raising": Raising, "equal": Equal, "liar": lambda: Liar("de"), "name": lambda: Name("de"),
    "iterating": lambda: Iterating(["de"]), "nan": lambda: float("nan"),
    "infinity": lambda: float("-inf"), "huge": lambda: 10**6000, "negative": lambda: -(10**6000),
    "large": lambda: 1e300, "complex": lambda: 1j, "bytes": lambda: b"de",
    "surrogate": lambda: "\ud800", "nul": lambda: "\x00", "object": object, "type": lambda: int,
    "tuple": lambda: ("de", "at"), "set": lambda: {"de"}, "frozenset": lambda: frozenset({1}),
    "selfish": _selfish, "selfish list": lambda: [_selfish()], "function": lambda: _selfish,
    "ellipsis": lambda: Ellipsis, "range": lambda: range(3), "iterator": lambda: iter([]),
    "long": lambda: 2**64, "minus zero": lambda: -0.0, "deep": lambda: _DEEP,
}  # fmt: skip
weird_values = st.sampled_from(sorted(_WEIRD)).map(lambda name: _WEIRD[name]())
weird_contexts = st.dictionaries(
    st.sampled_from([*NAMES, "\ud800"]) | st.sampled_from([1, None]) | st.builds(Equal),
    weird_values | values,
    max_size=7,
)
