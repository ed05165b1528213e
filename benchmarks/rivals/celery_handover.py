"""`python -m benchmarks.rivals.celery_handover`: how Celery on Redis loses what it hands over.

kombu takes a message off its list by BRPOP, and keeps a copy in `unacked` once it has read the
answer. Here a worker is stopped while its BRPOP waits, Redis answers, and the worker is killed:
what takes a millisecond of each task, done slowly enough to look at.
"""

import os
import signal
import time

from redis import Redis

from benchmarks.rivals.program import Program
from benchmarks.rivals.rival import RIVALS
from benchmarks.rivals.servers import place

AFTERWARDS = 30.0
"""Seconds for the next worker: six times the visibility timeout."""


def main() -> None:
    rival = RIVALS["celery-task"]
    with place(rival) as found, Redis.from_url(found.redis) as server:
        program = Program(rival, found)
        program.submit(0, 1)
        message = server.rpop("celery")
        with program.worker() as worker:
            hand_over(server, worker.pid, message)
            print(f"handed to a worker that stands still: {where(server)}")
        print(f"the worker killed: {where(server)}")
        with program.worker():
            time.sleep(AFTERWARDS)
        print(f"{AFTERWARDS:.0f} s of another worker later: {where(server)}")
        print(f"result: {program.results(1)[0]}")


def hand_over(server: Redis, worker: int, message: bytes) -> None:
    """Stop the worker while its BRPOP waits, and have Redis answer it."""
    while True:
        while not any(client["cmd"] == "brpop" for client in server.client_list()):
            time.sleep(0.01)
        os.killpg(worker, signal.SIGSTOP)
        server.lpush("celery", message)
        if not server.llen("celery"):
            return
        server.delete("celery")  # that BRPOP had just timed out
        os.killpg(worker, signal.SIGCONT)


def where(server: Redis) -> str:
    return f"{server.llen('celery')} in the queue, {server.hlen('unacked')} in unacked"


if __name__ == "__main__":
    main()
