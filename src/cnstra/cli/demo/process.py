"""The demo's worker: `cnstra worker cnstra.cli.demo.process:worker`, in a folder of the demo's."""

import os
import subprocess
import sys
from pathlib import Path

from cnstra import Queue, Worker
from cnstra.cli.demo.audit import audit_graph, examine, verdict
from cnstra.cli.demo.effects import logged

FOLDER = "CNSTRA_DEMO_FOLDER"
LEASE = 2.0
"""Seconds. Short, as a killed worker's packages wait for its end before the next one has them."""


def queue_in(folder: Path) -> Queue:
    """The queue of packages."""
    return Queue("packages", f"sqlite:///{folder / 'demo.db'}")


def effects_in(folder: Path) -> Path:
    """Where the worker logs what it does."""
    return folder / "effects.log"


def worker() -> Worker:
    """The worker, in the folder that the environment names."""
    folder = Path(os.environ[FOLDER])
    return Worker(
        queue_in(folder),
        audit_graph(logged(examine, effects_in(folder))),
        concurrency=4,
        results=[verdict],
        durability="behind",
        lease=LEASE,
        crash_limit=None,  # it is killed on purpose, which is not the neurons' fault
    )


def start_worker(folder: Path) -> "subprocess.Popen[bytes]":
    """Start it as a process of its own, which ends once all packages are done."""
    command = ["worker", f"{__name__}:worker", "--until-idle", "--log-level", "warning"]
    with errors_in(folder).open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "cnstra", *command],
            env={**os.environ, FOLDER: str(folder)},
            stdin=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


def errors_in(folder: Path) -> Path:
    """What the workers had to say."""
    return folder / "worker.log"
