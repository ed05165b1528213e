"""Collaterals, neurons, dendrites, bind and CNS: what may be defined, and what is refused."""

import asyncio
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, TypedDict

import pytest

import cnstra
from cnstra import CNS, Collateral, Context, Signal, collateral, neuron, with_ctx
from cnstra.errors import (
    CnstraError,
    DefinitionError,
    DuplicateDendrite,
    IncompleteBinding,
    InvalidHandler,
    InvalidName,
    InvalidOption,
)
from tests.graphs import entry, middle, out, passing, sink


class Executed(TypedDict):
    executed: list[str]


class Axon(NamedTuple):
    done: Collateral[int]
    rejected: Collateral[str]


done = collateral("done", int)
rejected = collateral("rejected", str)
source = neuron("source", Axon(done, rejected))


# --- collaterals and signals


def test_a_collateral_mints_signals() -> None:
    request = collateral("input", int)

    signal = request.create_signal(5, key="five")

    assert request.name == "input"
    assert request.type is int
    assert (signal.collateral_name, signal.payload, signal.key) == ("input", 5, "five")
    assert repr(request.create_signal(5)) == "Signal('input', 5)"
    assert repr(signal) == "Signal('input', 5, key='five')"
    assert repr(request) == "collateral('input')"


def test_signals_are_equal_by_what_they_hold() -> None:
    assert entry.create_signal(1) == Signal("entry", 1)
    assert entry.create_signal(1) != entry.create_signal(2)
    assert entry.create_signal(1) != entry.create_signal(1, key="k")
    assert entry.create_signal(1) != 1


@pytest.mark.parametrize("name", ["", None, 5])
def test_names_are_texts_that_are_not_empty(name: Any) -> None:
    with pytest.raises(InvalidName, match="A collateral needs a non-empty text"):
        collateral(name)
    with pytest.raises(InvalidName, match="A neuron needs a non-empty text"):
        neuron(name, {})


# --- axons


def test_an_axon_is_a_named_tuple_or_a_mapping_and_reaches_handlers_with_attributes() -> None:
    seen: list[Any] = []

    def look(payload: int, axon: Any) -> None:
        seen.append((axon.done, axon.rejected))

    for axon in (Axon(done, rejected), {"done": done, "rejected": rejected}):
        CNS([neuron("n", axon).dendrite(entry, look)]).stimulate(entry.create_signal(1))

    assert seen == [(done, rejected)] * 2


def test_a_neuron_may_have_no_axon() -> None:
    assert neuron("n").dendrite(entry, lambda payload: None).collaterals == {}


@pytest.mark.parametrize("axon", [[done], "done", 5, (done,)])
def test_an_axon_of_another_shape_is_refused(axon: Any) -> None:
    with pytest.raises(
        DefinitionError, match="axon of neuron 'n' must be a NamedTuple or a mapping"
    ):
        neuron("n", axon)


def test_what_is_no_collateral_is_refused_on_an_axon() -> None:
    with pytest.raises(DefinitionError, match=r"On the axon of neuron 'n'.*\['done'\]"):
        neuron("n", {"done": "done", "rejected": rejected})  # type: ignore[dict-item]


# --- dendrites


def test_a_dendrite_with_a_function_returns_the_neuron_and_a_decorator_the_function() -> None:
    n = neuron("n", {})

    def handle(payload: int) -> None: ...

    assert n.dendrite(entry, handle) is n
    assert n.dendrite(middle)(handle) is handle
    assert n.dendrite([out, done])(handle) is handle
    assert [each.collateral for each in n.dendrites] == [entry, middle, out, done]


def test_dendrites_can_be_chained() -> None:
    log: list[Any] = []
    n = (
        neuron("n", {"out": out})
        .dendrite(entry, lambda payload, axon: axon.out.create_signal(payload + 1))
        .dendrite(out, log.append)
    )

    CNS([n]).stimulate(entry.create_signal(1))

    assert log == [2]


