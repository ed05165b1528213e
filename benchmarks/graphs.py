"""The graphs that are measured, sync and async: a loop of two, a chain of three, a fan-out."""

from typing import Any

from cnstra import Neuron, Signal, collateral, neuron

WIDTH = 1_000

ping = collateral("ping", int)
pong = collateral("pong", int)
first = collateral("first", int)
second = collateral("second", int)
third = collateral("third", int)
split = collateral("split", int)
work = collateral("work", int)
done = collateral("done", int)

Neurons = list[Neuron[Any, Any]]


def loop(*, coroutines: bool) -> Neurons:
    """Two neurons that call each other, as often as the payload says."""

    def to_pong(left: int, axon: Any) -> Signal[int] | None:
        return axon.pong.create_signal(left - 1) if left else None

    def to_ping(left: int, axon: Any) -> Signal[int] | None:
        return axon.ping.create_signal(left - 1) if left else None

    async def to_pong_later(left: int, axon: Any) -> Signal[int] | None:
        return axon.pong.create_signal(left - 1) if left else None

    async def to_ping_later(left: int, axon: Any) -> Signal[int] | None:
        return axon.ping.create_signal(left - 1) if left else None

    return [
        neuron("ping", {"pong": pong}).dendrite(ping, to_pong_later if coroutines else to_pong),
        neuron("pong", {"ping": ping}).dendrite(pong, to_ping_later if coroutines else to_ping),
    ]


def chain(*, coroutines: bool) -> Neurons:
    """Three neurons, one after the other."""

    def to_second(payload: int, axon: Any) -> Signal[int]:
        return axon.second.create_signal(payload)

    def to_third(payload: int, axon: Any) -> Signal[int]:
        return axon.third.create_signal(payload)

    def end(payload: int, axon: Any) -> None: ...

    async def to_second_later(payload: int, axon: Any) -> Signal[int]:
        return axon.second.create_signal(payload)

    async def to_third_later(payload: int, axon: Any) -> Signal[int]:
        return axon.third.create_signal(payload)

    async def end_later(payload: int, axon: Any) -> None: ...

    return [
        neuron("one", {"second": second}).dendrite(
            first, to_second_later if coroutines else to_second
        ),
        neuron("two", {"third": third}).dendrite(
            second, to_third_later if coroutines else to_third
        ),
        neuron("three", {}).dendrite(third, end_later if coroutines else end),
    ]


def fan_out(*, coroutines: bool) -> Neurons:
    """One that calls many, each of which calls the last."""

    def to_work(payload: int, axon: Any) -> list[Signal[int]]:
        return [axon.work.create_signal(number) for number in range(WIDTH)]

    def to_done(payload: int, axon: Any) -> Signal[int]:
        return axon.done.create_signal(payload)

    def end(payload: int, axon: Any) -> None: ...

    async def to_work_later(payload: int, axon: Any) -> list[Signal[int]]:
        return [axon.work.create_signal(number) for number in range(WIDTH)]

    async def to_done_later(payload: int, axon: Any) -> Signal[int]:
        return axon.done.create_signal(payload)

    async def end_later(payload: int, axon: Any) -> None: ...

    return [
        neuron("split", {"work": work}).dendrite(split, to_work_later if coroutines else to_work),
        neuron("work", {"done": done}).dendrite(work, to_done_later if coroutines else to_done),
        neuron("done", {}).dendrite(done, end_later if coroutines else end),
    ]
