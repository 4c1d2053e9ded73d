"""The door to networkx: what the compile step asks of a directed graph. A run that goes on never comes here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

__all__ = ["closed_ancestors", "components_in_order", "depth_first", "reachable"]

V = TypeVar("V")


def _digraph(nodes: Iterable[Any], successors: Mapping[Any, Iterable[Any]]) -> Any:
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((u, v) for u, targets in successors.items() for v in targets)
    return graph


def components_in_order(
    nodes: Sequence[V], successors: Mapping[V, Iterable[V]], rank: Callable[[V], int]
) -> list[tuple[frozenset[V], bool]]:
    """Strongly connected components in topological order, ties by the smallest *rank* of a member.

    Returns:
        Pairs of a component and whether it has a cycle (a single vertex has one only with an edge to itself).
    """
    import networkx as nx

    graph = _digraph(nodes, successors)
    condensed = nx.condensation(graph)
    first = {c: min(rank(v) for v in data["members"]) for c, data in condensed.nodes(data=True)}
    ordered = nx.lexicographical_topological_sort(condensed, key=first.__getitem__)
    members = (frozenset(condensed.nodes[c]["members"]) for c in ordered)
    return [(m, len(m) > 1 or any(graph.has_edge(v, v) for v in m)) for m in members]


def depth_first(root: int, successors: Callable[[int], Iterable[int]]) -> tuple[dict[int, int], list[int]]:
    """Depth-first numbers from *root*, following successors in the order given.

    Returns:
        The preorder number of every vertex reached, and the vertices in postorder.
    """
    preorder, postorder = {root: 0}, []
    stack = [(root, iter(successors(root)))]
    while stack:
        vertex, rest = stack[-1]
        for target in rest:
            if target not in preorder:
                preorder[target] = len(preorder)
                stack.append((target, iter(successors(target))))
                break
        else:
            postorder.append(vertex)
            stack.pop()
    return preorder, postorder


def reachable(sources: Iterable[int], successors: Mapping[int, Iterable[int]] | Sequence[Iterable[int]]) -> set[int]:
    """Every vertex on a path from one of *sources*, the sources included."""
    seen = set(sources)
    todo = list(seen)
    while todo:
        for target in successors[todo.pop()]:
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def closed_ancestors(nodes: Sequence[int], successors: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """For each vertex the bitset of the vertices from which a path of at least one edge leads to it."""
    predecessors: dict[int, list[int]] = {v: [] for v in nodes}
    for u in nodes:
        for v in successors[u]:
            predecessors[v].append(u)
    ancestors: dict[int, int] = {}
    for members, cyclic in components_in_order(nodes, successors, rank=lambda v: v):
        bits = sum(1 << v for v in members) if cyclic else 0
        for v in members:
            for u in predecessors[v]:
                bits |= 1 << u
                if u not in members:
                    bits |= ancestors[u]
        ancestors.update(dict.fromkeys(members, bits))
    return ancestors