def test_one_handler_may_answer_to_several_collaterals() -> None:
    log: list[Any] = []

    CNS([sink("n", [entry, middle], log)]).stimulate(
        [entry.create_signal(1), middle.create_signal(2)]
    )

    assert log == [1, 2]


@pytest.mark.parametrize("arity", [1, 2, 3])
@pytest.mark.parametrize("coroutine", [False, True])
async def test_a_handler_takes_one_two_or_three_arguments(arity: int, coroutine: bool) -> None:
    seen: list[Any] = []

    def one(payload: int) -> None:
        seen.append((payload,))

    def two(payload: int, axon: Any) -> None:
        seen.append((payload, axon))

    def three(payload: int, axon: Any, ctx: Context[Any]) -> None:
        seen.append((payload, axon, ctx))

    handler: Any = {1: one, 2: two, 3: three}[arity]
    if coroutine:
        plain = handler

        async def one_later(payload: int) -> None:
            plain(payload)

        async def two_later(payload: int, axon: Any) -> None:
            plain(payload, axon)

        async def three_later(payload: int, axon: Any, ctx: Context[Any]) -> None:
            plain(payload, axon, ctx)

        handler = {1: one_later, 2: two_later, 3: three_later}[arity]

    n = neuron("n", Axon(done, rejected)).dendrite(entry, handler)
    await CNS([n]).stimulate(entry.create_signal(7))

    (found,) = seen
    expected: list[type] = [int, Axon, Context]
    assert [type(each) for each in found] == expected[:arity]


