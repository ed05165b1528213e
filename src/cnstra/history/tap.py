"""The recorder of a run that has a history: it writes down what is told, and tells the history."""

import logging
from collections.abc import Sequence
from typing import Any

from cnstra.durable.progress import Progress
from cnstra.engine.context_store import Frozen
from cnstra.engine.network import Network
from cnstra.engine.recorder import Barrier, ContextChange, Emission, Item, Recorder
from cnstra.engine.signals import Signal
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import CnstraError
from cnstra.history.attempts import AttemptLog, Begun, Emitted
from cnstra.history.records import TaskOutcome

logger = logging.getLogger("cnstra.history")


class Tap:
    """Stands before the recorder of a durable run.

    Payloads are the bytes that the progress holds anyway: nothing is encoded a second time. Nothing
    that goes wrong with the history reaches the run.
    """

    __slots__ = ("_log", "_network", "_progress", "_recorder")

    is_wary = True

    def __init__(
        self, log: AttemptLog, recorder: Recorder, progress: Progress, network: Network
    ) -> None:
        self._log = log
        self._recorder = recorder
        self._progress = progress
        self._network = network

    def key_of(self, lineage: Any) -> str:
        return self._recorder.key_of(lineage)

    def inner(self, lineage: Any, index: int) -> "InnerTap":
        return InnerTap(self._log, self._recorder.inner(lineage, index), lineage.text)

    def entries(self, emissions: Sequence[Emission]) -> list[Item]:
        return self._recorder.entries(emissions)

    def started(self, item: Item) -> Barrier | None:
        receiver, _, lineage, hops = item
        key, log = lineage.text, self._log
        payload = self._payload_of(key)
        log.began(
            Begun(
                key, receiver.neuron_name, receiver.collateral_name, payload, hops, None, log.now()
            )
        )
        return self._recorder.started(item)

    def committed(
        self, item: Item, emissions: Sequence[Emission], change: ContextChange | None
    ) -> tuple[list[Item], Barrier | None]:
        items, barrier = self._recorder.committed(item, emissions, change)
        outputs = self._outputs(emissions, items) if emissions else ()
        self._log.ended(item[2].text, "done", outputs, _value_of(change))
        return items, barrier

    def failed(
        self, item: Item, error: BaseException, *, aborted: bool, change: ContextChange | None
    ) -> None:
        self._recorder.failed(item, error, aborted=aborted, change=change)
        key = item[2].text
        entry = self._progress.error(key)
        wire = (
            error_to_wire(error)
            if entry is None
            else {"name": entry.name, "message": entry.message, "stack": entry.stack}
        )
        outcome: TaskOutcome = "interrupted" if aborted else "failed"
        self._log.ended(key, outcome, (), _value_of(change), wire)

    def _outputs(self, emissions: Sequence[Emission], items: Sequence[Item]) -> list[Emitted]:
        """Each emitted signal with the tasks that it leads to, which `items` has in their order."""
        outputs: list[Emitted] = []
        first = 0
        for signal, targets in emissions:
            keys = [item[2].text for item in items[first : first + len(targets)]]
            first += len(targets)
            payload = self._payload_of(keys[0]) if keys else self._encoded(signal)
            outputs.append(Emitted(signal.collateral_name, payload, keys))
        return outputs

    def _payload_of(self, key: str) -> bytes | None:
        """The payload of a task that is owed."""
        task = self._progress.task(key)
        return None if task is None else bytes(task.payload)

    def _encoded(self, signal: Signal[Any]) -> bytes | None:
        """The payload of a signal to which nobody listens, if it has a JSON form."""
        try:
            return self._network.collaterals[signal.collateral_name].codec.encode(signal.payload)
        except Exception as error:
            if not isinstance(error, CnstraError):
                logger.debug("A payload of %r is not shown: %r", signal.collateral_name, error)
            return None


class InnerTap:
    """The recorder of an inner run. Its payloads may be any object: they are not looked at."""

    __slots__ = ("_log", "_outer", "_recorder")

    is_wary = True

    def __init__(self, log: AttemptLog, recorder: Recorder, outer: str) -> None:
        self._log = log
        self._recorder = recorder
        self._outer = outer

    def key_of(self, lineage: Any) -> str:
        return self._recorder.key_of(lineage)

    def inner(self, lineage: Any, index: int) -> "InnerTap":
        return InnerTap(self._log, self._recorder.inner(lineage, index), lineage.text)

    def entries(self, emissions: Sequence[Emission]) -> list[Item]:
        return self._recorder.entries(emissions)

    def started(self, item: Item) -> Barrier | None:
        receiver, _, lineage, hops = item
        names = (receiver.neuron_name, receiver.collateral_name)
        self._log.began(Begun(lineage.text, *names, None, hops, self._outer, self._log.now()))
        return self._recorder.started(item)

    def committed(
        self, item: Item, emissions: Sequence[Emission], change: ContextChange | None
    ) -> tuple[list[Item], Barrier | None]:
        items, barrier = self._recorder.committed(item, emissions, change)
        keys = [one[2].text for one in items]
        outputs: list[Emitted] = []
        for signal, targets in emissions:
            outputs.append(Emitted(signal.collateral_name, None, keys[: len(targets)]))
            keys = keys[len(targets) :]
        self._log.ended(item[2].text, "done", outputs)
        return items, barrier

    def failed(
        self, item: Item, error: BaseException, *, aborted: bool, change: ContextChange | None
    ) -> None:
        self._recorder.failed(item, error, aborted=aborted, change=change)
        outcome: TaskOutcome = "interrupted" if aborted else "failed"
        self._log.ended(item[2].text, outcome, error=error_to_wire(error))


def _value_of(change: ContextChange | None) -> bytes | None:
    """The context value that was committed, as JSON."""
    if change is None or not isinstance(change.value, Frozen):
        return None
    return change.value.data
