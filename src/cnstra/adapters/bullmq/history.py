"""A history of runs in Redis, beside the queues."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from cnstra.adapters.bullmq.client import Client
from cnstra.adapters.bullmq.connection import Unreachable
from cnstra.adapters.bullmq.scripts import script
from cnstra.errors import InvalidOption, StoreUnavailable
from cnstra.history.columns import decode_note, decode_task, decode_worker, encode
from cnstra.history.fingerprint import fingerprint
from cnstra.history.records import AttemptRow, RunRow, Story, TaskRow, WorkerRow
from cnstra.history.store import (
    MOST_TASKS,
    Batch,
    Bounds,
    Counted,
    RunPage,
    RunQuery,
    Tally,
    size_of,
)

BASE = b"cnstra:history:"
RUNS_PER_PRUNING = 200
PER_LOOK, MOST_LOOKS = 200, 50
"""How many runs are looked at in one go, and how often for one page, where several things are asked
for at once: there is a list for each, and none for their combinations."""

_decode_attempt = msgspec.msgpack.Decoder(AttemptRow).decode


class RedisHistory:
    """A `HistoryStore` in Redis, under the keys `cnstra:history:*`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def open(self) -> None:
        if self._client.is_closed:
            async with self._reached():
                await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def write(self, batch: Batch) -> None:
        await self._run("history_write", encode(_packed(batch)))

    async def prune(self, bounds: Bounds) -> int:
        return int(
            await self._run(
                "history_prune", bounds.since, bounds.runs, bounds.bytes, RUNS_PER_PRUNING
            )
        )

    async def runs(self, query: RunQuery) -> RunPage:
        shown: list[tuple[RunRow, bytes]] = []
        cursor = _first_cursor(query)
        for _ in range(MOST_LOOKS):
            rows = await self._look(query, cursor)
            for row in rows:
                run = _run(row)
                cursor = b"(" + (row[4] if query.text else row[0])
                if _is_wanted(run, query):
                    shown.append((run, cursor))
                if len(shown) > query.limit:
                    return RunPage([one for one, _ in shown[:-1]], shown[-2][1][1:].hex())
            if len(rows) < PER_LOOK:
                return RunPage([one for one, _ in shown], "")
        return RunPage([one for one, _ in shown], cursor[1:].hex())

    async def _look(self, query: RunQuery, cursor: bytes) -> list[Any]:
        queue = b"q:" + _text(query.queue)
        if query.text:
            above = b"(" + _text(query.text) + b"\xff"
            return list(
                await self._run("history_list", b"jobs", queue + b":jobs", cursor, PER_LOOK, above)
            )
        lists = [b":all"]
        if len(query.states) == 1:
            lists.append(b":state:" + query.states[0].encode())
        if query.neuron:
            lists.append(b":neuron:" + _text(query.neuron))
        if query.fingerprint:
            lists.append(b":kind:" + query.fingerprint.encode())
        return list(await self._run("history_list", b"newest", queue + lists[-1], cursor, PER_LOOK))

    async def story(self, run: str) -> Story | None:
        name = _text(run)
        fields = await self._call(b"HMGET", b"run:" + name, b"seq", b"attempts", b"began", b"row")
        if fields[0] is None:
            return None
        attempts = [_decode_attempt(row) for row in await self._values(b"attempts:" + name)]
        tasks = [decode_task(row) for row in await self._values(b"tasks:" + name)]
        notes = await self._call(b"LRANGE", b"notes:" + name, b"0", b"-1")
        attempts.sort(key=lambda one: one.started_at)
        tasks.sort(key=lambda one: one.started_at)
        return Story(
            _run(fields),
            attempts,
            tasks[:MOST_TASKS],
            [decode_note(one) for one in notes],
            len(tasks) > MOST_TASKS,
        )

    async def newest_run(self, queue: str, job: str) -> str | None:
        beginning = _text(job) + b"\0"
        rows = await self._run(
            "history_list", b"jobs", b"q:" + _text(queue) + b":jobs", b"[" + beginning, PER_LOOK,
            b"(" + beginning + b"\xff",
        )  # fmt: skip
        found = [_run(row) for row in rows]
        return max(found, key=lambda one: one.seq).run if found else None

    async def counted(self, queue: str, since: float) -> Sequence[Counted]:
        sums: dict[tuple[str, str, int], tuple[int, float]] = {}
        for tally, (count, seconds) in (await self._tallies(queue, since)).items():
            key = (tally.neuron, tally.outcome, tally.bin)
            before = sums.get(key, (0, 0.0))
            sums[key] = (before[0] + count, before[1] + seconds)
        return [Counted(*key, *sums_of_key) for key, sums_of_key in sums.items()]

    async def by_minute(self, queue: str, since: float) -> Mapping[tuple[int, str], int]:
        found: dict[tuple[int, str], int] = {}
        for tally, (count, _) in (await self._tallies(queue, since)).items():
            if not tally.neuron:
                key = (tally.minute, tally.outcome)
                found[key] = found.get(key, 0) + count
        return found

    async def running(self, queue: str, since: float) -> Mapping[str, int]:
        alive = {one.id.encode() for one in await self.workers(since)}
        found: dict[str, int] = {}
        for value in await self._values(b"q:" + _text(queue) + b":running"):
            worker, _, neuron = value.partition(b"\0")
            if worker in alive:
                name = neuron.decode("utf-8", "surrogatepass")
                found[name] = found.get(name, 0) + 1
        return found

    async def workers(self, since: float) -> Sequence[WorkerRow]:
        found = [decode_worker(row) for row in await self._values(b"workers")]
        return sorted((one for one in found if one.seen_at >= since), key=lambda one: one.id)

    # --- inside

    async def _tallies(self, queue: str, since: float) -> dict[Tally, tuple[int, float]]:
        """The counts of each minute since then."""
        keys = await self._call(b"ZRANGEBYSCORE", b"minutes", int(since // 60), b"+inf")
        beginning = BASE + b"tally:" + _text(queue) + b":"
        found: dict[Tally, tuple[int, float]] = {}
        for key in keys:
            if not key.startswith(beginning) or b":" in key[len(beginning) :]:
                continue
            flat = await self._call(b"HGETALL", key[len(BASE) :])
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            for field, count in fields.items():
                if field[:1] == b"n":
                    neuron, outcome, number = field[1:].split(b"\0")
                    tally = Tally(
                        queue, int(key[len(beginning) :]),
                        neuron.decode("utf-8", "surrogatepass"), outcome.decode(), int(number),
                    )  # fmt: skip
                    found[tally] = (int(count), float(fields[b"s" + field[1:]]))
        return found

    async def _values(self, key: bytes) -> list[bytes]:
        return list(await self._call(b"HVALS", key))

    async def _call(self, command: bytes, key: bytes, *parts: Any) -> Any:
        async with self._reached():
            return await self._client.call(command, BASE + key, *parts)

    async def _run(self, name: str, *parts: Any) -> Any:
        async with self._reached():
            return await self._client.run(script(name), BASE, *parts)

    @asynccontextmanager
    async def _reached(self) -> AsyncGenerator[None, None]:
        try:
            yield
        except Unreachable as error:
            url = self._client.location.shown
            raise StoreUnavailable(url=url, reason=str(error)) from error


def _raw(data: bytes) -> msgspec.Raw:
    """Bytes as MessagePack's raw type of 32 bits: what Redis reads knows no binary."""
    return msgspec.Raw(b"\xdb" + len(data).to_bytes(4, "big") + data)


def _name(name: str) -> msgspec.Raw:
    return _raw(_text(name))


def _row(row: object) -> msgspec.Raw:
    return _raw(encode(row))


def _packed(batch: Batch) -> dict[str, list[dict[str, Any]]]:
    """The batch as the script takes it."""
    return {
        "runs": [_packed_run(one) for one in batch.attempts],
        "tasks": [_packed_task(one) for one in batch.tasks],
        "workers": [{"id": one.id, "row": _row(one), "seen": one.seen_at} for one in batch.workers],
        "notes": [{"run": _name(one.run), "row": _row(one)} for one in batch.notes],
        "tallies": [
            {
                "queue": _name(one.queue),
                "minute": str(one.minute),
                "field": _raw(
                    b"\0".join([_text(one.neuron), one.outcome.encode(), b"%d" % one.bin])
                ),
                "count": count,
                "seconds": repr(seconds),
            }
            for one, (count, seconds) in batch.tallies.items()
        ],
    }


def _packed_run(attempt: AttemptRow) -> dict[str, Any]:
    error = attempt.error
    return {
        "run": _name(attempt.run),
        "queue": _name(attempt.queue),
        "job": _name(attempt.job),
        "attempt": attempt.id,
        "state": attempt.outcome,
        "neuron": _name(attempt.neuron or ""),
        "kind": "" if error is None else fingerprint(error.name, error.message),
        "attempts": attempt.number,
        "updated": repr(attempt.ended_at or attempt.started_at),
        "row": _row(attempt),
        "bytes": size_of(attempt),
    }


def _packed_task(task: TaskRow) -> dict[str, Any]:
    return {
        "run": _name(task.run),
        "queue": _name(task.queue),
        "attempt": task.attempt,
        "worker": task.worker,
        "key": task.key,
        "neuron": _name(task.neuron),
        "over": task.ended_at is not None,
        "row": _row(task),
        "bytes": size_of(task),
    }


def _run(row: Sequence[bytes]) -> RunRow:
    """A run: as it began, and as its last attempt stands."""
    began, last = _decode_attempt(row[2]), _decode_attempt(row[3])
    return RunRow(
        int(row[0]),
        last.run,
        last.queue,
        last.job,
        last.outcome,
        int(row[1]),
        began.created_at,
        began.started_at,
        last.ended_at or last.started_at,
        began.collateral,
        began.payload,
        last.neuron,
        last.error,
    )


def _first_cursor(query: RunQuery) -> bytes:
    if not query.cursor:
        return b"[" + _text(query.text) if query.text else b"+inf"
    try:
        cursor = bytes.fromhex(query.cursor)
        if not query.text:
            int(cursor)
    except ValueError as error:
        remedy = "begin at the first page"
        raise InvalidOption(option="cursor", value=query.cursor, remedy=remedy) from error
    return b"(" + cursor


def _is_wanted(run: RunRow, query: RunQuery) -> bool:
    if query.states and run.state not in query.states:
        return False
    if query.neuron and run.neuron != query.neuron:
        return False
    if query.fingerprint and (
        run.error is None or fingerprint(run.error.name, run.error.message) != query.fingerprint
    ):
        return False
    return query.since is None or run.started_at >= query.since


def _text(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
