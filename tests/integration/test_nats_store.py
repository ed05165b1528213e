"""Runs in a bucket of NATS: whole through any death, at the cost of what changed, no litter."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnstra.adapters import nats
from cnstra.adapters.memory.store import MemoryStore
from cnstra.adapters.memory.world import World
from cnstra.adapters.nats.names import token
from cnstra.adapters.nats.store import NatsStore
from cnstra.clock import Clock
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.errors import Fenced, ProgressUnreadable, StoreUnavailable, StreamMismatch
from tests.manual_clock import ManualClock
from tests.nats_server import NatsServer, api, publish
from tests.proxy import Proxy

SMALL = 16 * 1024
"""Bytes that a message may have on the server of these tests, so that little is large."""
LARGE = b"x" * (2 * SMALL + 5_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"), f"max_payload: {SMALL}")
    server.start()
    yield server
    server.stop()


class Bucket:
    """A bucket of our own. Every store that is opened here is closed after the test."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.url = server.place()
        self.name = self.url.rpartition("/")[2]
        self.clock = ManualClock()
        self.opened: list[NatsStore] = []

    async def store(self, clock: Clock | None = None, url: str | None = None) -> NatsStore:
        store = nats.store(url or self.url, clock or self.clock)
        self.opened.append(store)
        await store.open()
        return store

    async def messages(self, run: str | None = None) -> int:
        """How many lie in the bucket, or of one run."""
        info = await api(self.url, f"STREAM.INFO.KV_{self.name}", subjects_filter=">")
        if run is None:
            return int(info["state"]["messages"])
        return int(info["state"].get("subjects", {}).get(f"$KV.{self.name}.{token(run)}", 0))


@pytest.fixture
async def bucket(server: NatsServer) -> AsyncIterator[Bucket]:
    bucket = Bucket(server)
    yield bucket
    for store in bucket.opened:
        await store.close()


# --- whole or not at all


class Died(Exception):
    """The process is no more."""


def dies_before(store: NatsStore, write: int) -> list[str]:
    """Have the store's process end before one of its writes. Returns what it has written."""
    client: Any = store._client  # pyright: ignore
    publish, ask = client.publish, client.api
    written: list[str] = []

    def note(what: str) -> None:
        if len(written) == write:
            raise Died
        written.append(what)

    async def publish_or_die(subject: str, body: bytes, headers: dict[str, str]) -> int:
        note("put")
        return int(await publish(subject, body, headers))

    async def ask_or_die(call: str, **request: Any) -> Any:
        if call.startswith("STREAM.PURGE"):
            note("drop")
        return await ask(call, **request)

    client.publish, client.api = publish_or_die, ask_or_die
    return written


Step = Callable[[ProgressStore, str], Awaitable[object]]


async def nothing(store: ProgressStore, run: str) -> None:
    await store.load(run)


async def little(store: ProgressStore, run: str) -> None:
    await store.load(run)
    await store.commit(Ticket(run, 1, 1), Patch({"a": b"1", "b": b"1"}))


async def long_log(store: ProgressStore, run: str) -> None:
    """One that the next kilobyte folds."""
    await store.load(run)
    for number in range(1, 9):
        await store.commit(Ticket(run, 1, number), Patch({f"k{number % 3}": b"x" * 8_000}))


async def long_large_log(store: ProgressStore, run: str) -> None:
    await store.load(run)
    for number in range(1, 9):
        await store.commit(Ticket(run, 1, number), Patch({f"k{number}": b"x" * 8_000}))


async def done(store: ProgressStore, run: str) -> None:
    await store.load(run)
    await store.finish(Ticket(run, 1, 1), LARGE, keep=None)


async def commit_little(store: ProgressStore, run: str) -> None:
    await store.commit(Ticket(run, 1, 20), Patch({"a": b"2"}, {"b", "k1"}))


async def commit_much(store: ProgressStore, run: str) -> None:
    await store.commit(Ticket(run, 1, 20), Patch({"a": LARGE, "c": LARGE}, {"b"}))


async def commit_more(store: ProgressStore, run: str) -> None:
    await store.commit(Ticket(run, 1, 20), Patch({"a": b"x" * 2_000}, {"k1"}, release=True))


async def finish(store: ProgressStore, run: str) -> None:
    await store.finish(Ticket(run, 1, 20), b"{}", keep=None)


async def finish_much(store: ProgressStore, run: str) -> None:
    await store.finish(Ticket(run, 1, 20), LARGE, keep=None)


async def load(store: ProgressStore, run: str) -> None:
    await store.load(run)


