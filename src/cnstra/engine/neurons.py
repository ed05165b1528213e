"""Neurons: named units of logic, with an axon of what they may emit and dendrites that listen."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, Generic, Protocol, TypeVar, cast, overload

from cnstra.clock import seconds
from cnstra.engine.context import Context
from cnstra.engine.payloads import PayloadCodec, is_named_tuple
from cnstra.engine.signals import Collateral, Signal, former_names_of
from cnstra.errors import (
    DefinitionError,
    DuplicateDendrite,
    IncompleteBinding,
    InvalidHandler,
    InvalidName,
    InvalidOption,
    UnstoppableHandler,
)

A = TypeVar("A")
C = TypeVar("C")
P = TypeVar("P")
F = TypeVar("F", bound=Callable[..., Any])

Output = Signal[Any] | Sequence[Signal[Any]] | None
"""What a handler returns: one signal, a list of them, or nothing."""

Result = Output | Awaitable[Output]

R = TypeVar("R", bound=Result)

Handler = Callable[[P, A, Context[C]], Result] | Callable[[P, A], Result] | Callable[[P], Result]
"""A handler takes (payload), (payload, axon) or (payload, axon, ctx). Parameters with a default are
its own."""

PLAIN_ARGUMENTS = 3
TO_COME = object()
"""The handler, where `dendrite` decorates it."""


class Binder(Protocol[P, A, C]):
    """What `@neuron.dendrite(collateral)` is: it takes the handler and gives it back."""

    @overload
    def __call__(
        self, fn: Callable[[P, A, Context[C]], R], /
    ) -> Callable[[P, A, Context[C]], R]: ...
    @overload
    def __call__(self, fn: Callable[[P, A], R], /) -> Callable[[P, A], R]: ...
    @overload
    def __call__(self, fn: Callable[[P], R], /) -> Callable[[P], R]: ...


class Dendrite:
    """One handler of a neuron, bound to one incoming collateral."""

    __slots__ = (
        "arity",
        "checkpoint",
        "collateral",
        "handler",
        "in_thread",
        "is_async",
        "max_duration",
    )

    def __init__(
        self,
        collateral: Collateral[Any],
        handler: Callable[..., Any],
        *,
        neuron: str,
        in_thread: bool,
        max_duration: float | None,
    ) -> None:
        self.collateral = collateral
        self.handler = handler
        self.arity = _arity_of(handler, neuron)
        self.is_async = _is_coroutine_function(handler)
        self.checkpoint = bool(getattr(handler, "needs_checkpoint", False))
        self.in_thread = in_thread
        self.max_duration = max_duration
        if in_thread and self.is_async:
            raise InvalidOption(
                option="in_thread", value=True, remedy="an async handler runs on the event loop"
            )
        if max_duration is not None and not (self.is_async or in_thread):
            raise UnstoppableHandler(handler=_name_of(handler), neuron=neuron)


class Neuron(Generic[A, C]):
    """A named unit of logic. Made by `neuron()`."""

    __slots__ = (
        "axon",
        "checkpoint",
        "codec",
        "collaterals",
        "concurrency",
        "dendrites",
        "former_names",
        "in_thread",
        "max_duration",
        "name",
    )

    def __init__(
        self,
        name: str,
        axon: A,
        *,
        context: Any = Any,
        concurrency: int | None = None,
        max_duration: float | timedelta | None = None,
        in_thread: bool = False,
        checkpoint: bool = False,
        former_names: Sequence[str] = (),
    ) -> None:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidName(kind="A neuron", name=name)
        if concurrency is not None and concurrency < 1:
            raise InvalidOption(option="concurrency", value=concurrency, remedy="allow at least 1")
        self.name = name
        self.collaterals = collaterals_of(axon, name)
        self.axon = cast(A, SimpleNamespace(**axon) if isinstance(axon, Mapping) else axon)
        self.codec: PayloadCodec[C] = PayloadCodec(f"context of {name}", context)
        self.concurrency = concurrency
        self.max_duration = _deadline(max_duration)
        self.in_thread = in_thread
        self.checkpoint = checkpoint
        self.former_names = former_names_of("A neuron", former_names)
        self.dendrites: list[Dendrite] = []

    @overload
    def dendrite(
        self,
        collateral: Collateral[P],
        /,
        *,
        in_thread: bool | None = None,
        max_duration: float | timedelta | None = None,
    ) -> Binder[P, A, C]: ...
    @overload
    def dendrite(
        self,
        collateral: Iterable[Collateral[P]],
        /,
        *,
        in_thread: bool | None = None,
        max_duration: float | timedelta | None = None,
    ) -> Binder[P, A, C]: ...
    @overload
    def dendrite(
        self,
        collateral: Iterable[Collateral[Any]],
        /,
        *,
        in_thread: bool | None = None,
        max_duration: float | timedelta | None = None,
    ) -> Binder[Any, A, C]: ...
    @overload
    def dendrite(
        self,
        collateral: Collateral[P],
        fn: Handler[P, A, C],
        /,
        *,
        in_thread: bool | None = None,
        max_duration: float | timedelta | None = None,
    ) -> "Neuron[A, C]": ...
    @overload
    def dendrite(
        self,
        collateral: Iterable[Collateral[P]],
        fn: Handler[P, A, C],
        /,
        *,
        in_thread: bool | None = None,
        max_duration: float | timedelta | None = None,
    ) -> "Neuron[A, C]": ...
    def dendrite(
        self,
        collateral: Any,
        fn: Any = TO_COME,
        /,
        *,
        in_thread: bool | None = None,
        max_duration: float | timedelta | None = None,
    ) -> Any:
        """Let `fn` answer to a collateral, or to each of several.

        With `fn` it returns the neuron, to be chained; without, a decorator that returns the
        function.

        in_thread: run a sync handler in a thread of its own, so that it does not hold up the loop.
        max_duration: seconds after which the handler is stopped; where it is not given, the
            neuron's.

        Raises `DefinitionError` for what is no collateral, `InvalidHandler` for what is no handler.

        >>> @step1.dendrite(request)
        ... async def on_request(payload, axon, ctx): ...
        """
        sources = _sources(collateral, self.name)
        if fn is TO_COME:
            return lambda handler: self._bind_each(sources, handler, in_thread, max_duration)  # pyright: ignore
        self._bind_each(sources, fn, in_thread, max_duration)
        return self

    def bind(self, axon: object, handlers: Mapping[str, Callable[..., Any]]) -> "Neuron[A, C]":
        """Answer to every collateral of another neuron's axon, by its keys there.

        Each key needs a handler and each handler a key, else `IncompleteBinding`.

        >>> auditor.bind(step1.axon, {"step1_out": on_step1, "rejected": on_rejected})
        """
        sources = collaterals_of(axon, self.name)
        missing, unknown = (
            sorted(sources.keys() - handlers),
            sorted(handlers.keys() - sources.keys()),
        )
        if missing or unknown:
            raise IncompleteBinding(neuron=self.name, missing=missing, unknown=unknown)
        for key, collateral in sources.items():
            self._bind(collateral, handlers[key], None, None)
        return self

    def _bind_each(
        self,
        sources: Iterable[Collateral[Any]],
        fn: F,
        in_thread: bool | None,
        max_duration: float | timedelta | None,
    ) -> F:
        for one in sources:
            self._bind(one, fn, in_thread, max_duration)
        return fn

    def _bind(
        self,
        collateral: Collateral[Any],
        fn: Callable[..., Any],
        in_thread: bool | None,
        max_duration: float | timedelta | None,
    ) -> None:
        if any(known.collateral.name == collateral.name for known in self.dendrites):
            raise DuplicateDendrite(neuron=self.name, collateral=collateral.name)
        limit = self.max_duration if max_duration is None else _deadline(max_duration)
        threaded = self.in_thread if in_thread is None else in_thread
        dendrite = Dendrite(
            collateral,
            fn,
            neuron=self.name,
            in_thread=threaded and not (in_thread is None and _is_coroutine_function(fn)),
            max_duration=limit,
        )
        self.dendrites.append(dendrite)

    def __repr__(self) -> str:
        return f"neuron({self.name!r})"


class ContextBuilder(Generic[C]):
    """Makes neurons whose context is a `C`. Made by `with_ctx()`."""

    __slots__ = ("_context",)

    def __init__(self, context: Any) -> None:
        self._context = context

    @overload
    def neuron(
        self,
        name: str,
        axon: Mapping[str, Collateral[Any]] | None = None,
        *,
        concurrency: int | None = None,
        max_duration: float | timedelta | None = None,
        in_thread: bool = False,
        checkpoint: bool = False,
        former_names: Sequence[str] = (),
    ) -> Neuron[Any, C]: ...
    @overload
    def neuron(
        self,
        name: str,
        axon: A,
        *,
        concurrency: int | None = None,
        max_duration: float | timedelta | None = None,
        in_thread: bool = False,
        checkpoint: bool = False,
        former_names: Sequence[str] = (),
    ) -> Neuron[A, C]: ...
    def neuron(self, name: str, axon: Any = None, **options: Any) -> Any:
        """Like `neuron(name, axon, context=C)`."""
        return neuron(name, axon, context=self._context, **options)


def with_ctx(context: type[C]) -> ContextBuilder[C]:
    """`with_ctx(C).neuron("step1", axon)` is `neuron("step1", axon, context=C)`.

    It is the spelling of the TypeScript original.
    """
    return ContextBuilder(context)


@overload
def neuron(
    name: str,
    axon: Mapping[str, Collateral[Any]] | None,
    *,
    context: type[C],
    concurrency: int | None = None,
    max_duration: float | timedelta | None = None,
    in_thread: bool = False,
    checkpoint: bool = False,
    former_names: Sequence[str] = (),
) -> Neuron[Any, C]: ...
@overload
def neuron(
    name: str,
    axon: A,
    *,
    context: type[C],
    concurrency: int | None = None,
    max_duration: float | timedelta | None = None,
    in_thread: bool = False,
    checkpoint: bool = False,
    former_names: Sequence[str] = (),
) -> Neuron[A, C]: ...
@overload
def neuron(
    name: str,
    axon: Mapping[str, Collateral[Any]] | None = None,
    *,
    concurrency: int | None = None,
    max_duration: float | timedelta | None = None,
    in_thread: bool = False,
    checkpoint: bool = False,
    former_names: Sequence[str] = (),
) -> Neuron[Any, Any]: ...
@overload
def neuron(
    name: str,
    axon: A,
    *,
    concurrency: int | None = None,
    max_duration: float | timedelta | None = None,
    in_thread: bool = False,
    checkpoint: bool = False,
    former_names: Sequence[str] = (),
) -> Neuron[A, Any]: ...
def neuron(name: str, axon: Any = None, *, context: Any = Any, **options: Any) -> Any:
    """A neuron that may emit the collaterals of `axon`: a NamedTuple of them, or a mapping.

    context: the type of its context value.
    concurrency: how many of its activations may run at once, over all runs of the CNS.
    max_duration: seconds (or a `timedelta`) after which an activation is stopped and failed.
    in_thread: run its sync handlers in threads.
    checkpoint: in a durable run, save the activation before its handler starts, and its outputs
        before their successors do: for a step that is expensive to repeat, or whose idempotency
        key must be stable.
    former_names: what it was called before. Jobs whose progress was saved under those names resume
        on it.

    >>> class Step1Axon(NamedTuple):
    ...     step1_out: Collateral[Item]
    >>> step1 = neuron("step1", Step1Axon(step1_out), context=Executed)
    """
    made: Neuron[Any, Any] = Neuron(name, {} if axon is None else axon, context=context, **options)
    return made


def collaterals_of(axon: object, neuron: str) -> dict[str, Collateral[Any]]:
    """The collaterals of an axon by their keys."""
    if isinstance(axon, Mapping):
        fields = dict(cast(Mapping[str, object], axon))
    elif isinstance(axon, SimpleNamespace):
        fields = dict(vars(axon))
    elif is_named_tuple(type(axon)):
        fields = cast(dict[str, object], cast(Any, axon)._asdict())
    else:
        raise DefinitionError(
            f"The axon of neuron {neuron!r} must be a NamedTuple or a mapping of collaterals."
        )
    strangers = [key for key, value in fields.items() if not isinstance(value, Collateral)]
    if strangers:
        raise DefinitionError(f"On the axon of neuron {neuron!r} are no collaterals: {strangers}.")
    return cast(dict[str, Collateral[Any]], fields)


def _sources(collateral: object, neuron: str) -> Sequence[Collateral[Any]]:
    """What a dendrite answers to: one collateral, or each of several."""
    several = isinstance(collateral, Iterable) and not isinstance(collateral, str)
    found = list(cast(Iterable[Any], collateral if several else [collateral]))
    strangers = [one for one in found if not isinstance(one, Collateral)]
    if strangers or not found:
        raise DefinitionError(
            f"A dendrite of neuron {neuron!r} answers to collaterals, not to "
            f"{', '.join(map(_name_of, strangers)) or 'none'}: write @neuron.dendrite(collateral) "
            "above the handler, or neuron.dendrite(collateral, handler)."
        )
    return found


def _deadline(max_duration: float | timedelta | None) -> float | None:
    if max_duration is None:
        return None
    if not seconds(max_duration) > 0:
        remedy = "give seconds above zero"
        raise InvalidOption(option="max_duration", value=max_duration, remedy=remedy)
    return seconds(max_duration)


def _arity_of(handler: Callable[..., Any], neuron: str) -> int:
    if not callable(handler):
        raise _invalid(handler, neuron, "be a function")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise _invalid(handler, neuron, "return its signals, in a list, where it yields them")
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):
        return PLAIN_ARGUMENTS
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return PLAIN_ARGUMENTS
    required = [parameter for parameter in parameters if parameter.default is parameter.empty]
    keyword_only = [one for one in required if one.kind is one.KEYWORD_ONLY]
    positional = [
        one for one in required if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if keyword_only or not 1 <= len(positional) <= PLAIN_ARGUMENTS:
        raise _invalid(handler, neuron, "take (payload), (payload, axon) or (payload, axon, ctx)")
    return len(positional)


def _invalid(handler: object, neuron: str, duty: str) -> InvalidHandler:
    return InvalidHandler(handler=_name_of(handler), neuron=neuron, duty=duty)


def _is_coroutine_function(handler: Any) -> bool:
    while isinstance(handler, partial):
        handler = cast(Any, handler).func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004
    )


def _name_of(handler: Any) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)
