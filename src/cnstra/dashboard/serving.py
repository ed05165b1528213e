"""Serving the page alone, on uvicorn."""

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from cnstra.errors import InvalidOption

LEAVING = 1
"""Seconds that open pages have when the server ends: their streams never end by themselves."""


async def serve(app: ASGIApp, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `tell` hears the address once it answers.

    Raises `InvalidOption` where it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            remedy = f"choose another --port, or --host ({error.strerror})"
            raise InvalidOption(option="port", value=port, remedy=remedy) from error
        listener.listen(128)
        name = f"[{host}]" if ":" in host else host
        tell(f"http://{name}:{listener.getsockname()[1]}")
        # No access log: the address of the first request holds the token.
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=LEAVING,
        )
        await Server(config).serve(sockets=[listener])


class Server(uvicorn.Server):
    """A server that ends in peace. Uvicorn's own sends itself the signal again, once it is over."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
