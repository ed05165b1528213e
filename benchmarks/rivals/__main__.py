"""`python -m benchmarks.rivals [--kills 200] [--seed 1] [RIVAL ...]`: the same kills for all."""

import argparse
import json
import sys
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict

from benchmarks.rivals.campaign import Campaign, Outcome
from benchmarks.rivals.rival import RIVALS
from benchmarks.rivals.servers import place

HEADS = (
    "jobs",
    "kills",
    "between",
    "cut short",
    "just ended",
    "gone on",
    "lost",
    "wrong",
    "pause",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("rivals", nargs="*", metavar="RIVAL", help=", ".join(RIVALS))
    parser.add_argument("--kills", type=int, default=200, help="in mid-step, of each (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--together", type=int, default=1, help="rivals at a time (1)")
    parser.add_argument("--json", action="store_true", help="print each outcome as JSON")
    options = parser.parse_args()
    if unknown := sorted(set(options.rivals) - set(RIVALS)):
        parser.error(f"no rival is named {', '.join(unknown)}: choose from {', '.join(RIVALS)}")
    if not options.json:
        print(f"{'':30}" + "".join(f"{head:>11}" for head in HEADS))
    with ProcessPoolExecutor(options.together) as pool:
        running = {
            pool.submit(run, name, options.kills, options.seed): name
            for name in options.rivals or RIVALS
        }
        told = [tell(running[each], each, options.json) for each in as_completed(running)]
    return 0 if all(told) else 1


def run(name: str, kills: int, seed: int) -> Outcome:
    with place(RIVALS[name]) as found:
        return Campaign(RIVALS[name], found, kills, seed).run()


def tell(name: str, done: Future[Outcome], as_json: bool) -> bool:
    """Print what came of it, and whether anything did."""
    if error := done.exception():
        print(f"{name} was not run to its end: {error}", file=sys.stderr, flush=True)
        return False
    outcome = done.result()
    print(json.dumps(asdict(outcome)) if as_json else row(outcome), flush=True)
    return True


def row(one: Outcome) -> str:
    counts = (one.jobs, one.kills, one.misses, one.repeats.cut_short, one.repeats.unrecorded,
              one.repeats.finished, one.lost, one.wrong)  # fmt: skip
    return f"{one.rival:30}" + "".join(f"{each:11}" for each in counts) + f"{one.pause:10.1f}s"


if __name__ == "__main__":
    sys.exit(main())
