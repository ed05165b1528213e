"""`crash_everywhere` sees what is wrong with a flow, and passes one that is right.

`CRASH=full` runs as many cases by chance as it is meant: 2,000 a flow.
"""

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from cnstra import CNS, Context, Queue, Worker, collateral, neuron
from cnstra.errors import InvalidOption
from cnstra.testing import CrashTestFailed, Fault, crash_everywhere
from cnstra.testing.observation import Observation
from cnstra.testing.simulation.plan import ByChance, Fixed
from cnstra.testing.simulation.trial import Trial
from tests.crash import bugs
from tests.crash.bugs import ORDER, Make, effects

ROOT = Path(__file__).parents[2]
BY_CHANCE = 2000 if os.environ.get("CRASH") == "full" else 20

BUGS: list[tuple[Make, str, Make]] = [
    (bugs.fresh_key, "had under several keys", bugs.stable_key),
    (bugs.fresh_key, "had under several keys", bugs.minted_key),
    (bugs.no_key, "without a key", bugs.stable_key),
    (bugs.parts_under_fresh_keys, "had under several keys", bugs.parts_under_their_keys),
    (bugs.parts_under_fresh_keys, "had under several keys", bugs.parts_under_minted_keys),
    (bugs.parts_under_one_key, "had 3 times under one key", bugs.parts_under_their_keys),
    (bugs.branches_under_one_key, "had 2 times under one key", bugs.branches_under_their_keys),
    (bugs.shared_basket, "the result is", bugs.kept_basket),
    (bugs.swallowed_abort, "'mail' of neuron 'mailer' is missing", bugs.heeded_abort),
    (bugs.as_they_come, "the result is", bugs.as_they_were_asked),
    (bugs.counted_over_a_wait, "let no await be between", bugs.counted_at_once),
]


@pytest.mark.parametrize(
    ("wrong", "complaint", "right"),
    BUGS,
    ids=[f"{one[0].__name__}-{one[2].__name__}" for one in BUGS],
)
async def test_a_common_bug_is_caught_and_its_remedy_passes(
    wrong: Make, complaint: str, right: Make
) -> None:
    found = await crash_everywhere(wrong, ORDER, by_chance=10)
    clean = await crash_everywhere(right, ORDER, by_chance=10)

    with pytest.raises(CrashTestFailed, match=complaint):
        found.check()
    clean.check()
    assert clean.trials > 20
    assert clean.deaths > 5


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (bugs.noted_before, bugs.noted_after),
        (bugs.first_attempt_alone, bugs.every_attempt),
        (bugs.swallowed_error, bugs.every_attempt),
        (bugs.steps_noted_before, bugs.steps_noted_after),
    ],
    ids=lambda make: make.__name__,
)
async def test_an_effect_that_failed_and_is_taken_for_done_is_missed(
    wrong: Make, right: Make
) -> None:
    found = await crash_everywhere(wrong, ORDER, by_chance=20, max_attempts=3)
    clean = await crash_everywhere(right, ORDER, by_chance=20, max_attempts=3)

    with pytest.raises(CrashTestFailed, match=r"is missing: it was counted as done(.|\n)*FAIL"):
        found.check()
    clean.check()


async def test_an_effect_that_its_handler_repeats_needs_its_key_as_well() -> None:
    found = await crash_everywhere(bugs.again_under_a_fresh_key, ORDER, by_chance=0, max_attempts=2)
    clean = await crash_everywhere(bugs.again_under_its_key, ORDER, by_chance=20, max_attempts=2)

    assert any("was had 2 times in one run of its handler" in one.what for one in found.findings)
    clean.check()


