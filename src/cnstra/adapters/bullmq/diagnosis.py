"""What may be wrong with a Redis that keeps jobs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnstra.adapters.bullmq.client import Client
from cnstra.clock import Clock
from cnstra.jobs.diagnosis import Finding, clock_finding

NEVER_EVICTS = "noeviction"
NEARLY_FULL = 0.9


async def findings(client: Client, clock: Clock) -> Sequence[Finding]:
    """All that `INFO` and `TIME` tell."""
    info = _fields(await client.call(b"INFO"))

    async def time() -> float:
        seconds, micros = await client.call(b"TIME")
        return int(seconds) + int(micros) / 1e6

    return [*_judged(info), await clock_finding(clock, time)]


def _judged(info: Mapping[str, str]) -> Iterator[Finding]:
    yield Finding("ok", "redis", f"Redis {info.get('redis_version', 'of an unknown version')}")
    policy = info.get("maxmemory_policy", NEVER_EVICTS)
    if policy == NEVER_EVICTS:
        yield Finding("ok", "redis", "maxmemory-policy is noeviction")
    else:
        message = f"maxmemory-policy is {policy}: jobs vanish when memory is short. Set noeviction"
        yield Finding("warning", "redis", message)
    if info.get("aof_enabled") == "1":
        yield Finding("ok", "redis", "appendonly is yes")
    else:
        message = "appendonly is no: a crash of Redis loses what came after its last snapshot"
        yield Finding("warning", "redis", message)
    if info.get("role") == "slave":
        yield Finding("error", "redis", "it is a replica, and cannot be written: name its primary")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding("warning", "redis", "its last snapshot failed: look at its log and its disk")
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > NEARLY_FULL * most:
        yield Finding("warning", "redis", f"{used * 100 // most} % of maxmemory are in use")


def _fields(info: Any) -> dict[str, str]:
    text = info.decode(errors="replace") if isinstance(info, bytes) else str(info)
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, colon, value in pairs if colon}
