"""The pytest plugin of the conformance suite: an option, and a table at the end.

It stands outside of the package because pytest loads it wherever cnstra is installed: it must cost
nothing there, so it imports nothing until a test of the suite has run.
"""

from typing import Any

PROPERTY = "cnstra."


def pytest_addoption(parser: Any) -> None:
    """Let the outcomes be written down."""
    parser.getgroup("cnstra").addoption(
        "--conformance-json", metavar="FILE", help="write cnstra's table of conformance to FILE"
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
