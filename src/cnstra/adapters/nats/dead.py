"""The dead letters of a queue: a stream that keeps them until they are removed one by one."""

import base64

from cnstra.adapters.nats.client import Client
from cnstra.adapters.nats.connection import Refused
from cnstra.adapters.nats.streams import MISSING, QueueNames
from cnstra.jobs.transport import Judge

MESSAGE_ID = "Nats-Msg-Id"


class DeadLetters:
    """In the order in which they were put there."""

    def __init__(self, client: Client, names: QueueNames) -> None:
        self._client = client
        self._subject = names.dead_subject
        self._stream = names.dead_stream

    async def put(self, body: bytes, name: str) -> None:
        """Keep one. A repeat under the same name changes nothing."""
        await self._client.publish(self._subject, body, {MESSAGE_ID: name})

    async def sift(self, judge: Judge, limit: int | None) -> None:
        seen, revision = 0, 0
        while limit is None or seen < limit:
            found = await self._after(revision)
            if found is None:
                return
            revision, body = found
            if await judge(body):
                await self._remove(revision)
            seen += 1

    async def size(self) -> int:
        info = await self._client.api(f"STREAM.INFO.{self._stream}")
        return int(info["state"]["messages"])

    async def _after(self, revision: int) -> tuple[int, bytes] | None:
        try:
            answer = await self._client.api(
                f"STREAM.MSG.GET.{self._stream}", seq=revision + 1, next_by_subj=self._subject
            )
        except Refused as error:
            if error.code != MISSING:
                raise
            return None
        message = answer["message"]
        return int(message["seq"]), base64.b64decode(message.get("data", ""))

    async def _remove(self, revision: int) -> None:
        try:
            await self._client.api(f"STREAM.MSG.DELETE.{self._stream}", seq=revision, no_erase=True)
        except Refused:
            left = await self._after(revision - 1)
            if left is not None and left[0] == revision:
                raise
