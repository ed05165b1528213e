"""`cnstra doctor`."""

import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import typer

from cnstra.cli.addresses import Address, AsJson, Name, Url
from cnstra.cli.jobs import Words
from cnstra.cli.output import console, one_line, plain, table, write_json
from cnstra.jobs.diagnosis import Finding, Level, examine

PACKAGES = (
    "cnstra", "msgspec", "aio-pika", "aiobotocore", "bullmq", "nats-py", "opentelemetry-sdk",
    "psycopg", "pydantic",
)  # fmt: skip
STYLES: dict[Level, str] = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(
    words: Words = None, url: Url = None, name: Name = None, as_json: AsJson = False
) -> None:
    """Look at a queue's broker for what is wrong, or loses work.

    Is it reached, whose clock is off, which settings lose work, which versions are in use. Exits
    with 1 if something is wrong; a warning alone is none.
    """
    address = Address.of(words, url, name)
    found = [Finding("ok", "versions", ", ".join(_versions())), *address.ask_closed(examine)]
    if as_json:
        write_json(
            [{"level": one.level, "what": one.what, "message": one.message} for one in found]
        )
    else:
        rows = (
            (plain(one.level, STYLES[one.level]), one.what, one_line(one.message)) for one in found
        )
        console().print(table(["", "WHAT", "FOUND"], rows))
    if any(one.level == "error" for one in found):
        raise typer.Exit(1)


def _versions() -> Iterable[str]:
    yield f"Python {platform.python_version()} on {sys.platform}"
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
