"""Postgres for tests: a schema of its own for each, and servers that tests may harm."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from cnstra.adapters import postgres
from tests.durables import TravellingClock
from tests.manual_clock import EPOCH, ManualClock
from tests.redis_server import free_port

STANDARD = os.environ.get("CNSTRA_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")
ANSWER_TIME = 0.02
SET_TIME = (
    "CREATE OR REPLACE FUNCTION {}.the_time() RETURNS float8 LANGUAGE sql VOLATILE AS $$ {} $$"
)
RUNNING_TIME = "SELECT extract(epoch FROM clock_timestamp())::float8 + {!r}::float8"


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    program = str(found[-1]) if found else shutil.which("initdb")
    assert program is not None, "these tests need a Postgres server: apt install postgresql"
    return Path(program).parent


class PostgresServer:
    """A server on a port of its own, with its data in a new folder, run by somebody who is not
    root. The folder goes with the last stop.
    """

    def __init__(self, **settings: object) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="cnstra-postgres-"))
        self.settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "max_connections": 60, **settings,
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.user = unprivileged()
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        self._run("initdb", "--auth=trust", "--username=root", "--no-sync", "-D", str(self.folder))

    @property
    def url(self) -> str:
        return f"postgresql://root@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        self.process = subprocess.Popen(
            [binaries() / "postgres", "-D", str(self.folder), *settings],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self.user, cwd="/",
        )  # fmt: skip
        self._run(
            "pg_isready", "-q", "-t", "20", "-h", "127.0.0.1", "-p", str(self.port), tries=200
        )

    def kill(self) -> None:
        """End it as a crash does, its children too."""
        self._end("immediate")

    def stop(self) -> None:
        """End it, and leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self._end("fast")
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, statement: str) -> list[tuple[Any, ...]]:
        return call(self.url, statement)

    def _end(self, mode: str) -> None:
        assert self.process is not None
        self._run("pg_ctl", "stop", "-m", mode, "-D", str(self.folder))
        self.process.wait(20)

    def _run(self, program: str, *arguments: str, tries: int = 1) -> None:
        for _ in range(tries):
            done = subprocess.run(
                [binaries() / program, *arguments],
                user=self.user, cwd="/", capture_output=True, timeout=60,
            )  # fmt: skip
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"{program}: {done.stderr.decode()}")


def unprivileged() -> str | None:
    """Who runs what root may not; `None` for who is not root."""
    if os.getuid() != 0:
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def call(url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """One statement, as a bystander would send it."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def new_schema(server: str) -> Generator[str, None, None]:
    """The URL of a schema that nobody else uses, and that is dropped in the end."""
    schema = f"t_{uuid4().hex}"
    try:
        yield f"{server}?schema={schema}"
    finally:
        call(server, f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@contextmanager
def new_tables(server: str) -> Generator[str, None, None]:
    """The URL for tables of the test's own, in a schema that is dropped in the end."""
    with new_schema(server) as url:
        _, schema = schema_of(url)
        call(server, f"CREATE SCHEMA {schema}")
        yield f"{server}?options=-csearch_path%3D{schema}"


def schema_of(url: str) -> tuple[str, str]:
    """The URL of the server, and the schema."""
    server, _, schema = url.partition("?schema=")
    return server, schema


class PostgresClock(ManualClock):
    """A manual clock that a schema goes by too.

    What is in flight has a moment to land first, as it would have in all the time that passes here.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.server, self.schema = schema_of(url)
        self._set(EPOCH)

    async def advance(self, duration: float) -> None:
        await asyncio.sleep(ANSWER_TIME)
        self._set(EPOCH + self.elapsed + duration)
        await super().advance(duration)
        await asyncio.sleep(ANSWER_TIME)

    def _set(self, time: float) -> None:
        call(self.server, SET_TIME.format(self.schema, f"SELECT {time!r}::float8"))


async def standing_clock(url: str) -> PostgresClock:
    """A manual clock for a schema, which is made first."""
    await postgres.migrate(url)
    return PostgresClock(url)


class TravellingPostgresClock(TravellingClock):
    """One that a schema goes along with."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def travel(self, duration: float) -> None:
        super().travel(duration)
        server, schema = schema_of(self.url)
        call(server, SET_TIME.format(schema, RUNNING_TIME.format(self.ahead)))


@contextmanager
def pooled(server: str) -> Generator[str, None, None]:
    """The URL of a PgBouncer that lends two connections of the server out, by transaction."""
    told = psycopg.conninfo.conninfo_to_dict(server)
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="cnstra-pgbouncer-"))
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={told['host']} port={told['port']} user={told['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n"
    )
    folder.chmod(0o755)
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program is not None, "these tests need PgBouncer: apt install pgbouncer"
    pooler = subprocess.Popen(
        [program, str(settings)], user=unprivileged(), cwd="/", stderr=subprocess.DEVNULL
    )
    url = f"postgresql://{told['user']}@127.0.0.1:{port}/{told['dbname']}"
    try:
        deadline = time.monotonic() + 20
        while not answers(url):
            assert time.monotonic() < deadline, "PgBouncer does not answer"
            time.sleep(0.05)
        yield url
    finally:
        pooler.kill()
        pooler.wait()
        shutil.rmtree(folder)