async def test_a_call_that_fails_is_never_made_and_leaves_nothing_behind() -> None:
    calls: list[str] = []

    class Bank:
        async def charge(self, key: str) -> None:
            calls.append(key)

        def refund(self, key: str) -> None:
            calls.append(key)

    def both() -> Worker:
        order, done = collateral("order", Any), collateral("done", Any)
        till = neuron("till", {"done": done})
        bank = effects.watch("bank", Bank(), key="key")

        @till.dendrite(order)
        async def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
            key = ctx.idempotency_key
            await asyncio.gather(*(bank.charge(f"{key}/{number}") for number in range(2)))
            bank.refund(f"{key}/back")
            return axon.done.create_signal(payload)

        return bugs.worker(till)

    calm = trial(both, {})
    asked = [at for at, point in enumerate(calm.points) if point.kind == "ask"]
    assert [calm.points[at].what.split("'")[1] for at in asked] == [
        "bank.charge", "bank.charge", "bank.refund",
    ]  # fmt: skip
    for place, made in zip(asked, (1, 1, 2), strict=True):
        calls.clear()
        trial(both, {place: Fault.FAIL})
        assert len(calls) == made


async def test_an_effect_does_not_fail_where_the_job_has_one_attempt() -> None:
    report = await crash_everywhere(bugs.noted_before, ORDER, by_chance=20)

    report.check()


async def test_a_finding_is_replayed_alone_with_its_trace() -> None:
    report = await crash_everywhere(bugs.no_key, ORDER, by_chance=0)
    first = report.findings[0]

    again = await crash_everywhere(bugs.no_key, ORDER, replay=first.replay)

    assert again.trials == 1
    assert again.findings == (first,)
    assert any("has effect charge" in line for line in first.trace)


async def test_a_repeat_under_its_key_is_reported_and_is_no_fault() -> None:
    report = await crash_everywhere(bugs.stable_key, ORDER, by_chance=0)

    ((repeat, places),) = report.repeats.items()
    assert (repeat.effect, repeat.neuron) == ("charge", "till")
    assert places["after effect 'charge' of neuron 'till': the process died"] == 1
    assert "effect 'charge' of neuron 'till' was repeated under its key" in str(report)
    assert report.ok


async def test_what_has_no_key_or_several_was_not_repeated_under_its_key() -> None:
    for make in (bugs.no_key, bugs.fresh_key):
        report = await crash_everywhere(make, ORDER, by_chance=0)

        assert not report.ok
        assert report.repeats == {}


async def test_a_report_tells_a_cause_once_and_before_what_comes_of_it() -> None:
    told = str(await crash_everywhere(bugs.unstable_order, ORDER, by_chance=10))

    assert told.count("one activation of neuron 'use' was given") == 1
    assert told.index("one activation of neuron 'use'") < told.index("the result is")
    assert "', and so in " in told


async def test_what_differs_with_nothing_striking_it_is_said_to() -> None:
    bugs.visits.clear()

    report = await crash_everywhere(bugs.remembering, ORDER, by_chance=0)
    first = report.findings[0]
    bugs.visits.clear()
    again = await crash_everywhere(bugs.remembering, ORDER, replay=first.replay)

    assert (first.where, first.replay) == ("nothing struck", "0/0")
    assert "and the first time {'results': [1]}: the flow depends on chance" in first.what
    assert again.findings == (first,)
    assert (await crash_everywhere(bugs.remembering, ORDER, view=lambda seen: None)).ok


async def test_what_changes_in_a_payload_is_told_unless_view_leaves_it_out() -> None:
    def without_times(seen: Any) -> Any:
        return {"payload": seen["payload"]["id"]} if "payload" in seen else seen

    told = await crash_everywhere(bugs.stamped_anew, ORDER, by_chance=10)
    left_out = await crash_everywhere(bugs.stamped_anew, ORDER, by_chance=10, view=without_times)
    once = await crash_everywhere(bugs.stamped_once, ORDER, by_chance=10)
    moved = await crash_everywhere(bugs.unstable_order, ORDER, by_chance=10, view=lambda seen: seen)

    with pytest.raises(CrashTestFailed, match="checkpoint=True; or, where it may change, leave"):
        told.check()
    left_out.check()
    once.check()
    assert any("was given" in one.what for one in moved.findings)


