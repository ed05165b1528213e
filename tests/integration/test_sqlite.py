"""What is SQLite's own: the file, its locks, its disk, and the commits that writes share."""

import asyncio
import re
import resource
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cnstra.adapters.sqlite.location import Location
from cnstra.adapters.sqlite.opening import JOBS
from cnstra.adapters.sqlite.statements import statement
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.store import Patch, Ticket
from cnstra.errors import (
    BrokerUnavailable,
    Fenced,
    InvalidOption,
    NotOurDatabase,
    SchemaTooNew,
    StoreUnavailable,
)
from cnstra.jobs.broker import NewJob
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Completed, Delivery
from tests.integration.conftest import Place
from tests.manual_clock import settled

DONE = Completed(b"{}")


def job(job_id: str, data: bytes = b"{}", priority: int = 0) -> NewJob:
    return NewJob(job_id, data, f"run of {job_id}", priority=priority)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Each connection that is opened while the test runs, so that a test can hamper it."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remembering(*args: object, **options: object) -> sqlite3.Connection:
        opened.append(connect(*args, **options))  # type: ignore[call-overload]
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembering)
    return opened


@pytest.fixture
def other(sqlite_file: Place, file: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the file."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as connection:
        yield connection


# --- where it is


def test_a_url_names_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert Location.of("sqlite:///a%20b.db").path == tmp_path / "a b.db"
    assert Location.of("sqlite:////var/jobs.db").path == Path("/var/jobs.db")
    assert Location.of("sqlite:////var/jobs.db").synchronous == "full"
    assert Location.of("sqlite:///jobs.db?synchronous=normal").synchronous == "normal"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite://jobs.db",
        "sqlite:///:memory:",
        "sqlite:///jobs.db?synchronous=off",
        "sqlite:///jobs.db?sync=full",
        "sqlite:///jobs.db?synchronous=full&mode=ro",
        "sqlite:///a%00b",
    ],
)
def test_a_url_that_names_no_file_says_what_to_write(url: str) -> None:
    with pytest.raises(InvalidOption, match=r"sqlite:///relative|synchronous=full"):
        Location.of(url)


@pytest.mark.parametrize(("mode", "level"), [("full", 2), ("normal", 1)])
async def test_a_commit_is_as_safe_as_was_asked(
    file: Path, connections: list[sqlite3.Connection], mode: str, level: int
) -> None:
    place = Place("sqlite", f"sqlite:///{file}?synchronous={mode}")
    await place.store()

    assert connections[-1].execute("PRAGMA synchronous").fetchone() == (level,)
    assert connections[-1].execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await place.close()


# --- whose it is


def make_text(file: Path) -> None:
    file.write_text("These are somebody's notes. " * 200)


def make_short_text(file: Path) -> None:
    file.write_text("x")


def make_zeros(file: Path) -> None:
    file.write_bytes(bytes(8192))


def make_other_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE notes (text)")


