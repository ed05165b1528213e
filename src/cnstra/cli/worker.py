"""`cnstra worker`."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Literal

import typer

from cnstra.cli.supervisor import Supervisor
from cnstra.cli.targets import load
from cnstra.cli.usage import OnePortForMany
from cnstra.jobs.worker import Worker
from cnstra.telemetry.logs import JsonFormatter, LogFields
from cnstra.telemetry.prometheus import Metrics

logger = logging.getLogger("cnstra.cli")

LogForm = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def worker(
    target: Annotated[
        str,
        typer.Argument(
            metavar="APP:WORKER", help="A Worker, or a function that makes one.", show_default=False
        ),
    ],
    processes: Annotated[
        int, typer.Option(min=1, help="How many processes; one that dies is restarted.")
    ] = 1,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End once no job is waiting, delayed or active.")
    ] = False,
    log_level: Annotated[LogLevel, typer.Option(help="What to log.")] = "info",
    log: Annotated[
        LogForm, typer.Option(help="How to log: text, or JSON with run, attempt and neuron.")
    ] = "text",
    metrics: Annotated[
        str | None,
        typer.Option(help="Where to tell Prometheus, as in :9464.", metavar="[HOST]:PORT"),
    ] = None,
    supervised: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run jobs until SIGTERM or SIGINT. What runs then is finished, or given back."""
    if processes > 1:
        if metrics is not None:
            raise OnePortForMany
        _log(log_level, log)
        options = ["--log-level", log_level, "--log", log]
        options += ["--until-idle"] if until_idle else []
        supervisor = Supervisor(target, options, processes, ends_when_idle=until_idle)
        raise typer.Exit(asyncio.run(supervisor.run()))
    found = load(target, Worker)
    _log(log_level, log)
    if log == "json":
        found.observe(LogFields())
    if metrics is not None:
        found.observe(Metrics(metrics))
    asyncio.run(_work(found, until_idle, supervised))


def _log(level: LogLevel, form: LogForm) -> None:
    """Log to standard error, unless the application has said already where to."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler])


async def _work(worker: Worker, until_idle: bool, supervised: int | None) -> None:
    queue = worker.queue
    try:
        await queue.open()
        logger.info("A worker takes jobs from queue %r at %s.", queue.name, queue.place)
        if supervised is not None:
            _report(socket.socket(fileno=supervised), worker.stop)
        await worker.run(until_idle=until_idle)
    finally:
        await queue.close()


def _report(supervisor: socket.socket, stop: Callable[[], None]) -> None:
    """Tell the supervisor that this worker has started; stop when the supervisor is no more."""
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        loop.remove_reader(supervisor)
        logger.warning("The supervisor is gone: this worker stops too.")
        stop()

    with suppress(OSError):
        supervisor.send(b"\n")
    loop.add_reader(supervisor, orphaned)
