"""Processes that work on one schema are killed again and again: nothing is lost or torn."""

from pathlib import Path

from tests.crash.hammer import STEPS
from tests.crash.hammers import KILLS, drain, kill_again_and_again
from tests.postgres_server import call, schema_of


async def test_killed_processes_lose_nothing(postgres_schema: str, tmp_path: Path) -> None:
    hammers = kill_again_and_again(postgres_schema, tmp_path)
    await drain(postgres_schema)

    server, schema = schema_of(postgres_schema)
    jobs = dict(call(server, f"SELECT id, state FROM {schema}.jobs"))
    results = dict(call(server, f"SELECT id, result FROM {schema}.jobs"))
    stalled = call(server, f"SELECT count(*) FROM {schema}.events WHERE kind = 'stalled'")
    orphans = call(
        server,
        f"SELECT run FROM {schema}.progress UNION SELECT run FROM {schema}.runs"
        f" EXCEPT SELECT run FROM {schema}.jobs WHERE state = 'dead'",
    )
    accepted, completed = hammers.said("accepted"), hammers.said("completed")
    assert stalled[0][0] > 0, "no kill fell on a job that was running"
    assert len(accepted) > KILLS
    assert set(accepted) <= set(jobs)
    assert set(jobs.values()) == {"completed", "dead"}
    assert len(completed) == len(set(completed)) > KILLS
    assert {results[job] for job in completed} == {b"%d" % STEPS}
    assert orphans == []