@pytest.mark.parametrize(
    ("before", "step", "writes"),
    [
        (None, load, ["put"]),
        (nothing, commit_little, ["put"]),
        (little, commit_little, ["put"]),
        (little, commit_much, ["put"] * 6),
        (little, load, ["put"] * 2),  # the first one is refused: the run is not new
        (long_log, commit_more, ["put"] * 3 + ["drop"]),
        (long_large_log, commit_more, ["put"] * 5 + ["drop"]),
        (long_log, commit_much, ["put"] * 8 + ["drop"]),
        (long_log, finish, ["put"]),
        (long_log, finish_much, ["put"] * 4 + ["drop"]),
        (done, load, ["put"] * 5 + ["drop"]),
    ],
)
async def test_a_death_between_any_two_writes_leaves_the_old_or_the_new_and_no_litter(
    bucket: Bucket, before: Step | None, step: Step, writes: list[str]
) -> None:
    last_words: list[str] = []
    for write in range(len(writes) + 1):
        run, model = f"r{write}", MemoryStore(World("model"), bucket.clock)
        store, other = await bucket.store(), await bucket.store()
        if before is not None:
            for one in (store, model):
                await before(one, run)
        old = await model.peek(run)
        await step(model, run)
        new = await model.peek(run)

        last_words = dies_before(store, write)
        with suppress(Died):
            await step(store, run)

        found = await other.peek(run)
        assert found == (new if last_words == writes or found != old else old)
        taken = await other.load(run)
        assert taken.entries == (found.entries if found else {})
        if taken.result is None:
            await other.commit(Ticket(run, taken.epoch, taken.seq + 1), Patch({"z": b"1"}))
            await other.finish(Ticket(run, taken.epoch, taken.seq + 2), b"{}", keep=None)
            assert await bucket.messages(run) == 1
        else:
            assert await other.peek(run) == Saved(taken.epoch, taken.seq, result=taken.result)
            assert await bucket.messages(run) == (1 if taken.result == b"{}" else 4)
        await other.forget(run)
        assert await bucket.messages(run) == 0

    assert last_words == writes, "the last one was not to die"


