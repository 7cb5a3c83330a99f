"""Refusals and errors spread to whoever asks; circles are found wherever they are."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from flagstone.importers.closure import reaching_circles, spread

GRAPHS = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefx")))


def reached(graph: dict[str, list[str]], start: str) -> set[str]:
    """All that a node asks, directly or not."""
    found: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(graph.get(node, ()))
    return found


@example({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["d"]})
@given(GRAPHS)
def test_a_node_reaches_a_circle_if_it_reaches_one_that_reaches_itself(
    graph: dict[str, list[str]],
) -> None:
    in_circles = {node for node in graph if node in reached(graph, node)}
    expected = {node for node in graph if in_circles & {node, *reached(graph, node)}}
    assert reaching_circles(graph) == expected


@given(GRAPHS, st.sets(st.sampled_from("abcdefx")))
def test_a_cause_spreads_to_all_that_ask_and_no_further(
    graph: dict[str, list[str]], origins: set[str]
) -> None:
    causes = {node: node for node in origins}
    spread(causes, graph)
    for node in {*graph, *origins}:
        nearest = {node} & origins or reached(graph, node) & origins
        assert (causes[node] in nearest) if nearest else (node not in causes)
