"""The log of what handlers did, outside the engine: what a run may be judged by."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

What = Literal["start", "end", "trouble", "load", "sent", "written"]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the log.

    start, end: a handler begins, or has had its effect. trouble: it is about to fail, hang or stop.
    load: a worker has loaded the run under `epoch`, which owed `frontier`: names, or the whole.
    sent, written: a write of `epoch` leaves the worker, or has landed.

    life: which worker. at: the activation's name. by: the name of the one that emitted it.
    key: its idempotency key. seen: the neuron's context value once it was done.
    """

    what: What
    life: int
    job: str
    at: str = ""
    by: str = ""
    neuron: str = ""
    key: str = ""
    seen: tuple[str, ...] = ()
    epoch: int = 0
    frontier: tuple[str, ...] = ()


class Witness(Protocol):
    """Where lines are written, in the order in which things happen."""

    def write(self, line: Line) -> None: ...

    def lines(self) -> Sequence[Line]: ...


class Memory:
    """A witness in this process."""

    def __init__(self) -> None:
        self._lines: list[Line] = []

    def write(self, line: Line) -> None:
        self._lines.append(line)

    def lines(self) -> Sequence[Line]:
        return self._lines


class Book:
    """A file to which many processes append, each line in one write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        self._read: list[Line] = []
        self._read_to = 0

    def write(self, line: Line) -> None:
        os.write(self._file, _encode(line) + b"\n")

    def lines(self) -> Sequence[Line]:
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        self._read_to += len(new)
        self._read.extend(_decode(line) for line in new.splitlines())
        return self._read

    def close(self) -> None:
        os.close(self._file)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode
