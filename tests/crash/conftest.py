"""The rows of the fleets, at the end of a run."""

from typing import Any

from tests.crash.fleet import COLUMNS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [
        report for each in terminalreporter.stats.values() for report in each
        if dict(getattr(report, "user_properties", ())).get("crash.seed") is not None
    ]  # fmt: skip
    rows = {dict(report.user_properties).get("crash.row"): report for report in reports}
    if rows:
        terminalreporter.section("fleets that were killed")
        terminalreporter.line(f"broker | {COLUMNS}")
        for row, report in rows.items():
            seed = dict(report.user_properties)["crash.seed"]
            terminalreporter.line(row or f"{report.nodeid} did not end: CRASH_SEED={seed}")
