"""Publishing as some clients do, without an id: aio-pika gives each message one.

Each question waits for its answer, so the message has arrived when this returns.
"""

import socket
from datetime import datetime

from pamqp import commands, frame, header
from pamqp.base import Frame
from pamqp.body import ContentBody

PLAIN = "\0guest\0guest"


def publish(
    port: int, queue: str, body: bytes, timestamp: datetime | None = None, *, vhost: str = "/"
) -> None:
    """Put a message without other properties into a queue."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as server:
        server.sendall(header.ProtocolHeader(0, 9, 1).marshal())
        _await(server, commands.Connection.Start)
        _send(server, 0, commands.Connection.StartOk({}, "PLAIN", PLAIN, "en_US"))
        _await(server, commands.Connection.Tune)
        _send(server, 0, commands.Connection.TuneOk(1, 131072, 0), commands.Connection.Open(vhost))
        _await(server, commands.Connection.OpenOk)
        _send(server, 1, commands.Channel.Open())
        _await(server, commands.Channel.OpenOk)
        properties = commands.Basic.Properties(timestamp=timestamp)
        _send(
            server, 1, commands.Basic.Publish(routing_key=queue),
            header.ContentHeader(body_size=len(body), properties=properties), ContentBody(body),
            commands.Channel.Close(200, "", 0, 0),
        )  # fmt: skip
        _await(server, commands.Channel.CloseOk)


def _send(server: socket.socket, channel: int, *frames: object) -> None:
    server.sendall(b"".join(frame.marshal(one, channel) for one in frames))


def _await(server: socket.socket, kind: type[Frame]) -> None:
    """The server says one thing at a time, and each fits into a packet."""
    _, _, found = frame.unmarshal(server.recv(65536))
    assert isinstance(found, kind), found
