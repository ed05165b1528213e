"""Kills a flow at every point of its run, and compares."""

import asyncio
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Literal

from cnstra.clock import seconds
from cnstra.engine.signals import Signal
from cnstra.errors import InvalidOption
from cnstra.jobs.retry import Backoff, BackoffFunction
from cnstra.testing.app import App, MakeWorld, builder, world_maker
from cnstra.testing.faults import ERRORS, Fault
from cnstra.testing.judgement import View
from cnstra.testing.processes.campaign import Processes
from cnstra.testing.report import CrashReport
from cnstra.testing.simulation.campaign import Simulation
from cnstra.testing.simulation.sites import BrokerKind
from cnstra.testing.tally import Tally

PATIENCE = 60.0
"""Seconds of real time that a real process has."""


def _as_it_is(value: Any) -> Any:
    return value


async def crash_everywhere(
    app: App,
    signal: Signal[Any] | Mapping[str, Any],
    *,
    engine: Literal["simulation", "processes"] = "simulation",
    broker: BrokerKind = "table",
    seed: int = 0,
    schedules: int = 1,
    by_chance: int = 50,
    max_attempts: int = 1,
    backoff: Backoff | BackoffFunction | float | timedelta | None = None,
    without: Collection[Fault] = (),
    view: View = _as_it_is,
    within: float | timedelta = timedelta(days=30),
    replay: str | None = None,
    world: MakeWorld | None = None,
) -> CrashReport:
    """Run a job, strike it at every point of its run, and compare what comes of it.

    First the job runs undisturbed. Then, for each point of that run (a job is leased, a handler
    starts, an effect was recorded, a checkpoint is written, the job is settled), it runs again, and
    there its process dies, freezes for longer than its lease, is told to stop, or is refused or
    never told what it asked for. Other processes take over and bring it to its end. Then must be as
    they were without the fault: the result, the context, the activations and the effects, each
    under one key however often it was had. What a loaded checkpoint holds as done must not be
    started again, and no process may write whose place another has taken.

    "simulation" runs the processes in one thread, under a virtual clock, with a broker and a store
    that keep leases and lose replies: thousands of runs in seconds, and the same ones again for the
    same seed. Module-level state outlives a death there: give a function that makes the worker, and
    with it all that a new process would make. "processes" starts real ones on an SQLite file, and
    kills them by SIGKILL.

    engine: as said.
    broker: of the simulation. "table": a job is a row that is settled in one step with its run, as
        on SQLite, Postgres and BullMQ. "messages": as on RabbitMQ, SQS and NATS, where a message
        may come twice and in any order, and the result is stored before it is acknowledged.
    seed: which orders of tasks and which faults by chance are tried.
    schedules: how many orders of concurrent tasks are tried at each point.
    by_chance: how many runs come on top, with several faults each.
    max_attempts, backoff: of the job; with more than one attempt each effect also raises once: when
        it was not done, and when it was and its reply was lost.
    without: faults that are not to be tried.
    view: what must be equal of a result, `{"results": [...]}`, of a context, `{neuron: value}`, and
        of a payload that an activation is given again, `{"payload": ...}`; where a time or a fresh
        id is in it, say.
    within: seconds after which a job that has not ended never will; they are virtual.
    replay: of a finding: that one run alone. Its trace is in the report.
    world: makes what outlives the processes of a run and is new for each run, as a far side that
        remembers, or a database: it is given an empty folder, and what it returns is given to
        `app`. Real processes call it each for itself, and share the folder.

    Raises `CrashTestFailed` if the job fails with nothing striking it. `report.check()` raises for
    what was found.

    >>> report = await crash_everywhere(make_worker, order.create_signal({"id": 7}))
    >>> report.check()
    """
    _check(engine, broker, schedules, by_chance, without)
    tally = Tally(view)
    options = {"max_attempts": max_attempts, "backoff": backoff}
    campaign: Simulation | Processes
    if engine == "processes":
        campaign = Processes(app, world, signal, tally, options=options, patience=PATIENCE)
    else:
        campaign = Simulation(
            builder(app, in_world=world is not None),
            None if world is None else world_maker(world),
            signal,
            tally,
            seed=seed,
            schedules=schedules,
            by_chance=by_chance,
            without={*without} if max_attempts > 1 else {*without, *ERRORS},
            options=options,
            within=seconds(within),
            broker=broker,
        )
    started = time.perf_counter()
    try:
        await asyncio.to_thread(campaign.run, replay)
    finally:
        campaign.is_cancelled = True
    return tally.report(engine, seed, time.perf_counter() - started)


def _check(
    engine: str, broker: str, schedules: int, by_chance: int, without: Collection[object]
) -> None:
    """Raises `InvalidOption`."""
    if engine not in ("simulation", "processes"):
        remedy = 'choose "simulation" or "processes"'
        raise InvalidOption(option="engine", value=engine, remedy=remedy)
    if broker not in ("table", "messages"):
        remedy = 'choose "table" or "messages"'
        raise InvalidOption(option="broker", value=broker, remedy=remedy)
    if schedules < 1 or by_chance < 0:
        remedy = "try one schedule or more, and no fewer than 0 runs by chance"
        raise InvalidOption(option="schedules, by_chance", value=(schedules, by_chance),
                            remedy=remedy)  # fmt: skip
    if not all(isinstance(one, Fault) for one in without):
        remedy = "give a list of faults, as [Fault.STOP]"
        raise InvalidOption(option="without", value=without, remedy=remedy)
    if engine == "processes" and (broker != "table" or schedules > 1 or without):
        remedy = 'leave them to engine="simulation": real processes die, on SQLite'
        raise InvalidOption(option="broker, schedules, without",
                            value=(broker, schedules, without), remedy=remedy)  # fmt: skip
