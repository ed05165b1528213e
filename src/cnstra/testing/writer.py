"""`python -m cnstra.testing.writer URL RUN`: writes to a store until it is killed."""

import asyncio
import sys
from itertools import count

from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import Patch, ProgressStore, Ticket


async def write(url: str, run: str) -> None:
    """Say of each write that it has landed; each replaces an entry of the one before."""
    store: ProgressStore = adapter_for(url).store(url, SYSTEM_CLOCK)
    await store.open()
    await store.load(run)
    for seq in count(1):
        entries = {"n": b"%d" % seq, f"k{seq}": b"x" * 1000}
        await store.commit(Ticket(run, 1, seq), Patch(entries, {f"k{seq - 1}"}))
        print(f"landed {seq}\n", end="", flush=True)


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:]))
