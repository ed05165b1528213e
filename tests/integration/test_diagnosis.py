"""What `cnstra doctor` finds: on each broker, and where something is wrong."""

from collections.abc import Mapping
from uuid import uuid4

import boto3
import pytest

from cnstra import Queue
from cnstra.adapters.bullmq import diagnosis as redis
from cnstra.adapters.nats import diagnosis as nats
from cnstra.adapters.postgres import diagnosis as postgres
from cnstra.jobs.diagnosis import Finding, clock_finding, examine
from tests.manual_clock import ManualClock
from tests.redis_server import RedisServer
from tests.sqs_server import REGION, SQSServer


def told(findings: list[Finding]) -> dict[str, list[str]]:
    by_level: dict[str, list[str]] = {}
    for one in findings:
        by_level.setdefault(one.level, []).append(one.message)
    return by_level


async def test_each_broker_is_looked_at(url: str) -> None:
    async with Queue("q", url) as queue:
        found = await examine(queue)
        await queue.pause()
        paused = await examine(queue)

    assert "error" not in told(found)
    assert "answers" in found[0].message
    assert not [one for one in found if "paused" in one.message]
    assert [one for one in paused if "it is paused" in one.message]


async def test_rabbitmq_says_what_it_is_and_that_a_store_is_missing(rabbitmq_url: str) -> None:
    queue = Queue("q", rabbitmq_url)
    found = told(await examine(queue))
    await queue.close()

    assert [one for one in found["ok"] if one.startswith("RabbitMQ ")]
    assert [one for one in found["ok"] if "consumer_timeout is taken to be 1800 s" in one]
    assert [one for one in found["warning"] if "CNSTRA_STORE" in one]


async def test_sqs_is_asked_for_what_moves_or_deletes_jobs(sqs_server: SQSServer) -> None:
    name = f"doctor-{uuid4().hex[:8]}"
    url = f"sqs://{REGION}?endpoint_url={sqs_server.endpoint}"
    aws = boto3.client("sqs", region_name=REGION, endpoint_url=sqs_server.endpoint)
    aws.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": "86400"})

    queue = Queue(name, url, store="memory://doctor")
    found = told(await examine(queue))
    await queue.close()

    assert [one for one in found["warning"] if f"{name} keeps messages for 1 days" in one]
    assert [one for one in found["ok"] if "keeps messages for 14 days" in one]


async def test_passwords_are_not_told(empty_redis: RedisServer) -> None:
    url = empty_redis.url.replace("//", "//default:@") + "?socket_timeout=15"
    async with Queue("q", url) as queue:
        found = await examine(queue)

    assert found[0].message.startswith(f"{empty_redis.url.replace('//', '//***@')} answers")


async def test_a_broker_that_is_not_there_is_the_one_finding() -> None:
    queue = Queue("q", "redis://127.0.0.1:1")
    (found,) = await examine(queue)
    await queue.close()

    assert (found.level, found.what) == ("error", "broker")


@pytest.mark.parametrize(
    ("changed", "level", "part"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "warning", "maxmemory-policy is allkeys-lru"),
        ({"aof_enabled": "0"}, "warning", "appendonly is no"),
        ({"role": "slave"}, "error", "replica"),
        ({"rdb_last_bgsave_status": "err"}, "warning", "snapshot failed"),
        ({"maxmemory": "100", "used_memory": "95"}, "warning", "95 % of maxmemory"),
    ],
)
def test_settings_of_redis_that_lose_jobs(
    changed: Mapping[str, str], level: str, part: str
) -> None:
    sound = {"redis_version": "7.2", "aof_enabled": "1", "maxmemory_policy": "noeviction"}

    assert set(told([*redis._judged(sound)])) == {"ok"}  # pyright: ignore[reportPrivateUsage]
    (found,) = told([*redis._judged({**sound, **changed})])[level]  # pyright: ignore[reportPrivateUsage]
    assert part in found


@pytest.mark.parametrize(
    ("row", "level", "part"),
    [
        (("16", "off", "on", "on", 100, False, 3, 1), "warning", "fsync is off"),
        (("16", "on", "off", "on", 100, False, 3, 1), "warning", "full_page_writes"),
        (("16", "on", "on", "off", 100, False, 3, 1), "warning", "synchronous_commit is off"),
        (("16", "on", "on", "on", 100, True, 3, 1), "error", "standby"),
        (("16", "on", "on", "on", 100, False, 99, 1), "warning", "99 of 100 connections"),
    ],
)
def test_settings_of_postgres_that_lose_jobs(
    row: tuple[object, ...], level: str, part: str
) -> None:
    (found,) = told([*postgres._judged(row)])[level]  # pyright: ignore[reportPrivateUsage]

    assert part in found


def test_settings_of_nats_that_lose_jobs() -> None:
    config = {"name": "s", "storage": "memory", "num_replicas": 1, "max_msgs": 10, "max_bytes": -1}

    found = told([*nats._judged(config)])  # pyright: ignore[reportPrivateUsage]

    assert [part in message for part, message in zip(
        ("in memory", "max_msgs"), found["warning"], strict=True
    )] == [True, True]  # fmt: skip


@pytest.mark.parametrize(("skew", "level"), [(0.4, "ok"), (-3.0, "warning"), (3.0, "warning")])
async def test_a_clock_that_is_off_is_told_of(skew: float, level: str) -> None:
    clock = ManualClock()

    async def theirs() -> float:
        return clock.time() + skew

    assert (await clock_finding(clock, theirs)).level == level
