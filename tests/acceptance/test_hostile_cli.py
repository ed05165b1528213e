"""The command line, asked and answered by the wrong people: it says so, and sends no escapes."""

import asyncio
import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra import Queue
from cnstra.cli import main
from cnstra.errors import CnstraError
from cnstra.jobs.broker import NewJob
from cnstra.jobs.settlement import DeadLettered
from tests.durables import receive
from tests.hostile import (
    NASTY_NUMBERS,
    NASTY_TEXT,
    corrupted,
    examples,
    full_size,
    nasty_json,
    printable,
)

LONGEST = 40_000
JOB = {"signal": {"collateralName": "entry", "payload": 7}}


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """`cnstra` in this process, on a file of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch = monkeypatch
        self.url = f"sqlite:///{folder}/jobs.db?synchronous=normal"
        monkeypatch.chdir(folder)

    def __call__(self, *words: str, given: bytes = b"") -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with self._patch.context() as patch:
            patch.setattr(sys, "argv", ["cnstra", *words])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with _stdin(given) as stdin:
                patch.setattr(sys, "stdin", stdin)
                try:
                    code = main()
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else 1
        return Ended(code or 0, out.getvalue(), err.getvalue())

    def on(self, queue: str) -> list[str]:
        return ["--url", self.url, "--queue", queue]


def _stdin(given: bytes) -> io.TextIOWrapper:
    file = Path("stdin").resolve()
    file.write_bytes(given)
    return io.TextIOWrapper(file.open("rb"))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    return Shell(monkeypatch, tmp_path)


def harmless(ended: Ended, codes: Sequence[int] = (0, 1, 2)) -> None:
    """It ended as it may, and what it wrote is short, and does nothing to a terminal."""
    assert ended.code in codes, ended
    assert "Traceback" not in ended.err, ended.err[-2_000:]
    for text in (ended.out, ended.err):
        assert printable(text), repr(text[:500])
        assert len(text) <= LONGEST, f"{len(text)} characters: {text[:500]}"


@given(
    jobs=st.lists(
        st.tuples(corrupted(JOB), st.sampled_from(NASTY_TEXT), st.sampled_from(NASTY_TEXT)),
        min_size=1,
        max_size=6,
    )
)
@examples(8, 400)
def test_what_is_shown_of_hostile_jobs_is_harmless(
    shell: Shell, jobs: list[tuple[bytes, str, str]]
) -> None:
    name = uuid4().hex

    async def story() -> list[str]:
        async with Queue(name, shell.url) as queue:
            sent = [
                NewJob(f"{n}{id_}", full_size(data), f"{name}-{n}")
                for n, (data, id_, _) in enumerate(jobs)
            ]
            await queue.io.call(lambda: queue.broker.enqueue(sent))
            for _, _, message in jobs:
                held = await receive(queue)
                error = {
                    "message": full_size(message.encode()).decode(),
                    "name": message,
                    "stack": "",
                }
                dead = DeadLettered(error, None)
                await queue.io.call(
                    lambda held=held, dead=dead: queue.broker.settle(held, dead, None)
                )
            return [job.id for job in sent]

    ids = asyncio.run(story())
    harmless(shell("jobs", "list", *shell.on(name)), [0])
    harmless(shell("dead", "list", *shell.on(name)), [0])
    for id_ in ids:
        harmless(shell("jobs", "show", *shell.on(name), "--", id_), [0])


WORDS = st.one_of(
    st.sampled_from(
        [
            *NASTY_TEXT,
            *NASTY_NUMBERS[:12],
            "-",
            "--",
            "--url",
            "--queue",
            "jobs",
            "show",
            "app:queue",
        ]
    ),
    st.text(max_size=8),
    nasty_json().map(lambda data: data.decode(errors="replace")),
).filter(lambda word: "demo" not in word)
VERBS = st.sampled_from(
    [
        ["enqueue"],
        ["jobs", "list"],
        ["jobs", "show"],
        ["jobs", "cancel"],
        ["jobs", "remove"],
        ["dead", "list"],
        ["dead", "show"],
        ["dead", "redrive"],
        ["pause"],
        ["resume"],
        ["worker"],
        ["migrate"],
    ]
)


@given(verb=VERBS, words=st.lists(WORDS, max_size=4), is_addressed=st.booleans())
@examples(60, 3_000)
def test_hostile_arguments_end_in_one_line(
    shell: Shell, verb: list[str], words: list[str], is_addressed: bool
) -> None:
    address = shell.on("q") if is_addressed and verb != ["worker"] else []
    harmless(shell(*verb, *address, *words))


@given(lines=st.lists(corrupted({"id": 1}), max_size=8))
@examples(10, 500)
def test_hostile_lines_on_standard_input_end_in_one_line(shell: Shell, lines: list[bytes]) -> None:
    given_ = b"\n".join(full_size(line) for line in lines)
    harmless(shell("enqueue", *shell.on("lines"), "entry", "-", given=given_))


URLS = st.one_of(
    st.sampled_from(
        [
            "",
            ":",
            "//",
            "sqlite:",
            "sqlite://",
            "sqlite:///",
            "sqlite:///\x00",
            "sqlite:////etc/passwd",
            "redis://[",
            "nats://",
            "redis://:x@\x1b[2J",
            "http://[::1",
            "memory://",
            "sqlite:///nowhere/at/all.db",
            "file:///etc/passwd",
            "sqlite:///jobs.db?x",
            "postgresql://?schema=",
            "sqs://",
            "amqp://%zz",
            "\x1b[2J://x",
            "unix://",
        ]
    ),
    st.text(max_size=12).map(lambda text: f"sqlite:///{text}?synchronous={text}"),
    st.text(max_size=12).filter(lambda text: "://" not in text),
)


@given(url=URLS)
@examples(30, 1_000)
def test_a_hostile_url_ends_in_one_line(shell: Shell, url: str) -> None:
    with suppress(CnstraError):
        Queue("q", url)
    if not url.startswith(("redis", "nats", "postgres", "amqp", "sqs", "unix")):
        harmless(shell("jobs", "list", "--url", url, "--queue", "q"))
