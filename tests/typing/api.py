"""The public face as its users write it. Never run: only checked, by mypy and by pyright, strictly.

Each `ignore` here is a demand: the checkers complain about one that is not needed.
"""

import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, Self, TypedDict, assert_type

from cnstra import (
    CNS,
    AbortController,
    AbortSignal,
    ActivationTask,
    BrokerUnavailable,
    Collateral,
    Context,
    DoNotRetry,
    FailedTask,
    ForeignJob,
    Job,
    JobFailed,
    Neuron,
    Queue,
    Resource,
    Response,
    RetryAfter,
    Signal,
    Stimulation,
    StimulationFailed,
    collateral,
    neuron,
    payload,
    with_ctx,
)
from cnstra.errors import BrokerRefused, MigrationRequired, QueueMismatch


class Item(TypedDict):
    id: int


class Executed(TypedDict):
    executed: list[str]


# --- collaterals and signals

request = collateral("input", Item)
step1_out = collateral("step1Out", Item)
output = collateral("output", str)
anything = collateral("anything")
many = collateral("many", list[int])

assert_type(request, Collateral[Item])
assert_type(anything, Collateral[Any])
assert_type(many, Collateral[list[int]])
assert_type(request.create_signal({"id": 100}), Signal[Item])
assert_type(request.create_signal({"id": 100}).payload, Item)
assert_type(request.name, str)

