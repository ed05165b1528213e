"""A durable run as a plain function, for whoever has a worker already."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from cnstra.clock import seconds
from cnstra.durable.adapters import adapter_for
from cnstra.durable.io_thread import IOThread, Mailbox
from cnstra.durable.journal import Durability
from cnstra.durable.run import (
    DEFAULT_CRASH_LIMIT,
    DurableOptions,
    DurableRun,
    Finished,
    Halted,
    Outcome,
    Quarantined,
    Superseded,
    Unfinished,
)
from cnstra.durable.store import ProgressStore
from cnstra.engine.abort import AbortSignal
from cnstra.engine.audience import Listener
from cnstra.engine.cns import CNS, Signals
from cnstra.engine.payloads import decode_json
from cnstra.engine.signals import Collateral
from cnstra.engine.stimulation import DEFAULT_GRACE
from cnstra.errors import StimulationFailed, text_of

KEEP_RESULTS = timedelta(days=7)


async def run_durably(
    cns: CNS,
    signal: Signals,
    *,
    key: str,
    store: str | ProgressStore,
    results: Iterable[Collateral[Any] | str] = (),
    durability: Durability = "behind",
    grace: float | timedelta = DEFAULT_GRACE,
    crash_limit: int | None = DEFAULT_CRASH_LIMIT,
    keep_results: float | timedelta = KEEP_RESULTS,
    abort_signal: AbortSignal | None = None,
    on_response: Listener | None = None,
) -> dict[str, Any]:
    """Run a signal to its end, or go on where an earlier call with the same `key` has stopped.

    For people who have a worker already: call it inside a Celery, Dramatiq, Taskiq or Lambda task,
    and let that retry the task. The progress is kept in `store` (a URL, or a store that is not
    open). The resources of `cns` are opened for the call, unless they are open.

    key: names the run: the task's id, or whatever is the same when it is tried again.
    results: the collaterals whose payloads are returned.
    grace: seconds, or a `timedelta`, that an abort leaves to running handlers.
    keep_results: seconds for which a finished run is remembered: a further call returns its result.

    Returns `{"results": [...]}`. Raises `StimulationFailed` when the run still owes something (call
    again to go on), `CrashLimitReached`, `Fenced` when another call has taken the run over.

    >>> await run_durably(cns, signal, key=task.id, store="sqlite:///progress.db", results=[output])
    """
    options = DurableOptions.of(results, durability, grace, crash_limit)
    for name in options.results:
        cns.network.require(name)
    io = IOThread("cnstra-run")
    progress_store = adapter_for(store).store(store, cns.clock) if isinstance(store, str) else store
    try:
        await io.call(progress_store.open)
        saved = await io.call(lambda: progress_store.load(key))
        run = DurableRun(
            cns,
            key,
            saved,
            store=progress_store,
            io=io,
            mailbox=Mailbox(asyncio.get_running_loop()),
            options=options,
            attempt=saved.epoch,
            on_response=on_response,
        )
        remove = abort_signal.add_callback(run.abort) if abort_signal else None
        try:
            async with cns:
                outcome = await _see_through(run, signal)
        except BaseException:
            await run.release()
            raise
        finally:
            if remove is not None:
                remove()
        match outcome:
            case Finished(result):
                if saved.result is None:
                    await run.finish(result, seconds(keep_results))
                return dict(decode_json(result))
            case Unfinished(failed_tasks):
                await run.release()
                raise StimulationFailed(
                    count=len(failed_tasks),
                    summary="; ".join(text_of(one.error, repr) for one in failed_tasks[:3]),
                    failed_tasks=failed_tasks,
                    listener_errors=[],
                ) from failed_tasks[0].error
            case Quarantined(error) | Halted(error):
                await run.release()
                raise error
            case Superseded(error):
                raise error
    finally:
        await io.call(progress_store.close)
        io.close()


async def _see_through(run: DurableRun, signal: Signals) -> Outcome:
    """Run to the end. A caller who is cancelled aborts the run, and leaves once it has ended."""
    running = asyncio.ensure_future(run.execute(signal))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError as cancelled:
        run.abort(cancelled)
        await asyncio.wait({running})
        raise
