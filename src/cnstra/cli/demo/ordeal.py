"""Runs the audit, and kills its worker in the middle of work, again and again."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from cnstra import Queue
from cnstra.cli.demo.audit import Package, package
from cnstra.cli.demo.effects import EffectLog, Hash
from cnstra.cli.demo.process import effects_in, errors_in, queue_in, start_worker
from cnstra.cli.demo.survey import Installed
from cnstra.engine.payloads import decode_json
from cnstra.errors import CnstraError

GLANCE = 0.003
REACTION = 0.001
STALL = 60.0


class DemoFailed(CnstraError):
    """The demo failed: {reason}."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A SIGKILL. `running`: hashes that it fell on; `packages`: those that the worker held;
    `spared`: hashes of these packages that the checkpoints held as done."""

    at: float
    running: int
    packages: int
    spared: int


@dataclass(slots=True)
class Ordeal:
    """How far it is."""

    hashes: int
    packages: int
    kills_wanted: int
    hashed: int = 0
    again: int = 0
    packages_done: int = 0
    kills: list[Kill] = field(default_factory=list[Kill])
    broken_promises: int = 0

    @property
    def hits(self) -> int:
        """How many kills fell on a hash that was running."""
        return sum(kill.running > 0 for kill in self.kills)

    @property
    def spared(self) -> int:
        """How many hashes the resumes did not repeat, summed over the kills."""
        return sum(kill.spared for kill in self.kills)


Watcher = Callable[[Ordeal], None]


class Director:
    """Enqueues the packages, starts the worker, kills it, and starts the next one."""

    def __init__(
        self, packages: Sequence[Installed], folder: Path, kills: int, watcher: Watcher
    ) -> None:
        self._packages = {one.record: one for one in packages}
        self._folder = folder
        self._watcher = watcher
        self._queue: Queue = queue_in(folder)
        self._log = EffectLog(effects_in(folder))
        self._saved: set[Hash] = set()
        self._began = self._last_sign = time.monotonic()
        self._counted = 0.0
        self.ordeal = Ordeal(sum(len(one.hashed) for one in packages), len(packages), kills)

    async def run(self) -> list[dict[str, object]]:
        """Audit all packages. Returns their verdicts."""
        signals = [package.create_signal(Package(record)) for record in self._packages]
        async with self._queue:
            try:
                await self._queue.enqueue_many(signals)
                while not await self._see_one_worker():
                    pass
                return await self._verdicts()
            finally:
                self._log.close()

    async def _see_one_worker(self) -> bool:
        """Let a worker work until it is killed or done. Returns whether all is done."""
        worker = start_worker(self._folder)
        try:
            while worker.poll() is None:
                self._look()
                self._require_progress()
                if self._is_time_to_kill() and self._is_caught(worker):
                    await self._kill(worker)
                    return False
                await self._count_packages()
                await asyncio.sleep(GLANCE)
        finally:
            worker.kill()
            worker.wait()
        self._look()
        await self._count_packages(now=True)
        if worker.returncode:
            raise DemoFailed(reason=f"a worker ended by itself: {self._last_words()}")
        return True

    # --- looking

    def _look(self) -> None:
        for one in self._log.read():
            self.ordeal.broken_promises += one in self._saved
            self._last_sign = time.monotonic()
        self.ordeal.hashed = len(self._log.ended)
        self.ordeal.again = self._log.again
        self._watcher(self.ordeal)

    async def _count_packages(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._counted > 0.2:
            self._counted = time.monotonic()
            self.ordeal.packages_done = (await self._queue.counts())["completed"]
            self._watcher(self.ordeal)

    def _require_progress(self) -> None:
        if time.monotonic() - self._last_sign > STALL:
            raise DemoFailed(reason=f"no hash has begun for {STALL:g} s: {self._last_words()}")

    def _last_words(self) -> str:
        return errors_in(self._folder).read_text(errors="replace").strip()[-500:] or "no reason"

    # --- killing

    def _is_time_to_kill(self) -> bool:
        """The kills are spread evenly over the work."""
        ordeal = self.ordeal
        due = ordeal.hashes * (ordeal.hits + 1) / (ordeal.kills_wanted + 1)
        return ordeal.hits < ordeal.kills_wanted and ordeal.hashed >= due

    def _is_caught(self, worker: "Popen[bytes]") -> bool:
        """Stop it for a moment to see whether a hash is running; if none is, let it go on."""
        worker.send_signal(signal.SIGSTOP)
        time.sleep(REACTION)
        self._look()
        if not self._log.running:
            worker.send_signal(signal.SIGCONT)
        return bool(self._log.running)

    async def _kill(self, worker: "Popen[bytes]") -> None:
        worker.kill()
        worker.wait()
        self._look()
        running = len(self._log.running)
        self._log.running.clear()
        held = await self._queue.jobs("active")
        saved = [one for record in held for one in await self._saved_hashes(record.id, record.data)]
        self._saved.update(saved)
        at = time.monotonic() - self._began
        self.ordeal.kills.append(Kill(round(at, 1), running, len(held), len(saved)))
        self._watcher(self.ordeal)

    async def _saved_hashes(self, job_id: str, data: bytes) -> list[Hash]:
        """The hashes of a package that its checkpoint holds as done."""
        progress = await self._queue.progress(job_id)
        if progress is None or not progress.started:
            return []
        owed = [task for _, task in progress.tasks()]
        if any(task.neuron == "reader" for task in owed):
            return []
        record: str = decode_json(data)["signal"]["payload"]["record"]
        open_lines = {
            decode_json(bytes(task.payload))["line"] for task in owed if task.neuron == "hasher"
        }
        return [Hash(record, line) for line in self._packages[record].hashed - open_lines]

    # --- the end

    async def _verdicts(self) -> list[dict[str, object]]:
        jobs = await self._queue.jobs(limit=len(self._packages))
        dead = [job for job in jobs if job.state != "completed"]
        if dead:
            raise DemoFailed(reason=f"{len(dead)} packages have no verdict: {dead[0].error}")
        return [decode_json(job.result or b"")["results"][0] for job in reversed(jobs)]
