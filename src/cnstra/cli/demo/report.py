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
ALWAYS_SHOWN = ("packages", "files", "bytes", "mismatched")
SHOWN_MISMATCHES = 5

Verdicts = Sequence[Mapping[str, Any]]


def show_verdicts(screen: Console, verdicts: Verdicts) -> None:
    """A row for each folder of packages, and which files are not as they were."""
    whole = totals(verdicts)
    columns = [name for name, count in whole.items() if count or name in ALWAYS_SHOWN]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("INSTALLED IN", overflow="fold")
    for name in columns:
        table.add_column(name.upper(), justify="right", no_wrap=True)
    for folder, inside in _by_folder(verdicts).items():
        found = totals(inside)
        table.add_row(plain(folder), *(f"{found[name]:,}" for name in columns))
    table.add_row("all", *(f"{whole[name]:,}" for name in columns), style="bold")
    screen.print(table)
    differing = [(one["record"], path) for one in verdicts for path in one["mismatches"]]
    for record, path in differing[:SHOWN_MISMATCHES]:
        screen.print(plain(f"mismatched: {Path(record).parent.parent / path}"), soft_wrap=True)
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


def _by_folder(verdicts: Verdicts) -> dict[str, list[Mapping[str, Any]]]:
    folders: dict[str, list[Mapping[str, Any]]] = {}
    for one in verdicts:
        folders.setdefault(str(Path(one["record"]).parent.parent), []).append(one)
    return folders
