"""What handlers need and nobody should import as a global."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from typing import Any, Generic, NoReturn, TypeVar, cast

from cnstra.errors import (
    DuplicateName,
    InvalidName,
    ResourceFailed,
    ResourcesElsewhere,
    ResourcesNotOpen,
    UnknownResource,
)

T = TypeVar("T")

Opener = Callable[[], AbstractAsyncContextManager[T] | AbstractContextManager[T]]
"""Makes a context manager, sync or async, of a resource: a class or a function of one."""


class Resource(Generic[T]):
    """What a handler asks for by `ctx.resources[...]`; the type is that of what it gets.

    >>> bank = Resource[Bank]("bank")
    >>> cns = CNS([till], resources=[bank.opened_by(lambda: Bank("https://bank.example"))])
    >>> ctx.resources[bank].charge(...)
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidName(kind="A resource", name=name)
        self.name = name

    def of(self, value: T) -> "Given":
        """Give an object that is there. To close it is its maker's business."""
        return Given(self, value, None)

    def opened_by(self, opener: Opener[T]) -> "Given":
        """Give what the context manager that `opener()` makes enters with.

        It is entered and left on the event loop of the CNS or worker, once each time that opens.
        """
        return Given(self, None, opener)

    def __repr__(self) -> str:
        return f"Resource({self.name!r})"


class Given:
    """A resource with what stands for it. Made by `Resource.of` and `Resource.opened_by`."""

    __slots__ = ("opener", "resource", "value")

    def __init__(self, resource: Resource[Any], value: object, opener: Opener[Any] | None) -> None:
        self.resource = resource
        self.value = value
        self.opener = opener


class Resources:
    """What was given, by its `Resource`: `ctx.resources`."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[Resource[Any], Any]) -> None:
        self._values = values

    def __getitem__(self, resource: Resource[T]) -> T:
        """What was given for the resource. Raises `UnknownResource`."""
        try:
            return cast(T, self._values[resource])
        except KeyError:
            known = ", ".join(sorted(one.name for one in self._values)) or "none"
            raise UnknownResource(resource=resource.name, known=known) from None

    def __contains__(self, resource: Resource[Any]) -> bool:
        return resource in self._values

    def all(self) -> list[Any]:
        """All that was given, each once."""
        return list({id(one): one for one in self._values.values()}.values())


class ResourceLife:
    """The resources of one CNS, and how often it is open: the first opens them, the last closes.

    closed: whether there are any to open that are not.
    """

    __slots__ = ("_given", "_lock", "_loop", "_stack", "_users", "closed", "current")

    def __init__(self, given: Iterable[Given]) -> None:
        self._given: dict[Resource[Any], Given] = {}
        for one in given:
            if any(one.resource.name == known.name for known in self._given):
                raise DuplicateName(kind="resource", name=one.resource.name)
            self._given[one.resource] = one
        self._users = 0
        self._stack: AsyncExitStack | None = None
        self._close()

    def replaced(self, given: Iterable[Given]) -> "ResourceLife":
        """The same, not open, with these for their resources."""
        theirs = ResourceLife(given)
        return ResourceLife({**self._given, **theirs._given}.values())

    def refuse(self) -> NoReturn:
        """Raise `ResourcesNotOpen`: a run would start while they are `closed`."""
        names = sorted(one.name for one, given in self._given.items() if given.opener)
        raise ResourcesNotOpen(resources=", ".join(names))

    async def enter(self) -> None:
        """Open them, unless they are open. Raises `ResourceFailed`, with none left open."""
        loop = asyncio.get_running_loop()
        if not self._users:
            self._loop, self._lock = loop, asyncio.Lock()
        elif self._loop is not loop:
            raise ResourcesElsewhere
        self._users += 1
        try:
            async with self._lock:
                if self._stack is None:
                    await self._open()
        except BaseException:
            self._users -= 1
            raise

    async def leave(self) -> None:
        """Close them, unless somebody else has them open."""
        self._users -= 1
        if self._users or self._stack is None:
            return
        stack = self._stack
        self._close()
        await stack.aclose()

    async def _open(self) -> None:
        values = self._plain_values()
        async with AsyncExitStack() as stack:
            for resource, given in self._given.items():
                if given.opener is not None:
                    values[resource] = await _entered(stack, resource, given.opener)
            self._stack = stack.pop_all()
        self.current, self.closed = Resources(values), False

    def _close(self) -> None:
        self._stack = None
        self.current = Resources(self._plain_values())
        self.closed = any(given.opener for given in self._given.values())

    def _plain_values(self) -> dict[Resource[Any], Any]:
        return {one: given.value for one, given in self._given.items() if given.opener is None}


async def _entered(stack: AsyncExitStack, resource: Resource[T], opener: Opener[T]) -> T:
    try:
        manager = opener()
        if isinstance(manager, AbstractAsyncContextManager):
            return await stack.enter_async_context(manager)
        return stack.enter_context(manager)
    except Exception as error:
        raise ResourceFailed(resource=resource.name, reason=repr(error)) from error
