"""One neuron splits, many activations work side by side, one neuron joins.

python examples/fan_out_and_join.py [URL]

One branch fails on the first attempt. The retry runs that branch alone; then the join has them all.
"""

import asyncio
import sys
from typing import NamedTuple, TypedDict

from cnstra import CNS, Collateral, Context, Queue, Signal, Worker, collateral, neuron


class Book(TypedDict):
    chapters: list[str]


class Chapter(TypedDict):
    number: int
    of: int
    text: str


class Count(TypedDict):
    of: int
    words: int


class Total(TypedDict):
    chapters: int
    words: int


book = collateral("book", Book)
chapter = collateral("chapter", Chapter)
counted = collateral("counted", Count)
total = collateral("total", Total)


class SplitterAxon(NamedTuple):
    chapter: Collateral[Chapter]


class CounterAxon(NamedTuple):
    counted: Collateral[Count]


class JoinAxon(NamedTuple):
    total: Collateral[Total]


splitter = neuron("splitter", SplitterAxon(chapter))
counter = neuron("counter", CounterAxon(counted), concurrency=2)  # two at once, over all runs
join = neuron("join", JoinAxon(total), context=Total)

unreadable = {3}


@splitter.dendrite(book)
def on_book(payload: Book, axon: SplitterAxon) -> list[Signal[Chapter]]:
    chapters = payload["chapters"]
    return [
        axon.chapter.create_signal({"number": number, "of": len(chapters), "text": text})
        for number, text in enumerate(chapters, start=1)
    ]


@counter.dendrite(chapter)
async def on_chapter(payload: Chapter, axon: CounterAxon) -> Signal[Count]:
    number = payload["number"]
    await asyncio.sleep(0)
    if number in unreadable:
        unreadable.discard(number)
        print(f"chapter {number} cannot be read just now")
        raise OSError(f"chapter {number} cannot be read")
    print(f"chapter {number} is counted")
    return axon.counted.create_signal({"of": payload["of"], "words": len(payload["text"].split())})


@join.dendrite(counted)
def on_counted(payload: Count, axon: JoinAxon, ctx: Context[Total]) -> Signal[Total] | None:
    # With no `await` between get and return this is exact, however many branches end at once.
    so_far = ctx.get({"chapters": 0, "words": 0})
    now: Total = {
        "chapters": so_far["chapters"] + 1,
        "words": so_far["words"] + payload["words"],
    }
    ctx.set(now)
    return axon.total.create_signal(now) if now["chapters"] == payload["of"] else None


cns = CNS([splitter, counter, join])


async def main(url: str) -> None:
    async with Queue("books", url) as queue:
        chapters = ["It was night", "Nobody slept", "A door opened slowly", "The end"]
        job = await queue.enqueue(book.create_signal({"chapters": chapters}), max_attempts=2)
        await Worker(queue, cns, results=[total]).run(until_idle=True)

        record = await job.record()
        assert record is not None
        print(f"failed attempts: {record.attempts_made}")
        print(f"result: {await job.result()}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///fan_out_and_join.db"))
