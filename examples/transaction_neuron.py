"""Only JSON crosses a queue. A blob stays in the process, inside an inner run.

python examples/transaction_neuron.py [URL]
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, NamedTuple, TypedDict

from cnstra import (
    CNS,
    Collateral,
    Context,
    Queue,
    Signal,
    StimulationFailed,
    Worker,
    collateral,
    neuron,
)

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

    # A run has no JSON form: this value stays in the process, and the worker's log says so once.
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


async def main(url: str) -> None:
    async with Queue("jobs", url) as queue:
        # Only the id of the blob is in the job.
        jobs = [
            await queue.enqueue(process_request.create_signal({"user_id": user, "blob_id": blob}))
            for user, blob in [("42", "blob-123"), ("43", "blob-404")]
        ]
        await Worker(queue, cns, results=[process_result]).run(until_idle=True)
        for job in jobs:
            print(f"{await job.state()}: {await job.result()}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///transaction_neuron.db"))
