"""Node's side of the tests: BullMQ's own workers and its own view of a queue."""

import fcntl
import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

FOLDER = Path(__file__).parent / "node"


def install() -> None:
    """Install what the lock file names, once; other test processes wait for it.

    `npm ci` would refuse it where a registry lacks native builds for platforms that are not ours.
    """
    npm = shutil.which("npm")
    assert npm is not None, "these tests need Node 20 and npm"
    with (FOLDER / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = FOLDER / "node_modules" / ".package-lock.json"
        if installed.exists() and installed.stat().st_mtime > Path(lock.name).stat().st_mtime:
            return
        subprocess.run(
            [npm, "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=FOLDER,
            check=True,
            stdout=subprocess.DEVNULL,
        )


class Program:
    """A Node program that says when it is ready."""

    def __init__(self, file: str, *arguments: str) -> None:
        install()
        self.process = subprocess.Popen(
            ["node", file, *arguments],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "ready" in self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._reap()

    def _reap(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class NodeWorker(Program):
    """The worker of the seed's second listing. Its options are those of `worker.mjs`."""

    def __init__(self, port: int, queue: str, **options: Any) -> None:
        super().__init__("worker.mjs", json.dumps({"port": port, "queue": queue, **options}))


class Bull(Program):
    """A queue as npm's `bullmq` sees it."""

    def __init__(self, port: int, queue: str) -> None:
        super().__init__("bull.mjs", str(port), queue)

    def ask(self, question: str, **rest: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"ask": question, **rest}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.line())
        assert "error" not in answer, answer
        return answer["answer"]