def make_other_application(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA application_id = 77")


@pytest.mark.parametrize(
    "make",
    [make_text, make_short_text, make_zeros, make_other_database, make_other_application],
)
async def test_a_file_that_is_not_ours_is_not_touched(
    sqlite_file: Place, file: Path, make: object
) -> None:
    assert callable(make)
    make(file)
    before = file.read_bytes(), file.stat().st_mtime_ns, sorted(file.parent.iterdir())

    with pytest.raises(NotOurDatabase, match=r"jobs\.db is not a cnstra database"):
        await sqlite_file.broker()
    with pytest.raises(NotOurDatabase):
        await sqlite_file.store()

    assert (file.read_bytes(), file.stat().st_mtime_ns, sorted(file.parent.iterdir())) == before


async def test_a_directory_is_not_a_database(sqlite_file: Place, file: Path) -> None:
    file.mkdir()

    with pytest.raises(NotOurDatabase, match="it is a directory"):
        await sqlite_file.broker()


async def test_a_missing_directory_is_named(sqlite_file: Place, file: Path) -> None:
    file.parent.rmdir()

    with pytest.raises(BrokerUnavailable, match="there is no directory"):
        await sqlite_file.broker()
    file.parent.mkdir()

    await sqlite_file.broker()


async def test_an_empty_file_is_taken(sqlite_file: Place, file: Path) -> None:
    file.touch()

    broker = await sqlite_file.broker()

    assert await broker.enqueue([job("a")]) == [True]


async def test_a_newer_schema_is_not_touched(sqlite_file: Place, file: Path) -> None:
    await sqlite_file.broker()
    await sqlite_file.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = file.read_bytes()

    with pytest.raises(SchemaTooNew, match=r"schema 2, this one knows 1"):
        await sqlite_file.broker()

    assert file.read_bytes() == before


async def test_a_newer_schema_that_is_still_in_the_log_is_seen(
    sqlite_file: Place, other: sqlite3.Connection
) -> None:
    await sqlite_file.broker()
    other.execute("PRAGMA user_version = 2")

    with pytest.raises(SchemaTooNew):
        await sqlite_file.store()


async def test_a_corrupt_file_is_reported(sqlite_file: Place, file: Path) -> None:
    broker = await sqlite_file.broker()
    await broker.enqueue([job(f"j{n}", bytes(1000)) for n in range(100)])
    await sqlite_file.close()
    damaged = bytearray(file.read_bytes())
    damaged[4096:] = b"\xa5" * (len(damaged) - 4096)
    file.write_bytes(damaged)

    with pytest.raises(BrokerUnavailable, match="malformed"):
        await sqlite_file.broker()
    with pytest.raises(StoreUnavailable, match="malformed"):
        await (await sqlite_file.store()).load("r")

    assert file.read_bytes() == damaged


OPENS_AND_ENQUEUES = """
import asyncio, sys
from cnstra.adapters import sqlite
from cnstra.clock import SYSTEM_CLOCK
from cnstra.jobs.broker import NewJob

async def main(url, name):
    sys.stdin.readline()
    broker = sqlite.broker(name, url, SYSTEM_CLOCK, 60.0)
    await broker.open()
    await broker.enqueue([NewJob(name, b"", name)])
    await broker.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_many_processes_may_be_the_first(sqlite_file: Place, file: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS_AND_ENQUEUES, sqlite_file.url, f"q{n}"],
            stdin=subprocess.PIPE,
        )
        for n in range(6)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.close()

    assert [child.wait(30) for child in children] == [0] * 6

    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (6,)
        assert connection.execute("PRAGMA application_id").fetchone() == (JOBS.application_id,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_creation_that_was_cut_short_is_made_good(sqlite_file: Place, file: Path) -> None:
    await sqlite_file.broker()
    await sqlite_file.close()
    half_written = bytearray(file.read_bytes()[:8192])
    half_written[18:20] = b"\1\1"  # not yet in WAL mode
    file.write_bytes(half_written)
    file.with_name("jobs.db-journal").write_bytes(journal_of_an_empty_file())

    broker = await sqlite_file.broker()

    assert await broker.enqueue([job("a")]) == [True]


def journal_of_an_empty_file() -> bytes:
    """A rollback journal, as SQLite's file format describes it: back to a size of no pages."""
    magic = bytes.fromhex("d9d505f920a163d7")
    records, nonce, pages, sector_size, page_size = 0, 1, 0, 512, 4096
    return struct.pack(">8s5L", magic, records, nonce, pages, sector_size, page_size).ljust(
        sector_size, b"\0"
    )


# --- its locks


async def test_a_lock_is_waited_for_without_blocking_the_loop(
    file: Path, other: sqlite3.Connection
) -> None:
    place = Place("sqlite", f"sqlite:///{file}?synchronous=normal")
    broker = await place.broker(clock=SYSTEM_CLOCK)
    other.execute("BEGIN IMMEDIATE")
    enqueuing = [asyncio.create_task(broker.enqueue([job(f"j{n}")])) for n in range(3)]
    loop, longest = asyncio.get_running_loop(), 0.0

    for _ in range(20):
        before = loop.time()
        await asyncio.sleep(0)
        longest = max(longest, loop.time() - before)
        assert not any(task.done() for task in enqueuing)
    other.execute("COMMIT")

    assert await asyncio.gather(*enqueuing) == [[True]] * 3
    assert longest < 0.1
    await place.close()


async def test_a_lock_that_stays_is_reported_and_its_writes_are_not_made_later(
    sqlite_file: Place, other: sqlite3.Connection
) -> None:
    broker, store = await sqlite_file.broker(), await sqlite_file.store()
    await store.load("r")
    other.execute("BEGIN IMMEDIATE")
    enqueuing = asyncio.create_task(broker.enqueue([job("a")]))
    committing = asyncio.create_task(store.commit(Ticket("r", 1, 1), Patch({"k": b"1"})))
    await settled()
    assert not enqueuing.done()

    await sqlite_file.clock.advance(5.0)

    with pytest.raises(BrokerUnavailable, match="locked"):
        await asyncio.wait_for(enqueuing, 1.0)
    with pytest.raises(StoreUnavailable, match="locked"):
        await asyncio.wait_for(committing, 1.0)
    assert await broker.get("a") is None
    other.execute("ROLLBACK")
    assert await broker.enqueue([job("b")]) == [True]
    await store.commit(Ticket("r", 1, 1), Patch({"k": b"1"}))
    assert await broker.get("a") is None


async def test_what_waits_for_a_lock_at_the_end_is_reported(
    sqlite_file: Place, other: sqlite3.Connection
) -> None:
    broker = await sqlite_file.broker()
    other.execute("BEGIN IMMEDIATE")
    enqueuing = asyncio.create_task(broker.enqueue([job("a")]))
    await settled()

    await broker.close()

    with pytest.raises(BrokerUnavailable, match="closed"):
        await asyncio.wait_for(enqueuing, 1.0)


async def test_a_write_that_was_withdrawn_is_not_made(
    sqlite_file: Place, other: sqlite3.Connection
) -> None:
    broker = await sqlite_file.broker()
    other.execute("BEGIN IMMEDIATE")
    withdrawn = asyncio.create_task(broker.enqueue([job("a")]))
    await settled()
    withdrawn.cancel()
    await settled()
    other.execute("ROLLBACK")

    enqueuing = asyncio.create_task(broker.enqueue([job("b")]))
    await settled()
    await sqlite_file.clock.advance(0.1)

    assert await asyncio.wait_for(enqueuing, 1.0) == [True]
    assert [each.id for each in await broker.jobs()] == ["b"]


# --- its disk


async def test_a_full_disk_loses_nothing_and_passes(
    sqlite_file: Place, connections: list[sqlite3.Connection], file: Path
) -> None:
    broker = await sqlite_file.broker()
    store = broker.store
    assert store is not None
    await broker.enqueue([job("a")])
    (delivery,) = await broker.receive(1, lease=30.0, wait=0.0, rate=None)
    (pages,) = connections[-1].execute("PRAGMA page_count").fetchone()
    connections[-1].execute(f"PRAGMA max_page_count = {pages}")

    big = Patch({"k": bytes(100_000), "other": b"1"})
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit(Ticket(delivery.run, 1, 1), big)
    with pytest.raises(BrokerUnavailable, match="full"):
        await broker.enqueue([job("b"), job("c", bytes(100_000))])

    assert await broker.get("b") is None
    saved = await store.peek(delivery.run)
    assert saved is not None
    assert (saved.seq, saved.entries) == (0, {})
    connections[-1].execute(f"PRAGMA max_page_count = {pages + 1000}")
    await store.commit(Ticket(delivery.run, 1, 1), big)
    assert await broker.enqueue([job("b"), job("c", bytes(100_000))]) == [True, True]
    await broker.settle(delivery, DONE, Ticket(delivery.run, 1, 2))


@pytest.mark.filterwarnings("default")
async def test_a_disk_that_takes_no_more_loses_nothing_and_passes(
    sqlite_file: Place, file: Path
) -> None:
    broker = await sqlite_file.broker()
    await broker.enqueue([job("a")])
    log = file.with_name("jobs.db-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 50_000, hard))
    try:
        with pytest.raises(BrokerUnavailable, match=r"disk I/O error|full"):
            await broker.enqueue([job("b"), job("c", bytes(200_000))])
        assert [each.id for each in await broker.jobs()] == ["a"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert await broker.enqueue([job("b"), job("c", bytes(200_000))]) == [True, True]


# --- the commits that writes share


async def test_writes_that_overlap_are_one_commit(
    sqlite_file: Place, connections: list[sqlite3.Connection]
) -> None:
    store = await sqlite_file.store()
    for n in range(10):
        await store.load(f"r{n}")
    statements: list[str] = []
    connections[-1].set_trace_callback(statements.append)

    await asyncio.gather(
        *(store.commit(Ticket(f"r{n}", 1, 1), Patch({"k": b"1"})) for n in range(10))
    )

    assert [s for s in statements if s in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]


async def test_a_bad_write_fails_alone(sqlite_file: Place) -> None:
    broker = await sqlite_file.broker()
    store = broker.store
    assert store is not None
    await store.load("r")

    outcomes = await asyncio.gather(
        broker.enqueue([job("a")]),
        broker.enqueue([job("b"), job("too much", priority=2**70)]),
        store.commit(Ticket("r", 9, 1), Patch({"k": b"zombie"})),
        store.commit(Ticket("r", 1, 1), Patch({"k": b"1"})),
        return_exceptions=True,
    )

    assert outcomes[0] == [True]
    assert isinstance(outcomes[1], OverflowError)
    assert isinstance(outcomes[2], Fenced)
    assert outcomes[3] is None
    assert [each.id for each in await broker.jobs()] == ["a"]
    saved = await store.peek("r")
    assert saved is not None
    assert saved.entries == {"k": b"1"}


async def test_closing_writes_what_is_pending(sqlite_file: Place) -> None:
    broker = await sqlite_file.broker()
    enqueuing = asyncio.create_task(broker.enqueue([job("a")]))
    await asyncio.sleep(0)

    await broker.close()

    assert await enqueuing == [True]
    assert await (await sqlite_file.broker()).get("a") is not None


async def test_a_broker_and_its_store_close_apart(sqlite_file: Place) -> None:
    broker = await sqlite_file.broker()
    store = broker.store
    assert store is not None
    await store.open()

    await store.close()
    assert await broker.enqueue([job("a")]) == [True]
    await store.open()
    await broker.close()
    await store.load("r")
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.load("r")


async def test_a_receiver_in_another_process_is_waited_for_in_real_time(
    sqlite_file: Place,
) -> None:
    receiver = await sqlite_file.broker(clock=SYSTEM_CLOCK)
    sender = await sqlite_file.broker(clock=SYSTEM_CLOCK)
    receiving = asyncio.create_task(receiver.receive(1, lease=30.0, wait=30.0, rate=None))
    await asyncio.sleep(0.03)
    loop = asyncio.get_running_loop()
    sent_at = loop.time()

    await sender.enqueue([job("a")])

    assert [type(each) for each in await receiving] == [Delivery]
    assert loop.time() - sent_at < 1.0


@pytest.mark.parametrize("why", ["nothing", "a delay", "a rate", "a pause"])
async def test_a_receiver_that_waits_takes_no_lock(
    sqlite_file: Place, connections: list[sqlite3.Connection], why: str
) -> None:
    broker, rate = await sqlite_file.broker(), RateLimit(1, per=100.0)
    if why == "a delay":
        await broker.enqueue([NewJob("a", b"", "r", run_at=sqlite_file.clock.time() + 100.0)])
    if why == "a rate":
        await broker.enqueue([job("a"), job("b")])
        await broker.receive(1, lease=1000.0, wait=0.0, rate=rate)
    if why == "a pause":
        await broker.enqueue([job("a")])
        await broker.pause()
    statements: list[str] = []
    connections[-1].set_trace_callback(statements.append)

    receiving = asyncio.create_task(broker.receive(1, lease=30.0, wait=500.0, rate=rate))
    for _ in range(20):
        await sqlite_file.clock.advance(1.0)

    assert not receiving.done()
    assert statements.count("BEGIN IMMEDIATE") == 1
    receiving.cancel()
    await settled()


async def test_a_job_leaves_one_copy_of_its_result_and_then_nothing(
    sqlite_file: Place, other: sqlite3.Connection
) -> None:
    broker = await sqlite_file.broker(keep=10.0)
    assert broker.store is not None
    await broker.enqueue([job("a")])
    (delivery,) = await broker.receive(1, lease=30.0, wait=0.0, rate=None)
    await broker.store.commit(Ticket(delivery.run, 1, 1), Patch({"k": b"1"}))
    await broker.settle(delivery, DONE, Ticket(delivery.run, 1, 2))
    assert rows(other) == {"jobs": 1, "runs": 1, "progress": 0}
    assert other.execute("SELECT result FROM jobs").fetchall() == [(None,)]

    await sqlite_file.clock.advance(10.0)
    await broker.receive(1, lease=30.0, wait=0.0, rate=None)

    assert rows(other) == {"jobs": 0, "runs": 0, "progress": 0}


async def test_nothing_stays_of_what_was_removed(
    sqlite_file: Place, other: sqlite3.Connection
) -> None:
    broker = await sqlite_file.broker()
    assert broker.store is not None
    await broker.enqueue([job("a")])
    for run in ("run of a", "alone"):
        await broker.store.load(run)
        await broker.store.commit(Ticket(run, 1, 1), Patch({"k": b"1"}))

    await broker.remove("a")
    await broker.store.forget("alone")

    assert rows(other) == {"jobs": 0, "runs": 0, "progress": 0}


def rows(connection: sqlite3.Connection) -> dict[str, int]:
    tables = ("jobs", "runs", "progress")
    return {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
    }


@pytest.mark.parametrize(
    "name",
    [
        "add_job", "advance_run", "bury_job", "claim_jobs", "clear_counters", "clear_progress",
        "complete_job", "delete_progress", "find_lease", "finish_run", "forget_run", "get_job",
        "load_progress", "load_run", "outlook", "promote_delayed", "promote_stalled",
        "put_back_job", "put_progress", "release_run", "remove_expired_jobs",
        "remove_expired_runs", "renew_lease",
    ],
)  # fmt: skip
async def test_nothing_that_is_done_for_each_job_grows_with_the_queue(
    sqlite_file: Place, other: sqlite3.Connection, name: str
) -> None:
    await sqlite_file.broker()
    text = statement(name)
    terms = dict.fromkeys(re.findall(r":(\w+)", text), 1) or (1,) * text.count("?")

    plan = other.execute(f"EXPLAIN QUERY PLAN {text}", terms)

    steps = [step for *_, step in plan if step != "SCAN CONSTANT ROW"]
    assert not [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step], steps
