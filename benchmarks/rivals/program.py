"""`python -m benchmarks.rivals.program MODULE work | submit FIRST COUNT | results COUNT`.

What a rival does, in a process of its own; `Program` starts these.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.rivals.place import Place
from benchmarks.rivals.rival import Rival

ROOT = Path(__file__).parents[2]


class Program:
    """The processes of one rival at one place."""

    def __init__(self, rival: Rival, place: Place) -> None:
        python = ROOT / (".venv" if rival.ours else ".venv-rivals") / "bin" / "python"
        self._command = [str(python), "-m", "benchmarks.rivals.program", rival.module]
        self._environment = {**os.environ, **place.environment()}
        self._errors = Path(place.folder) / "errors"

    @contextmanager
    def worker(self, life: int = 0) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker in a process group of its own, which is killed as a whole in the end."""
        with self._errors.open("ab") as errors:
            process = subprocess.Popen(
                [*self._command, "work"],
                cwd=ROOT, env={**self._environment, "RIVALS_LIFE": str(life)},
                stdout=errors, stderr=errors, start_new_session=True,
            )  # fmt: skip
        try:
            yield process
            assert process.poll() is None, f"its worker ended: {self.last_words()}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def submit(self, first: int, count: int) -> None:
        self._ask("submit", first, count)

    def results(self, count: int) -> list[int | None]:
        found: list[int | None] = json.loads(self._ask("results", count).splitlines()[-1])
        return found

    def last_words(self) -> str:
        return self._errors.read_text(errors="replace")[-2_000:]

    def _ask(self, verb: str, *numbers: int) -> str:
        done = subprocess.run(
            [*self._command, verb, *map(str, numbers)],
            cwd=ROOT, env={**self._environment, "RIVALS_LIFE": "0"},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def main() -> None:
    module, verb, *numbers = sys.argv[1:]
    rival = importlib.import_module(f"benchmarks.rivals.{module}")
    match verb, [int(number) for number in numbers]:
        case "work", []:
            rival.work()
        case "submit", [first, count]:
            rival.submit(range(first, first + count))
        case "results", [count]:
            print(json.dumps(rival.results(range(count))))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
