"""The log of what handlers did, shared by all processes of a test."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

What = Literal["start", "end", "leave"]


@dataclass(frozen=True, slots=True)
class Effect:
    """A handler starts, has had its effect, or leaves without one: it raised, or was cancelled.

    at: seconds since the epoch. key: the idempotency key. seen: the neuron's context value.
    """

    what: What
    job: str
    step: str
    attempt: int
    key: str
    seen: Any
    pid: int
    at: float


class Effects:
    """A file to which each handler appends, each line in one write.

    pid: who writes, where that is not told by the process.
    """

    def __init__(self, path: Path, pid: int | None = None) -> None:
        self.path = path
        self._pid = pid
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def close(self) -> None:
        os.close(self._file)

    def write(self, what: What, job: str, step: str, attempt: int, key: str, seen: Any) -> None:
        effect = Effect(what, job, step, attempt, key, seen, self._pid or os.getpid(), time.time())
        os.write(self._file, json.dumps(asdict(effect)).encode() + b"\n")

    def all(self, what: What, job: str | None = None, step: str | None = None) -> list[Effect]:
        """What is in the log, of one job and step or of all."""
        found = [Effect(**json.loads(line)) for line in self.path.read_bytes().splitlines()]
        return [
            one
            for one in found
            if one.what == what and job in (None, one.job) and step in (None, one.step)
        ]

    def count(self, step: str, job: str | None = None) -> int:
        """How often a step had its effect."""
        return len(self.all("end", job, step))

    def starts(self, step: str, job: str | None = None) -> list[float]:
        """When a step was started, each time."""
        return [one.at for one in self.all("start", job, step)]
