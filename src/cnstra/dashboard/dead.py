"""The dead letters, grouped by the error that they died of."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.responses import Response

from cnstra.dashboard.desk import Ask, Desk
from cnstra.dashboard.lists import entry_of
from cnstra.dashboard.rendering import errors_of
from cnstra.history.fingerprint import fingerprint, pattern_of
from cnstra.jobs.broker import JobRecord

MOST = 500
"""How many dead letters are looked through, newest first."""

SHOWN = 20


@dataclass(slots=True)
class Group:
    """Dead jobs whose errors differ in numbers, ids and quoted values only."""

    id: str
    name: str
    pattern: str
    jobs: list[JobRecord] = field(default_factory=list[JobRecord])

    @property
    def shown(self) -> list[JobRecord]:
        """The newest of them."""
        return self.jobs[:SHOWN]

    @property
    def last_at(self) -> float:
        """When the newest of them died, as far as is known."""
        return max(one.finished_at or one.created_at for one in self.jobs)


async def show(desk: Desk, ask: Ask) -> Response:
    """The dead letters."""
    jobs = await ask.source.queue.jobs("dead", limit=MOST)

    told = ask.query("redriven")[:9]

    def entry(job: JobRecord) -> tuple[str, bytes]:
        return entry_of(job, ask.source)

    return desk.render(
        ask,
        "dead.html",
        groups=grouped(jobs),
        entry_of=entry,
        most=MOST,
        number=len(jobs),
        redriven=int(told) if told.isdecimal() else None,
    )


def grouped(jobs: Iterable[JobRecord]) -> list[Group]:
    """The jobs by their errors, the largest group first."""
    groups: dict[str, Group] = {}
    for job in jobs:
        name, message, _ = errors_of(job.error) or ("", "no error was kept", "")
        kind = fingerprint(name, message)
        groups.setdefault(kind, Group(kind, name, pattern_of(message))).jobs.append(job)
    return sorted(groups.values(), key=lambda group: len(group.jobs), reverse=True)
