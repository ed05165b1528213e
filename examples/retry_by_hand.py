"""The same retry with no queue and no worker: abort a run, save what it owes, go on from that.

python examples/retry_by_hand.py [FILE]

This is what a `Worker` does for you, in the form that the saved progress has in a job. Write it by
hand where you have a broker, a worker and a place for a few lines of JSON already.
"""

import asyncio
import json
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple, TypedDict

from cnstra import (
    CNS,
    AbortController,
    Collateral,
    Context,
    Response,
    Signal,
    Stimulation,
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


async def first_attempt(signal: Signal[Item]) -> dict[str, Any]:
    """Run for 10 ms, then abort. Returns the progress."""
    controller = AbortController()
    run = cns.stimulate(signal, abort_signal=controller.signal)

    await asyncio.sleep(0.010)
    controller.abort("a timeout")

    try:
        await run
    except StimulationFailed as error:
        print(f"failed: {error}")
    return progress_of(run)


async def retry(saved: dict[str, Any]) -> list[str]:
    """Go on with the tasks that failed, with the context that was saved."""
    results: list[str] = []

    def collect(response: Response) -> None:
        signal = response.output_signal
        if signal is not None and signal.collateral_name == output.name:
            results.append(signal.payload["result"])

    tasks = [failed["task"] for failed in saved["failedTasks"]]
    run = cns.activate(tasks, context_values=saved["context"], on_response=collect)
    await run

    for name, value in sorted(run.context.get_all().items()):
        print(f"context of {name}: {value}")
    return results


def progress_of(run: Stimulation) -> dict[str, Any]:
    """What the run owes, and its context, ready to be written as JSON."""
    return {
        "context": run.context.get_all(),
        "failedTasks": [failed.to_wire() for failed in run.failed_tasks],
    }


def main(file: Path) -> None:
    progress = asyncio.run(first_attempt(request.create_signal({"id": 100})))
    file.write_text(json.dumps(progress, indent=2))

    # Later, perhaps in another process.
    results = asyncio.run(retry(json.loads(file.read_text())))
    print(f"results: {results}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp(), "progress.json"))
