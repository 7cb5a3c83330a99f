"""Flags as generated Python, for contexts of plain data; what is not plain goes to careful code.

The text of a program holds only its own names: what an author wrote (keys, salts, constants) is
passed to it by reference. So flags of one shape have one text, which is compiled once.

A program must give the very answer of :mod:`flagstone.engine.careful`, or raise: whoever calls it
then asks the careful one. Types are compared exactly (``type(a) is str``), so that no method of a
caller's class is trusted on the way.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from flagstone.engine.attributes import MISSING
from flagstone.engine.bucketing import Edge, edge_of, place_of
from flagstone.engine.careful import Program
from flagstone.engine.conditions import Surroundings
from flagstone.engine.details import (
    EvaluationDetails,
    Reason,
    default_details,
    serving,
    unmet_details,
)
from flagstone.engine.expressions import Expressions, exactly, kinds_of, when_needed
from flagstone.engine.model import (
    Always,
    AttributeIs,
    Flag,
    Path,
    Rule,
    Split,
)
from flagstone.engine.operators import is_number
from flagstone.engine.units import unit_text

MAX_BRANCHES = 6
_MAX_TEXTS = 1024
_LONG_TEXT = 8192

Table = dict[Any, EvaluationDetails]
Answer = Callable[[object], "EvaluationDetails | None"]


def generated_program(flag: Flag, around: Surroundings) -> Program:
    """Turn a flag that is not settled into a generated function."""
    return _Writer(flag, around).program()


@functools.lru_cache(maxsize=_MAX_TEXTS)
def _remembered_maker(text: str) -> Callable[..., Program]:
    return _maker(text)


def _maker(text: str) -> Callable[..., Program]:
    namespace: dict[str, Any] = {}
    # The text is made of this package's own words alone; see the first lines of the module.
    exec(compile(text, "<flag>", "exec"), namespace)  # noqa: S102
    maker: Callable[..., Program] = namespace["make"]
    return maker


class _Writer:
    """Writes the program of one flag, line by line."""

    def __init__(self, flag: Flag, around: Surroundings) -> None:
        self.flag = flag
        self.around = around
        self.words = Expressions(around)
        self.constant = self.words.constant
        self.lines: list[str] = []
        self.indent = 2
        self.known: frozenset[Path] = frozenset()
        self.answers: dict[tuple[int, str, Reason], EvaluationDetails] = {}

    def program(self) -> Program:
        self.prerequisites()
        self.targets()
        if not self.rules():
            self.line(f"return {self.constant(default_details(self.flag))}")
        names = ", ".join(self.words.constants)
        body = [f"def make({names}):", "  def program(c, t):", *self.lines, "  return program", ""]
        text = "\n".join(body)
        # Long programs are seldom alike, and not worth their memory.
        make = _remembered_maker(text) if len(text) <= _LONG_TEXT else _maker(text)
        return make(*self.words.constants.values())

    def line(self, text: str) -> None:
        self.lines.append("  " * self.indent + text)

    def read(self, path: Path) -> str:
        """Write how an attribute is read, unless it is known; return its variable."""
        name = self.words.variable(path)
        if path not in self.known:
            self.line(f"{name} = {self.words.reading(path)}")
            self.known |= {path}
        return name

    def prerequisites(self) -> None:
        """Write: each prerequisite serves one of its variants, or the flag is off."""
        for part in self.flag.prerequisites:
            ask, key = self.constant(self.around.evaluate), self.constant(part.flag)
            self.line(f"if {ask}({key}, c, t).variant not in {self.constant(part.variants)}:")
            self.line(f"  return {self.constant(unmet_details(self.flag, part.flag))}")

    def targets(self) -> None:
        """Write: a unit that is named gets its variant."""
        runs = groupby(self.flag.targets, key=lambda target: (target.by, target.until))
        for (path, until), run in runs:
            table: Table = {}
            for target in run:
                details = serving(self.flag, target.variant, Reason.TARGETING_MATCH)
                for key in target.keys:
                    table.setdefault(key, details)
            known = self.known
            if until is not None:
                self.line(f"if t < {self.constant(until)}:")
                self.indent += 1
            self.look_up(path, table, "s", _by_unit(table))
            if until is not None:
                self.indent -= 1
                self.known = known

    def look_up(self, path: Path, table: Table, kinds: str, otherwise: Answer) -> None:
        """Write: a plain value finds its answer in a table; careful code looks at any other."""
        name = self.read(path)
        self.line(f"if {exactly(name, name, kinds)}:")
        self.line(f"  r = {self.constant(table)}.get({name})")
        self.line("  if r is not None:")
        self.line("    return r")
        self.line(f"elif {name} is not {self.constant(MISSING)}:")
        self.line(f"  r = {self.constant(otherwise)}({name})")
        self.line("  if r is not None:")
        self.line("    return r")

    def rules(self) -> bool:
        """Write the rules; return whether one serves everybody, so that nothing comes after it."""
        for group in _runs_of_rules(self.flag.rules):
            if len(group) > 1:
                self.table_of_rules(group)
            elif self.rule(group[0][0]):
                return True
        return False

    def table_of_rules(self, group: list[tuple[Rule, AttributeIs | None]]) -> None:
        """Write rules that compare one attribute with constants as one look-up."""
        table: Table = {}
        tests = []
        path: Path = ()
        for rule, leaf in group:
            if leaf is None or isinstance(rule.serve, Split):
                raise AssertionError("only rules with a table's condition are grouped")
            path, details = leaf.attr, self.served(rule, rule.serve)
            tests.append((when_needed(leaf), details))
            for value in leaf.values:
                if type(value) is str or is_number(value):
                    table.setdefault(value, details)
        self.look_up(path, table, kinds_of(table), _first_of(tests))

    def served(
        self, rule: Rule, variant: str, reason: Reason = Reason.TARGETING_MATCH
    ) -> EvaluationDetails:
        """Return the answer of a rule, one object for one answer."""
        key = (id(rule), variant, reason)
        if key not in self.answers:
            self.answers[key] = serving(self.flag, variant, reason, rule=rule)
        return self.answers[key]

    def rule(self, rule: Rule) -> bool:
        """Write one rule; return whether it serves everybody."""
        checks = []
        if rule.start is not None:
            checks.append(f"t >= {self.constant(rule.start)}")
        if rule.end is not None:
            checks.append(f"t < {self.constant(rule.end)}")
        after = inside = self.known
        if not isinstance(rule.when, Always):
            text, evaluated = self.words.write(rule.when, self.known)
            inside = self.known | evaluated
            after = self.known if checks else inside
            checks.append(text)
        if not checks:
            return self.serve(rule)
        self.line(f"if {' and '.join(checks)}:")
        self.indent += 1
        self.known = inside
        self.serve(rule)
        self.indent -= 1
        self.known = after
        return False

    def serve(self, rule: Rule) -> bool:
        """Write what a rule leads to; return whether that is an answer for everybody."""
        if isinstance(rule.serve, Split):
            self.split(rule, rule.serve)
            return False
        self.line(f"return {self.constant(self.served(rule, rule.serve))}")
        return True

    def split(self, rule: Rule, split: Split) -> None:
        """Write: the unit's hash finds its variant, or the rule does not apply."""
        bucketing = split.bucketing
        unit = self.read_unit(bucketing.by)
        edges, answers = self.cut(rule, split)
        self.line(f"if type({unit}) is str:")
        self.indent += 1
        place = self.words.place_words(bucketing, unit)
        if len(edges) == 1:
            self.branches(edges, answers, place)
        elif len(answers) <= MAX_BRANCHES:
            self.line(f"d = {place}")
            self.branches(edges, answers, "d")
        else:
            number = f"{self.constant(bisect_right)}({self.constant(edges)}, {place})"
            self.line(f"r = {self.constant(tuple(answers))}[{number}]")
            self.line("if r is not None:")
            self.line("  return r")
        self.indent -= 1
        missing = None if split.missing is None else self.served(rule, split.missing)
        otherwise = _by_place(place_of(bucketing), edges, answers, missing)
        self.line("else:")
        self.line(f"  r = {self.constant(otherwise)}({unit})")
        self.line("  if r is not None:")
        self.line("    return r")

    def read_unit(self, path: Path) -> str:
        """Write how the unit is read: it is hardly ever missing, so that looking twice is rare."""
        if path in self.known or len(path) != 1:
            return self.read(path)
        name = self.words.variable(path)
        self.line("try:")
        self.line(f"  {name} = c[{self.constant(path[0])}]")
        self.line("except KeyError:")
        self.line(f"  {name} = {self.constant(MISSING)}")
        self.known |= {path}
        return name

    def cut(self, rule: Rule, split: Split) -> tuple[list[Edge], list[EvaluationDetails | None]]:
        """Cut the hashes at every edge; the answer at ``i`` is for hashes up to the edge at ``i``.

        There is one answer more than edges: for the hashes after the last one.
        """
        bucketing = split.bucketing
        spans = [(*pair, share.variant) for share in split.shares for pair in share.ranges]
        edges: list[Edge] = []
        answers: list[EvaluationDetails | None] = []
        reached = 0
        for start, end, variant in sorted(spans):
            low, details = max(start, reached), self.served(rule, variant, Reason.SPLIT)
            if low >= end:
                continue
            if low > reached:
                edges.append(edge_of(bucketing, low))
                answers.append(None)
            edges.append(edge_of(bucketing, end))
            answers.append(details)
            reached = end
        if reached < bucketing.of:
            answers.append(None)
        else:
            edges.pop()
        return edges, answers

    def branches(
        self, edges: list[Edge], answers: list[EvaluationDetails | None], place: str
    ) -> None:
        """Write the answers as a chain of comparisons."""
        word = "if"
        for edge, answer in zip(edges, answers, strict=False):
            self.line(f"{word} {place} < {self.constant(edge)}:")
            self.line("  pass" if answer is None else f"  return {self.constant(answer)}")
            word = "elif"
        last = answers[-1]
        if word == "elif":
            self.line("else:")
        indent = "  " if word == "elif" else ""
        self.line(indent + ("pass" if last is None else f"return {self.constant(last)}"))


