"""The logs of all runs, in one bucket: read, lengthened, folded."""

import asyncio
import base64
from contextlib import suppress
from typing import Any

import msgspec

from cnstra.adapters.nats.client import Client
from cnstra.adapters.nats.connection import Refused
from cnstra.adapters.nats.names import token
from cnstra.adapters.nats.records import (
    NOTHING,
    REMEMBERED,
    Head,
    Joint,
    Part,
    Record,
    decode,
    decode_record,
    encode,
    folded,
)
from cnstra.adapters.nats.streams import MISSING
from cnstra.errors import ProgressUnreadable

HEADERS_ROOM = 512
"""Bytes of a message that are left for its headers."""


class Moved(Exception):
    """The log was folded while it was read."""


class Log:
    """A run's records are the revisions of one key. Every write says which revision it follows."""

    def __init__(self, client: Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._stream = f"KV_{bucket}"

    async def head(self, run: str) -> Head:
        """Where a run stands."""
        while True:
            try:
                return await self._head(run)
            except Moved:
                continue

    async def read(self, run: str) -> tuple[Head, dict[bytes, bytes]]:
        """Where a run stands, and its entries."""
        while True:
            try:
                head = await self._head(run)
                return head, await self._entries(run, head)
            except Moved:
                continue

    async def append(self, run: str, head: Head, record: Record) -> Head:
        """Write a record after `head`, whole or not at all. Raises `Conflict`.

        A base takes the place of all that was before it.
        """
        body = encode(record)
        most = self._client.max_payload - HEADERS_ROOM
        if len(body) <= most:
            revision = await self._put(run, body, head.last, rolls_up=record.is_base)
            return Head(revision, revision, record)
        parts: list[int] = []
        last = head.last
        for start in range(0, len(body), most - HEADERS_ROOM):
            piece = Part(standing=head.revision, data=body[start : start + most - HEADERS_ROOM])
            last = await self._put(run, encode(piece), last)
            parts.append(last)
        revision = await self._put(run, encode(Joint(parts=parts)), last)
        if record.is_base:
            await self.drop(run, before=parts[0])
        return Head(revision, revision, record)

    async def drop(self, run: str, *, before: int | None = None) -> None:
        """Remove a run, or its revisions before one of them."""
        await self._drop(self._key(run), before)

    async def sweep(self, now: float, cursor: int) -> int:
        """Look at the next record from the cursor on, and remove it if it is an expired result.

        Returns the cursor for the next time, which begins anew after the last one.
        """
        while True:
            message = await self._get(seq=cursor, next_by_subj=f"$KV.{self._bucket}.>")
            if message is None:
                return 1
            cursor = int(message["seq"]) + 1
            with suppress(Moved, ProgressUnreadable):
                found = await self._record("", cursor - 1, message)
                if isinstance(found, Part):
                    continue
                if found.is_expired(now):
                    await self._drop(message["subject"], before=cursor)
            return cursor

    # --- inside

    async def _head(self, run: str) -> Head:
        message = await self._get(last_by_subj=self._key(run))
        if message is None:
            return NOTHING
        last = int(message["seq"])
        found = await self._record(run, last, message)
        if isinstance(found, Record):
            return Head(last, last, found)
        try:
            record = await self._record(run, found.standing)
        except Moved:
            if await self._get(seq=last) is None:
                raise
            return Head(last)  # parts of a write that was never finished, and nothing before
        assert isinstance(record, Record)
        return Head(last, found.standing, record)

    async def _entries(self, run: str, head: Head) -> dict[bytes, bytes]:
        """Fold the log, read backwards, as many records at once as each one names."""
        if head.record is None:
            return {}
        records = [head.record]
        while records[-1].back:
            revisions = reversed(records[-1].back)
            older = await asyncio.gather(*(self._record(run, one) for one in revisions))
            records.extend(one for one in older if isinstance(one, Record))
        return folded(reversed(records))

    async def _record(
        self, run: str, revision: int, message: dict[str, Any] | None = None
    ) -> Record | Part:
        """What is at a revision. Raises `Moved` where there is nothing any more."""
        try:
            found: Record | Part | Joint = decode(await self._data(revision, message))
            if isinstance(found, Joint):
                pieces = await asyncio.gather(*(self._data(one) for one in found.parts))
                parts = [decode(piece) for piece in pieces]
                body = b"".join(one.data for one in parts if isinstance(one, Part))
                found = decode_record(body)
        except msgspec.MsgspecError as error:
            raise ProgressUnreadable(run=run, reason=error) from error
        return found

    async def _data(self, revision: int, message: dict[str, Any] | None = None) -> bytes:
        message = message or (await self._get(seq=revision) if revision else None)
        if message is None:
            raise Moved
        return base64.b64decode(message.get("data", ""))

    async def _get(self, **which: Any) -> dict[str, Any] | None:
        try:
            answer = await self._client.api(f"STREAM.MSG.GET.{self._stream}", **which)
        except Refused as error:
            if error.code != MISSING:
                raise
            return None
        message: dict[str, Any] = answer["message"]
        return message

    async def _put(self, run: str, body: bytes, last: int, *, rolls_up: bool = False) -> int:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        if rolls_up:
            headers["Nats-Rollup"] = "sub"
        return await self._client.publish(self._key(run), body, headers)

    async def _drop(self, key: str, before: int | None) -> None:
        until = {} if before is None else {"seq": before}
        await self._client.api(f"STREAM.PURGE.{self._stream}", filter=key, **until)

    def _key(self, run: str) -> str:
        return f"$KV.{self._bucket}.{token(run)}"


def remembered(head: Head) -> list[int]:
    """The revisions that a record after `head` names."""
    assert head.record is not None
    return [*head.record.back, head.revision][-REMEMBERED:]
