"""A write to BullMQ that was refused lets go of its own lease, and of no other."""

from typing import Any, cast

import pytest

from cnstra.adapters.bullmq.leases import Lease
from cnstra.adapters.bullmq.options import JobOptions
from cnstra.adapters.bullmq.runs import RunStore
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.store import Patch, Ticket
from cnstra.errors import Fenced


def lease(token: bytes) -> Lease:
    return Lease(
        fields={}, options=JobOptions(), duration=1.0, native=b"1", token=token, proof="",
        run="run", epoch=1, carried=None, afresh=False, is_stored=True,
    )  # fmt: skip


class Refusing:
    """A client that refuses, and meanwhile something becomes of the lease."""

    def __init__(self) -> None:
        self.store: Any = None
        self.instead: Lease | None = None

    async def run(self, *_: Any) -> Any:
        self.store.leases.pop("run")
        if self.instead is not None:
            self.store.leases["run"] = self.instead
        return [b"fenced", 2]


@pytest.mark.parametrize("instead", [None, lease(b"another's")])
async def test_a_lease_that_went_meanwhile_is_no_error_but_the_fence(instead: Lease | None) -> None:
    client = Refusing()
    store = RunStore(cast(Any, client), b"", SYSTEM_CLOCK, owns_client=False)
    client.store, client.instead = store, instead
    store.leases["run"] = lease(b"ours")

    with pytest.raises(Fenced):
        await store.commit(Ticket("run", 1, 1), Patch({"a": b"1"}))

    assert store.leases.get("run") is instead