output.create_signal("text", key="key")
output.create_signal(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
request.create_signal({"id": "x"})  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
request.create_signal({})  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
anything.create_signal(object())
assert_type(collateral("item", Item, former_names=["input"]), Collateral[Item])
collateral("item", Item, former_names=[7])  # type: ignore[list-item]  # pyright: ignore[reportCallIssue, reportArgumentType]


# --- neurons, as the design shows them


class Step1Axon(NamedTuple):
    step1_out: Collateral[Item]


step1 = neuron("step1", Step1Axon(step1_out), context=Executed)
assert_type(step1, Neuron[Step1Axon, Executed])


async def process_step1(payload: Item) -> None: ...


@step1.dendrite(request)
async def step1_on_input(payload: Item, axon: Step1Axon, ctx: Context[Executed]) -> Signal[Item]:
    assert_type(ctx.get(), Executed | None)
    done = ctx.get({"executed": []})
    assert_type(done, Executed)
    ctx.set({"executed": [*done["executed"], f"step1-{payload['id']}"]})
    ctx.set({"executed": 5})  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
    ctx.delete()
    await process_step1(payload)
    print(axon.missing)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    axon.step1_out.create_signal("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return axon.step1_out.create_signal({"id": payload["id"]})


@step1.dendrite(output)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
async def wrong_payload(payload: int, axon: Step1Axon, ctx: Context[Executed]) -> None: ...


class OtherAxon(NamedTuple):
    other: Collateral[int]


@step1.dendrite(output)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
async def wrong_axon(payload: str, axon: OtherAxon) -> None: ...


def one(payload: Item) -> None: ...


def two(payload: Item, axon: Step1Axon) -> Signal[Item] | None:
    return axon.step1_out.create_signal(payload)


def three(payload: Item, axon: Step1Axon, ctx: Context[Executed]) -> Sequence[Signal[Any]]:
    assert_type(ctx.abort_signal, AbortSignal)
    assert_type(ctx.stimulation_id, str)
    assert_type(ctx.idempotency_key, str)
    assert_type(ctx.attempt, int)
    return [axon.step1_out.create_signal(payload)]


def no_signal(payload: Item) -> str:
    return "no signal"


assert_type(step1.dendrite(request, one), Neuron[Step1Axon, Executed])
assert_type(step1.dendrite(request, two).dendrite(step1_out, three), Neuron[Step1Axon, Executed])
step1.dendrite([request, step1_out], one)
step1.dendrite(request, no_signal)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
step1.dendrite(output, one)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]

with_ctx(Executed).neuron("step2", Step1Axon(step1_out)).dendrite(request, three)
assert_type(with_ctx(Executed).neuron("n", Step1Axon(step1_out)), Neuron[Step1Axon, Executed])

mapped = neuron("mapped", {"out": output}, concurrency=2, max_duration=timedelta(minutes=1))


@mapped.dendrite(request)
async def mapped_on_input(payload: Item, axon: Any) -> Signal[str]:
    return axon.out.create_signal("text")  # type: ignore[no-any-return]


@neuron("plain").dendrite([request, step1_out])
def plain_on_either(payload: Item) -> None: ...


auditor = neuron("auditor", {}).bind(step1.axon, {"step1_out": one})


# --- a handler stays the function that it was


@step1.dendrite(step1_out)
def sync_three(payload: Item, axon: Step1Axon, ctx: Context[Executed]) -> list[Signal[Item]]:
    return [axon.step1_out.create_signal(payload)]


async def handlers_are_called(ctx: Context[Executed]) -> None:
    signal = await step1_on_input({"id": 1}, Step1Axon(step1_out), ctx)
    assert_type(signal, Signal[Item])
    assert_type(signal.payload["id"], int)
    assert_type(sync_three({"id": 1}, Step1Axon(step1_out), ctx), list[Signal[Item]])
    assert_type(await mapped_on_input({"id": 1}, mapped.axon), Signal[str])
    plain_on_either({"id": 1})
    await step1_on_input({"id": 1}, Step1Axon(step1_out))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# --- one handler of several types


@neuron("either").dendrite([request, output])
def either_of_two(payload: Item | str) -> None: ...


@neuron("either").dendrite([request, step1_out])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def wrong_payload_of_both(payload: str) -> None: ...


# --- with_ctx and a mapping: the axon is untyped there too

built = with_ctx(Executed).neuron("built", {"out": output}, concurrency=2)
assert_type(built, Neuron[Any, Executed])
assert_type(with_ctx(Executed).neuron("no axon"), Neuron[Any, Executed])


@built.dendrite(request)
def built_on_input(payload: Item, axon: Any, ctx: Context[Executed]) -> Signal[str]:
    return axon.out.create_signal("text")  # type: ignore[no-any-return]


# --- runs


def listen(response: Response) -> None:
    if response.output_signal is not None:
        assert_type(response.output_signal, Signal[Any])
        assert_type(response.output_signal.collateral_name, str)
    assert_type(response.error, BaseException | None)


async def listen_later(response: Response) -> None: ...


cns = CNS([step1, mapped, auditor])
CNS()


async def runs() -> None:
    controller = AbortController()
    run = cns.stimulate(
        request.create_signal({"id": 100}),
        on_response=listen,
        abort_signal=controller.signal,
        context_values={"step1": {"executed": []}},
        concurrency=2,
        max_neuron_hops=10,
        stimulation_id="mine",
    )
    assert_type(run, Stimulation)
    assert_type(await run, Stimulation)
    assert_type(await run.wait_until_complete(), Stimulation)
    assert_type(run.failed_tasks, list[FailedTask])
    assert_type(run.frontier, list[ActivationTask])
    assert_type(run.context.get_all(), dict[str, Any])
    run.abort("reason")
    controller.abort("reason")

    cns.stimulate({"collateralName": "input", "payload": {"id": 1}}, on_response=listen_later)
    cns.stimulate([request.create_signal({"id": 1}), output.create_signal("x")])
    cns.stimulate("input")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cns.stimulate(request.create_signal({"id": 1}), 5)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]

    cns.activate(run.failed_tasks)
    cns.activate(run.frontier, context_values=run.context.get_all(), on_response=listen)
    cns.activate([task.to_wire() for task in run.frontier])

    remove = cns.add_response_listener(listen)
    remove()


def without_a_loop() -> None:
    assert_type(cns.run(request.create_signal({"id": 1}), concurrency=2), Stimulation)


# --- jobs, and the errors that one catches