async def test_what_merely_reads_is_no_effect() -> None:
    all_of_it = await crash_everywhere(lambda: bugs.reading(None), ORDER, by_chance=0)

    assert "effect 'repo.find' of neuron 'till' was had" in all_of_it.findings[0].what
    for only in (["save"], "save"):
        report = await crash_everywhere(lambda: bugs.reading(only), ORDER, by_chance=0)  # noqa: B023
        report.check()
        assert [one.effect for one in report.repeats] == ["repo.save"]
    with pytest.raises(InvalidOption, match="name its methods"):
        bugs.reading(["safe"])


async def test_what_could_not_be_compared_is_said() -> None:
    def silent() -> Worker:
        order = collateral("order", Any)
        till = neuron("till").dendrite(order, lambda payload: None)
        return Worker(Queue("orders", "memory://silent"), CNS([till]))

    report = await crash_everywhere(silent, ORDER, by_chance=0)

    assert [note.split(",")[0] for note in report.notes] == [
        "The job had no result", "No effect was recorded",
    ]  # fmt: skip
    assert report.notes[0] in str(report)
    assert (await crash_everywhere(bugs.stable_key, ORDER, by_chance=0)).notes == ()


def polling(broken: bool = False) -> Worker:
    """A loop that waits for a day each time, and counts in its payload; or in what it keeps."""
    order, again, done = (collateral(name, Any) for name in ("order", "again", "done"))
    poll = neuron("poll", {"again": again, "done": done})

    @poll.dendrite([order, again])
    async def on_time(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        seen = ctx.get(0) if broken else payload.get("seen", 0)
        ctx.set(seen + 1)
        await asyncio.sleep(86_400.0)
        effects.record("poll", ctx.idempotency_key)
        target = axon.done if seen == 2 else axon.again
        return target.create_signal({"seen": seen + 1})

    return Worker(Queue("orders", "memory://polling"), CNS([poll]), results=[done])


@pytest.mark.parametrize("broker", ["table", "messages"])
async def test_a_flow_that_waits_for_days_ends_after_them(broker: Any) -> None:
    report = await crash_everywhere(polling, ORDER, broker=broker, by_chance=0, max_attempts=2)

    report.check()
    assert report.deaths > 10


async def test_a_loop_without_an_end_is_said_to_be_one() -> None:
    """A count that a failed handler keeps is passed by, and the loop goes on."""
    report = await crash_everywhere(
        lambda: polling(broken=True), ORDER, by_chance=0, max_attempts=2
    )

    ends = [one.what for one in report.findings if "never ended" in one.what]
    assert ends
    assert "60 days, 0:00:00 of its own time are over (within=)" in ends[0]


def flow(durability: Any = "behind", pause: float = 1.0) -> Worker:
    """A fan-out, a join by context, and effects at each step."""
    order, part, total = (collateral(name, Any) for name in ("order", "part", "total"))
    done = collateral("done", Any)
    split = neuron("split", {"part": part})
    price, sum_up = neuron("price", {"total": total}, concurrency=2), neuron("sum", {"done": done})

    @split.dendrite(order)
    def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        effects.record("split", ctx.idempotency_key)
        return [axon.part.create_signal(number) for number in range(3)]

    @price.dendrite(part)
    async def on_part(number: int, axon: Any, ctx: Context[Any]) -> Any:
        await asyncio.sleep(number * pause)
        effects.record("price", ctx.idempotency_key)
        return axon.total.create_signal(number * 10)

    @sum_up.dendrite(total)
    async def on_total(amount: int, axon: Any, ctx: Context[Any]) -> Any:
        count, total_so_far = ctx.get() or (0, 0)
        ctx.set([count + 1, total_so_far + amount])
        return axon.done.create_signal(total_so_far + amount) if count == 2 else None

    queue = Queue("orders", "memory://flow")
    return Worker(queue, CNS([split, price, sum_up]), results=[done], durability=durability)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
async def test_a_flow_survives_at_every_point(durability: str) -> None:
    report = await crash_everywhere(
        lambda: flow(durability), ORDER, by_chance=BY_CHANCE, max_attempts=2
    )

    report.check()
    assert report.trials > 60


@pytest.mark.timeout(900)
@pytest.mark.parametrize("durability", ["exit", "step"])
async def test_a_flow_survives_as_a_message(durability: str) -> None:
    """It comes twice, in any order, and its result is stored before it is acknowledged."""
    report = await crash_everywhere(
        lambda: flow(durability), ORDER, broker="messages", by_chance=BY_CHANCE, max_attempts=2
    )

    report.check()
    assert report.trials > 60


async def test_a_flow_that_fails_by_itself_is_no_subject() -> None:
    def broken() -> Worker:
        order = collateral("order", Any)
        till = neuron("till")

        @till.dendrite(order)
        def on_order(payload: Any) -> None:
            raise ValueError("no change")

        return Worker(Queue("orders", "memory://broken"), CNS([till]))

    with pytest.raises(
        CrashTestFailed, match=r"Without any fault the job was dead-lettered.*no change"
    ):
        await crash_everywhere(broken, ORDER)


async def test_a_flow_that_waits_for_ever_is_said_to() -> None:
    def waiting() -> Worker:
        order = collateral("order", Any)
        till = neuron("till")

        @till.dendrite(order)
        async def on_order(payload: Any) -> None:
            await asyncio.Event().wait()

        return Worker(Queue("orders", "memory://waiting"), CNS([till]))

    with pytest.raises(CrashTestFailed, match="never ended"):
        await crash_everywhere(waiting, ORDER, within=600.0)


@pytest.mark.parametrize(
    "make",
    [
        bugs.asked_before, bugs.had_once, bugs.row_added, bugs.row_after_its_charge,
        bugs.in_a_transaction,
    ],
    ids=lambda make: make.__name__,
)  # fmt: skip
@pytest.mark.parametrize("max_attempts", [1, 3])
async def test_a_world_outlives_its_processes_and_not_its_run(make: Any, max_attempts: int) -> None:
    report = await crash_everywhere(
        make, ORDER, world=bugs.Far, by_chance=20, max_attempts=max_attempts
    )

    report.check()
    assert report.notes == ()
    assert report.deaths > 5


async def test_what_a_world_remembers_and_was_never_done_is_missed() -> None:
    report = await crash_everywhere(
        bugs.row_before_its_charge, ORDER, world=bugs.Far, by_chance=0, without=[Fault.FAIL]
    )

    with pytest.raises(CrashTestFailed, match=r"'bank.charge' of neuron 'till' is missing"):
        report.check()
    assert "before effect 'bank.charge'" in report.findings[0].where


async def test_each_run_has_a_world_and_a_folder_of_its_own() -> None:
    made: list[Path] = []

    def make_far(folder: Path) -> bugs.Far:
        assert list(folder.iterdir()) == []
        made.append(folder)
        return bugs.Far(folder)

    report = await crash_everywhere(bugs.row_added, ORDER, world=make_far, by_chance=0)

    assert len({*made}) == len(made) == report.trials + 1
    assert not any(one.exists() for one in made)


async def test_a_world_that_outlives_its_run_is_told_of(tmp_path: Path) -> None:
    far = bugs.Far(tmp_path)

    report = await crash_everywhere(lambda: bugs.row_added(far), ORDER, by_chance=0)

    assert "is made by world=" in report.findings[0].what


async def test_real_processes_share_the_folder_of_their_world() -> None:
    report = await crash_everywhere(bugs.row_added, ORDER, world=bugs.Far, engine="processes")
    wrong = await crash_everywhere(
        "tests.crash.bugs:row_before_its_charge", ORDER, world="tests.crash.bugs:make_far",
        engine="processes", replay="ask/DIE/2",
    )  # fmt: skip

    report.check()
    assert report.deaths == report.points > 5
    assert any("'bank.charge' of neuron 'till' is missing" in one.what for one in wrong.findings)


@pytest.mark.parametrize("engine", ["simulation", "processes"])
@pytest.mark.parametrize(
    ("app", "world", "remedy"),
    [
        (bugs.stable_key, bugs.make_far, "with world=, give a function of what that returns"),
        (bugs.row_added, bugs.stable_key, "a function of one parameter, a folder"),
        (bugs.row_added, None, "a function without parameters that returns a Worker"),
    ],
)
async def test_what_does_not_fit_its_world_is_refused(
    engine: Any, app: Any, world: Any, remedy: str
) -> None:
    with pytest.raises(InvalidOption, match=remedy):
        await crash_everywhere(app, ORDER, world=world, engine=engine)


def handling(handler: Any) -> Worker:
    order, done = collateral("order", Any), collateral("done", Any)
    return bugs.worker(neuron("till", {"done": done}).dendrite(order, handler))


FOLLOW_UPS = Queue("follow-ups", "memory://follow-ups")


async def test_a_handler_may_add_jobs_to_other_queues() -> None:
    """To one of its module, and to one of its own."""

    async def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        await FOLLOW_UPS.enqueue(ORDER, job_id=ctx.idempotency_key)
        async with Queue("mails", "memory://mails") as mails:
            await mails.enqueue(ORDER, job_id=ctx.idempotency_key)
        effects.record("enqueue", ctx.idempotency_key)
        return axon.done.create_signal(payload)

    report = await crash_everywhere(lambda: handling(on_order), ORDER, by_chance=10)

    report.check()
    assert report.deaths > 5
    assert (await FOLLOW_UPS.counts())["waiting"] == 1
    await FOLLOW_UPS.close()


async def test_a_handler_may_use_anyio() -> None:
    async def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 1.0)
        with anyio.move_on_after(5.0):
            await anyio.sleep(60.0)
        effects.record("wait", ctx.idempotency_key)
        return axon.done.create_signal(payload)

    (await crash_everywhere(lambda: handling(on_order), ORDER, by_chance=0)).check()


