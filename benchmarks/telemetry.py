"""A hop of a graph whose worker was traced once, with OpenTelemetry's spans, against one that never
was; and one that was observed with `neurons=False`, which must cost nothing.
"""

from collections.abc import Iterator

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from benchmarks import graphs
from benchmarks.measure import Figure, compare
from cnstra import CNS
from cnstra.telemetry.otel import Telemetry

HOPS = 1000
NOTHING, SAMPLED_OUT, SPAN = 1.05, 30.0, 70.0
"""Goals. A hop of this graph does nothing but to be a hop: a span is what then takes the time."""


def figures(repetitions: int) -> Iterator[Figure]:
    plain = CNS(graphs.loop(coroutines=False))
    for name, telemetry, goal in (
        ("hop, neurons=False", Telemetry(TracerProvider(), neurons=False), NOTHING),
        ("hop, not sampled", Telemetry(TracerProvider(ALWAYS_OFF)), SAMPLED_OUT),
        ("hop, a span each", Telemetry(TracerProvider()), SPAN),
    ):
        watched = CNS(graphs.loop(coroutines=False))
        telemetry.watch(watched)
        yield compare(
            name,
            lambda: plain.stimulate(graphs.ping.create_signal(HOPS)),
            lambda watched=watched: watched.stimulate(graphs.ping.create_signal(HOPS)),
            per=HOPS,
            goal=goal,
            repetitions=repetitions,
        )
