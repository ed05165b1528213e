"""A queue of SQS as it is found, or made."""

from typing import Any

from cnstra.adapters.sqs.client import Client, QueueMissing
from cnstra.adapters.sqs.location import Location
from cnstra.adapters.sqs.names import FIFO
from cnstra.errors import BrokerRefused, BrokerUnavailable

LONGEST_RETENTION = 14 * 24 * 3600
SIZES = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


class Place:
    """A queue, by name.

    max_size: bytes in a message, its attributes included. retention: seconds after which SQS
    deletes a message that is still there. Both are known once it is open.
    """

    def __init__(self, client: Client, name: str, location: Location) -> None:
        self._client = client
        self._url = ""
        self.name = name
        self.location = location
        self.max_size: int | None = None
        self.retention = float(LONGEST_RETENTION)

    @property
    def is_fifo(self) -> bool:
        return self.name.endswith(FIFO)

    async def open(self) -> None:
        """Find the queue and use it as it is, or make it. Raises `BrokerRefused`."""
        self._url = await self._find() or await self._make()
        asked = ["MaximumMessageSize", "MessageRetentionPeriod"]
        answer = await self.call("GetQueueAttributes", AttributeNames=asked)
        found = answer["Attributes"]
        self.max_size = int(found["MaximumMessageSize"])
        self.retention = float(found["MessageRetentionPeriod"])

    async def call(self, action: str, *, wait: float = 0.0, **parameters: Any) -> dict[str, Any]:
        """As `Client.call`, on this queue. One that was deleted may come back."""
        try:
            return await self._client.call(action, wait=wait, QueueUrl=self._url, **parameters)
        except QueueMissing as error:
            reason = f"queue {self.name} is not there; {error}"
            raise BrokerUnavailable(url=self.location.url, reason=reason) from error

    async def sizes(self) -> tuple[int, int, int]:
        """How many messages are there, delayed and taken, roughly."""
        answer = await self.call("GetQueueAttributes", AttributeNames=list(SIZES))
        there, delayed, taken = (int(answer["Attributes"][name]) for name in SIZES)
        return there, delayed, taken

    async def _find(self) -> str | None:
        account = self.location.account
        owner: dict[str, Any] = {} if account is None else {"QueueOwnerAWSAccountId": account}
        try:
            answer = await self._client.call("GetQueueUrl", QueueName=self.name, **owner)
        except QueueMissing:
            return None
        return str(answer["QueueUrl"])

    async def _make(self) -> str:
        if not self.location.creates or self.location.account is not None:
            raise BrokerRefused(
                url=self.location.url,
                action=f"queue {self.name}",
                reason="there is none, and none may be made",
                remedy="make it, or leave create=false and account= out of the URL",
            )
        wanted = {"MessageRetentionPeriod": str(LONGEST_RETENTION)}
        if self.is_fifo:
            wanted["FifoQueue"] = "true"
        answer = await self._client.call("CreateQueue", QueueName=self.name, Attributes=wanted)
        return str(answer["QueueUrl"])
