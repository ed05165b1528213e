"""A blob stays inside an inner run, on a plain BullMQ worker: only ids are in the job.

python examples/bullmq_transaction.py [REDIS_URL]
"""

# The `bullmq` package does not say its types.
# pyright: basic, reportArgumentType=false

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, NamedTuple, TypedDict
from uuid import uuid4

from bullmq import Job, Queue, QueueEvents, Worker

from cnstra import CNS, Collateral, Context, Signal, StimulationFailed, collateral, neuron

# --- what crosses the queue


class ProcessRequest(TypedDict):
    user_id: str
    blob_id: str


class ProcessResult(TypedDict):
    user_id: str
    success: bool


process_request = collateral("processRequest", ProcessRequest)
process_result = collateral("processResult", ProcessResult)


# --- what never leaves the process


class Blob:
    """Bytes on loan from a storage. It has no JSON form, and needs none."""

    def __init__(self, content: bytes) -> None:
        self.content = memoryview(content)


class BlobData(NamedTuple):
    user_id: str
    blob: Blob


blob_data = collateral("blobData", BlobData)
blob_processed = collateral("blobProcessed", ProcessResult)

storage = {"blob-123": Blob(b"\x89PNG a picture"), "blob-404": Blob(b"no picture at all")}


# --- the transaction neuron: its inner run completes as a whole, or fails as a whole


class TransactionAxon(NamedTuple):
    process_result: Collateral[ProcessResult]


class Transaction(TypedDict):
    inner_stimulation: Awaitable[Any]


transaction = neuron("transaction", TransactionAxon(process_result), context=Transaction)


@transaction.dendrite(process_request)
async def on_request(
    payload: ProcessRequest, axon: TransactionAxon, ctx: Context[Transaction]
) -> Signal[ProcessResult]:
    user_id = payload["user_id"]
    blob = storage[payload["blob_id"]]

    inner = ctx.cns.stimulate(blob_data.create_signal(BlobData(user_id, blob)))

    # It is kept in the context of this run only: nothing of it goes into the job.
    ctx.set({"inner_stimulation": inner})

    try:
        await inner
    except StimulationFailed as error:
        print(f"{user_id}: nothing is processed, {error.failed_tasks[0].error}")
        return axon.process_result.create_signal({"user_id": user_id, "success": False})
    return axon.process_result.create_signal({"user_id": user_id, "success": True})


# --- the neuron inside


class BlobAxon(NamedTuple):
    blob_processed: Collateral[ProcessResult]


blob_processor = neuron("blobProcessor", BlobAxon(blob_processed))


@blob_processor.dendrite(blob_data)
async def on_blob(payload: BlobData, axon: BlobAxon) -> Signal[ProcessResult]:
    if not bytes(payload.blob.content).startswith(b"\x89PNG"):
        raise ValueError("this is no picture")
    print(f"{payload.user_id}: {len(payload.blob.content)} bytes are processed")
    return axon.blob_processed.create_signal({"user_id": payload.user_id, "success": True})


cns = CNS([transaction, blob_processor])


async def process(job: Job, token: str) -> dict[str, Any]:
    """The stimulation runs in this process; if it fails, so does the job."""
    del token
    stimulation = cns.stimulate(job.data["signal"])
    await stimulation.wait_until_complete()

    # Return only what has a JSON form.
    return {"success": True}


async def main(url: str) -> None:
    name = f"jobs-{uuid4().hex[:8]}"
    connection = {"connection": f"{url}?socket_timeout=60"}
    finished: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    events = QueueEvents(name, {**connection, "lastEventId": "0-0"})
    events.on("completed", lambda found, _: finished.set_result(found["returnvalue"]))
    worker = Worker(name, process, connection)

    queue = Queue(name, connection)
    signal = process_request.create_signal({"user_id": "42", "blob_id": "blob-123"})
    await queue.add("process", {"signal": signal.to_wire()})

    print(f"result: {await asyncio.wait_for(finished, 30)}")
    for each in (worker, events, queue):
        await each.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379"))
