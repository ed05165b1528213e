"""A page of reference for each public module, made from its `__all__` and its docstrings."""

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

MODULES = (
    "cnstra",
    "cnstra.dashboard",
    "cnstra.durable.adapters",
    "cnstra.durable.store",
    "cnstra.effects",
    "cnstra.effects.sqlalchemy",
    "cnstra.errors",
    "cnstra.history.records",
    "cnstra.history.store",
    "cnstra.jobs.attempt",
    "cnstra.jobs.broker",
    "cnstra.jobs.observing",
    "cnstra.jobs.settlement",
    "cnstra.jobs.transport",
    "cnstra.mcp",
    "cnstra.oimdb",
    "cnstra.telemetry.logs",
    "cnstra.telemetry.otel",
    "cnstra.telemetry.prometheus",
    "cnstra.testing",
    "cnstra.testing.conformance",
)
DAILY = ("collateral", "neuron", "CNS", "Context", "Queue", "Worker", "Job", "run_durably")
FLOORS = {
    "cnstra.engine": "Graphs and their runs",
    "cnstra.durable": "Runs that outlive their process",
    "cnstra.jobs": "Jobs",
    "cnstra.history": "What happened",
    "cnstra.errors": "Errors",
    "cnstra.clock": "Time",
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name in MODULES:
        text = page(importlib.import_module(name))
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def page(module: ModuleType) -> str:
    """The module's names, each on the floor of the house that it comes from."""
    title = module.__name__.replace(".", ".<wbr>")  # where a narrow screen may break it
    lines = [f"# {title}", inspect.getdoc(module) or ""]
    if module.__name__ == "cnstra":
        links = [f"[`{name}`](#cnstra.{name})" for name in DAILY]
        lines.append(f"Most programs need little more than {', '.join(links)}.")
    told = ""
    for floor, name in sorted(floors(module), key=lambda pair: [*FLOORS, ""].index(pair[0])):
        if floor != told and module.__name__ == "cnstra":
            lines.append(f"## {FLOORS[floor]}")
        told = floor
        lines.append(f"::: {module.__name__}.{name}")
    return "\n\n".join(lines) + "\n"


def floors(module: ModuleType) -> Iterator[tuple[str, str]]:
    for name in public_names(module):
        home = getattr(getattr(module, name), "__module__", "")
        yield next((floor for floor in FLOORS if home.startswith(floor)), ""), name


def public_names(module: ModuleType) -> list[str]:
    """What the module gives to everybody."""
    listed: list[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed, key=str.lower)
    return [
        name
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]
