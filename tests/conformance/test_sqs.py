from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from cnstra.durable.io_thread import IOThread
from cnstra.jobs.blocking import blocking
from cnstra.testing.conformance import BrokerConformance, Rig
from tests.proxy import Proxy
from tests.sqs_server import REGION, SQSServer, url_at

ATTRIBUTES = ["cnstra-id"]


@pytest.fixture
def proxy(sqs_server: SQSServer) -> Iterator[Proxy]:
    """On a thread of its own, as tests block their loop."""
    thread, proxy = IOThread("proxy"), Proxy(sqs_server.port)
    blocking(thread.call(proxy.__aenter__))
    yield proxy
    blocking(thread.call(proxy.__aexit__))
    thread.close()


class SQSConformance(BrokerConformance):
    options: tuple[str, ...] = ()
    ending = ""

    @pytest.fixture
    def rig(self, proxy: Proxy, sqs_server: SQSServer, tmp_path: Path) -> Rig:
        aws = boto3.client("sqs", region_name=REGION, endpoint_url=sqs_server.endpoint)

        def url_of(queue: str) -> str:
            return str(aws.get_queue_url(QueueName=queue + self.ending)["QueueUrl"])

        def copy_of(message: Any) -> dict[str, Any]:
            return {
                "MessageBody": message["Body"],
                "MessageAttributes": message["MessageAttributes"],
                **self.placing(message["MessageId"]),
            }

        def duplicate(queue: str) -> None:
            url = url_of(queue)
            taken: list[Any] = []
            while found := aws.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=ATTRIBUTES
            ).get("Messages"):
                taken += found
            for one in taken:
                aws.send_message(QueueUrl=url, **copy_of(one))
                aws.change_message_visibility(
                    QueueUrl=url, ReceiptHandle=one["ReceiptHandle"], VisibilityTimeout=0
                )

        def publish_raw(queue: str, body: bytes) -> None:
            aws.send_message(
                QueueUrl=url_of(queue), MessageBody=body.decode(), **self.placing("foreign")
            )

        async def cut() -> None:
            proxy.cut()

        return Rig(
            url=url_at(proxy.port, *self.options),
            store=f"sqlite:///{tmp_path}/progress.db?synchronous=normal",
            restart=cut,
            cut=cut,
            publish_raw=publish_raw,
            duplicate=duplicate,
            lease=2.0,
        )

    def placing(self, group: str) -> dict[str, str]:
        """What a queue wants to know beside."""
        return {}


class TestSqs(SQSConformance): ...


class TestSqsFifo(SQSConformance):
    subject = "sqs fifo"
    options = ("fifo=true",)
    ending = ".fifo"

    def placing(self, group: str) -> dict[str, str]:
        return {"MessageGroupId": group, "MessageDeduplicationId": uuid4().hex}
