"""DBOS: one workflow of six steps, enqueued, on Postgres.

As its documentation has it: https://docs.dbos.dev/python/tutorials/workflow-tutorial, and for one
server, https://docs.dbos.dev/production/workflow-recovery, the process that starts again recovers
all that was pending.
"""

import threading

from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, run_dbos_database_migrations

from benchmarks.rivals import flow
from benchmarks.rivals.place import Place

QUEUE = "rivals"
DONE = "SUCCESS"


@DBOS.step()
def step(job: int, number: int, value: int) -> int:
    return flow.step(job, number, value)


@DBOS.workflow()
def chain(job: int) -> int:
    value = 0
    for number in range(flow.STEPS):
        value = step(job, number, value)
    return value


def work() -> None:
    config: DBOSConfig = {
        "name": "rivals",
        "system_database_url": Place.told().postgres,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=0.1)
    threading.Event().wait()


def submit(jobs: range) -> None:
    run_dbos_database_migrations(system_database_url=Place.told().postgres)
    client = _client()
    for job in jobs:
        options: EnqueueOptions = {
            "queue_name": QUEUE, "workflow_name": "chain", "workflow_id": f"job-{job}",
        }  # fmt: skip
        client.enqueue(options, job)


def results(jobs: range) -> list[int | None]:
    found = _client().list_workflows(limit=2 * len(jobs))
    values = {one.workflow_id: one.output for one in found if one.status == DONE}
    return [values.get(f"job-{job}") for job in jobs]


def _client() -> DBOSClient:
    return DBOSClient(system_database_url=Place.told().postgres)
