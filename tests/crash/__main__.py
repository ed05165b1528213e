"""`python -m tests.crash [--seed N]`: the whole campaign, part by part, each with its table.

Each part is a command that can be run by itself; it is printed before its table.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.crash.servers import TROUBLES

ROOT = Path(__file__).parents[2]
KILLS = {
    "sqlite": 10_000, "bullmq": 2_000, "postgres": 2_000, "rabbitmq": 300, "nats": 300, "sqs": 300,
}  # fmt: skip
MODES = {"deploy": 300, "zombie": 300, "rivals": 300}
"""On SQLite; what they are: `tests/crash/lane.py`."""

HARMED = 100
"""Kills while each trouble befalls each server too."""


def parts(seed: int) -> Iterator[Sequence[str]]:
    """The commands of the campaign."""
    told = ("--seed", str(seed))
    yield ("exhaustive", *told)
    for server, kills in KILLS.items():
        yield ("kills", server, "--kills", str(kills), *told)
    for mode, blows in MODES.items():
        yield ("kills", "sqlite", "--mode", mode, "--kills", str(blows), *told)
    for server, troubles in TROUBLES.items():
        for trouble in troubles:
            yield ("kills", server, "--harm", trouble, "--kills", str(HARMED), *told)
    yield ("controls",)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    failed: list[str] = []
    for module, *options in parts(parser.parse_args().seed):
        command = ["-m", f"tests.crash.{module}", *options]
        print(f"\npython {' '.join(command)}", flush=True)
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            failed.append(" ".join(command))
    print("\nall of it holds" if not failed else "\nNOT SO: " + "; ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
