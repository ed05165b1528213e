"""Group commit: what is asked for while a batch is under way goes into the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from cnstra.adapters.postgres.faults import is_of_one_alone, is_worth_another_try

Item = TypeVar("Item")
Answer = TypeVar("Answer")

LARGEST = 500
TRIES = 5


class Batcher(Generic[Item, Answer]):
    """Hands items on in batches, one batch at a time.

    carry_out: does what a batch asks for, whole or not at all; answers each item, in order, with
        an exception for one that is refused. key: two items of one key never share a batch.
    """

    def __init__(
        self,
        carry_out: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        key: Callable[[Item], Hashable] | None = None,
        largest: int = LARGEST,
    ) -> None:
        self._carry_out = carry_out
        self._key = key
        self._largest = largest
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._working: asyncio.Task[None] | None = None

    def add(self, item: Item) -> "asyncio.Future[Answer]":
        """Ask. Cancelling the future before its batch begins withdraws the item."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._working is None:
            self._working = asyncio.ensure_future(self._work())
        return future

    async def _work(self) -> None:
        try:
            while batch := self._next():
                await self._see_to(batch)
        finally:
            self._working = None
            for _, future in self._waiting:  # only if this very task was cancelled
                future.cancel()

    def _next(self) -> list[tuple[Item, "asyncio.Future[Answer]"]]:
        taken: list[tuple[Item, asyncio.Future[Answer]]] = []
        left: list[tuple[Item, asyncio.Future[Answer]]] = []
        keys: set[Hashable] = set()
        for item, future in self._waiting:
            key = self._key(item) if self._key else None
            if future.done():
                continue
            if len(taken) >= self._largest or (key is not None and key in keys):
                left.append((item, future))
                continue
            keys.add(key)
            taken.append((item, future))
        self._waiting = left
        return taken

    async def _see_to(self, batch: Sequence[tuple[Item, "asyncio.Future[Answer]"]]) -> None:
        try:
            answers = await self._answers([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1 and is_of_one_alone(error):
                for one in batch:  # one that cannot be done must not keep the others from it
                    await self._see_to([one])
                return
            answers = [error] * len(batch)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _answers(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        for _ in range(TRIES - 1):
            try:
                return await self._carry_out(items)
            except Exception as error:
                if len(items) > 1 or not is_worth_another_try(error):
                    raise
        return await self._carry_out(items)
