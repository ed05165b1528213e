"""Redis servers that tests start, fill, kill and start again."""

import asyncio
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.durables import TravellingClock
from tests.manual_clock import ManualClock

SHORTEN_LIVES = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, left - tonumber(ARGV[1])) end
end
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A `redis-server` on a port of its own, with its data in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.socket = folder / "redis.sock"
        self.options = options
        self.password: str | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.launch()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if self.call("PING"):
                    return
            except redis.exceptions.ConnectionError:
                time.sleep(0.01)
        raise TimeoutError("redis-server does not answer")

    def launch(self) -> None:
        """Start it, and do not wait for it."""
        program = shutil.which("redis-server")
        assert program is not None, "these tests need redis-server: apt install redis-server"
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--unixsocket", str(self.socket), "--save", "", "--daemonize", "no", *self.options],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def call(self, *command: Any) -> Any:
        """One command, as a bystander would send it. It is sent once."""
        options: dict[str, Any] = {"password": self.password, "retry": Retry(NoBackoff(), 0)}
        with redis.Redis(port=self.port, decode_responses=True, **options) as client:
            return client.execute_command(*command)

    def age(self, duration: float) -> None:
        """Let what would have expired in so many seconds expire."""
        self.call("EVAL", SHORTEN_LIVES, 0, round(duration * 1000))


ANSWER_TIME = 0.02


class RedisClock(ManualClock):
    """A manual clock that moves a Redis along: what would have expired by then expires.

    What is in flight has a moment to land first, as it would have in all the time that passes here.
    """

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server = server

    async def advance(self, duration: float) -> None:
        await asyncio.sleep(ANSWER_TIME)
        self.server.age(duration)
        await super().advance(duration)


class TravellingRedisClock(TravellingClock):
    """A clock that takes a Redis along when a test sets it forward."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server = server

    def travel(self, duration: float) -> None:
        self.server.age(duration)
        super().travel(duration)
