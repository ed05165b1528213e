"""Processes that work on one SQLite file are killed again and again: nothing is lost or torn."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.crash.hammer import STEPS
from tests.crash.hammers import KILLS, drain, kill_again_and_again


async def test_killed_processes_lose_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db?synchronous=normal"

    hammers = kill_again_and_again(url, tmp_path)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    await drain(url)

    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        jobs = dict(database.execute("SELECT id, state FROM jobs").fetchall())
        results = dict(
            database.execute("SELECT id, runs.result FROM jobs JOIN runs USING (run)").fetchall()
        )
        stalled = database.execute("SELECT count(*) FROM events WHERE kind = 'stalled'").fetchone()
        orphans = database.execute(
            "SELECT DISTINCT run FROM progress WHERE run NOT IN"
            " (SELECT run FROM jobs WHERE state = 'dead')"
        ).fetchall()
    accepted, completed = hammers.said("accepted"), hammers.said("completed")
    assert stalled[0] > 0, "no kill fell on a job that was running"
    assert len(accepted) > KILLS
    assert set(accepted) <= set(jobs)
    assert set(jobs.values()) == {"completed", "dead"}
    assert len(completed) == len(set(completed)) > KILLS
    assert {results[job] for job in completed} == {b"%d" % STEPS}
    assert orphans == []
