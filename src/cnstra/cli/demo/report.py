"""What the demo has found: a table for people, a file for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cnstra.cli.demo.ordeal import Ordeal
from cnstra.cli.output import plain

STATUSES = ("mismatched", "missing", "unreadable", "unhashed")
COLUMNS = ("packages", "files", "bytes", *STATUSES)
SHOWN_MISMATCHES = 5

Verdicts = Sequence[Mapping[str, Any]]


def show_verdicts(screen: Console, verdicts: Verdicts) -> None:
    """A row for each folder of packages, and which files are not as they were."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("INSTALLED IN", overflow="fold")
    for name in COLUMNS:
        table.add_column(name.upper(), justify="right")
    folders: dict[str, list[Mapping[str, Any]]] = {}
    for one in verdicts:
        folders.setdefault(str(Path(one["record"]).parent.parent), []).append(one)
    for folder, inside in folders.items():
        table.add_row(plain(folder), *_cells(inside))
    table.add_row("all", *_cells(verdicts), style="bold")
    screen.print(table)
    differing = [(one["record"], path) for one in verdicts for path in one["mismatches"]]
    for record, path in differing[:SHOWN_MISMATCHES]:
        screen.print(plain(f"mismatched: {Path(record).parent.parent / path}"))
    if len(differing) > SHOWN_MISMATCHES:
        screen.print(f"and {len(differing) - SHOWN_MISMATCHES:,} more")


def totals(verdicts: Verdicts) -> dict[str, int]:
    """The columns, summed."""
    counted = {name: sum(one["counts"].get(name, 0) for one in verdicts) for name in STATUSES}
    return {
        "packages": len(verdicts),
        "files": sum(one["files"] for one in verdicts),
        "bytes": sum(one["bytes"] for one in verdicts),
        **counted,
    }


def write_report(
    path: Path, verdicts: Verdicts, ordeal: Ordeal, *, seconds: float, identical: bool
) -> None:
    """All of it, as JSON."""
    report = {
        "totals": totals(verdicts),
        "identicalToPlainLoop": identical,
        "seconds": round(seconds, 1),
        "hashes": ordeal.hashes,
        "hashedTwice": ordeal.again,
        "sparedByResume": ordeal.spared,
        "repeatedThoughSaved": ordeal.broken_promises,
        "kills": [asdict(kill) for kill in ordeal.kills],
        "packages": list(verdicts),
    }
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")


def _cells(verdicts: Verdicts) -> list[str]:
    return [f"{value:,}" for value in totals(verdicts).values()]
