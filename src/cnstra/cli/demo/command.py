"""`cnstra demo`."""

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from cnstra.cli.demo.check import plain_audit
from cnstra.cli.demo.display import shown
from cnstra.cli.demo.ordeal import DemoFailed, Director, Ordeal
from cnstra.cli.demo.report import show_verdicts, write_report
from cnstra.cli.demo.survey import Installed, survey
from cnstra.cli.output import console

FEWEST_FILES = 2_000
FEWEST_HITS = 3


def demo(
    max_files: Annotated[
        int, typer.Option(min=FEWEST_FILES, help="Audit packages of so many files at most.")
    ] = 20_000,
    kills: Annotated[
        int, typer.Option(min=FEWEST_HITS, help="How often to kill the worker in mid-work.")
    ] = 5,
    report: Annotated[Path, typer.Option(help="Where to write the report.")] = Path(
        "cnstra-demo-report.json"
    ),
) -> None:
    """Audit Python packages while the worker is killed.

    Those of this machine, and it is killed again and again. One job a package: it reads the
    package's RECORD, hashes each file and joins a verdict. At the end a plain loop over the same
    files shows whether the verdicts are right.
    """
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: nothing stays behind
    screen = console()
    packages = _packages(max_files)
    files = sum(one.files for one in packages)
    screen.print(f"Auditing {len(packages)} installed packages, {files:,} files.")
    with TemporaryDirectory(prefix="cnstra-demo-") as folder, shown(screen) as watcher:
        director = Director(packages, Path(folder), kills, watcher)
        verdicts = asyncio.run(director.run())
    ordeal = director.ordeal
    show_verdicts(screen, verdicts)
    _show_ordeal(screen, ordeal)
    differing = _differing(verdicts, packages)
    seconds = time.monotonic() - began
    write_report(report, verdicts, ordeal, seconds=seconds, identical=not differing)
    screen.print(f"Report: {report.absolute()}")
    judge(ordeal, differing)
    screen.print(f"A plain loop over the same files: identical. ({seconds:.0f} s in all)")


def _packages(max_files: int) -> list[Installed]:
    packages = survey(max_files)
    files = sum(one.files for one in packages)
    if files < FEWEST_FILES:
        reason = (
            f"only {files:,} files of installed packages were found on this machine, and it takes "
            f"{FEWEST_FILES:,}: pip install something large first"
        )
        raise DemoFailed(reason=reason)
    return packages


def _show_ordeal(screen: Console, ordeal: Ordeal) -> None:
    screen.print(
        f"The worker was killed {len(ordeal.kills)} times, {ordeal.hits} of them in mid-work. "
        f"The resumes spared {ordeal.spared:,} hashes; {ordeal.again:,} were done twice."
    )


def _differing(verdicts: Sequence[dict[str, Any]], packages: Sequence[Installed]) -> list[str]:
    """The packages on which the graph and a plain loop do not agree."""
    plain = {str(one["record"]): one for one in plain_audit(one.record for one in packages)}
    audited = {str(one["record"]): one for one in verdicts}
    return [name for name in plain if audited.get(name) != plain[name]]


def judge(ordeal: Ordeal, differing: Sequence[str]) -> None:
    if differing:
        raise DemoFailed(reason=f"a plain loop over the same files differs on {differing[0]}")
    if ordeal.broken_promises:
        raise DemoFailed(reason=f"{ordeal.broken_promises} hashes were repeated though saved")
    if ordeal.hits < FEWEST_HITS:
        raise DemoFailed(
            reason=f"only {ordeal.hits} kills fell on running work, and it takes {FEWEST_HITS}: "
            "try a larger --max-files"
        )
