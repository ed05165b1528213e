"""What the worker has really done: a file that it appends to, which outlives any kill.

Each hash leaves two lines: "+" before it begins and "-" once it has ended.
"""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from cnstra.cli.demo.audit import Checked, Examine, Listed, is_hash


class Hash(NamedTuple):
    """The hash that line `line` of the RECORD asks for."""

    record: str
    line: int


def logged(examine: Examine, path: Path) -> Examine:
    """`examine`, with its two lines in the log at `path`."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(sign: str, line: Listed) -> None:
        os.write(file, f"{sign}{line.line} {line.record}\n".encode())

    def examine_and_log(line: Listed) -> Checked:
        if not is_hash(line.expected):
            return examine(line)
        write("+", line)
        result = examine(line)
        write("-", line)
        return result

    return examine_and_log


class EffectLog:
    """The log, as somebody else reads it while it grows.

    begun: how often each hash has begun.
    ended: those that have ended.
    running: those that have begun and not ended, in the worker that lives now.
    """

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")
        self._rest = b""
        self.begun: Counter[Hash] = Counter()
        self.ended: set[Hash] = set()
        self.running: set[Hash] = set()

    def read(self) -> list[Hash]:
        """Take in what is new. Returns the hashes that have begun since."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        fresh: list[Hash] = []
        for line in lines:
            number, _, record = line[1:].decode().partition(" ")
            key = Hash(record, int(number))
            if line.startswith(b"+"):
                fresh.append(key)
                self.running.add(key)
            else:
                self.ended.add(key)
                self.running.discard(key)
        self.begun.update(fresh)
        return fresh

    @property
    def again(self) -> int:
        """How many hashes were begun that had been begun before."""
        return self.begun.total() - len(self.begun)

    def close(self) -> None:
        self._file.close()
