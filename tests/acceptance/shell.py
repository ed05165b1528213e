"""A folder with a small application, and a shell in it."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

APP = """
import asyncio, os, signal, time
from pathlib import Path
from typing import NotRequired, TypedDict

from cnstra import CNS, Queue, Worker, collateral, neuron


class Item(TypedDict):
    id: int
    wait: NotRequired[float]
    fail: NotRequired[str]


def log(line):
    with open("effects", "a") as file:
        file.write(line + "\\n")


request, middle, output = (collateral(name, Item) for name in ("request", "middle", "output"))
first = neuron("first", {"middle": middle, "output": output}, context=dict)
second = neuron("second", {"output": output})


@first.dendrite(request)
async def on_request(payload, axon, ctx):
    log(f"first {payload['id']} {os.getpid()}")
    ctx.set({"seen": payload["id"]})
    return [axon.output.create_signal(payload), axon.middle.create_signal(payload)]


@second.dendrite(middle)
async def on_middle(payload, axon, ctx):
    log(f"second {payload['id']} {os.getpid()}")
    await asyncio.sleep(payload.get("wait", 0))
    if "fail" in payload and not Path("mended").exists():
        raise ValueError(payload["fail"])
    return axon.output.create_signal(payload)


cns = CNS([first, second])
GRACE = float(os.environ.get("GRACE", "0.3"))
queue = Queue("work", "sqlite:///work.db")
worker = Worker(queue, cns, results=[output], durability="step", lease=2, grace=GRACE)
number = 3


def make_worker():
    return Worker(Queue("work", "sqlite:///work.db"), cns)


def make_number():
    return number


def make_trouble():
    raise RuntimeError("no such luck")


def needs_more(argument):
    return worker
"""

Ended = subprocess.CompletedProcess[str]


class Shell:
    """Runs `cnstra` in a folder, as a user does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.columns = 120
        """The width of a terminal."""
        (folder / "app.py").write_text(APP, encoding="utf-8")
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"FORCE_COLOR", "NO_COLOR", "COLUMNS", "PYTHONPATH"}
        }

    def __call__(self, *words: str, given: str = "", code: int = 0) -> Ended:
        """Run it to its end, which must have that exit code."""
        ended = subprocess.run(
            [sys.executable, "-m", "cnstra", *words],
            cwd=self.folder, env=self.environment, input=given, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
        return ended

    def json(self, *words: str, given: str = "") -> Any:
        """What it prints, as JSON."""
        return json.loads(self(*words, "--json", given=given).stdout)

    def complaint(self, *words: str, given: str = "", code: int = 2) -> str:
        """Its one line on standard error."""
        ended = self(*words, given=given, code=code)
        (line,) = ended.stderr.splitlines()
        assert line.startswith("cnstra: ")
        return line

    @contextmanager
    def running(self, *words: str, **environment: str) -> Iterator["Running"]:
        """Run it meanwhile; it is killed at the end, if it still runs."""
        log = self.folder / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "cnstra", *words],
                cwd=self.folder, env={**self.environment, **environment},
                stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        try:
            yield Running(process, log)
        finally:
            process.kill()
            process.communicate()

    def glance(self, *words: str, until: str) -> str:
        """What it shows on a terminal, until that stands there; then it is ended by Ctrl-C."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "cnstra", *words],
            cwd=self.folder, env={**self.environment, **self._terminal},
            stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            while until.encode() not in shown:
                shown += os.read(ours, 65536)
            process.send_signal(signal.SIGINT)
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return shown.decode()

    def on_a_terminal(self, *words: str, stdin: Path | None = None) -> str:
        """All that it shows on a terminal of that width."""
        ours, theirs = pty.openpty()
        with (stdin or Path(os.devnull)).open() as source:
            process = subprocess.Popen(
                [sys.executable, "-m", "cnstra", *words],
                cwd=self.folder, env={**self.environment, **self._terminal},
                stdin=source, stdout=theirs, stderr=theirs,
            )  # fmt: skip
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(ours)
        assert process.wait(60) == 0, shown
        return shown.decode()

    @property
    def _terminal(self) -> dict[str, str]:
        return {"TERM": "xterm", "COLUMNS": str(self.columns)}

    @property
    def effects(self) -> list[list[str]]:
        """What the handlers have done: neuron, id, process."""
        path = self.folder / "effects"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


class Running:
    """A `cnstra` that runs."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, within: float = 20) -> int:
        return self.process.wait(within)


def eventually(holds: Callable[[], Any], within: float = 20) -> Any:
    """What it returns, once that is true."""
    ends = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < ends, f"{holds} did not come true in {within} s"
        time.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
