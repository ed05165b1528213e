"""What is particular to Postgres: its schema, its transactions, its connections."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cnstra import Queue, Worker, blocking, collateral, run_durably
from cnstra.adapters import postgres
from cnstra.adapters.postgres.broker import PostgresBroker
from cnstra.adapters.postgres.columns import from_text, to_key, to_run, to_text
from cnstra.adapters.postgres.location import Location
from cnstra.adapters.postgres.migrating import VERSION
from cnstra.clock import SYSTEM_CLOCK, SystemClock
from cnstra.durable.store import Patch, Ticket
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import (
    BrokerUnavailable,
    Fenced,
    InvalidOption,
    JobCancelled,
    LeaseLost,
    MigrationRequired,
    NotOurDatabase,
    SchemaTooNew,
    StoreUnavailable,
)
from cnstra.jobs.broker import Ahead, NewJob
from cnstra.jobs.settlement import Completed, Delivery, Requeued
from tests.durables import PATIENCE, Story, drain, entry, output, until, working
from tests.postgres_server import PostgresServer, call, new_schema, pooled, schema_of
from tests.proxy import Proxy

ROOT = Path(__file__).parents[2]
DONE = Completed(b'{"results":[]}')
note = collateral("note", str)


def job(job_id: str, data: bytes = b"{}") -> NewJob:
    return NewJob(job_id, data, f"run of {job_id}")


def ticket(delivery: Delivery, step: int = 1) -> Ticket:
    assert delivery.saved is not None
    return Ticket(delivery.run, delivery.saved.epoch, delivery.saved.seq + step)


async def take(broker: PostgresBroker, limit: int = 10) -> list[Delivery]:
    return list(await broker.receive(limit, lease=30.0, wait=0.0, rate=None))


@asynccontextmanager
async def opened(url: str, queue: str = "q") -> AsyncIterator[PostgresBroker]:
    broker = postgres.broker(queue, url, SYSTEM_CLOCK, 3600.0)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


@pytest.fixture
async def broker(postgres_schema: str) -> AsyncIterator[PostgresBroker]:
    async with opened(postgres_schema) as broker:
        yield broker


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own, which tests may kill."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


# --- the URL


def test_a_url_is_libpqs_with_options_of_ours() -> None:
    url = "postgres://app:s%40cret@db.example:6432/shop?schema=jobs&listen=off&sslmode=require"

    place = Location.of(url)

    assert (place.schema, place.listens, place.connections) == ("jobs", False, 4)
    assert place.shown == "postgres://***@db.example:6432/shop"
    told = psycopg.conninfo.conninfo_to_dict(place.conninfo)
    assert (told["password"], told["sslmode"]) == ("s@cret", "require")
    assert "schema" not in told


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("schema=", "letters, digits and _"),
        ("schema=pg_mine", "letters, digits and _"),
        ('schema="; DROP TABLE x; --', "letters, digits and _"),
        ("listen=maybe", "on or off"),
        ("connections=0", "1 or more"),
        ("connections=many", "1 or more"),
        ("colour=blue", "libpq cannot read it"),
    ],
)
def test_a_url_that_means_nothing_says_why(query: str, says: str) -> None:
    with pytest.raises(InvalidOption, match=says) as refused:
        Location.of(f"postgresql://app:secret@localhost/shop?{query}")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("special", "/?[%")
def test_a_password_that_is_not_encoded_is_not_told(special: str) -> None:
    with pytest.raises(InvalidOption, match=r"postgresql://\*\*\*.*percent-encode") as refused:
        Location.of(f"postgresql://app:hush{special}hush@db/shop")

    assert "hush" not in str(refused.value)


def test_a_name_with_an_at_sign_may_be_among_the_options() -> None:
    place = Location.of("postgresql://db.example/shop?user=app@example")

    assert psycopg.conninfo.conninfo_to_dict(place.conninfo)["user"] == "app@example"


# --- the schema


async def test_two_processes_may_make_the_schema_at_once(postgres_schema: str) -> None:
    migrating = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cnstra", "migrate", postgres_schema,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip

    said = [(await each.communicate())[0].decode() for each in migrating]

    assert [each.returncode for each in migrating] == [0, 0, 0]
    one_did_it = "".join(f"migrated to version {each + 1}\n" for each in range(VERSION))
    assert sorted(said) == [one_did_it, *["nothing to do: the tables are up to date\n"] * 2]


async def test_opening_makes_the_schema_once(postgres_schema: str) -> None:
    brokers = [postgres.broker("q", postgres_schema, SYSTEM_CLOCK, 60.0) for _ in range(5)]

    await asyncio.gather(*(each.open() for each in brokers))

    assert await brokers[0].enqueue([job("a")]) == [True]
    assert [one.job_id for one in await take(brokers[1])] == ["a"]
    for each in brokers:
        await each.close()


async def test_an_older_schema_gets_the_functions_of_ours(postgres_schema: str) -> None:
    await postgres.migrate(postgres_schema)
    server, schema = schema_of(postgres_schema)
    call(server, f"DELETE FROM {schema}.migrations WHERE version > 1")
    call(server, f"DROP FUNCTION {schema}.event_lock_noted")

    assert await postgres.migrate(postgres_schema) == [2]

    assert call(server, f"SELECT count({schema}.event_lock_noted())") == [(1,)]
    async with opened(postgres_schema) as broker:
        assert await broker.enqueue([job("a")]) == [True]


async def test_a_newer_schema_is_left_alone(postgres_schema: str) -> None:
    await postgres.migrate(postgres_schema)
    server, schema = schema_of(postgres_schema)
    call(server, f"INSERT INTO {schema}.migrations (version) VALUES (99)")

    with pytest.raises(SchemaTooNew, match=f"schema {schema} at .* newer cnstra"):
        await postgres.broker("q", postgres_schema, SYSTEM_CLOCK, 60.0).open()
    with pytest.raises(SchemaTooNew):
        await postgres.migrate(postgres_schema)


async def test_a_schema_of_another_program_is_left_alone(postgres_schema: str) -> None:
    server, schema = schema_of(postgres_schema)
    call(server, f"CREATE SCHEMA {schema}")
    call(server, f"CREATE TABLE {schema}.jobs (mine int)")

    with pytest.raises(NotOurDatabase, match="tables of another program"):
        await postgres.migrate(postgres_schema)

    assert call(server, f"SELECT count(*) FROM {schema}.jobs") == [(0,)]


async def test_a_migration_is_whole_or_not_at_all(
    postgres_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres.migrating, "_note", lambda *_: "SELECT 1/0;")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await postgres.migrate(postgres_schema)

    server, schema = schema_of(postgres_schema)
    assert call(server, f"SELECT FROM pg_namespace WHERE nspname = '{schema}'") == []


@pytest.fixture
def roles(postgres_schema: str) -> Iterator[tuple[str, str]]:
    """The URL of the schema for its owner, and for a role that may do nothing yet."""
    server, schema = schema_of(postgres_schema)
    role = f"r_{schema}"
    call(server, f"CREATE ROLE {role} LOGIN")
    yield postgres_schema, postgres_schema.replace("root@", f"{role}@")
    call(server, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    call(server, f"DROP OWNED BY {role}")
    call(server, f"DROP ROLE {role}")


async def test_a_role_without_rights_is_told_what_to_do(roles: tuple[str, str]) -> None:
    _, theirs = roles

    for opening in (
        postgres.broker("q", theirs, SYSTEM_CLOCK, 60.0).open(),
        postgres.store(theirs, SYSTEM_CLOCK).open(),
    ):
        with pytest.raises(MigrationRequired, match="cnstra migrate postgresql://") as refused:
            await opening
        assert "permission denied" in str(refused.value)


async def test_a_role_needs_no_more_rights_than_the_page_says(roles: tuple[str, str]) -> None:
    ours, theirs = roles
    server, schema = schema_of(ours)
    await postgres.migrate(ours)
    with pytest.raises(MigrationRequired, match="permission denied"):
        await postgres.broker("q", theirs, SYSTEM_CLOCK, 60.0).open()
    page = (ROOT / "docs" / "postgres.md").read_text(encoding="utf-8")
    grants = page.partition("```sql\nGRANT")[2].partition("```")[0]

    for grant in (
        f"GRANT{grants}".replace("cnstra", schema).replace("app", f"r_{schema}").split(";")
    ):
        if grant.strip():
            call(server, grant)

    async with Queue("q", theirs) as queue:
        story = Story()
        story.fails("second", 1)
        made = await queue.enqueue(entry.create_signal(1), max_attempts=2)
        await drain(queue, story.chain(), durability="step")
        assert await made.result(timeout=0) == {"results": [1]}
        assert await queue.remove(made.id)


def test_a_migration_by_hand_is_the_same(postgres_schema: str) -> None:
    server, schema = schema_of(postgres_schema)
    said = subprocess.run(
        [sys.executable, "-m", "cnstra", "migrate", postgres_schema, "--sql"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert call(server, f"SELECT FROM pg_namespace WHERE nspname = '{schema}'") == []

    call(server, said)

    assert blocking(postgres.migrate(postgres_schema)) == []


async def test_the_error_of_a_cancelled_job_is_pythons(broker: PostgresBroker) -> None:
    await broker.enqueue([job("a")])
    await broker.cancel("a")

    found = await broker.get("a")

    assert found is not None
    assert found.error == {**error_to_wire(JobCancelled()), "stack": ""}


# --- enqueueing in a transaction of the caller's


async def test_a_job_comes_with_the_callers_commit(
    broker: PostgresBroker, postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    async with Queue("q", postgres_schema) as queue:
        async with connection.transaction():
            await connection.execute("SELECT 1")
            made = await queue.enqueue(note.create_signal("hello"), connection=connection)
            assert made.new
            assert await queue.get(made.id) is None
            assert await take(broker) == []

        assert [one.job_id for one in await take(broker)] == [made.id]


async def test_a_job_goes_with_the_callers_rollback(
    broker: PostgresBroker, postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    async with Queue("q", postgres_schema) as queue:
        signals = [note.create_signal("one"), note.create_signal("two")]
        made = await queue.enqueue_many(signals, connection=connection)
        assert [one.new for one in made] == [True, True]
        await connection.rollback()

        assert await queue.jobs() == []
        assert await broker.events(0) == []
        assert await queue.enqueue_many([], connection=connection) == []


async def test_a_sleeping_worker_hears_of_the_commit(
    broker: PostgresBroker, postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    async with Queue("q", postgres_schema) as queue:
        receiving = asyncio.create_task(broker.receive(1, lease=30.0, wait=PATIENCE, rate=None))
        await queue.enqueue(note.create_signal("hello"), connection=connection, job_id="a")
        await asyncio.sleep(0.1)
        assert not receiving.done()

        await connection.commit()

        (delivery,) = await asyncio.wait_for(receiving, 2.0)  # far below LONGEST_UNCHECKED
        assert delivery.job_id == "a"


def test_a_blocking_caller_joins_its_transaction_too(
    postgres_schema: str, postgres_url: str
) -> None:
    queue = Queue("q", postgres_schema)
    with psycopg.connect(postgres_url) as connection:
        lost = blocking(queue.enqueue(note.create_signal("lost"), connection=connection))
        connection.rollback()
        kept = blocking(queue.enqueue(note.create_signal("kept"), connection=connection))

    assert blocking(queue.get(lost.id)) is None
    assert blocking(kept.state()) == "waiting"
    blocking(queue.close())


class WrongClock(SystemClock):
    """A machine whose clock is off by so many seconds."""

    def __init__(self, off: float) -> None:
        self.off = off

    def time(self) -> float:
        return super().time() + self.off


@pytest.mark.parametrize("off", [3600.0, -3600.0])
@pytest.mark.parametrize("is_within", [False, True])
async def test_a_delay_counts_by_the_servers_clock(
    connection: psycopg.AsyncConnection[Any], postgres_schema: str, off: float, is_within: bool
) -> None:
    async with Queue("q", postgres_schema, clock=WrongClock(off)) as queue:
        added = await queue.enqueue(
            note.create_signal("later"), delay=100.0, connection=connection if is_within else None
        )
        await connection.commit()

        record = await added.record()

    assert record is not None
    assert record.run_at is not None
    assert (record.state, record.run_at - record.created_at) == (
        "delayed",
        pytest.approx(100, 0.01),
    )


async def test_an_id_is_added_once_in_a_transaction_too(
    postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    async with Queue("q", postgres_schema) as queue:
        first = await queue.enqueue(note.create_signal("a"), job_id="a")
        again = await queue.enqueue(note.create_signal("b"), job_id="a", connection=connection)
        await connection.commit()

    assert (first.new, again.new) == (True, False)


@pytest.mark.parametrize("nonsense", ["postgresql://localhost", object(), 7])
async def test_what_is_no_connection_is_refused(postgres_schema: str, nonsense: Any) -> None:
    async with Queue("q", postgres_schema) as queue:
        with pytest.raises(InvalidOption, match=r"psycopg\.AsyncConnection"):
            await queue.enqueue(note.create_signal("a"), connection=nonsense)


async def test_a_connection_to_elsewhere_is_refused(
    postgres_schema: str, server: PostgresServer
) -> None:
    async with (
        Queue("q", postgres_schema) as queue,
        await psycopg.AsyncConnection.connect(server.url) as elsewhere,
    ):
        with pytest.raises(InvalidOption, match="connect it to the queue's database"):
            await queue.enqueue(note.create_signal("a"), connection=elsewhere)
        await elsewhere.rollback()
        await elsewhere.close()
        with pytest.raises(InvalidOption, match="that is open"):
            await queue.enqueue(note.create_signal("a"), connection=elsewhere)


async def test_a_broker_that_cannot_join_says_so(
    connection: psycopg.AsyncConnection[Any], tmp_path: Path
) -> None:
    for url in ("memory://transactions", f"sqlite:///{tmp_path}/jobs.db"):
        async with Queue("q", url) as queue:
            with pytest.raises(InvalidOption, match="cannot join your transaction"):
                await queue.enqueue(note.create_signal("a"), connection=connection)


async def test_events_wait_for_transactions_that_began_before_them(
    broker: PostgresBroker, postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    """Ids are given out before they are committed: who follows must not run past one."""
    async with Queue("q", postgres_schema) as queue:
        await queue.enqueue(note.create_signal("a"), job_id="a", connection=connection)
        await broker.enqueue([job("b")])
        assert await broker.events(0) == []
        assert await broker.events(None) == []

        await connection.commit()

        told = await broker.events(0)
        assert [event.job_id for event in told] == ["a", "b"]
        assert await broker.events(None) == told[1:]


async def test_a_transaction_holds_one_lock_however_many_jobs_it_adds(
    postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    """The server has room for a few thousand, for all its users together."""
    ours = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    async with Queue("q", postgres_schema) as queue:
        for transaction in "ab":  # and the next one holds a lock of its own
            for number in range(5):
                await queue.enqueue(note.create_signal(f"{number}"), connection=connection)
            held = await connection.execute(ours)
            assert await held.fetchone() == (1,), transaction
            await connection.commit()


async def test_a_lock_that_went_with_a_savepoint_is_taken_again(
    broker: PostgresBroker, postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    async with Queue("q", postgres_schema) as queue:
        with contextlib.suppress(ConnectionError):
            async with connection.transaction():
                await queue.enqueue(note.create_signal("0"), job_id="0", connection=connection)
                raise ConnectionError
        await queue.enqueue(note.create_signal("a"), job_id="a", connection=connection)
        await broker.enqueue([job("b")])
        assert await broker.events(0) == []

        await connection.commit()

        assert [event.job_id for event in await broker.events(0)] == ["a", "b"]


async def test_an_id_that_an_open_transaction_holds_delays_nobody_else(
    broker: PostgresBroker, postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    async with Queue("q", postgres_schema) as queue:
        await queue.enqueue(note.create_signal("a"), job_id="a", connection=connection)

        told = await asyncio.gather(
            *(broker.enqueue([job(name)]) for name in ("b", "a", "c")), return_exceptions=True
        )

        assert [type(each) for each in told] == [list, BrokerUnavailable, list]
        assert "lock timeout" in str(told[1])
        await connection.rollback()
        assert await broker.enqueue([job("a")]) == [True]


# --- what is lost on the way


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    server, schema = schema_of(url)
    port = psycopg.conninfo.conninfo_to_dict(server)["port"]
    async with Proxy(int(str(port))) as proxy:
        yield (
            proxy,
            f"{server.replace(f':{port}', f':{proxy.port}')}?schema={schema}&sslmode=disable",
        )


COMMANDS = {
    "enqueue": b".enqueue(", "claim": b".claim(", "renew": b".renew(", "settle": b".settle(",
    "get_job": b"AND id = ", "list_jobs": b"ORDER BY seq DESC", "count_jobs": b"count(*)",
    "set_paused": b".set_paused(", "is_paused": b"SELECT paused", "cancel": b".cancel(",
    "redrive": b".redrive(", "remove": b".remove(", "events": b".events_after(",
    "newest": b".newest_event(", "load": b".load_now(", "peek": b"progress.run = runs.run",
    "commit": b".commit_runs(", "forget": b".forget_runs(",
}  # fmt: skip


@pytest.mark.parametrize("how", ["refuse", "swallow"])
@pytest.mark.parametrize("command", COMMANDS)
async def test_a_cut_at_any_command_is_told_and_mended(
    postgres_schema: str, command: str, how: str
) -> None:
    async with proxied(postgres_schema) as (proxy, url), opened(f"{url}&listen=off") as broker:
        await broker.enqueue([job("a"), job("b")])
        delivery = (await take(broker, 1))[0]
        store = broker.store
        calls = {
            "enqueue": lambda: broker.enqueue([job("c")]),
            "claim": lambda: take(broker, 1),
            "renew": lambda: broker.renew([delivery], 30.0),
            "settle": lambda: broker.settle(delivery, DONE, ticket(delivery), Ahead(30.0, None)),
            "get_job": lambda: broker.get("a"),
            "list_jobs": broker.jobs,
            "count_jobs": broker.counts,
            "set_paused": broker.resume,
            "is_paused": broker.paused,
            "cancel": lambda: broker.cancel("b"),
            "redrive": lambda: broker.redrive("b"),
            "remove": lambda: broker.remove("b"),
            "events": lambda: broker.events(0),
            "newest": lambda: broker.events(None),
            "load": lambda: store.load("r"),
            "peek": lambda: store.peek("r"),
            "commit": lambda: store.commit(ticket(delivery), Patch({"k": b"1"})),
            "forget": lambda: store.forget("r"),
        }
        setattr(proxy, how, COMMANDS[command])

        with pytest.raises((BrokerUnavailable, StoreUnavailable)):
            await calls[command]()  # type: ignore[no-untyped-call]

        assert proxy.cuts == 1
        await calls[command]()  # type: ignore[no-untyped-call]


async def test_a_watcher_hears_of_what_happens_before_it_is_listening(
    postgres_schema: str, broker: PostgresBroker
) -> None:
    """Its connection takes a while; a change meanwhile is one since it was asked."""
    async with proxied(postgres_schema) as (proxy, url), opened(url) as distant:
        proxy.delay = 0.2
        watching = asyncio.create_task(distant.watch(60.0))
        await asyncio.sleep(0.05)
        assert not watching.done()

        await broker.enqueue([job("a")])

        await asyncio.wait_for(watching, 20.0)


@pytest.mark.parametrize("how", ["refuse", "swallow"])
async def test_a_claim_whose_answer_was_lost_costs_its_job_nothing(
    postgres_schema: str, how: str
) -> None:
    async with proxied(postgres_schema) as (proxy, url), opened(url) as broker:
        await broker.enqueue([job("a"), job("b")])
        setattr(proxy, how, COMMANDS["claim"])
        with pytest.raises(BrokerUnavailable):
            await take(broker, 1)
        taken: list[Delivery] = []

        async def all_come() -> bool:
            """The server may still be at work on the claim that nobody waits for any more."""
            taken.extend(await take(broker, 1))
            return len(taken) == 2

        await until(all_come)
        assert {one.job_id: one.saved and one.saved.held for one in taken} == {
            "a": False,
            "b": False,
        }

        await broker.enqueue([job("c")])
        first, second = taken
        setattr(proxy, how, COMMANDS["settle"])
        with pytest.raises(BrokerUnavailable):
            await broker.settle(first, DONE, ticket(first), Ahead(30.0, None))
        await broker.settle(first, DONE, ticket(first))
        taken = [second]
        await until(all_come)

        assert (taken[1].job_id, taken[1].saved and taken[1].saved.held) == ("c", False)


async def test_a_checkpoint_whose_answer_was_lost_lands_once(postgres_schema: str) -> None:
    async with proxied(postgres_schema) as (proxy, url):
        store = postgres.store(url, SYSTEM_CLOCK)
        await store.open()
        await store.load("r")
        proxy.swallow = COMMANDS["commit"]
        with pytest.raises(StoreUnavailable):
            await store.commit(Ticket("r", 1, 1), Patch({"k": b"1"}))

        await store.commit(Ticket("r", 1, 1), Patch({"k": b"1"}))

        saved = await store.peek("r")
        assert saved is not None
        assert (saved.seq, saved.entries) == (1, {"k": b"1"})
        await store.close()


async def test_a_lost_listener_comes_back_and_misses_nothing(
    broker: PostgresBroker, postgres_schema: str
) -> None:
    async with proxied(postgres_schema) as (proxy, url), opened(url) as deaf:
        for number in range(3):
            receiving = asyncio.create_task(deaf.receive(1, lease=30.0, wait=PATIENCE, rate=None))
            await asyncio.sleep(0.1)
            proxy.cut()
            await broker.enqueue([job(f"{number}")])

            with_errors = await asyncio.wait_for(
                asyncio.gather(receiving, return_exceptions=True), 4.0
            )
            if isinstance(with_errors[0], BrokerUnavailable):  # the cut fell on a claim
                with_errors = [await deaf.receive(1, lease=30.0, wait=PATIENCE, rate=None)]
            assert [one.job_id for one in with_errors[0]] == [f"{number}"]


@pytest.mark.parametrize("deafness", ["listen=off", "listen=on"])
async def test_a_change_is_seen_without_notifications(
    broker: PostgresBroker, postgres_schema: str, monkeypatch: pytest.MonkeyPatch, deafness: str
) -> None:
    async with opened(f"{postgres_schema}&{deafness}") as deaf:
        monkeypatch.setattr(deaf._listener, "_channel", "nothing is ever told here")
        mark = await asyncio.wait_for(deaf.watch(0), 5.0)
        watching = asyncio.create_task(deaf.watch(PATIENCE, mark))
        receiving = asyncio.create_task(deaf.receive(1, lease=30.0, wait=PATIENCE, rate=None))
        await asyncio.sleep(0.2)

        await broker.enqueue([job("a")])

        assert await asyncio.wait_for(watching, 4.0) >= mark
        assert len(await asyncio.wait_for(receiving, 4.0)) == 1


async def test_a_server_that_is_killed_and_started_again_loses_nothing(
    server: PostgresServer,
) -> None:
    story = Story()
    inside = story.stands("second")
    with new_schema(server.url) as url:
        async with Queue("q", url) as queue:
            made = [await queue.enqueue(entry.create_signal(n)) for n in range(10)]
            worker = Worker(
                queue, story.chain(), concurrency=4, results=[output], durability="step"
            )
            running = asyncio.create_task(worker.run(until_idle=True))
            await asyncio.wait_for(inside.wait(), PATIENCE)

            server.kill()
            with pytest.raises(BrokerUnavailable):
                await queue.enqueue(entry.create_signal(99), job_id="in the gap")
            story.opens("second")
            await asyncio.sleep(0.3)
            server.start()

            await queue.enqueue(entry.create_signal(99), job_id="in the gap")
            await asyncio.wait_for(running, PATIENCE)
            assert [await one.result(timeout=0) for one in made] == [
                {"results": [n]} for n in range(10)
            ]
            await drain(queue, story.chain())
            assert (await queue.counts())["completed"] == 11
        assert {story.log.count(("first", n)) for n in range(10)} == {1}


async def test_a_statement_over_the_servers_time_limit_is_told(
    postgres_schema: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    _, schema = schema_of(postgres_schema)
    options = "options=-c%20statement_timeout%3D200"
    async with opened(f"{postgres_schema}&{options}") as broker:
        await connection.execute(psycopg.sql.SQL("LOCK TABLE {}.jobs").format(
            psycopg.sql.Identifier(schema)
        ))  # fmt: skip
        with pytest.raises(BrokerUnavailable, match="statement timeout"):
            await broker.enqueue([job("a")])
        await connection.rollback()

        assert await broker.enqueue([job("a")]) == [True]


async def test_a_server_that_is_not_there_is_told(postgres_schema: str) -> None:
    url = "postgresql://root:secret@127.0.0.1:9/test"
    with pytest.raises(BrokerUnavailable, match="refused") as refused:
        await postgres.broker("q", url, SYSTEM_CLOCK, 60.0).open()
    assert "secret" not in str(refused.value)
    with pytest.raises(StoreUnavailable):
        await postgres.store(url, SYSTEM_CLOCK).open()
    with pytest.raises(BrokerUnavailable, match="does not exist"):
        await postgres.broker("q", f"{schema_of(postgres_schema)[0]}x", SYSTEM_CLOCK, 60.0).open()


async def test_a_connection_that_died_while_idle_is_not_used(
    broker: PostgresBroker, postgres_schema: str
) -> None:
    server, _ = schema_of(postgres_schema)
    for _ in range(3):
        await broker.counts()
        call(
            server,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'cnstra' AND query LIKE %s",
            f"%{schema_of(postgres_schema)[1]}%",
        )
        await asyncio.sleep(0.1)

        await broker.counts()


# --- behind a pooler


@pytest.mark.parametrize("option", ["listen=on", "listen=off"])
async def test_a_pooler_that_lends_by_transaction_is_no_hindrance(
    postgres_url: str, postgres_schema: str, option: str
) -> None:
    _, schema = schema_of(postgres_schema)
    story = Story()
    story.fails("second", 3)
    with pooled(postgres_url) as pooler:
        url = f"{pooler}?schema={schema}&{option}"
        async with (
            Queue("q", url) as queue,
            Queue("q", url) as other,
            await psycopg.AsyncConnection.connect(pooler, prepare_threshold=None) as connection,
            working(queue, story.chain(), concurrency=8, durability="step"),
            working(other, story.chain(), concurrency=8, durability="step"),
        ):
            made = await queue.enqueue_many(
                [entry.create_signal(n) for n in range(40)], max_attempts=9
            )
            async with connection.transaction():
                mine = await queue.enqueue(entry.create_signal(40), connection=connection)
            results = [await one.result(timeout=PATIENCE) for one in [*made, mine]]
        assert results == [{"results": [n]} for n in range(41)]
        assert {story.log.count(("first", n)) for n in range(41)} == {1}


# --- whatever is asked of it

NASTY = [
    "'; DROP SCHEMA cnstra CASCADE; --", '"; --', "%s", "%(queue)s", "$1", "\\", "\\'", "a\0b",
    "\0", "\ud800", "\udfff\0", "\x01", "\x02", "\x01\x02\\x00", "\U0001f512", "x" * 3000,
    "\u00e9" * 3000, "".join(chr(33 + n * 7919 % 90) for n in range(50_000)),
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
async def test_no_name_does_harm(postgres_schema: str, name: str) -> None:
    async with opened(postgres_schema, name) as broker, opened(postgres_schema, name) as other:
        new = NewJob(name, name.encode("utf-8", "surrogatepass"), name)
        assert await broker.enqueue([new, new]) == [True, False]
        (delivery,) = await take(other)
        assert (delivery.job_id, delivery.data) == (name, new.data)
        await broker.store.commit(ticket(delivery), Patch({name[:500]: b"1"}))
        assert await broker.renew([delivery], 30.0) == ["kept"]
        await other.settle(delivery, Requeued(None), ticket(delivery, 2))
        (again,) = await take(broker)
        assert again.saved is not None
        assert again.saved.entries == {name[:500]: b"1"}
        await broker.settle(again, DONE, ticket(again))

        assert [one.id for one in await broker.jobs()] == [name]
        assert {event.job_id for event in await broker.events(0)} == {name}
        assert await broker.remove(name)
    assert from_text(to_text(name)) == name


def test_digests_stand_for_themselves_as_runs_only() -> None:
    long = "x" * 3000
    assert to_run(to_run(long)) == to_run(long) == to_key(long)
    assert to_key(to_key(long)) != to_key(long)


async def test_big_payloads_pass(broker: PostgresBroker) -> None:
    big = bytes(range(256)) * 40_000
    await broker.enqueue([job("a", big)])
    (delivery,) = await take(broker)
    assert delivery.data == big
    await broker.store.commit(ticket(delivery), Patch({"k": big}))
    await broker.settle(delivery, Completed(big), ticket(delivery, 2))

    found = await broker.get("a")
    assert found is not None
    assert (found.data, found.result) == (big, big)


async def test_what_the_server_refuses_fails_alone(broker: PostgresBroker) -> None:
    wrong = NewJob("wrong", b"", "r", max_attempts=2**70)

    told = await asyncio.gather(
        *(broker.enqueue([each]) for each in (job("a"), wrong, job("b"))), return_exceptions=True
    )

    assert (told[0], told[2]) == ([True], [True])
    assert isinstance(told[1], psycopg.errors.NumericValueOutOfRange)


# --- many at once


async def test_claims_use_an_index_however_many_wait(postgres_schema: str) -> None:
    server, schema = schema_of(postgres_schema)

    def scans() -> tuple[int, int, int]:
        """How often the jobs were read from end to end, how many were fetched by an index, and how
        many were added.
        """
        (found,) = call(
            server,
            "SELECT seq_scan, idx_tup_fetch, n_tup_ins FROM pg_stat_user_tables"
            f" WHERE relid = '{schema}.jobs'::regclass",
        )
        return found

    # The worst case: a session plans its statements for a table that is known to be one page, and
    # keeps the plans, as nobody analyses the table again.
    async with opened(f"{postgres_schema}&connections=1") as broker:
        call(server, f"ALTER TABLE {schema}.jobs SET (autovacuum_enabled = false)")
        await broker.enqueue([job(f"{number}") for number in range(10)])
        call(server, f"VACUUM ANALYZE {schema}.jobs")
        for delivery in [(await take(broker, 1))[0] for _ in range(10)]:
            await broker.settle(delivery, DONE, ticket(delivery))
        for batch in range(20):
            await broker.enqueue([job(f"{batch}-{n}") for n in range(5_000)])
        await until(lambda: scans()[2] == 100_010, every=0.1)
        before = scans()

        for delivery in await take(broker, 50):
            await broker.settle(delivery, DONE, ticket(delivery), Ahead(30.0, None))
        await broker.renew(await take(broker, 50), 30.0)
        await broker.enqueue([job("last")])

    await until(lambda: scans()[2] > before[2], every=0.1)
    assert scans()[0] == before[0]
    assert scans()[1] - before[1] < 5_000


async def test_overlapping_writes_share_a_commit(
    broker: PostgresBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    rows = broker._database.rows

    async def counted(name: str, parameters: Any) -> Any:
        asked.append(name)
        return await rows(name, parameters)

    monkeypatch.setattr(broker._database, "rows", counted)
    await asyncio.gather(*(broker.enqueue([job(f"{n}")]) for n in range(100)))
    deliveries = await take(broker, 100)
    await asyncio.gather(
        *(broker.store.commit(ticket(one), Patch({"k": b"1"})) for one in deliveries)
    )
    await asyncio.gather(*(broker.settle(one, DONE, ticket(one, 2)) for one in deliveries))

    assert {name: asked.count(name) for name in ("enqueue", "claim", "commit_runs", "settle")} == {
        "enqueue": 1, "claim": 1, "commit_runs": 1, "settle": 1,
    }  # fmt: skip
    assert (await broker.counts())["completed"] == 100


async def test_a_settlement_brings_the_next_job(broker: PostgresBroker) -> None:
    await broker.enqueue([job(f"{n}") for n in range(5)])
    first, second, stolen = await take(broker, 3)
    await broker.store.load(stolen.run)
    ahead = Ahead(30.0, None)

    told = await asyncio.gather(
        broker.settle(first, DONE, ticket(first), ahead),
        broker.settle(second, DONE, ticket(second)),
        broker.settle(stolen, DONE, ticket(stolen), ahead),
        return_exceptions=True,
    )

    assert isinstance(told[0], list)
    assert [one.job_id for one in told[0]] == ["3"]
    assert told[1] == ()
    assert isinstance(told[2], Fenced)
    assert [one.job_id for one in await take(broker)] == ["4"]


@pytest.mark.parametrize("call_name", ["settle", "renew"])
async def test_jobs_are_locked_in_one_order(
    broker: PostgresBroker,
    connection: psycopg.AsyncConnection[Any],
    postgres_schema: str,
    call_name: str,
) -> None:
    """A batch that ends and one that is renewed never hold a job each that the other wants.

    By name, by the end of its lease and in what is asked for, the second comes first.
    """
    await broker.enqueue([job("z first"), job("a second")])
    first, second = await take(broker)
    await broker.renew([first], 60.0)
    lock = f"SELECT FROM {schema_of(postgres_schema)[1]}.jobs WHERE id = %s FOR UPDATE NOWAIT"
    await connection.execute(lock, ("z first",))

    async def settle() -> None:
        given = [(second, ticket(second)), (first, ticket(first))]
        await asyncio.gather(*(broker.settle(one, DONE, its) for one, its in given))

    async def renew() -> None:
        assert await broker.renew([second, first], 30.0) == ["kept", "kept"]

    under_way = asyncio.ensure_future(settle() if call_name == "settle" else renew())
    await until(lambda: _waits_for_a_lock(postgres_schema))
    call(postgres_schema.partition("?")[0], lock.replace("%s", "'a second'"))
    await connection.rollback()

    await under_way


def _waits_for_a_lock(url: str) -> bool:
    server, schema = schema_of(url)
    asked = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    return bool(call(server, asked, f"%{schema}%"))


async def test_a_completed_job_leaves_one_row(broker: PostgresBroker, postgres_schema: str) -> None:
    await broker.enqueue([job("a")])
    (delivery,) = await take(broker)
    await broker.store.commit(ticket(delivery), Patch({"k": b"1"}))
    await broker.settle(delivery, DONE, ticket(delivery, 2))

    server, schema = schema_of(postgres_schema)
    left = {
        table: call(server, f"SELECT count(*) FROM {schema}.{table}")[0][0]
        for table in ("jobs", "runs", "progress")
    }

    assert left == {"jobs": 1, "runs": 0, "progress": 0}
    with pytest.raises(Fenced):
        await broker.store.commit(ticket(delivery, 3), Patch({"k": b"zombie"}))
    with pytest.raises(LeaseLost):
        await broker.settle(delivery, Requeued(None), ticket(delivery, 3))


async def test_a_store_alone_serves_a_plain_function(postgres_schema: str) -> None:
    story = Story()
    story.fails("second", 1)
    cns = story.chain()
    with pytest.raises(Exception, match="second"):
        await run_durably(
            cns, entry.create_signal(1), key="task", store=postgres_schema, results=[output]
        )

    found = await run_durably(
        cns, entry.create_signal(1), key="task", store=postgres_schema, results=[output]
    )

    assert found == {"results": [1]}
    assert story.count("first") == 1
