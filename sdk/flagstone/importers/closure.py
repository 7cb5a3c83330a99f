"""What follows for those who ask others: a graph is from each name to the names that it asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def spread(causes: dict[str, str], graph: Mapping[str, Iterable[str]]) -> None:
    """Give every node the cause of a node that it asks, directly or not."""
    askers = _turned(graph)
    waiting = list(causes)
    while waiting:
        node = waiting.pop()
        for asker in askers.get(node, ()):
            if asker not in causes:
                causes[asker] = causes[node]
                waiting.append(asker)


def reaching_circles(graph: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the nodes from which a circle is reached: those that never run out of nodes to ask."""
    inside = {node: {other for other in asked if other in graph} for node, asked in graph.items()}
    askers = _turned(inside)
    free = [node for node, asked in inside.items() if not asked]
    while free:
        settled = free.pop()
        for asker in askers.get(settled, ()):
            inside[asker].discard(settled)
            if not inside[asker]:
                free.append(asker)
    return {node for node, asked in inside.items() if asked}


def _turned(graph: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return who asks whom, seen from who is asked."""
    askers: dict[str, list[str]] = {}
    for node, asked in graph.items():
        for other in asked:
            askers.setdefault(other, []).append(node)
    return askers
