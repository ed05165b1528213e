"""A handler's context that notices when one activation undoes what another has written."""

from typing import Any

from cnstra.engine.context import Context
from cnstra.testing.witness import current


class WatchedContext(Context[Any]):
    """What an engine's `Context` is made to be while somebody watches its handler."""

    __slots__ = ()

    def get(self, default: Any = None) -> Any:
        if (activation := current.get()) is not None:
            activation.knows = activation.version
        return super().get(default)

    def set(self, value: Any) -> None:
        self._notice()
        super().set(value)

    def delete(self) -> None:
        self._notice()
        super().delete()

    def _notice(self) -> None:
        """Whoever has not asked for the value cannot have built on it."""
        activation = current.get()
        if activation is None:
            return
        if activation.knows not in (None, activation.version):
            activation.witness.overwrote(activation)
        activation.versions[activation.place] += 1
        activation.knows = activation.version