async def test_what_is_real_is_named() -> None:
    async def start_a_process(payload: Any) -> None:
        await asyncio.create_subprocess_exec("true")

    async def connect(payload: Any) -> None:
        await asyncio.open_connection("localhost", 1)

    asked, pool = threading.Event(), ThreadPoolExecutor()

    async def wait_for_a_thread(payload: Any) -> None:
        await asyncio.wrap_future(pool.submit(asked.wait))

    for handler, named in (
        (start_a_process, r"NotSimulated: loop.subprocess_exec\(\) is real"),
        (connect, r"NotSimulated: loop.create_connection\(\) is real"),
        (wait_for_a_thread, 'never ended.* A thread that it waits for is real.*"processes"'),
    ):
        with pytest.raises(CrashTestFailed, match=named):
            await crash_everywhere(lambda: handling(handler), ORDER)  # noqa: B023
    asked.set()
    pool.shutdown()


async def test_a_wait_for_real_time_is_explained() -> None:
    async def on_order(payload: Any) -> None:
        ends_at = time.monotonic() + 3600.0
        while time.monotonic() < ends_at:
            await asyncio.sleep(0)

    with pytest.raises(CrashTestFailed, match=r"time.monotonic\(\): take asyncio's loop.time\(\)"):
        await crash_everywhere(lambda: handling(on_order), ORDER)


