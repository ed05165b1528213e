"""The pytest plugin: fixtures for tests of flows, and the table of the conformance suite.

It stands outside of the package because pytest loads it wherever cnstra is installed: it must cost
nothing there, so it imports nothing until a test uses it, or one of the suite has run.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

PROPERTY = "cnstra."


def pytest_addoption(parser: Any) -> None:
    """Let the outcomes be written down, and crashes be tried again."""
    group = parser.getgroup("cnstra")
    group.addoption(
        "--conformance-json", metavar="FILE", help="write cnstra's table of conformance to FILE"
    )
    group.addoption("--crash-seed", metavar="N", type=int, default=0, help="seed of cnstra_crashes")
    group.addoption(
        "--crash-replay", metavar="TOKEN", help="run but this one of what cnstra_crashes found"
    )


def pytest_itemcollected(item: Any) -> None:
    """Say of each test of the suite what it is about, so that its reports tell it, everywhere."""
    cls: Any = getattr(item, "cls", None)
    suite = getattr(cls, "conformance", None)
    if isinstance(suite, str):
        subject = cls.subject or cls.__name__.removeprefix("Test").lower()
        behaviour = item.name.removeprefix("test_").replace("_", " ")
        about = {"suite": suite, "subject": subject, "behaviour": behaviour}
        item.user_properties.extend((PROPERTY + name, text) for name, text in about.items())


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    """Show the table, if a test of the suite has run."""
    reports = [
        report
        for category in ("passed", "failed", "error", "skipped")
        for report in terminalreporter.stats.get(category, ())
        if any(name == PROPERTY + "suite" for name, _ in getattr(report, "user_properties", ()))
    ]
    if reports:
        from cnstra.testing.conformance.table import Table

        table = Table(reports)
        table.show(terminalreporter)
        path = config.getoption("--conformance-json")
        if path is not None:
            table.write(path)


@pytest.fixture
def cnstra_clock() -> Iterator[Any]:
    """A `VirtualClock`: it takes the time of the test's loop over once it is used there."""
    from cnstra.testing.virtual import VirtualClock

    clock = VirtualClock()
    yield clock
    clock.stop()


@pytest.fixture
def cnstra_worker(cnstra_clock: Any) -> Callable[..., Any]:
    """Makes a `WorkerHarness` of a worker of yours: `harness = cnstra_worker(app.worker)`."""
    from cnstra.testing.harness import WorkerHarness

    def make(worker: Any, queue: Any = None) -> WorkerHarness:
        return WorkerHarness(worker, cnstra_clock, queue)

    return make


@pytest.fixture
def cnstra_effects() -> Any:
    """An `EffectRecorder` of this test's own."""
    from cnstra.testing.recorder import EffectRecorder

    return EffectRecorder()


@pytest.fixture
def cnstra_crashes(request: Any) -> Callable[..., Any]:
    """`await cnstra_crashes(make_worker, signal)`: `crash_everywhere`, checked.

    `--crash-seed` and `--crash-replay` say which runs that are.
    """
    from cnstra.testing.crash import crash_everywhere

    given: dict[str, Any] = {
        "seed": request.config.getoption("--crash-seed"),
        "replay": request.config.getoption("--crash-replay"),
    }

    async def crash(app: Any, signal: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        report = await crash_everywhere(app, signal, **{**given, **options})
        report.check()
        return report

    return crash
