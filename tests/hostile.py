"""What nobody should send, and what must hold when somebody does."""

import asyncio
import json
import os
from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cnstra import Queue, Worker
from cnstra.jobs.broker import JobRecord
from tests.durables import Story, entry, output

LONG = os.environ.get("CRASH") == "full"
PATIENCE = 20.0
LONGEST_MESSAGE = 1_000
"""Characters of an error that quotes what it was given."""


def examples(short: int, long: int) -> settings:
    """The same few examples each time, or with `CRASH=full` many new ones."""
    return settings(
        max_examples=long if LONG else short,
        derandomize=not LONG,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


DEEP, HUGE = 200_000, 200_000
STAND_INS = {
    b"@huge@": b"a" * HUGE,
    b"@digits@": b"9" * HUGE,
    b"@open@": b"[" * DEEP,
    b"@lists@": b"[" * DEEP + b"]" * DEEP,
    b"@objects@": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
}
"""What stands in an example for what is too large to print."""

NASTY_TEXT = [
    "",
    "\x00",
    "\x1b[2J\x1b]0;owned\x07",
    "\r\n\x9b31m",
    "\u202e\u2066",
    "\ufeff",
    "\U0010ffff",
    "@huge@",
    "../../etc/passwd",
    "'; DROP TABLE jobs; --",
    "{0.__class__}",
    "%s%n",
    "__import__('os')",
    "!!python/object/apply:os.system",
    "cos\nsystem\n(S'true'\ntR.",
    "first",
    "entry",
    "c/first",
    "NaN",
]
NASTY_NUMBERS = [
    "0",
    "-0",
    "-1",
    "1e999",
    "-1e999",
    "1e-999",
    "NaN",
    "Infinity",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "9" * 400,
    "9" * 5_000,
    "@digits@",
    "0.1",
    "1e308",
]
NASTY_JSON = [
    b"",
    b"null",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"\x80\x04N.",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b"{",
    b"@open@",
    b"@lists@",
    b"@objects@",
]


def nasty_json() -> st.SearchStrategy[bytes]:
    """JSON, or nearly, of the kind that parsers have died of."""
    leaves = st.one_of(
        st.sampled_from([json.dumps(one).encode() for one in NASTY_TEXT]),
        st.sampled_from([one.encode() for one in NASTY_NUMBERS]),
        st.sampled_from(NASTY_JSON),
        st.sampled_from([b"true", b"false", b"7", b"[]", b"{}"]),
        st.text().map(lambda text: json.dumps(text).encode()),
    )
    names = st.sampled_from(
        ["signal", "payload", "collateralName", "key", "cnstra", "run", "", "a"]
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: b"[" + b",".join(items) + b"]"),
            st.lists(st.tuples(names, inner), max_size=3).map(json_object),
        ),
        max_leaves=6,
    )


def json_object(members: Iterable[tuple[str, bytes]]) -> bytes:
    """An object with these members, whose names may repeat."""
    return (
        b"{" + b",".join(json.dumps(name).encode() + b":" + value for name, value in members) + b"}"
    )


@st.composite
def mutated(draw: st.DrawFn, seed: bytes) -> bytes:
    """The bytes, with a few of them lost, doubled or replaced."""
    data = seed
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, max(0, len(data) - 1)))
        last = draw(st.integers(first, min(len(data), first + 40)))
        how = draw(st.sampled_from(["lose", "double", "replace", "number", "text"]))
        new = {
            "lose": b"",
            "double": data[first:last] * 2,
            "replace": draw(st.binary(max_size=4)),
            "number": draw(st.sampled_from(NASTY_NUMBERS)).encode(),
            "text": json.dumps(draw(st.sampled_from(NASTY_TEXT))).encode(),
        }[how]
        data = data[:first] + new + data[last:]
    return data


@st.composite
def swapped(draw: st.DrawFn, seed: Any) -> bytes:
    """The JSON value, with any of its parts replaced by something nasty."""
    places = list(_places(seed))
    chosen = {
        draw(st.sampled_from(places)): draw(nasty_json()) for _ in range(draw(st.integers(1, 2)))
    }
    return _written(seed, (), chosen)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            yield from _places(inner, (*path, name))


def _written(value: Any, path: tuple[Any, ...], chosen: dict[tuple[Any, ...], bytes]) -> bytes:
    if path in chosen:
        return chosen[path]
    if isinstance(value, dict):
        return json_object(
            (name, _written(one, (*path, name), chosen)) for name, one in value.items()
        )
    if isinstance(value, list):
        items = (_written(one, (*path, at), chosen) for at, one in enumerate(value))
        return b"[" + b",".join(items) + b"]"
    return json.dumps(value).encode()


def corrupted(seed: Any) -> st.SearchStrategy[bytes]:
    """What can become of a JSON value on its way through the wrong hands."""
    return st.one_of(nasty_json(), swapped(seed), mutated(json.dumps(seed).encode()))


def full_size(data: bytes) -> bytes:
    """The example as it is sent."""
    for stand_in, whole in STAND_INS.items():
        data = data.replace(stand_in, whole)
    return data


# --- what must hold


async def good_job_is_done(queue: Queue, **options: Any) -> None:
    """The worker goes on: a good job, behind all else, is completed."""
    good = await queue.enqueue(entry.create_signal(8), job_id="good")
    worker = Worker(queue, Story().chain(), **{"results": [output], "concurrency": 8, **options})
    await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)
    assert await good.result(timeout=PATIENCE) == {"results": [8]}


def is_over(record: JobRecord | None, job: str) -> None:
    """The job is completed, or dead with an error that a person can read."""
    assert record is not None, job
    assert record.state in ("completed", "dead"), record
    if record.state == "dead":
        assert record.error is not None, record
        message = record.error["message"]
        assert len(message) <= LONGEST_MESSAGE, f"{len(message)} characters: {message[:200]}"


def printable(text: str) -> bool:
    """Whether a terminal shows it, and does nothing else."""
    return all(one.isprintable() or one in "\n\t" for one in text)


def run(story: Any) -> None:
    """One example: a coroutine, to its end."""
    asyncio.run(story)