async def test_what_keeps_the_application_from_starting_is_raised() -> None:
    def make() -> Worker:
        raise OSError("no settings")

    with pytest.raises(OSError, match="no settings"):
        await crash_everywhere(make, ORDER)


async def test_a_replay_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidOption, match="what a finding of the report says"):
        await crash_everywhere(flow, ORDER, replay="0/0/1/NOTHING")
    with pytest.raises(InvalidOption, match="its point is not passed any more"):
        await crash_everywhere(flow, ORDER, replay="0/0/999/DIE")
    with pytest.raises(InvalidOption, match="its point is not passed any more"):
        await crash_everywhere(flow, ORDER, replay="0/0/1/REPLY_LOST")
    with pytest.raises(InvalidOption, match="its point is not passed any more"):
        await crash_everywhere(process_flow, ORDER, engine="processes", replay="settle/DIE_AFTER/9")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"engine": "threads"}, '"simulation" or "processes"'),
        ({"broker": "rabbitmq"}, '"table" or "messages"'),
        ({"without": ["DIE"]}, "a list of faults"),
        ({"schedules": 0}, "one schedule or more"),
        ({"engine": "processes", "broker": "messages"}, "leave them to"),
        ({"engine": "processes", "without": [Fault.DIE]}, "leave them to"),
    ],
)
async def test_an_option_that_is_none_is_refused(options: Any, remedy: str) -> None:
    with pytest.raises(InvalidOption, match=remedy):
        await crash_everywhere(process_flow, ORDER, **options)


