"""NATS servers that tests start, kill and start again."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from nats.aio.client import Client

from tests.redis_server import free_port


class NatsServer:
    """A `nats-server` on a port of its own, with its data in `folder`. settings: of its file."""

    def __init__(self, folder: Path, settings: str = "", *, jetstream: bool = True) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = settings
        self.jetstream = jetstream
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def place(self) -> str:
        """The URL of a namespace that nobody else uses."""
        return f"{self.url}/t{uuid4().hex}"

    def start(self) -> None:
        program = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None, "these tests need nats-server: apt install nats-server"
        store = f'jetstream {{ store_dir: "{self.folder}" }}' if self.jetstream else ""
        file = self.folder / "nats.conf"
        file.write_text(
            f'listen: "127.0.0.1:{self.port}"\nports_file_dir: "{self.folder}"\n'
            f"{store}\n{self.settings}\n"
        )
        self.process = subprocess.Popen(
            [program, "-c", str(file), "-l", str(self.folder / "log")], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if list(self.folder.glob(f"nats-server_{self.process.pid}.ports")):
                return
            time.sleep(0.01)
        raise TimeoutError("nats-server does not answer")

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


async def api(url: str, call: str, **request: Any) -> dict[str, Any]:
    """Ask JetStream, as a bystander."""
    client = Client()
    await client.connect(url)
    try:
        answer = await client.request(f"$JS.API.{call}", json.dumps(request).encode(), timeout=5)
    finally:
        await client.close()
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def publish(url: str, subject: str, body: bytes) -> None:
    """Publish as any program would."""
    client = Client()
    await client.connect(url)
    await client.publish(subject, body)
    await client.flush()
    await client.close()