def _by_place(
    place_of_unit: Callable[[object], Any],
    edges: list[Edge],
    answers: list[EvaluationDetails | None],
    missing: EvaluationDetails | None,
) -> Answer:
    """Return the answer for a unit that is no text; ``missing`` for what is no unit."""

    def answer(value: object) -> EvaluationDetails | None:
        place = place_of_unit(value)
        return missing if place is None else answers[bisect_right(edges, place)]

    return answer


def _by_unit(table: Table) -> Answer:
    def answer(value: object) -> EvaluationDetails | None:
        unit = unit_text(value)
        return None if unit is None else table.get(unit)

    return answer


def _first_of(tests: list[tuple[Callable[[Any], bool], EvaluationDetails]]) -> Answer:
    def answer(value: object) -> EvaluationDetails | None:
        for test, details in tests:
            if test(value):
                return details
        return None

    return answer


def _table_leaf(rule: Rule) -> AttributeIs | None:
    """Return the condition of a rule that can be an entry of a table."""
    leaf = rule.when
    if not isinstance(leaf, AttributeIs) or isinstance(rule.serve, Split):
        return None
    if rule.start is not None or rule.end is not None or leaf.op != "in" or leaf.ci:
        return None
    if leaf.read_as is not None or leaf.values_from is not None:
        return None
    return leaf if any(type(value) is str or is_number(value) for value in leaf.values) else None


def _runs_of_rules(rules: tuple[Rule, ...]) -> Iterator[list[tuple[Rule, AttributeIs | None]]]:
    """Yield rules in order, those together that one table can answer."""
    leaves = [(rule, _table_leaf(rule)) for rule in rules]
    for path, run in groupby(leaves, key=lambda pair: pair[1] and pair[1].attr):
        if path is None:
            yield from ([pair] for pair in run)
        else:
            yield list(run)
