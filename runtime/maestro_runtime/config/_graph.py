"""Questions about "must be done before", for phases and for contracts."""

import graphlib

Graph = dict[str, tuple[str, ...]]
"""Each name with the names that come right before it."""


def cycles(graph: Graph) -> list[list[str]]:
    """Return cycles, each closed (`a`, `b`, `a`), until what is left has none."""
    found: list[list[str]] = []
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            cycle: list[str] = error.args[1]
        else:
            return found
        found.append(cycle)
        graph = {name: before for name, before in graph.items() if name not in cycle}


def ranks(graph: Graph) -> dict[str, int]:
    """Number the names so that whatever comes before has the smaller number; needs no cycles."""
    return {
        name: rank for rank, name in enumerate(graphlib.TopologicalSorter(graph).static_order())
    }


def comes_before(graph: Graph, first: str, then: str) -> bool:
    """Tell whether `first` has to be done, directly or through others, before `then`."""
    seen: set[str] = set()
    waiting = [then]
    while waiting:
        for name in graph.get(waiting.pop(), ()):
            if name == first:
                return True
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return False
