"""Who is killed: one row of the table each."""

from dataclasses import dataclass

REDIS = ("redis",)
POSTGRES = ("postgres",)
RABBITMQ = ("rabbitmq", "redis")
"""Redis keeps the results, and for cnstra the progress."""


@dataclass(frozen=True)
class Rival:
    """label: for people. module: in this folder. servers: what it is given. option: how it is set.
    ours: runs in `.venv`, others in `.venv-rivals`.
    """

    label: str
    module: str
    servers: tuple[str, ...] = ()
    option: str = ""
    ours: bool = False


RIVALS = {
    "cnstra-sqlite": Rival('cnstra, SQLite, "step"', "cnstra_jobs", (), "step", ours=True),
    "cnstra-behind": Rival('cnstra, SQLite, "behind"', "cnstra_jobs", (), "behind", ours=True),
    "cnstra-bullmq": Rival('cnstra, BullMQ, "step"', "cnstra_jobs", REDIS, "step", ours=True),
    "cnstra-rabbitmq": Rival(
        'cnstra, RabbitMQ, "step"', "cnstra_jobs", RABBITMQ, "step", ours=True
    ),
    "cnstra-postgres": Rival(
        'cnstra, Postgres, "step"', "cnstra_jobs", POSTGRES, "step", ours=True
    ),
    "dbos": Rival("DBOS, Postgres", "dbos_workflows", POSTGRES),
    "langgraph-sync": Rival('LangGraph, SQLite, "sync"', "langgraph_threads", (), "sync"),
    "langgraph-async": Rival('LangGraph, SQLite, "async"', "langgraph_threads", (), "async"),
    "celery-task": Rival("Celery, Redis, one task", "celery_task", REDIS),
    "celery-chain": Rival("Celery, Redis, a chain", "celery_chain", REDIS),
    "celery-rabbitmq-task": Rival("Celery, RabbitMQ, one task", "celery_task", RABBITMQ),
    "celery-rabbitmq-chain": Rival("Celery, RabbitMQ, a chain", "celery_chain", RABBITMQ),
    "dramatiq-actor": Rival("Dramatiq, Redis, one actor", "dramatiq_actor", REDIS),
    "dramatiq-pipeline": Rival("Dramatiq, Redis, a pipeline", "dramatiq_pipeline", REDIS),
    "dramatiq-rabbitmq-actor": Rival("Dramatiq, RabbitMQ, one actor", "dramatiq_actor", RABBITMQ),
    "dramatiq-rabbitmq-pipeline": Rival(
        "Dramatiq, RabbitMQ, a pipeline", "dramatiq_pipeline", RABBITMQ
    ),
}
