"""`python -m tests.crash.bank LOG`: a bank over HTTP that does what it is told, and counts.

It serves one request after the other in the order in which they came, so that what is asked after
a death sees what was told before it. It drops no repeats: each POST is a line in the log.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

ROOT = Path(__file__).parents[2]


class Desk(BaseHTTPRequestHandler):
    """POST /charge/JOB/KEY, POST /notify/JOB/KEY, GET /charge/JOB/KEY."""

    log: Any
    told: "set[str]"

    def do_POST(self) -> None:
        self.log.write(f"{self.path}\n")
        self.log.flush()
        self.told.add(self.path)
        self._answer(True)

    def do_GET(self) -> None:
        self._answer(self.path in self.told)

    def _answer(self, happened: bool) -> None:
        body = json.dumps(happened).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(HTTPServer):
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Its client was killed; what it had told is told."""


class Bank:
    """The process, as a test holds it, and its log."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bank.log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.bank", str(self.path)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert self.process.stdout is not None
        with self.process.stdout as said:
            self.url = said.readline().strip()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def told(self, what: str) -> "dict[int, Counter[str]]":
        """For each job how often which key was told."""
        found: dict[int, Counter[str]] = {}
        for line in self.path.read_text().splitlines():
            _, kind, job, key = line.split("/")
            if kind == what:
                found.setdefault(int(job), Counter())[unquote(key)] += 1
        return found


async def tell(url: str, what: str, job: int, key: str) -> bool:
    """Have the bank do it."""
    return await _request(url, "POST", what, job, key)


async def ask(url: str, what: str, job: int, key: str) -> bool:
    """Whether the bank has done it."""
    return await _request(url, "GET", what, job, key)


async def _request(url: str, method: str, what: str, job: int, key: str) -> bool:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        path = f"/{what}/{job}/{quote(key, safe='')}"
        writer.write(f"{method} {path} HTTP/1.0\r\nHost: bank\r\n\r\n".encode())
        await writer.drain()
        answer = await reader.read()
        return bool(json.loads(answer.partition(b"\r\n\r\n")[2]))
    finally:
        writer.close()


def main() -> None:
    with Path(sys.argv[1]).open("a") as log:
        Desk.log, Desk.told = log, set()
        server = Server(("127.0.0.1", 0), Desk)
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
