"""The pages of a list of runs in a database: which rows, in which order, and what comes next."""

from collections.abc import Callable, Sequence
from typing import Any

from cnstra.errors import InvalidOption
from cnstra.history.records import RunRow
from cnstra.history.store import RunPage, RunQuery

HIGHEST = "\U0010ffff"


class Paging:
    """A `RunQuery` as the parts of an SQL statement, with named parameters.

    Each order has an index that begins with `queue`: a page costs what it holds.
    """

    def __init__(self, query: RunQuery, mark: Callable[[str], str]) -> None:
        """mark: how the database writes a parameter of that name."""
        self._query = query
        self._mark = mark
        self.terms: dict[str, Any] = {"queue": query.queue, "limit": query.limit + 1}
        self.order = "job, seq DESC" if query.text else "seq DESC"
        self.where = " AND ".join(self._conditions())

    def page(self, rows: Sequence[RunRow]) -> RunPage:
        """The page that these rows make up, of which one may be beyond it."""
        shown = rows[: self._query.limit]
        if len(rows) <= self._query.limit:
            return RunPage(shown, "")
        last = shown[-1]
        return RunPage(shown, f"{last.seq}:{last.job}" if self._query.text else str(last.seq))

    def _conditions(self) -> list[str]:
        query, terms = self._query, self.terms
        mark = self._mark
        found = [f"queue = {mark('queue')}"]
        if query.states:
            names = [f"state{number}" for number in range(len(query.states))]
            terms |= dict(zip(names, query.states, strict=True))
            found.append(f"state IN ({', '.join(map(mark, names))})")
        if query.text:
            terms |= {"text": query.text, "above": query.text + HIGHEST}
            found.append(f"job >= {mark('text')} AND job < {mark('above')}")
        for column in ("neuron", "fingerprint"):
            value = getattr(query, column)
            if value:
                terms[column] = value
                found.append(f"{column} = {mark(column)}")
        if query.since is not None:
            terms["since"] = query.since
            found.append(f"started_at >= {mark('since')}")
        if query.cursor:
            found.append(self._after())
        return found

    def _after(self) -> str:
        seq, _, job = self._query.cursor.partition(":")
        if not seq.isdecimal():
            remedy = "begin at the first page"
            raise InvalidOption(option="cursor", value=self._query.cursor, remedy=remedy)
        self.terms["seq"] = int(seq)
        if not self._query.text:
            return f"seq < {self._mark('seq')}"
        self.terms["job"] = job
        later, same = self._mark("job"), self._mark("seq")
        return f"job >= {later} AND (job > {later} OR seq < {same})"
