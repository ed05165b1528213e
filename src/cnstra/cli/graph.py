"""`cnstra graph`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cnstra.cli.targets import load
from cnstra.cli.usage import WrongKind
from cnstra.dashboard.pictures import dot, mermaid, svg
from cnstra.engine.cns import CNS
from cnstra.engine.network import Network
from cnstra.jobs.worker import Worker

Format = Literal["mermaid", "dot", "svg", "json"]


def data(network: Network) -> str:
    """All that is known of the graph, as JSON."""
    return json.dumps(network.describe(), indent=2) + "\n"


PICTURES = {"mermaid": mermaid, "dot": dot, "svg": svg, "json": data}


def graph(
    target: Annotated[
        str,
        typer.Argument(
            metavar="APP:CNS", help="A CNS, or a worker that has one.", show_default=False
        ),
    ],
    form: Annotated[
        Format, typer.Option("--format", "-f", help="How; json is all that is known of it.")
    ] = "mermaid",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file. [default: standard output]")
    ] = None,
) -> None:
    """Draw a graph: as Mermaid, DOT or SVG, or as data."""
    network = graph_at(target).network
    text = PICTURES[form](network)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")


def graph_at(target: str) -> CNS:
    """The CNS of that name, or that of the worker of that name."""
    try:
        return load(target, CNS)
    except WrongKind:
        return load(target, Worker).cns