class Callable:
    """An object with methods that are handlers."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def method(self, payload: int) -> None:
        self.log.append(("method", payload))

    async def __call__(self, payload: int, axon: Any) -> None:
        self.log.append(("call", payload))


async def test_methods_partials_callables_and_builtins_are_handlers() -> None:
    thing, log = Callable(), list[Any]()

    def with_settings(factor: int, payload: int, *, plus: int = 0) -> None:
        log.append(payload * factor + plus)

    async def with_settings_later(factor: int, payload: int) -> None:
        log.append(payload * factor)

    def with_default(payload: int, axon: Any, retries: int = 3) -> None:
        log.append(retries)

    handlers: list[Any] = [
        thing.method,
        thing,
        partial(with_settings, 10, plus=1),
        partial(with_settings_later, 100),
        with_default,
        log.append,
    ]
    cns = CNS(neuron(f"n{index}", {}).dendrite(entry, fn) for index, fn in enumerate(handlers))

    await cns.stimulate(entry.create_signal(2))

    assert thing.log == [("method", 2), ("call", 2)]
    assert log == [21, 200, 3, 2]


def nothing() -> None: ...


def too_many(payload: int, axon: Any, ctx: Any, more: Any) -> None: ...


def keyword_only(payload: int, *, needed: int) -> None: ...


def generator(payload: int) -> Any:
    yield


async def async_generator(payload: int) -> Any:
    yield


@pytest.mark.parametrize("handler", [nothing, too_many, keyword_only])
def test_a_handler_of_another_shape_is_refused_by_name(handler: Any) -> None:
    with pytest.raises(InvalidHandler, match=f"{handler.__name__} of neuron 'n' must take"):
        neuron("n", {}).dendrite(entry, handler)


@pytest.mark.parametrize("handler", [generator, async_generator])
def test_a_generator_is_told_to_return_what_it_yields(handler: Any) -> None:
    with pytest.raises(InvalidHandler, match=f"{handler.__name__} of neuron 'n' must return"):
        neuron("n", {}).dendrite(entry, handler)


@pytest.mark.parametrize("handler", [5, None, "on_entry"])
def test_what_is_no_function_is_no_handler(handler: Any) -> None:
    n = neuron("n", {})

    for bind in (n.dendrite, lambda one, fn: n.bind({"one": one}, {"one": fn})):
        with pytest.raises(InvalidHandler, match="of neuron 'n' must be a function"):
            bind(entry, handler)
    assert n.dendrites == []


@pytest.mark.parametrize("what", [nothing, "entry", 5, [], [entry, "out"], [nothing], {"a": entry}])
def test_a_dendrite_answers_to_collaterals_or_is_refused_where_it_is_written(what: Any) -> None:
    n = neuron("n", {})

    with pytest.raises(DefinitionError, match="of neuron 'n' answers to collaterals, not to"):
        n.dendrite(what)
    with pytest.raises(DefinitionError, match="of neuron 'n' answers to collaterals, not to"):
        n.dendrite(what, lambda payload: None)
    assert n.dendrites == []


def test_a_decorator_without_its_collateral_is_told_what_to_write() -> None:
    n = neuron("n", {})

    with pytest.raises(DefinitionError, match=r"not to .*handle: write @neuron\.dendrite\(coll"):

        @n.dendrite
        def handle(payload: int) -> None: ...


def test_the_collaterals_of_a_dendrite_may_come_from_any_iterable() -> None:
    n = neuron("n", {})

    n.dendrite(one for one in (entry, middle))(lambda payload: None)

    assert [each.collateral for each in n.dendrites] == [entry, middle]


# --- bind


def test_bind_answers_to_each_collateral_of_an_axon_by_its_key() -> None:
    log: list[Any] = []
    auditor = neuron("auditor", {})

    bound = auditor.bind(
        source.axon,
        {
            "done": lambda payload: log.append(("done", payload)),
            "rejected": lambda payload: log.append(("rejected", payload)),
        },
    )

    assert bound is auditor
    CNS([source, auditor]).stimulate([done.create_signal(1), rejected.create_signal("no")])
    assert log == [("done", 1), ("rejected", "no")]


def test_bind_takes_a_mapping_as_well_as_the_axon_of_a_neuron_that_has_one() -> None:
    handlers = {"out": lambda payload: None}

    assert neuron("a", {}).bind({"out": out}, handlers)
    assert neuron("b", {}).bind(neuron("n", {"out": out}).axon, handlers)
    assert isinstance(neuron("n", {"out": out}).axon, SimpleNamespace)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (["done"], r"missing \['rejected'\], unknown \[\]"),
        (["done", "rejected", "typo"], r"missing \[\], unknown \['typo'\]"),
        ([], r"missing \['done', 'rejected'\]"),
    ],
)
def test_bind_is_exhaustive(keys: list[str], complaint: str) -> None:
    auditor = neuron("auditor", {})

    with pytest.raises(IncompleteBinding, match=f"neuron 'auditor'.*{complaint}"):
        auditor.bind(source.axon, dict.fromkeys(keys, lambda payload: None))
    assert auditor.dendrites == []


def test_bind_and_dendrite_may_not_answer_twice() -> None:
    auditor = sink("auditor", done, [])

    with pytest.raises(DuplicateDendrite):
        auditor.bind(source.axon, dict.fromkeys(["done", "rejected"], lambda payload: None))


# --- with_ctx and options


def test_with_ctx_is_the_seeds_spelling_of_context() -> None:
    log: list[Any] = []

    def handle(payload: int, axon: Any, ctx: Context[Executed]) -> None:
        ctx.set({"executed": [*(ctx.get() or {"executed": []})["executed"], f"n-{payload}"]})
        log.append(ctx.get())

    built = with_ctx(Executed).neuron("n", {}, concurrency=2).dendrite(entry, handle)
    run = CNS([built]).stimulate([entry.create_signal(1), entry.create_signal(2)])

    assert built.codec.type is neuron("n", {}, context=Executed).codec.type is Executed
    assert built.concurrency == 2
    assert run.context.get_all() == {"n": {"executed": ["n-1", "n-2"]}}


def test_durations_are_seconds_or_a_timedelta() -> None:
    async def handle(payload: int) -> None: ...

    for limit in (90, 90.0, timedelta(minutes=1, seconds=30)):
        (dendrite,) = neuron("n", {}, max_duration=limit).dendrite(entry, handle).dendrites
        assert dendrite.max_duration == 90.0


@pytest.mark.parametrize("limit", [0, -1, timedelta(0), float("nan")])
def test_a_duration_is_above_zero_for_a_neuron_and_for_one_dendrite(limit: Any) -> None:
    async def handle(payload: int) -> None: ...

    n = neuron("n", {})

    with pytest.raises(InvalidOption, match=r"max_duration=.* seconds above zero"):
        neuron("other", {}, max_duration=limit)
    with pytest.raises(InvalidOption, match=r"max_duration=.* seconds above zero"):
        n.dendrite(entry, handle, max_duration=limit)
    assert n.dendrites == []


# --- the network


def test_describe_is_the_graph_as_plain_data() -> None:
    async def handle(payload: int) -> None:
        """Ends it."""

    cns = CNS(
        [
            passing("pass", entry, out),
            neuron("end", {}, concurrency=2, max_duration=5, checkpoint=True).dendrite(out, handle),
        ]
    )

    told = cns.describe()
    plain, end = told["neurons"]

    assert (plain["name"], plain["axon"], plain["dendrites"]) == ("pass", ["out"], ["entry"])
    assert (plain["concurrency"], plain["maxDuration"], plain["checkpoint"]) == (None, None, False)
    assert end == {
        "name": "end",
        "formerNames": [],
        "axon": [],
        "dendrites": ["out"],
        "handlers": [
            {
                "collateral": "out",
                "doc": "Ends it.",
                "async": True,
                "inThread": False,
                "maxDuration": 5.0,
            }
        ],
        "context": "Any",
        "concurrency": 2,
        "maxDuration": 5.0,
        "checkpoint": True,
    }
    assert told["collaterals"] == [
        {
            "name": name,
            "formerNames": [],
            "type": "int",
            "version": 1,
            "schema": {"type": "integer"},
        }
        for name in ("out", "entry")
    ]
    assert (told["entries"], told["exits"]) == (["entry"], [])


def test_a_neuron_may_be_part_of_several_networks() -> None:
    log: list[Any] = []
    shared = sink("n", entry, log)

    CNS([shared]).stimulate(entry.create_signal(1))
    CNS([shared, passing("m", middle, entry)]).stimulate(middle.create_signal(2))

    assert log == [1, 2]


def test_the_front_door_opens_on_all_that_it_names() -> None:
    assert len(set(cnstra.__all__)) == len(cnstra.__all__)
    assert all(hasattr(cnstra, name) for name in cnstra.__all__)


def test_every_definition_error_is_a_cnstra_error_with_its_docstring_as_message() -> None:
    error = IncompleteBinding(neuron="n", missing=["a"], unknown=[])

    assert isinstance(error, CnstraError)
    assert error.neuron == "n"  # type: ignore[attr-defined]
    assert str(error) == (
        "bind() on neuron 'n' must name each collateral of the axon once: "
        "missing ['a'], unknown []."
    )


async def test_the_seeds_own_shape_runs() -> None:
    # Given the three steps of the specification
    class Step1Axon(NamedTuple):
        step1_out: Collateral[int]

    step1_out, output = collateral("step1Out", int), collateral("output", str)
    step1 = neuron("step1", Step1Axon(step1_out), context=Executed)

    @step1.dendrite(entry)
    async def step1_on_input(payload: int, axon: Step1Axon, ctx: Context[Executed]) -> Signal[int]:
        executed = ctx.get({"executed": []})["executed"]
        ctx.set({"executed": [*executed, f"step1-{payload}"]})
        await asyncio.sleep(0)
        return axon.step1_out.create_signal(payload)

    step2 = neuron("step2", {"output": output})

    @step2.dendrite(step1_out)
    def step2_on_step1(payload: int, axon: Any) -> Signal[str]:
        return axon.output.create_signal(f"Final: {payload}")

    # When a caller starts them and listens
    results: list[str] = []

    def listen(response: cnstra.Response) -> None:
        if response.output_signal and response.output_signal.collateral_name == "output":
            results.append(response.output_signal.payload)

    run = CNS([step1, step2]).stimulate(entry.create_signal(100), on_response=listen)
    await run

    # Then all is there
    assert results == ["Final: 100"]
    assert run.context.get_all() == {"step1": {"executed": ["step1-100"]}}
