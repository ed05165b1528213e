"""`python -m benchmarks [--json] [--repetitions N] [NAME ...]`: a table of ratios."""

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.measure import Figure

MODULES = (
    "hops",
    "fan_outs",
    "tiny_runs",
    "waiting_runs",
    "durable_hops",
    "object_stores",
    "bullmq_jobs",
    "postgres_jobs",
    "history",
    "page",
    "telemetry",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="NAME", help=", ".join(MODULES))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--repetitions", type=int, default=51, help="pairs of timings (51)")
    options = parser.parse_args()
    unknown = sorted(set(options.modules) - set(MODULES))
    if unknown:
        parser.error(
            f"no benchmark is named {', '.join(unknown)}: choose from {', '.join(MODULES)}"
        )
    found = _figures(options.modules or MODULES, options.repetitions)
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _print_table(found)
    return 0


def _figures(modules: tuple[str, ...] | list[str], repetitions: int) -> Iterator[Figure]:
    for name in modules:
        yield from importlib.import_module(f"benchmarks.{name}").figures(repetitions)


def _print_table(figures: Iterator[Figure]) -> None:
    print(f"{'':32}{'bare':>10}{'engine':>10}{'':7}{'ratio':>6}{'goal':>6}")
    for one in figures:
        mark = "" if one.is_reached else "  over"
        print(
            f"{one.name:32}{one.bare:10,.0f}{one.engine:10,.0f} {one.unit:6}"
            f"{one.ratio:6.2f}{one.goal:6.1f}{mark}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
