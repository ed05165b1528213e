import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cnstra.testing.conformance import BrokerConformance, Rig, StoreConformance, StoreRig

NO_SERVER = "SQLite has no server and no connections that others could cut"
INSERT = """
INSERT INTO jobs (queue, id, state, rank, priority, max_attempts, created_at, run, data)
SELECT id, hex(?1), 'waiting', 0, 0, 1, 0, hex(?1), ?1 FROM queues WHERE name = ?2
"""


class TestSqlite(BrokerConformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        path = tmp_path / "jobs.db"

        def publish_raw(queue: str, body: bytes) -> None:
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute(INSERT, (body, queue))

        return Rig(
            url=f"sqlite:///{path}?synchronous=normal",
            restart=NO_SERVER,
            cut=NO_SERVER,
            publish_raw=publish_raw,
            duplicate="a job is one row: there is no second copy to deliver",
        )


class TestSqliteStore(StoreConformance):
    subject = "sqlite"

    @pytest.fixture
    def rig(self, tmp_path: Path) -> StoreRig:
        url = f"sqlite:///{tmp_path}/runs.db?synchronous=normal"
        return StoreRig(url=url, restart=NO_SERVER, cut=NO_SERVER)
