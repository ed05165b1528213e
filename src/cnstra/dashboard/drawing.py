"""A graph, laid out in layers from left to right: neurons, what leads to them, what they emit."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from cnstra.engine.network import Network

Kind = Literal["neuron", "entry", "exit", "bend"]

NEURON_HEIGHT, END_HEIGHT = 54.0, 26.0
CHARACTER, PADDING, NARROWEST, WIDEST = 8.2, 30.0, 108.0, 260.0
NARROWEST_NEURON = 164.0
LABEL_AT = 0.62
"""Where on its line the name of an edge stands, from 0 to 1: nearer to where lines part."""

LONGEST_LABEL = 18
"""How many characters of that name are drawn."""

LABEL_CHARACTER = 6.8
LAYER_GAP, NODE_GAP = 92.0, 22.0
MARGIN = 24.0
SWEEPS = 12
DETOUR = 26.0


@dataclass(slots=True)
class Node:
    """Something that is drawn. x, y: its middle.

    kind: a neuron; a collateral that nobody here emits (`entry`), or hears (`exit`); or where the
    line of a long edge bends.
    """

    name: str
    kind: Kind
    width: float
    height: float
    layer: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def top(self) -> float:
        return self.y - self.height / 2


@dataclass(slots=True)
class Edge:
    """A line from one node to another, with the collateral that it stands for."""

    start: Node
    end: Node
    collateral: str
    bends: list[Node] = field(default_factory=list[Node])
    goes_back: bool = False
    floor: float = 0.0
    """How low one that goes back has to go, to pass below everything."""

    @property
    def path(self) -> str:
        """The line, as SVG has it."""
        if self.start is self.end:
            return _loop(self.start)
        stops = [self.start, *self.bends, self.end]
        if self.goes_back:
            return _detour(self.start, self.end, self.floor)
        points = [(stops[0].x + stops[0].width / 2, stops[0].y)]
        points += [(one.x, one.y) for one in stops[1:-1]]
        points.append((stops[-1].left, stops[-1].y))
        parts = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
        for (x, y), (to_x, to_y) in pairwise(points):
            middle = (x + to_x) / 2
            parts.append(f"C{middle:.1f},{y:.1f} {middle:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}")
        return " ".join(parts)

    @property
    def label(self) -> tuple[float, float]:
        """Where its name stands."""
        if self.start is self.end:
            return self.start.x, self.start.top - 20
        if self.goes_back:
            return (self.start.x + self.end.x) / 2, self.floor + 4
        first = self.bends[0] if self.bends else self.end
        right, left = self.start.x + self.start.width / 2, first.x - first.width / 2
        t = LABEL_AT if abs(first.y - self.start.y) > NODE_GAP else 0.45
        across = 1.5 * t * (1 - t) + t**3  # of a line that leaves and arrives level
        down = 3 * t**2 - 2 * t**3
        return right + (left - right) * across, self.start.y + (first.y - self.start.y) * down + 4


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph with the place of everything in it."""

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    width: float
    height: float


def draw(network: Network) -> Drawing:
    """Lay the network out. The same network always looks the same."""
    nodes, edges = _collected(network)
    _turn_back_edges(nodes.values(), edges)
    _layer(nodes.values(), edges)
    layers = _split_long_edges(nodes.values(), edges)
    neighbours = _neighbours(edges)
    _order(layers, neighbours)
    _place(layers, neighbours, _gaps(layers, edges))
    placed = [one for layer in layers for one in layer]
    width = max((one.x + one.width / 2 for one in placed), default=0.0) + MARGIN
    height = max((one.y + one.height / 2 for one in placed), default=0.0) + MARGIN
    for edge in edges:
        if edge.goes_back and edge.start is not edge.end:
            edge.floor = height
            height += DETOUR
    return Drawing([one for one in placed if one.kind != "bend"], edges, width, height)