async def make_late() -> Worker:
    return flow()


def make_none() -> None:
    pass


@pytest.mark.parametrize(
    ("app", "remedy"),
    [
        (lambda payload: None, "a function without parameters that returns a Worker"),
        (CNS(), "a function without parameters that returns a Worker"),
        (make_none, "it returned None, and should return a Worker"),
        (make_late, "it returned <coroutine object make_late"),
    ],
)
async def test_what_is_no_application_is_refused(app: Any, remedy: str) -> None:
    with pytest.raises(InvalidOption, match=remedy):
        await crash_everywhere(app, ORDER)


async def test_a_signal_that_no_neuron_hears_is_no_subject() -> None:
    signal = {"collateralName": "done", "payload": {}}

    with pytest.raises(CrashTestFailed, match="no neuron hears the signal"):
        await crash_everywhere(flow, signal)
    with pytest.raises(CrashTestFailed, match="no neuron hears the signal"):
        await crash_everywhere(process_flow, signal, engine="processes")


async def test_a_dead_process_cleans_up_unseen() -> None:
    """Its `finally` blocks run in this process, some time, but nothing that they do is seen."""

    def tidy() -> Worker:
        order, done = collateral("order", Any), collateral("done", Any)
        till, door = neuron("till", {"done": done}), neuron("door", {})

        @till.dendrite(order)
        async def charge(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
            await asyncio.sleep(1.0)
            effects.record("charge", ctx.idempotency_key)
            return axon.done.create_signal(payload)

        @door.dendrite(order)
        async def hold(payload: Any, axon: Any, ctx: Context[Any]) -> None:
            try:
                await asyncio.sleep(2.0)
            finally:
                effects.record("release", ctx.idempotency_key)

        return bugs.worker(till, door)

    effects.clear()
    calm = trial(tidy, {})
    place = next(at for at, point in enumerate(calm.points) if point.kind == "effect")
    seen = trial(tidy, {place: Fault.DIE})

    names = [one.slot.name for one in seen.effects]
    assert names == ["charge", "charge", "release"]
    assert effects.all == []


def trial(make: Make, faults: dict[int, Fault]) -> Observation:
    found = Trial(make, ORDER, schedule="1", plan=Fixed(faults), options={}, within=1e6)
    return found.run()


TRACES = """
import sys
from tests.crash.test_crash_everywhere import traces_of
print(traces_of(int(sys.argv[1])))
"""


def traces_of(seed: int) -> str:
    """A digest of all that happens in some trials."""
    digest = hashlib.sha256()
    for number in range(8):
        token = f"{seed}/{number}"
        plan, options = ByChance(token, ()), {"max_attempts": 2}
        trial = Trial(flow, ORDER, schedule=token, plan=plan, options=options, within=1e6)
        digest.update("\n".join(trial.run().trace).encode())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_trace_in_any_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", TRACES, "7"], cwd=ROOT, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True,
        ).stdout
        for hash_seed in ("1", "2")
    }  # fmt: skip

    assert told == {traces_of(7) + "\n"}
    assert traces_of(7) != traces_of(8)


