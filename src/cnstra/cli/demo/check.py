"""The same audit as a plain loop, with nothing of the graph in it: the demo checks itself by it."""

import csv
import hashlib
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def plain_audit(records: Iterable[str]) -> list[dict[str, object]]:
    """The verdict on each package."""
    return [plain_verdict(Path(record)) for record in records]


def plain_verdict(record: Path) -> dict[str, object]:
    """The verdict on one package."""
    counts: Counter[str] = Counter()
    size, mismatches = 0, list[str]()
    text = record.read_text(encoding="utf-8", errors="replace")
    for name, expected, *_ in csv.reader(text.splitlines(keepends=True)):
        algorithm, _, digest = expected.partition("=")
        if not digest or algorithm not in hashlib.algorithms_guaranteed:
            counts["unhashed"] += 1
            continue
        file = record.parent.parent / name
        try:
            if file.exists() and not file.is_file():
                raise OSError
            content = file.read_bytes()
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
