"""What each process has begun, and not ended, as the log of the effects tells."""

import json
from collections import Counter
from pathlib import Path

from cnstra.testing.effects import Effect
from cnstra.testing.flow import STEPS


class Marks:
    """Reads on where it last stopped."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""
        self._begun: Counter[int] = Counter()
        self._open: Counter[int] = Counter()
        self._over: set[str] = set()

    def close(self) -> None:
        self._file.close()

    def begun_by(self, pid: int) -> int:
        """How many steps the process has started."""
        self._read()
        return self._begun[pid]

    def is_inside(self, pid: int) -> bool:
        """Whether the process has started a step that it has neither ended nor left."""
        self._read()
        return self._open[pid] > 0

    @property
    def over(self) -> int:
        """How many jobs have come through their last step."""
        self._read()
        return len(self._over)

    def _read(self) -> None:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            self._note(Effect(**json.loads(line)))

    def _note(self, effect: Effect) -> None:
        if effect.what == "start":
            self._begun[effect.pid] += 1
            self._open[effect.pid] += 1
            return
        self._open[effect.pid] -= 1
        if effect.what == "end" and effect.step == STEPS[-1]:
            self._over.add(effect.job)
