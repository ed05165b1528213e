"""A server that speaks SQS, in a process of its own: moto, on a free port.

    python -m tests.sqs_server PORT

moto has no lock: two who receive at once may get the same message. Here they take turns.
"""

import logging
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from tests.redis_server import free_port

REGION = "eu-central-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
TURN = 0.02


class SQSServer:
    """Queues last as long as it runs."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads a program here that knows nothing of it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL_SQS": self.endpoint}

    def url(self, *options: str) -> str:
        """An URL of our adapter, with short polls, as tests end soon."""
        return url_at(self.port, *options)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sqs_server", str(self.port)],
            cwd=Path(__file__).parents[1],
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "moto's server has ended"
            try:
                with urllib.request.urlopen(f"{self.endpoint}/moto-api/data.json", timeout=5):
                    return
            except urllib.error.URLError:
                time.sleep(0.05)
        raise TimeoutError("moto's server does not answer")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def url_at(port: int, *options: str) -> str:
    """The URL of queues behind a port of this machine."""
    told = "&".join((f"endpoint_url=http://127.0.0.1:{port}", "poll=1", *options))
    return f"sqs://{REGION}?{told}"


def serve(port: int) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from moto.sqs.models import SQSBackend
    from werkzeug.serving import run_simple

    lock = threading.Lock()
    receive_now = partial(SQSBackend.receive_message)

    def receive(backend: Any, queue: str, count: int, wait: int, *rest: Any, **more: Any) -> Any:
        ends_at = time.monotonic() + wait
        while True:
            with lock:
                found = receive_now(backend, queue, count, 0, *rest, **more)
            if found or time.monotonic() > ends_at:
                return found
            time.sleep(TURN)

    SQSBackend.receive_message = receive  # type: ignore[method-assign]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", port, app, threaded=True)  # type: ignore[arg-type]


if __name__ == "__main__":
    serve(int(sys.argv[1]))
