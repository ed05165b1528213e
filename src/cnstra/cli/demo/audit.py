"""Does each file of an installed package still have the hash that the package's RECORD says?

package -> reader -> listed, one per line of the RECORD -> hasher -> checked -> joiner -> verdict
"""

import csv
import hashlib
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from cnstra import CNS, Collateral, Context, Signal, collateral, neuron

ALGORITHMS = hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}

Status = Literal["intact", "mismatched", "missing", "unreadable", "unhashed"]


@dataclass(frozen=True, slots=True)
class Package:
    """A package to audit: the path of its RECORD."""

    record: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of a RECORD, one of `total`. `expected` is as it stands there: "sha256=...", or ""."""

    record: str
    line: int
    total: int
    path: str
    expected: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a line; `size` is how many bytes were hashed."""

    record: str
    path: str
    total: int
    status: Status
    size: int = 0


@dataclass(slots=True)
class Verdict:
    """What is known of a package: how many files are intact, missing, ..., and which differ."""

    record: str
    files: int = 0
    bytes: int = 0
    counts: dict[Status, int] = field(default_factory=dict[Status, int])
    mismatches: list[str] = field(default_factory=list[str])

    def add(self, checked: Checked) -> None:
        self.files += 1
        self.bytes += checked.size
        self.counts[checked.status] = self.counts.get(checked.status, 0) + 1
        if checked.status == "mismatched":
            self.mismatches.append(checked.path)


package = collateral("package", Package)
listed = collateral("listed", Listed)
checked = collateral("checked", Checked)
verdict = collateral("verdict", Verdict)


class ReaderAxon(NamedTuple):
    listed: Collateral[Listed]
    verdict: Collateral[Verdict]


class HasherAxon(NamedTuple):
    checked: Collateral[Checked]


class JoinerAxon(NamedTuple):
    verdict: Collateral[Verdict]


Examine = Callable[[Listed], Checked]


def examine(line: Listed) -> Checked:
    """Hash the file and compare."""

    def found(status: Status, size: int = 0) -> Checked:
        return Checked(line.record, line.path, line.total, status, size)

    algorithm, _, expected = line.expected.partition("=")
    if not is_hash(line.expected):
        return found("unhashed")
    path = Path(line.record).parent.parent / line.path
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return found("unreadable")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, algorithm).digest()
    except FileNotFoundError:
        return found("missing")
    except (OSError, ValueError):
        return found("unreadable")
    actual = urlsafe_b64encode(digest).rstrip(b"=").decode()
    return found("intact" if actual == expected else "mismatched", status.st_size)


def is_hash(expected: str) -> bool:
    """Whether that is a hash which can be checked: RECORD itself, say, has none."""
    algorithm, _, digest = expected.partition("=")
    return bool(digest) and algorithm in ALGORITHMS


def lines_of(record: str) -> list[tuple[str, str]]:
    """The lines of a RECORD: a path, and the hash that it should have. None if it is unreadable."""
    try:
        with Path(record).open(newline="", encoding="utf-8", errors="replace") as file:
            return [(row[0], row[1]) for row in csv.reader(file) if len(row) > 1]
    except (OSError, csv.Error):
        return []


def read(payload: Package, axon: ReaderAxon) -> Signal[Verdict] | list[Signal[Listed]]:
    """Fan out over the lines of the RECORD."""
    lines = lines_of(payload.record)
    if not lines:
        return axon.verdict.create_signal(Verdict(payload.record))
    return [
        axon.listed.create_signal(Listed(payload.record, number, len(lines), path, expected))
        for number, (path, expected) in enumerate(lines)
    ]


def join(payload: Checked, axon: JoinerAxon, ctx: Context[Verdict]) -> Signal[Verdict] | None:
    """Count until the last line is there. With no `await` between `get` and `set`, it is exact."""
    so_far = ctx.get(Verdict(payload.record))
    so_far.add(payload)
    ctx.set(so_far)
    if so_far.files < payload.total:
        return None
    so_far.mismatches.sort()
    return axon.verdict.create_signal(so_far)


def audit_graph(examine: Examine = examine) -> CNS:
    """The graph. A large file holds up the event loop, which no lease or checkpoint minds."""

    def hash_and_compare(payload: Listed, axon: HasherAxon) -> Signal[Checked]:
        return axon.checked.create_signal(examine(payload))

    return CNS(
        [
            neuron("reader", ReaderAxon(listed, verdict)).dendrite(package, read),
            neuron("hasher", HasherAxon(checked)).dendrite(listed, hash_and_compare),
            neuron("joiner", JoinerAxon(verdict), context=Verdict).dendrite(checked, join),
        ]
    )
