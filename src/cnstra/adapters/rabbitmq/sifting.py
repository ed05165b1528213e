"""Looking through the dead letters: all are held until all have been seen."""

import asyncio
from contextlib import suppress
from itertools import count

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from cnstra.adapters.rabbitmq.link import PATIENCE, Link
from cnstra.jobs.transport import Judge

RETURN_TIME = 2.0
PAUSE = 0.005


async def sift(link: Link, name: str, judge: Judge, limit: int | None) -> None:
    """Show the messages of the queue `name` to the judge, and remove those he says."""
    with link.reaching():
        channel = await link.channel()
        kept = 0
        try:
            for _ in count() if limit is None else range(limit):
                letter = await _next(channel, name)
                if letter is None:
                    break
                kept += 1
                if await judge(letter.body):
                    await letter.ack()
                    kept -= 1
        finally:
            if kept and not channel.is_closed:
                await _give_back(channel, name, kept)
            await channel.close()


async def _next(channel: AbstractChannel, name: str) -> AbstractIncomingMessage | None:
    queue = await channel.get_queue(name, ensure=False)
    return await queue.get(fail=False, timeout=PATIENCE)


async def _give_back(channel: AbstractChannel, name: str, kept: int) -> None:
    """Until the next one who looks finds them there again, which takes RabbitMQ a moment."""
    expected = await _size(channel, name) + kept
    underlay = await channel.get_underlay_channel()
    await underlay.basic_nack(0, multiple=True, requeue=True)
    with suppress(TimeoutError):  # others have taken some meanwhile
        async with asyncio.timeout(RETURN_TIME):
            while await _size(channel, name) < expected:
                await asyncio.sleep(PAUSE)


async def _size(channel: AbstractChannel, name: str) -> int:
    found = await channel.declare_queue(name, passive=True, timeout=PATIENCE)
    return found.declaration_result.message_count or 0
