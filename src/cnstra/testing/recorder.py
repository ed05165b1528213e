"""What handlers did to the world outside."""

import inspect
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from cnstra.errors import InvalidOption
from cnstra.testing.witness import current

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordedEffect:
    """Something that was done: `name` says what, `key` is what the far side knows a repeat by."""

    name: str
    key: str | None


class EffectRecorder:
    """Stands for the world outside: a fake bank, mail server or database says here what it did.

    Under `crash_everywhere` each effect is a moment at which the process may die; elsewhere they
    are in `all`.

    >>> effects = EffectRecorder()
    >>> effects.record("charge", ctx.idempotency_key)
    >>> effects.count("charge")
    1
    """

    def __init__(self) -> None:
        self.all: list[RecordedEffect] = []

    def record(self, name: str, key: object = None) -> None:
        """Say that something was done.

        key: what it was done under, so that the far side drops a repeat; its text counts. Without
            one a repeat is one too many.

        Under `crash_everywhere` this may raise, and then it was not done: a fake that remembers
        what it has done does so after this, or is watched.
        """
        _ask(name)
        self._had(name, key)

    def _had(self, name: str, key: object) -> None:
        text = None if key is None else str(key)
        activation = current.get()
        if activation is not None:
            activation.witness.had_effect(activation, name, text)
        else:
            self.all.append(RecordedEffect(name, text))

    def watch(
        self, name: str, target: T, *, key: str | None = None, only: Collection[str] | None = None
    ) -> T:
        """`target`, each call of whose methods is recorded as `name.method` once it has returned.

        key: the name of the parameter that is the idempotency key. only: the methods that do
            something to the world; the others, which merely read, are not recorded.

        Raises `InvalidOption` if it has no method of that name.

        >>> CNS(..., resources=[bank.of(effects.watch("bank", FakeBank(), key="idempotency_key"))])
        >>> repo = effects.watch("repo", Repo(), key="key", only=["save"])
        """
        methods = {only} if isinstance(only, str) else only
        for method in methods or ():
            if not callable(getattr(target, method, None)):
                raise InvalidOption(option="only", value=method, remedy="name its methods")
        return cast(T, _Watched(name, target, key, methods, self._had))

    def count(self, name: str) -> int:
        """How often it was done."""
        return Counter(one.name for one in self.all)[name]

    def keys(self, name: str) -> list[str | None]:
        """The keys that it was done under, in order."""
        return [one.key for one in self.all if one.name == name]

    def clear(self) -> None:
        """Forget all."""
        self.all.clear()


def _ask(name: str) -> None:
    """An effect is about to be had; raises where it is to fail."""
    activation = current.get()
    if activation is not None:
        activation.witness.asks(activation, name)


class _Watched(Generic[T]):
    """An object whose methods are recorded.

    had: is told of each call that has returned.
    """

    def __init__(
        self,
        name: str,
        target: T,
        key: str | None,
        only: Collection[str] | None,
        had: Callable[[str, object], None],
    ) -> None:
        self._name = name
        self._target = target
        self._key = key
        self._only = only
        self._had = had

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._target, attribute)
        if not callable(found) or (self._only is not None and attribute not in self._only):
            return found
        name = f"{self._name}.{attribute}"

        def call(*args: Any, **options: Any) -> Any:
            _ask(name)
            result = found(*args, **options)
            key = self._key_in(found, args, options)
            if hasattr(result, "__await__"):
                return rest(result, key)
            self._had(name, key)
            return result

        async def rest(result: Any, key: object) -> Any:
            answer = await result
            self._had(name, key)
            return answer

        async def call_later(*args: Any, **options: Any) -> Any:
            result = call(*args, **options)
            return await result if hasattr(result, "__await__") else result

        return call_later if inspect.iscoroutinefunction(inspect.unwrap(found)) else call

    def _key_in(self, method: Any, args: tuple[Any, ...], options: dict[str, Any]) -> object:
        if self._key is None or self._key in options:
            return options.get(self._key or "")
        try:
            return inspect.signature(method).bind(*args, **options).arguments.get(self._key)
        except (TypeError, ValueError):  # a method of C tells no names
            return None
