"""A broker that carries progress with the job, and what workers of other languages left there."""

import json
from typing import Any

from cnstra import CNS, Context, Queue, collateral, neuron
from cnstra.engine.payloads import encode_json
from cnstra.jobs.broker import NewJob
from cnstra.jobs.settlement import Requeued, Retry
from tests.durables import (
    CarryingBroker,
    Story,
    around,
    drain,
    entry,
    record_of,
    until,
    working,
)

request = collateral("input", dict[str, int])
step1_out = collateral("step1Out", dict[str, int])
step2_out = collateral("step2Out", dict[str, int])


class SeedFlow:
    """step1 -> step2 -> step3, as the seed has them."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any, Any, str]] = []
        self.cns = CNS([
            self._step("step1", request, step1_out),
            self._step("step2", step1_out, step2_out),
            self._step("step3", step2_out),
        ])  # fmt: skip

    def _step(self, name: str, source: Any, *targets: Any) -> Any:
        made = neuron(name, {one.name: one for one in targets})

        def handler(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
            done = ctx.get({"executed": []})
            self.log.append((name, payload, done, ctx.stimulation_id))
            ctx.set({"executed": [*done["executed"], f"{name}-{payload['id']}"]})
            return [one.create_signal(payload) for one in targets]

        return made.dendrite(source, handler)


LEFT_BY_THE_SEED = {
    "context": {"step1": {"executed": ["step1-100"]}, "step2": {"executed": ["step2-99"]}},
    "failedTasks": [
        {
            "task": {
                "stimulationId": "of-typescript",
                "neuronId": "step2",
                "dendriteCollateralName": "step1Out",
                "input": {"collateralName": "step1Out", "payload": {"id": 100}},
            },
            "error": {
                "message": "Task aborted - not started due to abort signal",
                "name": "Error",
            },
            "aborted": True,
        }
    ],
}
LEFT_IN_THE_NEWER_SHAPE = {
    "context": LEFT_BY_THE_SEED["context"],
    "tasks": [
        {
            "stimulationId": "of-typescript",
            "neuronName": "step2",
            "dendriteCollateralName": "step1Out",
            "input": {"collateralName": "step1Out", "payload": {"id": 100}},
        }
    ],
}


async def resume(url: str, data: bytes, progress: Any, name: str = "q") -> tuple[SeedFlow, str]:
    flow = SeedFlow()
    async with Queue(name, url) as queue:
        broker: CarryingBroker = around(queue, CarryingBroker)
        await queue.open()
        await queue.io.call(lambda: broker.inner.enqueue([NewJob("j", data, "run of j")]))
        if progress is not None:
            broker.carried["j"] = encode_json(progress)
        await drain(queue, flow.cns, durability="exit", results=[])
        return flow, (await record_of(queue, "j")).state


async def test_a_job_that_the_seeds_worker_left_is_resumed(url: str) -> None:
    data = encode_json({"signal": {"collateralName": "input", "payload": {"id": 100}}})
    flow, state = await resume(url, data, LEFT_BY_THE_SEED)
    assert state == "completed"
    assert flow.log == [
        ("step2", {"id": 100}, {"executed": ["step2-99"]}, "of-typescript"),
        ("step3", {"id": 100}, {"executed": []}, "of-typescript"),
    ]


async def test_a_job_of_the_newer_shape_is_resumed(url: str) -> None:
    data = encode_json({"collateralName": "input", "payload": {"id": 100}})
    flow, state = await resume(url, data, LEFT_IN_THE_NEWER_SHAPE)
    assert state == "completed"
    assert [(name, done) for name, _, done, _ in flow.log] == [
        ("step2", {"executed": ["step2-99"]}),
        ("step3", {"executed": []}),
    ]


async def test_a_progress_that_is_none_begins_the_job(url: str) -> None:
    data = encode_json({"collateralName": "input", "payload": {"id": 100}})
    for number, progress in enumerate((None, 0, 50, "half", {"percent": 5}, {"failedTasks": []})):
        flow, state = await resume(url, data, progress, f"q{number}")
        assert state == "completed"
        assert [name for name, *_ in flow.log] == ["step1", "step2", "step3"]


async def test_a_broken_progress_is_dead_lettered(url: str) -> None:
    data = encode_json({"collateralName": "input", "payload": {"id": 100}})
    flow, state = await resume(url, data, {"failedTasks": [{"task": 7}]})
    assert (state, flow.log) == ("dead", [])


async def test_what_an_attempt_leaves_is_in_the_seeds_shape_and_resumed(url: str) -> None:
    """After a failure, and after a shutdown."""
    story = Story()
    story.fails("second", 1)
    async with Queue("q", url) as queue:
        broker: CarryingBroker = around(queue, CarryingBroker)
        job = await queue.enqueue(entry.create_signal(7), max_attempts=2)
        options: dict[str, Any] = {"durability": "exit", "results": [], "grace": 0.0}
        story.stands("third")
        async with working(queue, story.chain(), **options):
            await until(lambda: story.count("third") == 1)
        failed, stopped = broker.settled
        assert isinstance(failed, Retry)
        assert isinstance(stopped, Requeued)
        assert failed.progress is not None
        wire = json.loads(failed.progress)
        assert wire["context"] == {"first": [7], "second": [7]}
        (task,) = wire["failedTasks"]
        assert task["task"]["neuronId"] == "second"
        assert task["task"]["input"] == {"collateralName": "middle", "payload": 7}
        assert (task["error"]["message"], task["aborted"]) == ("second", False)

        story.opens("third")
        await drain(queue, story.chain(), **options)
        assert (await record_of(queue, job.id)).attempts_made == 1
    assert [name for name, _ in story.log] == ["first", "second", "second", "third", "third"]