async def test_a_lost_answer_is_no_lost_write(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for it hears of the loss at once."""
    monkeypatch.setattr("cnstra.adapters.nats.connection.PATIENCE", 1000.0)
    async with Proxy(bucket.server.port) as proxy:
        store = await bucket.store(url=f"nats://127.0.0.1:{proxy.port}/{bucket.name}")
        await store.load("r")
        proxy.swallow = b"the lost one"

        with pytest.raises(StoreUnavailable):
            await store.commit(Ticket("r", 1, 1), Patch({"a": b"the lost one"}))
        await store.commit(Ticket("r", 1, 1), Patch({"a": b"the lost one"}))
        await store.commit(Ticket("r", 1, 2), Patch({"b": b"2"}))

        assert (await store.load("r")).entries == {"a": b"the lost one", "b": b"2"}
        assert await bucket.messages("r") == 4
        await store.close()


async def test_parts_that_outlive_what_stood_before_them_do_no_harm(bucket: Bucket) -> None:
    """A process dies while it copies a large result, whose time is over before anybody comes."""
    dying, other = await bucket.store(), await bucket.store()
    await dying.load("r")
    await dying.finish(Ticket("r", 1, 1), LARGE, keep=10.0)
    dies_before(dying, 3)
    with pytest.raises(Died):
        await dying.load("r")
    await bucket.clock.advance(10.0)
    await other.load("another")
    await other.finish(Ticket("another", 1, 1), b"{}", keep=None)

    assert await bucket.messages("r") == 2
    assert await other.peek("r") is None
    assert await other.load("r") == Saved(epoch=1)


async def test_what_is_remembered_of_a_run_is_not_trusted_to_refuse(bucket: Bucket) -> None:
    one, other = await bucket.store(), await bucket.store()
    await one.load("r")
    await other.load("r")

    await one.commit(Ticket("r", 2, 1), Patch({"a": b"1"}))

    assert (await other.load("r")).entries == {"a": b"1"}


async def test_few_runs_are_remembered(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[NatsStore.__module__], "HEADS", 3)
    store = await bucket.store()

    for number in range(6):
        await store.load(f"r{number}")
    for number in range(6):
        await store.commit(Ticket(f"r{number}", 1, 1), Patch({"a": b"1"}))

    assert len(store._heads) == 3  # pyright: ignore


async def test_a_zombie_that_writes_in_parts_is_fenced_at_the_first(bucket: Bucket) -> None:
    zombie, other = await bucket.store(), await bucket.store()
    await little(zombie, "r")
    await other.load("r")
    before = await bucket.messages("r")

    with pytest.raises(Fenced):
        await commit_much(zombie, "r")

    assert await bucket.messages("r") == before


operations = st.lists(
    st.one_of(
        st.tuples(st.just("load")),
        st.tuples(
            st.just("commit"),
            st.integers(-1, 0),
            st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 4_000), max_size=3),
            st.sets(st.sampled_from("abcdef"), max_size=3),
            st.booleans(),
        ),
        st.tuples(st.just("finish"), st.integers(-1, 0), st.integers(0, 40_000)),
        st.tuples(st.just("wait")),
        st.tuples(st.just("forget")),
    ),
    max_size=25,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=operations)
def test_it_does_what_a_store_in_memory_does(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, steps: list[Any]
) -> None:
    """Folds early, so that it folds often."""
    monkeypatch.setattr(sys.modules[NatsStore.__module__], "LEAST_LOG", 3_000)
    asyncio.run(_compare(server, steps))


async def _compare(server: NatsServer, steps: list[Any]) -> None:
    bucket, world = Bucket(server), World("model")
    stores: list[ProgressStore] = [await bucket.store(), MemoryStore(world, bucket.clock)]
    epoch = 1
    for seq, step in enumerate(steps, 1):
        outcomes: list[object] = []
        for store in stores:
            try:
                outcomes.append(await _take(step, store, epoch, seq))
            except Fenced as error:
                outcomes.append(error.context["found"])
        assert outcomes[0] == outcomes[1], step
        if isinstance(outcomes[1], Saved):
            epoch = outcomes[1].epoch
        if step[0] == "wait":
            await bucket.clock.advance(60.0)
        assert await stores[0].peek("r") == await stores[1].peek("r")
    await bucket.opened[0].close()


async def _take(step: Any, store: ProgressStore, epoch: int, seq: int) -> Saved | None:
    match step:
        case ("load",):
            return await store.load("r")
        case ("commit", behind, puts, deletes, release):
            values = {key: bytes(size) for key, size in puts.items()}
            await store.commit(
                Ticket("r", max(1, epoch + behind), seq), Patch(values, deletes, release=release)
            )
        case ("finish", behind, size):
            await store.finish(Ticket("r", max(1, epoch + behind), seq), bytes(size), keep=100.0)
        case ("forget",):
            await store.forget("r")
        case _:
            pass
    return None


# --- the cost


async def test_a_commit_costs_what_it_changes_however_much_there_is(bucket: Bucket) -> None:
    """The log is folded now and then; in all that costs no more than the commits themselves do."""
    writes, size, kept = 3_000, 300, 800
    store = await bucket.store()
    sent = _count_bytes(store)
    await store.load("r")

    for number in range(1, writes + 1):
        patch = Patch({f"t/{number:08}": bytes(size)}, {f"t/{number - kept:08}"})
        await store.commit(Ticket("r", 1, number), patch)

    expected = {f"t/{number:08}" for number in range(writes - kept + 1, writes + 1)}
    assert (await store.load("r")).entries.keys() == expected
    assert await bucket.messages("r") < 2 * kept
    assert sum(sent) < 3.5 * writes * size


def _count_bytes(store: NatsStore) -> list[int]:
    client: Any = store._client  # pyright: ignore
    publish, sizes = client.publish, list[int]()

    async def count(subject: str, body: bytes, headers: dict[str, str]) -> int:
        sizes.append(len(body))
        return int(await publish(subject, body, headers))

    client.publish = count
    return sizes


async def test_results_whose_time_is_over_do_not_pile_up(bucket: Bucket) -> None:
    store = await bucket.store()
    for number in range(60):
        await store.load(f"r{number}")
        await store.finish(Ticket(f"r{number}", 1, 1), LARGE, keep=10.0)
        await bucket.clock.advance(5.0)

    assert await bucket.messages() <= 4 * 6


async def test_a_sweep_spares_what_it_cannot_read(bucket: Bucket) -> None:
    store = await bucket.store()
    await publish(bucket.url, f"$KV.{bucket.name}.foreign", b"\xff nothing of ours")
    for run in ("r1", "r2"):
        await store.load(run)
        await store.finish(Ticket(run, 1, 1), b"{}", keep=0.0)

    assert await bucket.messages("foreign") == 1
    with pytest.raises(ProgressUnreadable, match="foreign"):
        await store.load("foreign")


# --- a bad day


async def test_writes_wait_for_a_server_that_is_killed_and_lose_nothing(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    bucket = Bucket(server)
    try:
        store = await bucket.store()
        await store.load("r")
        for number in range(1, 31):
            if number % 10 == 5:
                server.kill()
                with pytest.raises(StoreUnavailable):
                    await store.commit(Ticket("r", 1, number), Patch({f"{number}": b"1"}))
                server.start()
            await store.commit(Ticket("r", 1, number), Patch({f"{number}": b"1"}))

        assert len((await store.load("r")).entries) == 30
        await store.close()
    finally:
        server.stop()


async def test_a_bucket_that_forgets_is_refused(server: NatsServer) -> None:
    bucket = f"t{uuid4().hex}"
    config = {"name": f"KV_{bucket}", "subjects": [f"$KV.{bucket}.>"], "max_msgs_per_subject": 1}
    await api(server.url, f"STREAM.CREATE.KV_{bucket}", allow_rollup_hdrs=True, **config)

    with pytest.raises(StreamMismatch, match=f"KV_{bucket}.*its history is 1"):
        await nats.store(f"{server.url}/{bucket}", ManualClock()).open()
