"""The worker that a test is about: found by its name, or made."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cnstra.cli.targets import load
from cnstra.errors import InvalidOption
from cnstra.jobs.worker import Worker

App = Worker | Callable[[], Worker] | str
"""A worker; or, better, what makes one, called for each process; or `"module:name"` of either."""

REMEDY = 'give a function without parameters that returns a Worker, or "module:name" of one'


def builder(app: Any) -> Callable[[], Worker]:
    """Makes the worker, each time anew where it can. Raises `InvalidOption` for what is no app."""
    if isinstance(app, Worker):
        return lambda: app
    if isinstance(app, str):
        return partial(named, app)
    if not callable(app) or not _takes_nothing(app):
        raise InvalidOption(option="app", value=app, remedy=REMEDY)
    return partial(_made, app)


def named(target: str) -> Worker:
    """The worker that `module:name` or `path/to/file.py:name` names, or that it makes."""
    path, _, name = target.rpartition(":")
    if not path.endswith(".py"):
        return load(target, Worker)
    module = Path(path).stem
    if module not in sys.modules:
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module])
    return load(f"{module}:{name}", Worker)


def target_of(app: Any) -> str:
    """How another process finds it. Raises `InvalidOption` for what it could not."""
    if isinstance(app, str):
        return app
    name = getattr(app, "__qualname__", "<a worker>")
    if "<" in name or not inspect.isfunction(app):
        remedy = 'other processes must find it: give "module:name", or a function of a module'
        raise InvalidOption(option="app", value=app, remedy=remedy)
    builder(app)
    if app.__module__ == "__main__":
        return f"{Path(inspect.getfile(app)).resolve()}:{name}"
    return f"{app.__module__}:{name}"


def _takes_nothing(app: Callable[..., object]) -> bool:
    try:
        inspect.signature(app).bind()
    except (TypeError, ValueError):
        return False
    return True


def _made(app: Callable[[], Any]) -> Worker:
    worker = app()
    if inspect.iscoroutine(worker):
        worker.close()
    if not isinstance(worker, Worker):
        remedy = f"it returned {worker!r}, and should return a Worker"
        raise InvalidOption(option="app", value=app, remedy=remedy)
    return worker
