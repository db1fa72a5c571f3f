"""Which layers are computed together: what costs little is computed again for the gradient, not kept."""

from __future__ import annotations

from dataclasses import dataclass

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.layers import BOTH_CELLWISE


@dataclass(frozen=True)
class Step:
    """A layer whose map is kept for the gradient, and light ones below that nothing else looks at.

    Attributes:
        layers: Their numbers, in the order in which they are computed; the last one's map is kept.
        below: Those of the layers that they look at, whose maps are kept as well.
        again: Whether all but the maps below is dropped and computed again for the gradient.
    """

    layers: tuple[int, ...]
    below: tuple[int, ...]
    again: bool

    @property
    def kept(self) -> int:
        """The layer whose map is kept."""
        return self.layers[-1]


def steps_of(graph: Graph) -> tuple[Step, ...]:
    """The steps of a graph, in the order in which they are computed.

    Example:
        >>> from torch import nn
        >>> layers = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Conv2d(1, 1, 3), nn.ReLU())
        >>> [(step.layers, step.below) for step in steps_of(Graph.of(layers))]
        [((1,), (0,)), ((2, 3), (1,)), ((4,), (3,))]
    """
    light = [_is_light(graph, number) for number in range(len(graph.layers))]
    found = []
    for number in range(graph.inputs, len(graph.layers)):
        if light[number]:
            continue
        together, ahead = {number}, [number]
        below: set[int] = set()
        while ahead:
            for each in graph.layers[ahead.pop()].below:
                (together if light[each] else below).add(each)
                if light[each]:
                    ahead.append(each)
        rule = graph.layers[number].rule
        found.append(
            Step(tuple(sorted(together)), tuple(sorted(below)), rule is not None and not rule.opaque)
        )
    return tuple(found)


def _is_light(graph: Graph, number: int) -> bool:
    """Whether a layer is computed again; one that several look at would be so for each of them."""
    rule, users = graph.layers[number].rule, graph.users[number]
    if rule is None or not rule.light or rule.windows != BOTH_CELLWISE or len(users) != 1:
        return False
    user = graph.layers[users[0]].rule
    return user is not None and not user.opaque
