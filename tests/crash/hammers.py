"""Processes that work on one queue and are killed again and again."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import Ticket
from cnstra.jobs.broker import Broker
from cnstra.jobs.settlement import Completed
from tests.crash.hammer import LEASE, steps_of

ROOT = Path(__file__).parents[2]
KILLS = 30
AT_ONCE = 3


class Hammers:
    """The processes, and what they said."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        self.started = 0

    def start(self) -> None:
        name = f"p{self.started}"
        self.started += 1
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", "tests.crash.hammer", self.url, name]
            self.running.append(subprocess.Popen(command, stdout=log, cwd=ROOT))

    def have_completed(self, more_than: int) -> None:
        """Wait until together they have: on a busy machine, kills must not outrun the work."""
        wait_until(lambda: len(self.said("completed")) > more_than)

    def kill_one_at_work(self) -> None:
        victim = self.running.pop(0)
        log = self.folder / f"p{self.started - AT_ONCE}.log"
        wait_until(lambda: log.stat().st_size > 0)
        time.sleep(random.uniform(0.0, 0.1))
        victim.send_signal(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL, "it had ended by itself"

    def kill_the_rest(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()

    def said(self, what: str) -> list[str]:
        lines = [line for log in self.folder.glob("*.log") for line in log.read_text().split("\n")]
        return [line.removeprefix(f"{what} ") for line in lines if line.startswith(f"{what} ")]


@contextmanager
def hammering(url: str, folder: Path) -> Generator[Hammers, None, None]:
    hammers = Hammers(url, folder)
    try:
        yield hammers
    finally:
        hammers.kill_the_rest()


async def drain(url: str) -> None:
    """Complete all that is left."""
    broker: Broker = adapter_for(url).broker("q", url, SYSTEM_CLOCK, 3600.0)
    await broker.open()
    while deliveries := await broker.receive(50, lease=30.0, wait=2 * LEASE, rate=None):
        for delivery in deliveries:
            saved = delivery.saved
            assert saved is not None
            result = Completed(b"%d" % steps_of(saved))
            await broker.settle(delivery, result, Ticket(delivery.run, saved.epoch, saved.seq + 1))
    await broker.close()


def kill_again_and_again(url: str, folder: Path) -> Hammers:
    """What they said, once so many of them were killed and the queue is drained."""
    with hammering(url, folder) as hammers:
        for _ in range(AT_ONCE):
            hammers.start()
        for kill in range(KILLS):
            hammers.have_completed(kill)
            hammers.kill_one_at_work()
            hammers.start()
        hammers.have_completed(KILLS)
        assert [process.poll() for process in hammers.running] == [None] * AT_ONCE
    return hammers


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)