async def jobs(queue: Queue, job: Job) -> None:
    try:
        assert_type(await job.result(timeout=3), dict[str, Any])
    except JobFailed as failed:
        assert_type(failed.job_id, str)
        assert_type(failed.error, Mapping[str, Any] | None)
    except BrokerUnavailable as away:
        assert_type(away.url, str)
        assert_type(away.reason, object)
    except MigrationRequired as behind:
        assert_type((behind.schema, behind.url), tuple[str, str])
        assert_type((behind.found, behind.reason), tuple[object, object])
    except QueueMismatch as other:
        assert_type((other.queue, other.url, other.argument), tuple[str, str, str])
        assert_type((other.ours, other.found), tuple[object, object])
    except BrokerRefused as refused:
        assert_type((refused.url, refused.action, refused.remedy), tuple[str, str, str])
        assert_type(refused.reason, object)


def read(foreign: ForeignJob) -> Signal[Item]:
    return request.create_signal({"id": foreign.data["id"]})


def read_nothing(foreign: ForeignJob) -> None: ...


Queue("jobs", "memory://jobs", foreign=read)
Queue("jobs", "memory://jobs", foreign=read_nothing)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def failures() -> None:
    try:
        await cns.stimulate(request.create_signal({"id": 1}), grace=timedelta(seconds=1))
    except StimulationFailed as failed:
        assert_type(failed.failed_tasks, Sequence[Any])
        assert_type(failed.listener_errors, Sequence[BaseException])


class Refused(DoNotRetry):
    """The bank said {code}."""


Refused("refused", 402)
Refused(code=402)
RetryAfter(timedelta(seconds=1), "busy", 503, code=503)


# --- inner runs


class Blob: ...


blobs = collateral("blobs", Blob)


@neuron("transaction", {"done": output}).dendrite(request)
async def transaction(payload: Item, axon: Any, ctx: Context[Any]) -> Signal[str]:
    inner = ctx.cns.stimulate(blobs.create_signal(Blob()))
    await inner
    await inner.wait_until_complete()
    assert_type(inner.aborted, bool)
    return output.create_signal("done")


# --- resources


class Sender(Protocol):
    async def send(self, text: str) -> int: ...


class FakeMail:
    async def send(self, text: str) -> int:
        return len(text)


class Mail(FakeMail):
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None: ...


@asynccontextmanager
async def connected() -> AsyncGenerator[Mail, None]:
    yield Mail()


@contextmanager
def opened() -> Generator[FakeMail, None, None]:
    yield FakeMail()


mail = Resource[Mail]("mail")
sender = Resource[Sender]("sender")
clocks = Resource[Callable[[], float]]("clock")


@neuron("mailer", {}).dendrite(request)
async def mail_it(payload: Item, axon: Any, ctx: Context[Executed]) -> None:
    assert_type(ctx.resources[mail], Mail)
    assert_type(ctx.resources[sender], Sender)
    assert_type(await ctx.resources[sender].send("text"), int)
    assert_type(ctx.resources[clocks](), float)
    ctx.resources[mail].missing()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    ctx.resources["mail"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    ctx.resources[mail] = Mail()  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    ctx.add_undo(lambda: None)


CNS([step1], resources=[mail.opened_by(Mail), mail.opened_by(connected), clocks.of(time.monotonic)])
CNS([step1], resources=[sender.of(FakeMail()), sender.opened_by(opened), sender.opened_by(Mail)])
CNS([step1], resources=[mail])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
mail.of(FakeMail())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
mail.opened_by(opened)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
mail.opened_by(Mail())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(cns.with_resources([sender.of(FakeMail())]), CNS)


async def with_resources() -> None:
    async with cns as open_cns:
        assert_type(open_cns, CNS)
        assert_type(open_cns.resources[mail], Mail)
    remove = cns.add_lull_listener(lambda run: None)
    remove()


# --- a payload type with a version is still itself


@payload(version=2, upcasts={1: lambda old: {"cents": old["euros"] * 100}})
class Cents(TypedDict):
    cents: int


def versioned_types_stay_what_they_are() -> None:
    cents = collateral("cents", Cents)
    assert_type(cents, Collateral[Cents])
    assert_type(cents.create_signal({"cents": 7}), Signal[Cents])
    cents.create_signal({"euros": 7})  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
