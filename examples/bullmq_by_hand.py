"""A retry that goes on where it stopped, on a plain worker of the `bullmq` package.

python examples/bullmq_by_hand.py [REDIS_URL]

For people who have BullMQ workers already and want to add this to one of them. A `Worker` of ours
does all of it, and also survives a crash between two saves: see `retry_with_context.py`.
"""

# The `bullmq` package does not say its types.
# pyright: basic, reportArgumentType=false

import asyncio
import sys
from typing import Any, NamedTuple, TypedDict
from uuid import uuid4

from bullmq import Job, Queue, QueueEvents, Worker

from cnstra import (
    CNS,
    AbortController,
    Collateral,
    Context,
    Response,
    Signal,
    StimulationFailed,
    collateral,
    neuron,
)


class Item(TypedDict):
    id: int


class Final(TypedDict):
    result: str


class Executed(TypedDict):
    executed: list[str]


request = collateral("input", Item)
step1_out = collateral("step1Out", Item)
step2_out = collateral("step2Out", Item)
output = collateral("output", Final)


class Step1Axon(NamedTuple):
    step1_out: Collateral[Item]


class Step2Axon(NamedTuple):
    step2_out: Collateral[Item]


class Step3Axon(NamedTuple):
    output: Collateral[Final]


step1 = neuron("step1", Step1Axon(step1_out), context=Executed)
step2 = neuron("step2", Step2Axon(step2_out), context=Executed)
step3 = neuron("step3", Step3Axon(output), context=Executed)


def mark(ctx: Context[Executed], what: str) -> None:
    """Note in the neuron's context that it ran."""
    before = ctx.get({"executed": []})
    ctx.set({"executed": [*before["executed"], what]})


@step1.dendrite(request)
async def on_input(payload: Item, axon: Step1Axon, ctx: Context[Executed]) -> Signal[Item]:
    mark(ctx, f"step1-{payload['id']}")
    print("step 1 runs")
    return axon.step1_out.create_signal({"id": payload["id"]})


@step2.dendrite(step1_out)
async def on_step1(payload: Item, axon: Step2Axon, ctx: Context[Executed]) -> Signal[Item] | None:
    mark(ctx, f"step2-{payload['id']}")
    print("step 2 runs")

    # A handler that hears of the abort and returns None is still owed. `[]` would say: done.
    for _ in range(10):
        await asyncio.sleep(0.005)
        if ctx.abort_signal.aborted:
            print("step 2 is interrupted")
            return None
    return axon.step2_out.create_signal({"id": payload["id"]})


@step3.dendrite(step2_out)
async def on_step2(payload: Item, axon: Step3Axon, ctx: Context[Executed]) -> Signal[Final]:
    mark(ctx, f"step3-{payload['id']}")
    print("step 3 runs")
    return axon.output.create_signal({"result": f"Final: {payload['id']}"})


cns = CNS([step1, step2, step3])


async def process(job: Job, token: str) -> dict[str, Any]:
    """What the worker does with a job: run its signal, or what a failed attempt has left of it."""
    del token
    results: list[str] = []

    def on_response(response: Response) -> None:
        signal = response.output_signal
        if signal is not None and signal.collateral_name == "output":
            results.append(signal.payload["result"])

    saved: Any = job.progress

    # Retry attempt: resume from the saved progress.
    if isinstance(saved, dict) and job.attemptsMade > 0:
        tasks = [failed["task"] for failed in saved["failedTasks"]]
        run = cns.activate(tasks, context_values=saved["context"], on_response=on_response)
        await run
        return {"results": results}

    # First attempt: start afresh.
    controller = AbortController()
    run = cns.stimulate(job.data["signal"], abort_signal=controller.signal, on_response=on_response)

    # Simulate an interruption: a timeout, a shutdown.
    await asyncio.sleep(0.010)
    controller.abort()

    try:
        await run
    except StimulationFailed:
        progress = {
            "context": run.context.get_all(),
            "failedTasks": [failed.to_wire() for failed in run.failed_tasks],
        }
        await job.updateProgress(progress)
        raise  # BullMQ tries again
    return {"results": results}


async def main(url: str) -> None:
    name = f"workflows-{uuid4().hex[:8]}"

    # redis-py gives up after 5 s, which is as long as an idle worker waits for a job.
    connection = {"connection": f"{url}?socket_timeout=60"}
    queue = Queue(name, connection)
    finished: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    events = QueueEvents(name, {**connection, "lastEventId": "0-0"})
    events.on("completed", lambda found, _: finished.set_result(found["returnvalue"]))
    worker = Worker(name, process, {**connection, "concurrency": 1})

    await queue.add(
        "workflow-job",
        {"signal": request.create_signal({"id": 100}).to_wire()},
        {"attempts": 2, "removeOnComplete": True, "removeOnFail": True},
    )
    print(f"result: {await asyncio.wait_for(finished, 30)}")

    for each in (worker, events, queue):
        await each.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379"))
