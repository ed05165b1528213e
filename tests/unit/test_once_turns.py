"""The turns of one effect: what is asked of the ledger, what is called, and in which order."""

from collections.abc import Callable
from typing import Any

import pytest

from cnstra.effects.once import once
from cnstra.effects.records import Entry
from cnstra.effects.statements import Statement
from cnstra.engine.effects import Happened
from cnstra.engine.payloads import PayloadCodec
from cnstra.errors import EffectUnknown, InputChanged, NotDone

KEY = "k-charge"
ENTRY = Entry(key=KEY, run="run", neuron="till", effect="charge", input="i")
ANY: PayloadCodec[Any] = PayloadCodec("result", Any)


class Page:
    """A ledger of one row, and the log of what it was asked and what was called."""

    def __init__(self, row: tuple[str, str | None, str, str] | None = None) -> None:
        self.row = row
        self.log: list[str] = []

    def take(self, fn: Callable[[str], Any] = lambda key: 5, **options: Any) -> Any:
        """Take all turns, as both drivers of a ledger do."""
        told = {"reconcile": None, "unknown": "repeat", "codec": ANY, "now": 0.0, **options}
        turns, answer, error = once(ENTRY, fn, **told), None, None
        while True:
            try:
                asked = turns.send(answer) if error is None else turns.throw(error)
            except StopIteration as end:
                return end.value
            answer = error = None
            try:
                answer = self._call(asked) if callable(asked) else self._take_steps(asked)
            except Exception as raised:
                error = raised

    def _call(self, call: Callable[[], Any]) -> Any:
        self.log.append("call")
        return call()

    def _take_steps(self, steps: Any) -> Any:
        answer: Any = None
        while True:
            try:
                answer = self._execute(steps.send(answer))
            except StopIteration as end:
                self.log.append("commit")
                return end.value

    def _execute(self, statement: Statement) -> list[tuple[Any, ...]]:
        self.log.append(statement.name)
        match statement.name:
            case "enter" if self.row is None:
                self.row = ("started", None, "i", "till")
                return [(KEY,)]
            case "find" if self.row is not None:
                return [self.row]
            case "finish":
                self.row = ("done", str(statement.parameters["outcome"]), "i", "till")
                return [(KEY,)]
            case "withdraw":
                self.row = None
                return [(KEY,)]
            case _:
                return []


def test_that_it_begins_is_committed_before_it_does_and_its_end_after() -> None:
    page = Page()

    assert page.take() == 5

    assert page.log == ["enter", "commit", "call", "finish", "commit"]
    assert page.row == ("done", "5", "i", "till")


def test_what_is_done_is_read_and_nothing_is_called() -> None:
    page = Page(("done", "7", "i", "till"))

    assert page.take() == 7

    assert page.log == ["enter", "find", "commit"]


STARTED = ("started", None, "i", "till")


def test_what_is_unknown_is_repeated_unless_said_otherwise() -> None:
    page = Page(STARTED)

    assert page.take() == 5

    assert page.log == ["enter", "find", "commit", "call", "finish", "commit"]


def test_what_is_unknown_and_did_happen_is_done() -> None:
    page = Page(STARTED)

    assert page.take(reconcile=Happened) == KEY

    assert page.log == ["enter", "find", "commit", "call", "finish", "commit"]
    assert page.row == ("done", f'"{KEY}"', "i", "till")


def test_what_is_unknown_and_did_not_happen_is_begun() -> None:
    page = Page(STARTED)

    assert page.take(reconcile=lambda key: None) == 5

    assert page.log.count("call") == 2


def test_what_is_unknown_may_be_left_to_a_human() -> None:
    page = Page(STARTED)

    with pytest.raises(EffectUnknown, match=KEY):
        page.take(unknown="dead_letter")

    assert (page.log, page.row) == (["enter", "find", "commit"], STARTED)


def test_a_reconcile_that_is_there_is_asked_before_a_human() -> None:
    assert Page(STARTED).take(unknown="dead_letter", reconcile=lambda key: Happened(3)) == 3


@pytest.mark.parametrize(("error", "row"), [(NotDone, None), (ValueError, STARTED)])
def test_an_error_leaves_it_unknown_unless_it_says_that_nothing_happened(
    error: type[Exception], row: Any
) -> None:
    page = Page()

    def fail(key: str) -> None:
        raise error

    with pytest.raises(error):
        page.take(fail)

    assert page.row == row


def test_an_answer_that_is_none_of_both_is_refused() -> None:
    page = Page(STARTED)

    with pytest.raises(TypeError, match="Happened"):
        page.take(reconcile=lambda key: True)

    assert page.row == STARTED


def test_an_entry_of_another_input_is_refused() -> None:
    with pytest.raises(InputChanged):
        Page(("done", "7", "another", "till")).take()


def test_an_entry_that_goes_while_it_is_looked_for_is_made_anew() -> None:
    page = Page(STARTED)
    execute = page._execute

    def vanish(statement: Statement) -> Any:
        if statement.name == "find":
            page.row = None
        return execute(statement)

    page._execute = vanish  # type: ignore[method-assign]

    assert page.take() == 5
    assert page.log[:4] == ["enter", "find", "enter", "commit"]
