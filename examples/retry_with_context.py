"""A job is interrupted in step 2 of 3. The next worker begins with step 2, not with step 1.

python examples/retry_with_context.py [URL]
"""

import asyncio
import sys
from typing import NamedTuple, TypedDict

from cnstra import CNS, Collateral, Context, Queue, Response, Signal, Worker, collateral, neuron


class Item(TypedDict):
    id: int


class Final(TypedDict):
    result: str


# Context is metadata about a run, a value per neuron. Business data travels in the payloads.
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
async def on_step1(payload: Item, axon: Step2Axon, ctx: Context[Executed]) -> Signal[Item]:
    mark(ctx, f"step2-{payload['id']}")
    print("step 2 runs")
    await remote.call()
    return axon.step2_out.create_signal({"id": payload["id"]})


@step3.dendrite(step2_out)
async def on_step2(payload: Item, axon: Step3Axon, ctx: Context[Executed]) -> Signal[Final]:
    mark(ctx, f"step3-{payload['id']}")
    print("step 3 runs")
    return axon.output.create_signal({"result": f"Final: {payload['id']}"})


class Remote:
    """A service that hangs on its first call, and answers the second."""

    def __init__(self) -> None:
        self.hangs = True
        self.called = asyncio.Event()

    async def call(self) -> None:
        self.called.set()
        if self.hangs:
            await asyncio.Event().wait()


remote = Remote()
cns = CNS([step1, step2, step3])


async def main(url: str) -> None:
    cns.add_response_listener(show_context)
    async with Queue("workflows", url) as queue:
        job = await queue.enqueue(request.create_signal({"id": 100}), max_attempts=2)

        # A deploy: 10 ms into step 2, the worker is told to stop. SIGTERM calls the same `stop`.
        first = Worker(queue, cns, results=[output], grace=0)
        running = asyncio.create_task(first.run())
        await remote.called.wait()
        await asyncio.sleep(0.010)
        first.stop()
        await running

        record = await job.record()
        assert record is not None
        print(f"interrupted: {record.state}, {record.attempts_made} attempts used up")

        # The new version starts, and goes on where the job stands.
        remote.hangs = False
        await Worker(queue, cns, results=[output]).run(until_idle=True)
        print(f"result: {await job.result()}")


def show_context(response: Response) -> None:
    """With the result, print what the run has noted over both attempts."""
    signal = response.output_signal
    if signal is not None and signal.collateral_name == output.name:
        for name, value in sorted(response.stimulation.context.get_all().items()):
            print(f"context of {name}: {value}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///retry_with_context.db"))