def process_flow() -> Worker:
    return flow("step", pause=0.002)


async def test_real_processes_are_killed_at_every_point() -> None:
    report = await crash_everywhere(process_flow, ORDER, engine="processes")

    report.check()
    assert report.deaths == report.trials - 1 == report.points
    assert report.trials > 20
    assert any(repeat.effect == "price" for repeat in report.repeats)


async def test_real_kills_find_a_bug_too_and_replay_it() -> None:
    report = await crash_everywhere("tests.crash.bugs:fresh_key", ORDER, engine="processes")
    first = report.findings[0]
    again = await crash_everywhere(
        "tests.crash.bugs:fresh_key", ORDER, engine="processes", replay=first.replay
    )

    assert "had under several keys" in first.what
    assert [one.where for one in again.findings] == [first.where]


async def test_a_key_that_two_effects_share_is_found_by_real_processes_too() -> None:
    report = await crash_everywhere("tests.crash.bugs:branches_under_one_key", ORDER,
                                    engine="processes", replay="once more")  # fmt: skip

    assert "effect 'charge' of neuron 'till' was had 2 times" in report.findings[0].what


@pytest.mark.parametrize("engine", ["simulation", "processes"])
async def test_an_effect_in_a_thread_of_the_executor_is_seen(engine: Any) -> None:
    report = await crash_everywhere("tests.crash.bugs:in_a_thread", ORDER, engine=engine)

    report.check()
    assert report.notes == ()
    assert [one.effect for one in report.repeats] == ["charge"]


async def test_the_order_of_a_set_is_found_to_be_chance() -> None:
    report = await crash_everywhere("tests.crash.bugs:of_a_set", ORDER, engine="processes")
    again = await crash_everywhere(
        "tests.crash.bugs:of_a_set", ORDER, engine="processes", replay="once more"
    )

    assert [one.replay for one in report.findings] == ["once more"]
    assert "on the order of a set" in report.findings[0].what
    assert [one.what for one in again.findings] == [report.findings[0].what]


async def test_what_handlers_print_is_nothing_to_the_test() -> None:
    report = await crash_everywhere("tests.crash.bugs:talkative", ORDER, engine="processes")

    report.check()
    assert report.trials > 3


async def test_a_process_that_dies_of_itself_is_quoted() -> None:
    with pytest.raises(CrashTestFailed, match=r"its process died, or(.|\n)*out of paper"):
        await crash_everywhere("tests.crash.bugs:speechless", ORDER, engine="processes")


SCRIPT = """
import asyncio
from cnstra.testing import crash_everywhere
from tests.crash.bugs import ORDER, stable_key

def make():
    return stable_key()

print(asyncio.run(crash_everywhere(make, ORDER, engine="processes")))
"""


def test_a_script_that_its_processes_would_run_again_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert done.returncode == 1
    assert "put the call under `if __name__ == '__main__':`" in done.stderr


async def test_what_other_processes_cannot_find_is_refused() -> None:
    with pytest.raises(InvalidOption, match="module:name"):
        await crash_everywhere(flow(), ORDER, engine="processes")


async def test_an_application_that_cannot_be_imported_says_why() -> None:
    with pytest.raises(CrashTestFailed, match="nowhere"):
        await crash_everywhere("tests.crash.nowhere:worker", ORDER, engine="processes")
