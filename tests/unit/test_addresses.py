"""URLs: what is wrong with one is said as an error of ours, and its secrets are not."""

import traceback

import pytest

from cnstra import Queue
from cnstra.durable.adapters import shown
from cnstra.errors import InvalidOption, UnknownScheme


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://guest:secret@host:5672/v", "amqp://***@host:5672/v"),
        ("postgresql://me:sec/ret@host/app?sslmode=require", "postgresql://***@host/app"),
        ("nats://secret@one:4222,two:4222", "nats://***@one:4222,two:4222"),
        ("redis://host?password=secret", "redis://host"),
        ("redis://me:sec?ret@host/2?db=3", "redis://***"),
        ("redis://me:a://b@host", "redis://***@host"),
        ("redis://host/2?password=sec@ret", "redis://***"),
        ("me:secret@host", "***@host"),
        ("redis:me:secret@host", "***@host"),
        ("sqlite:////srv/a@b.db?synchronous=normal", "sqlite:////srv/a@b.db"),
        ("sqs://eu-central-1", "sqs://eu-central-1"),
        ("no url", "no url"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, told: str) -> None:
    assert shown(url) == told


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("redis://me:secret@localhost:notaport", "its port is a number"),
        ("redis://me:secret@localhost:99999", "its port is a number"),
        ("redis://me:secret/more@localhost", "percent-encode"),
        ("redis://me:secret@localhost/first", "its database is a number"),
        ("redis://me:secret@[::1", "give a URL as in"),
        ("redis://me:secret@host\u2100", "give a URL as in"),
        ("nats://me:secret/more@localhost:42", "percent-encode"),
        ("nats://me:secret@localhost:notaport", "its ports are numbers"),
        ("nats://me:secret@localhost?colour=blue", "its options are"),
        ("amqp://me:secret@localhost:notaport", "percent-encode"),
        ("postgresql://me:secret%zz@localhost/app", "percent-encode"),
        ("sqs://key:secret@eu-central-1/queue", "a region stands behind sqs://"),
    ],
)
def test_a_url_that_nobody_can_read_is_refused_without_its_secrets(url: str, remedy: str) -> None:
    with pytest.raises(InvalidOption, match=remedy) as raised:
        Queue("q", url, store="sqlite:///progress.db" if url[:3] in ("amq", "sqs") else None)

    assert "secret" not in "".join(traceback.format_exception(raised.value)[-1:])
    assert "secret" not in f"{raised.value} {raised.value.context}"
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+asyncpg://me:secret@host/app", "'postgresql+asyncpg://***@host/app'"),
        ("me:secret@host", "'***@host'"),
    ],
)
def test_a_scheme_of_no_adapter_is_refused_without_its_secrets(url: str, told: str) -> None:
    with pytest.raises(UnknownScheme, match=r"Installed: .*memory") as raised:
        Queue("q", url)

    assert told in str(raised.value)
    assert "secret" not in f"{raised.value} {raised.value.context}"


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("postgresql+asyncpg://host/app", "did you mean 'postgresql://'?"),
        ("sqlite+aiosqlite:///app.db", "did you mean 'sqlite://'?"),
        ("redi://host", "did you mean 'redis://'?"),
    ],
)
def test_who_writes_nearly_a_scheme_is_told_which(url: str, near: str) -> None:
    with pytest.raises(UnknownScheme) as raised:
        Queue("q", url)

    assert near in str(raised.value)


def test_a_store_where_none_may_be_is_refused_without_its_secrets() -> None:
    with pytest.raises(InvalidOption, match="leave it out") as raised:
        Queue("q", "memory://q", store="redis://me:secret@host")

    assert "redis://***@host" in str(raised.value)
    assert "secret" not in f"{raised.value} {raised.value.context}"