def _collected(network: Network) -> tuple[dict[str, Node], list[Edge]]:
    """Everything there is to draw, each neuron after what may lead to it, as far as that goes."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    emitted = {c.name for n in network.neurons.values() for c in n.collaterals.values()}
    for name in network.neurons:
        nodes[f"n {name}"] = Node(
            name, "neuron", max(NARROWEST_NEURON, _width_of(name)), NEURON_HEIGHT
        )
    for name, receivers in network.listeners.items():
        if receivers and name not in emitted:
            start = nodes[f"c {name}"] = Node(name, "entry", _width_of(name), END_HEIGHT)
            edges += [Edge(start, nodes[f"n {one.neuron_name}"], name) for one in receivers]
    for neuron in network.neurons.values():
        start = nodes[f"n {neuron.name}"]
        for collateral in neuron.collaterals.values():
            name, receivers = collateral.name, network.listeners[collateral.name]
            for one in receivers:
                edges.append(Edge(start, nodes[f"n {one.neuron_name}"], name))
            if not receivers:
                end = nodes.setdefault(f"c {name}", Node(name, "exit", _width_of(name), END_HEIGHT))
                edges.append(Edge(start, end, name))
    return nodes, edges


def _width_of(name: str) -> float:
    return min(WIDEST, max(NARROWEST, len(name) * CHARACTER + PADDING))


def _turn_back_edges(nodes: Iterable[Node], edges: Sequence[Edge]) -> None:
    """Mark the edges that close a loop: they are drawn from right to left."""
    leaving: dict[int, list[Edge]] = defaultdict(list)
    for one in edges:
        leaving[id(one.start)].append(one)
    done: set[int] = set()
    for root in sorted(nodes, key=lambda node: node.kind != "entry"):
        if id(root) in done:
            continue
        on_path = {id(root)}
        stack = [(root, iter(leaving[id(root)]))]
        while stack:
            node, rest = stack[-1]
            edge: Edge | None = next(rest, None)
            if edge is None:
                stack.pop()
                on_path.discard(id(node))
                done.add(id(node))
            elif id(edge.end) in on_path:
                edge.goes_back = True
            elif id(edge.end) not in done:
                on_path.add(id(edge.end))
                stack.append((edge.end, iter(leaving[id(edge.end)])))


def _layer(nodes: Iterable[Node], edges: Sequence[Edge]) -> None:
    """Put each node one layer after the last of those that lead to it."""
    forward = [edge for edge in edges if not edge.goes_back]
    missing: dict[int, int] = defaultdict(int)
    leaving: dict[int, list[Edge]] = defaultdict(list)
    for edge in forward:
        missing[id(edge.end)] += 1
        leaving[id(edge.start)].append(edge)
    ready = [node for node in nodes if not missing[id(node)]]
    for node in ready:
        for edge in leaving[id(node)]:
            edge.end.layer = max(edge.end.layer, node.layer + 1)
            missing[id(edge.end)] -= 1
            if not missing[id(edge.end)]:
                ready.append(edge.end)


def _split_long_edges(nodes: Iterable[Node], edges: Sequence[Edge]) -> list[list[Node]]:
    """The layers. An edge that passes one has a bend there, and so keeps clear of nodes."""
    layers: dict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        layers[node.layer].append(node)
    for edge in edges:
        if edge.goes_back:
            continue
        for layer in range(edge.start.layer + 1, edge.end.layer):
            bend = Node(edge.collateral, "bend", 0.0, 10.0, layer)
            layers[layer].append(bend)
            edge.bends.append(bend)
    return [layers[number] for number in range(len(layers))]


def _neighbours(edges: Sequence[Edge]) -> Mapping[int, list[Node]]:
    found: dict[int, list[Node]] = defaultdict(list)
    for edge in edges:
        if edge.goes_back:
            continue
        stops = [edge.start, *edge.bends, edge.end]
        for one, other in pairwise(stops):
            found[id(one)].append(other)
            found[id(other)].append(one)
    return found


def _order(layers: Sequence[list[Node]], neighbours: Mapping[int, list[Node]]) -> None:
    """Sort each layer by the middle of its neighbours, there and back, so that few lines cross."""
    place = {id(node): float(at) for layer in layers for at, node in enumerate(layer)}
    for sweep in range(SWEEPS):
        step = -1 if sweep % 2 == 0 else 1
        for number in range(len(layers))[::-step]:
            layer = layers[number]
            middle = {
                id(node): _mean(
                    [place[id(one)] for one in neighbours[id(node)] if one.layer == number + step],
                    place[id(node)],
                )
                if id(node) in neighbours
                else place[id(node)]
                for node in layer
            }
            layer.sort(key=lambda node: middle[id(node)])
            for at, node in enumerate(layer):
                place[id(node)] = float(at)


def _gaps(layers: Sequence[list[Node]], edges: Sequence[Edge]) -> list[float]:
    """How far each layer is from the next: so far that the names of the edges have room."""
    gaps = [LAYER_GAP] * len(layers)
    for edge in edges:
        if edge.start.kind == edge.end.kind == "neuron" and not edge.goes_back:
            label = LABEL_CHARACTER * min(LONGEST_LABEL, len(edge.collateral))
            gaps[edge.start.layer] = max(gaps[edge.start.layer], label / (1 - LABEL_AT) / 2 + 16)
    return gaps


def _place(
    layers: Sequence[list[Node]], neighbours: Mapping[int, list[Node]], gaps: Sequence[float]
) -> None:
    """Give each node its place: layers side by side, each node as level with its neighbours as the
    others of its layer let it be.
    """
    left = MARGIN
    for layer, gap in zip(layers, gaps, strict=True):
        widest = max((node.width for node in layer), default=0.0)
        y = MARGIN
        for node in layer:
            node.x = left + widest / 2
            node.y = y + node.height / 2
            y += node.height + NODE_GAP
        left += widest + gap
    for sweep in range(SWEEPS):
        step = -1 if sweep % 2 == 0 else 1
        for number in range(len(layers))[::-step]:
            _level(layers[number], number + step, neighbours)
    top = min((node.top for layer in layers for node in layer), default=0.0)
    for layer in layers:
        for node in layer:
            node.y += MARGIN - top


def _level(layer: list[Node], beside: int, neighbours: Mapping[int, list[Node]]) -> None:
    """Move the nodes of a layer to the middle of their neighbours in another, and then apart."""
    for node in layer:
        near = [one.y for one in neighbours.get(id(node), ()) if one.layer == beside]
        node.y = _mean(near, node.y)
    wanted = _mean([node.y for node in layer], 0.0)
    for upper, lower in pairwise(layer):
        least = upper.y + (upper.height + lower.height) / 2 + NODE_GAP
        lower.y = max(lower.y, least)
    shift = wanted - _mean([node.y for node in layer], 0.0)
    for node in layer:
        node.y += shift


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _loop(node: Node) -> str:
    """From a node to itself, over its top."""
    x, y = node.x, node.top
    return f"M{x + 18:.1f},{y:.1f} c8,-26 -44,-26 -36,0"


def _detour(start: Node, end: Node, low: float) -> str:
    """From right to left, round the layers in between and below them."""
    right, left = start.x + start.width / 2, end.left
    return (
        f"M{right:.1f},{start.y:.1f} "
        f"C{right + 40:.1f},{start.y:.1f} {right + 40:.1f},{low:.1f} {right - 10:.1f},{low:.1f} "
        f"L{left + 10:.1f},{low:.1f} "
        f"C{left - 40:.1f},{low:.1f} {left - 40:.1f},{end.y:.1f} {left:.1f},{end.y:.1f}"
    )
