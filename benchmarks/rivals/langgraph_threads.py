"""LangGraph: six nodes in a row, a thread of its own for each job, the SQLite checkpointer.

LangGraph has no queue of its own, so a table lists the jobs, and a worker that starts takes each
one that is not done: from its input if it has no checkpoint, else from where that stands, as
https://docs.langchain.com/oss/python/langgraph/durable-execution has it. `Place.option` is the
durability mode, "sync" or "async" (LangGraph's default).
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.rivals import flow
from benchmarks.rivals.place import Place

GLANCE = 0.05


class State(TypedDict):
    job: int
    value: int


def _node(number: int) -> Callable[[State], dict[str, int]]:
    return lambda state: {"value": flow.step(state["job"], number, state["value"])}


def _graph() -> StateGraph[State]:
    graph = StateGraph(State)
    names = [f"step{number}" for number in range(flow.STEPS)]
    for number, name in enumerate(names):
        graph.add_node(name, _node(number))
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph


def work() -> None:
    place = Place.told()
    with _jobs() as jobs, SqliteSaver.from_conn_string(f"{place.folder}/checkpoints.db") as saver:
        graph = _graph().compile(checkpointer=saver)
        while True:
            found = jobs.execute("SELECT job FROM jobs WHERE result IS NULL ORDER BY job LIMIT 1")
            for (job,) in found.fetchall() or [(None,)]:
                if job is None:
                    time.sleep(GLANCE)
                    continue
                thread = {"configurable": {"thread_id": f"job-{job}"}}
                begun = graph.get_state(thread).created_at is not None
                entry = None if begun else {"job": job, "value": 0}
                graph.invoke(entry, thread, durability=place.option)
                value = graph.get_state(thread).values["value"]
                with jobs:
                    jobs.execute("UPDATE jobs SET result = ? WHERE job = ?", (value, job))


def submit(jobs: range) -> None:
    with _jobs() as connection, connection:
        connection.executemany("INSERT INTO jobs (job) VALUES (?)", [(job,) for job in jobs])


def results(jobs: range) -> list[int | None]:
    with _jobs() as connection:
        found = dict(connection.execute("SELECT job, result FROM jobs").fetchall())
        return [found.get(job) for job in jobs]


def _jobs() -> "closing[sqlite3.Connection]":
    connection = sqlite3.connect(f"{Place.told().folder}/jobs.db", timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS jobs (job INTEGER PRIMARY KEY, result INTEGER)")
    return closing(connection)
