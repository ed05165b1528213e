"""A graph as a picture that stands alone, in the languages of others: Mermaid, DOT, SVG."""

import json
from xml.sax.saxutils import escape

from cnstra.dashboard.drawing import Drawing, Edge, Node, draw
from cnstra.engine.network import Network

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; text-anchor: middle }
.edge { fill: none; stroke: #8b949e; stroke-width: 1.4 }
.name { font-size: 11px; fill: #57606a; paint-order: stroke; stroke: #fff; stroke-width: 4px }
.neuron rect { fill: #eef4ff; stroke: #3b6fd4; stroke-width: 1.4 }
.entry rect, .exit rect { fill: #fff; stroke: #8b949e; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .name { fill: #9da7b3; stroke: #0d1117 }
  .neuron rect { fill: #14233f; stroke: #6ea0ff } .entry rect, .exit rect { fill: #0d1117 }
}
"""
ROUND = {"neuron": 10, "entry": 13, "exit": 13, "bend": 0}


def mermaid(network: Network) -> str:
    """The graph as a Mermaid flowchart, which GitHub and many others draw."""
    drawing = draw(network)
    names = _ids(drawing)
    lines = ["flowchart LR"]
    lines += [f"    {names[id(node)]}{_mermaid_shape(node)}" for node in drawing.nodes]
    lines += [
        f"    {names[id(edge.start)]} -->{_mermaid_label(edge)} {names[id(edge.end)]}"
        for edge in drawing.edges
    ]
    return "\n".join(lines) + "\n"


def dot(network: Network) -> str:
    """The graph in the language of Graphviz."""
    drawing = draw(network)
    names = _ids(drawing)
    lines = ["digraph cns {", "    rankdir=LR", "    node [shape=box, style=rounded]"]
    for node in drawing.nodes:
        look = "" if node.kind == "neuron" else ", shape=ellipse, style=dashed"
        lines.append(f"    {names[id(node)]} [label={json.dumps(node.name)}{look}]")
    for edge in drawing.edges:
        label = f" [label={json.dumps(edge.collateral)}]" if _is_named(edge) else ""
        lines.append(f"    {names[id(edge.start)]} -> {names[id(edge.end)]}{label}")
    return "\n".join([*lines, "}"]) + "\n"


def svg(network: Network) -> str:
    """The graph as an SVG image, light or dark as its reader has it."""
    drawing = draw(network)
    size = f'width="{drawing.width:.0f}" height="{drawing.height:.0f}"'
    box = f'viewBox="0 0 {drawing.width:.0f} {drawing.height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img" aria-label="A graph">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#8b949e"/>'
        "</marker></defs>",
        *(f'<path class="edge" marker-end="url(#tip)" d="{e.path}"/>' for e in drawing.edges),
        *(_svg_label(edge) for edge in drawing.edges if _is_named(edge)),
        *(_svg_node(node) for node in drawing.nodes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _ids(drawing: Drawing) -> dict[int, str]:
    """A name for each node that no language takes amiss."""
    return {id(node): f"n{number}" for number, node in enumerate(drawing.nodes)}


def _is_named(edge: Edge) -> bool:
    """Whether the line needs its collateral's name: else a node at its end has it."""
    return edge.start.kind == edge.end.kind == "neuron"


def _mermaid_shape(node: Node) -> str:
    text = f'"{_mermaid_text(node.name)}"'
    return f"[{text}]" if node.kind == "neuron" else f"([{text}])"


def _mermaid_label(edge: Edge) -> str:
    return f'|"{_mermaid_text(edge.collateral)}"|' if _is_named(edge) else ""


def _mermaid_text(text: str) -> str:
    """Text in quotes, with what would end it, or be read as markup, told by number."""
    return "".join(one if one.isalnum() or one in " _-.:/" else f"#{ord(one)};" for one in text)


def _svg_node(node: Node) -> str:
    size = f'width="{node.width:.1f}" height="{node.height:.1f}"'
    place = f'x="{node.left:.1f}" y="{node.top:.1f}" rx="{ROUND[node.kind]}"'
    text = f'<text x="{node.x:.1f}" y="{node.y + 4:.1f}">{escape(node.name)}</text>'
    return f'<g class="{node.kind}"><rect {size} {place}/>{text}</g>'


def _svg_label(edge: Edge) -> str:
    x, y = edge.label
    return f'<text class="name" x="{x:.1f}" y="{y:.1f}">{escape(edge.collateral)}</text>'
