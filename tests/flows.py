"""The flow of the seed's second listing: three steps, each of which notes that it ran."""

from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from cnstra import CNS, Collateral, Context, Signal, collateral, neuron


class Item(TypedDict):
    id: int


class Final(TypedDict):
    result: str


class Executed(TypedDict):
    executed: list[str]


Work = Callable[[str, int, Context[Any]], Awaitable[None]]

request = collateral("input", Item)
step1_out = collateral("step1Out", Item)
step2_out = collateral("step2Out", Item)
output = collateral("output", Final)


def three_steps(work: Work) -> CNS:
    """input -> step1 -> step2 -> step3 -> output. `work(step, id, ctx)` is what a step does."""

    def step(name: str, source: Collateral[Item], target: Collateral[Any]) -> Any:
        made = neuron(name, {"out": target}, context=Executed)

        async def handler(payload: Item, axon: Any, ctx: Context[Executed]) -> Signal[Any]:
            done = ctx.get({"executed": []})
            ctx.set({"executed": [*done["executed"], f"{name}-{payload['id']}"]})
            await work(name, payload["id"], ctx)
            emitted = {"result": f"Final: {payload['id']}"} if target is output else payload
            return axon.out.create_signal(emitted)

        return made.dendrite(source, handler)

    return CNS([
        step("step1", request, step1_out),
        step("step2", step1_out, step2_out),
        step("step3", step2_out, output),
    ])  # fmt: skip
