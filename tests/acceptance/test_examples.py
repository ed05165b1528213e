"""The examples, run as a user runs them, on each adapter."""

import json
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from cnstra import CNS, Queue, Worker, collateral
from tests.nats_server import NatsServer
from tests.redis_server import RedisServer
from tests.sqs_server import SQSServer

EXAMPLES = Path(__file__).parents[2] / "examples"
DEAD = "is dead-lettered"


@pytest.fixture(params=["memory", "sqlite", "bullmq", "nats", "postgres", "rabbitmq", "sqs"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param in ("rabbitmq", "sqs"):
        monkeypatch.setenv("CNSTRA_STORE", f"sqlite:///{tmp_path}/progress.db")
    if request.param == "rabbitmq":
        return str(request.getfixturevalue("rabbitmq_url"))
    if request.param == "sqs":
        return str(request.getfixturevalue("sqs_server").url(f"prefix={uuid4().hex}-"))
    return _url_with_store(request, tmp_path)


@pytest.fixture(params=["memory", "sqlite", "bullmq", "nats", "postgres"])
def url_with_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a broker that brings a store."""
    return _url_with_store(request, tmp_path)


def _url_with_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "nats":
        return str(request.getfixturevalue("nats_server").place())
    if request.param == "bullmq":
        return str(request.getfixturevalue("empty_redis").url)
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_schema"))
    return "memory://examples" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db"


def run(name: str, *arguments: str, cwd: Path, warns: str = "") -> list[str]:
    """The lines that an example prints. It may log nothing but what `warns` says."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert all(warns and warns in line for line in ended.stderr.splitlines()), ended.stderr
    return ended.stdout.splitlines()


def test_a_worker_makes_each_job_a_run(url: str, tmp_path: Path) -> None:
    assert run("basic_worker", url, cwd=tmp_path) == [
        "importing user 41",
        "heard Signal('imported', {'user_id': '41'})",
        "the job is waiting",
        "importing user 42",
        "the job is completed: {'results': [{'user_id': '42'}]}",
    ]


def test_a_retry_goes_on_with_step_2_and_keeps_the_context(url: str, tmp_path: Path) -> None:
    assert run("retry_with_context", url, cwd=tmp_path) == [
        "step 1 runs",
        "step 2 runs",
        "interrupted: waiting, 0 attempts used up",
        "step 2 runs",
        "step 3 runs",
        "context of step1: {'executed': ['step1-100']}",
        "context of step2: {'executed': ['step2-100']}",
        "context of step3: {'executed': ['step3-100']}",
        "result: {'results': [{'result': 'Final: 100'}]}",
    ]


def test_a_retry_by_hand_does_the_same(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"

    lines = run("retry_by_hand", str(file), cwd=tmp_path)

    assert [line for line in lines if not line.startswith("failed")] == [
        "step 1 runs",
        "step 2 runs",
        "step 2 is interrupted",
        "step 2 runs",
        "step 3 runs",
        "context of step1: {'executed': ['step1-100']}",
        "context of step2: {'executed': ['step2-100']}",
        "context of step3: {'executed': ['step3-100']}",
        "results: ['Final: 100']",
    ]
    saved = json.loads(file.read_text())
    (failed,) = saved["failedTasks"]
    assert saved["context"] == {"step1": {"executed": ["step1-100"]}}
    assert failed["aborted"] is True
    assert failed["task"]["neuronId"] == "step2"
    assert failed["task"]["input"] == {"collateralName": "step1Out", "payload": {"id": 100}}


def test_a_blob_stays_inside_its_transaction(url: str, tmp_path: Path) -> None:
    warning = "The context of neuron 'transaction' (dict) has no JSON form"

    assert run("transaction_neuron", url, cwd=tmp_path, warns=warning) == [
        "42: 14 bytes are processed",
        "43: nothing is processed, this is no picture",
        "completed: {'results': [{'user_id': '42', 'success': True}]}",
        "completed: {'results': [{'user_id': '43', 'success': False}]}",
    ]


def test_a_board_shows_no_branch_that_failed(url: str, tmp_path: Path) -> None:
    lines = run("live_totals", url, cwd=tmp_path)

    # Brokers differ in whether the retry comes before the last job
    assert [line for line in lines if line.startswith("ann")] == ["ann: 30", "ann: 35"]
    assert [line for line in lines if line.startswith("bob")] == ["bob: 1", "bob: 31"]
    assert len(lines) == 4


def test_a_retry_runs_only_the_branch_that_failed(url: str, tmp_path: Path) -> None:
    assert run("fan_out_and_join", url, cwd=tmp_path) == [
        "chapter 1 is counted",
        "chapter 2 is counted",
        "chapter 3 cannot be read just now",
        "chapter 4 is counted",
        "chapter 3 is counted",
        "failed attempts: 1",
        "result: {'results': [{'chapters': 4, 'words': 11}]}",
    ]


def test_a_durable_run_lives_inside_another_worker(url_with_store: str, tmp_path: Path) -> None:
    assert run("inside_another_worker", url_with_store, cwd=tmp_path) == [
        "reserve the goods",
        "the bank is closed",
        "the runner will call again: the bank is closed",
        "charge the card",
        "result: {'results': [{'order_id': 'A-7', 'paid': True}]}",
        "again: {'results': [{'order_id': 'A-7', 'paid': True}]}",
    ]


def test_an_effect_whose_answer_is_lost_happens_once(url: str, tmp_path: Path) -> None:
    assert run("idempotent_effect", url, cwd=tmp_path) == [
        "attempt 1: pay 500 cents",
        "attempt 2: pay 500 cents",
        "the bank had 2 requests, and 500 cents",
        "result: {'results': [{'balance': 500}]}",
    ]


def test_a_plain_bullmq_worker_makes_each_job_a_run(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    assert run("bullmq_basic", redis_server.url, cwd=tmp_path) == [
        "heard Signal('importUser', {'userId': '42'})"
    ]


def test_a_plain_bullmq_worker_retries_by_hand(redis_server: RedisServer, tmp_path: Path) -> None:
    assert run("bullmq_by_hand", redis_server.url, cwd=tmp_path) == [
        "step 1 runs",
        "step 2 runs",
        "step 2 is interrupted",
        "step 2 runs",
        "step 3 runs",
        "result: {'results': ['Final: 100']}",
    ]


def test_a_blob_stays_inside_a_plain_bullmq_worker(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    assert run("bullmq_transaction", redis_server.url, cwd=tmp_path) == [
        "42: 14 bytes are processed",
        "result: {'success': True}",
    ]


def test_one_customers_jobs_keep_their_order(sqs_server: SQSServer, tmp_path: Path) -> None:
    *lines, states = run("sqs_in_order", sqs_server.url("fifo=true"), cwd=tmp_path)

    assert [line for line in lines if "Ada" in line] == [
        "Ada lives in Oxford",
        "Ada lives in Paris",
        "Ada lives in Rome",
    ]
    assert "Bob lives in Wien" in lines
    assert states == str(["completed"] * 4)


def test_a_stranger_puts_jobs_into_a_queue_on_nats(nats_server: NatsServer, tmp_path: Path) -> None:
    assert run("nats_from_outside", nats_server.place(), cwd=tmp_path, warns=DEAD) == [
        "importing user 42",
        "left in the queue: {'waiting': 0, 'delayed': 0, 'active': 0, 'dead': 1}",
        "the dead letter: UndecodableJob",
    ]


def test_a_stranger_puts_jobs_into_a_queue_on_rabbitmq(rabbitmq_url: str, tmp_path: Path) -> None:
    *lines, first, second = run("rabbitmq_from_outside", rabbitmq_url, cwd=tmp_path, warns=DEAD)

    assert lines == [
        "importing user 42",
        "left in the queue: {'waiting': 0, 'delayed': 0, 'dead': 2}",
    ]
    assert "LookupError: there is no such user" in first
    assert "UndecodableJob" in second


def test_an_import_charges_writes_and_mails_once(url: str, tmp_path: Path) -> None:
    assert run("effects_once", url, cwd=tmp_path) == [
        "charge 500 cents",
        "the bank is asked: receipt 1",
        "attempt 2: written, and then the program fails",
        "a mail to Ada",
        "charges: 1",
        "rows: [('Ada', 1)]",
    ]


def test_a_transaction_on_disk_is_done_as_a_whole_and_once(tmp_path: Path) -> None:
    *_, bad_rows, importing, first, second, rows = run("transaction_on_disk", cwd=tmp_path)

    assert bad_rows == "rows: []"
    assert (importing, first, second) == ("importing good.txt", "readings: 2", "readings: 2")
    assert rows == "rows: [('inside', 21.5), ('outside', 4.0)]"


async def test_the_seeds_first_listing_has_no_neurons_and_its_job_completes() -> None:
    mine = collateral("mine", int)

    async with Queue("jobs", "memory://no-neurons") as queue:
        job = await queue.enqueue(mine.create_signal(1))
        await Worker(queue, CNS(), results=[mine]).run(until_idle=True)

        assert await job.result() == {"results": []}


def test_every_example_is_run_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")

    assert [path.name for path in EXAMPLES.glob("*.py") if f'run("{path.stem}"' not in here] == []


@pytest.mark.parametrize("example", ["basic_worker", "retry_by_hand"])
def test_an_example_needs_no_argument(example: str, tmp_path: Path) -> None:
    assert run(example, cwd=tmp_path)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize("driver", ["plain", "sqlalchemy", "engine"])
def test_several_workers_add_to_one_table(
    driver: str, database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if database == "sqlite":
        scheme = {"sqlalchemy": "sqlite+aiosqlite:///", "engine": "sqlite:///"}.get(driver, "")
        place, driver = f"{scheme}{tmp_path}/totals.db", driver.replace("plain", "sqlite3")
    else:
        address = request.getfixturevalue("postgres_database")
        place = address if driver == "plain" else address.replace(":", "+psycopg:", 1)
        driver = driver.replace("plain", "psycopg")

    assert run("totals_in_a_database", driver, place, cwd=tmp_path) == [
        "24 lines were booked, in 25 tries",
        "apples: 18",
        "pears: 60",
        "plums: 75",
    ]


def test_a_job_is_added_in_a_transaction(postgres_schema: str, tmp_path: Path) -> None:
    assert run("postgres_transaction", postgres_schema, cwd=tmp_path) == [
        "order 1 is rolled back: the card is declined",
        "before the commit the queue holds 0 jobs",
        "after it 1, and the table 1 orders",
        "order 2 is shipped",
    ]
