"""What came of each behaviour on each broker or store, as a table and as JSON."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["pass", "FAIL", "refused", "-"]
"""refused: it declares that it cannot, and refuses with a clear error. -: it could not be tried."""

SEVERITY: Mapping[Outcome, int] = {"pass": 0, "-": 1, "refused": 2, "FAIL": 3}
HEADINGS = {"broker": "broker x behaviour", "store": "store x behaviour"}


@dataclass(frozen=True)
class Cell:
    """One behaviour of one broker or store; why it was not tried, or what is to be known of it."""

    outcome: Outcome
    reason: str = ""


class Table:
    """The outcomes in the reports of pytest."""

    def __init__(self, reports: Iterable[Any]) -> None:
        self.cells: dict[str, dict[str, dict[str, Cell]]] = {}
        for report in reports:
            about = dict(report.user_properties)
            rows = self.cells.setdefault(about["cnstra.suite"], {})
            row = rows.setdefault(about["cnstra.behaviour"], {})
            found, subject = _cell(report, about), about["cnstra.subject"]
            known = row.setdefault(subject, found)
            if SEVERITY[found.outcome] > SEVERITY[known.outcome]:
                row[subject] = found

    def show(self, terminal: Any) -> None:
        """Write it to pytest's terminal."""
        for suite, rows in sorted(self.cells.items()):
            terminal.section(HEADINGS[suite])
            for line in _lines(rows):
                terminal.write_line(line)

    def write(self, path: str) -> None:
        """Write it to a file: suite, broker or store, behaviour, outcome and reason."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for suite, rows in self.cells.items():
            for behaviour, row in rows.items():
                for subject, cell in row.items():
                    columns = found.setdefault(suite, {}).setdefault(subject, {})
                    columns[behaviour] = asdict(cell)
        Path(path).write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", "utf-8")


def _cell(report: Any, about: Mapping[str, str]) -> Cell:
    if report.failed:
        return Cell("FAIL")
    if report.skipped:
        _, _, reason = report.longrepr  # of a skip it is (file, line, reason)
        return Cell("-", str(reason).removeprefix("Skipped: "))
    if "cnstra.refused" in about:
        return Cell("refused", about["cnstra.refused"])
    return Cell("pass", about.get("cnstra.remark", ""))


def _lines(rows: Mapping[str, Mapping[str, Cell]]) -> Iterable[str]:
    subjects = sorted({subject for row in rows.values() for subject in row})
    first = max(map(len, rows))
    widths = [max(len(subject), len("refused")) for subject in subjects]
    reasons: dict[tuple[str, str, str], list[str]] = {}
    yield "  ".join(["".ljust(first), *map(str.ljust, subjects, widths)]).rstrip()
    for behaviour, row in sorted(rows.items()):
        cells = [row.get(subject) for subject in subjects]
        texts = ["" if cell is None else cell.outcome for cell in cells]
        yield "  ".join([behaviour.ljust(first), *map(str.ljust, texts, widths)]).rstrip()
        for subject, cell in zip(subjects, cells, strict=True):
            if cell is not None and cell.reason:
                reasons.setdefault((cell.outcome, subject, cell.reason), []).append(behaviour)
    for (outcome, subject, reason), behaviours in sorted(reasons.items()):
        yield f"{outcome}  {subject}: {reason} ({', '.join(behaviours)})"
