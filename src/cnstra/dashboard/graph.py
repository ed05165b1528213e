"""The graph, drawn, with what happens in it."""

from functools import lru_cache

from starlette.responses import Response

from cnstra.dashboard.desk import Ask, Desk
from cnstra.dashboard.drawing import LONGEST_LABEL, Drawing, draw
from cnstra.dashboard.overview import Figures, figures_of
from cnstra.engine.network import Network


async def show(desk: Desk, ask: Ask) -> Response:
    """The graph of a queue's workers; without their code nothing is known of it."""
    network = ask.source.network
    drawing = None if network is None else drawing_of(network)
    figures = await figures_of(ask.source) if network is not None else {}
    return desk.render(
        ask,
        "graph.html",
        drawing=drawing,
        longest_label=LONGEST_LABEL,
        figures=figures,
        nothing=Figures(),
        network=network,
        is_kept=ask.source.history is not None,
    )


@lru_cache(maxsize=32)
def drawing_of(network: Network) -> Drawing:
    """The drawing of a network, which never changes."""
    return draw(network)
