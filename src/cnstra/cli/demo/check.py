"""The same audit as a plain loop, with nothing of the graph in it: the demo checks itself by it."""

import csv
import hashlib
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

KNOWN = hashlib.algorithms_guaranteed


def plain_audit(records: Iterable[str]) -> list[dict[str, object]]:
    """The verdict on each package."""
    return [plain_verdict(Path(record)) for record in records]


def plain_verdict(record: Path) -> dict[str, object]:
    """The verdict on one package."""
    counts: Counter[str] = Counter()
    size, mismatches = 0, list[str]()
    try:
        with record.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = [row for row in csv.reader(file) if len(row) > 1]
    except (OSError, csv.Error):
        rows = []
    for name, expected, *_ in rows:
        algorithm, _, digest = expected.partition("=")
        if not digest or algorithm.startswith("shake") or algorithm not in KNOWN:
            counts["unhashed"] += 1
            continue
        path = record.parent.parent / name
        try:
            if path.exists() and not path.is_file():
                raise OSError
            content = path.read_bytes()
        except FileNotFoundError:
            counts["missing"] += 1
            continue
        except (OSError, ValueError):
            counts["unreadable"] += 1
            continue
        size += len(content)
        found = urlsafe_b64encode(hashlib.new(algorithm, content).digest()).decode().rstrip("=")
        counts["intact" if found == digest else "mismatched"] += 1
        if found != digest:
            mismatches.append(name)
    return {
        "record": str(record),
        "files": counts.total(),
        "bytes": size,
        "counts": dict(counts),
        "mismatches": sorted(mismatches),
    }
