"""The worker that a test is about, and the world around it: found by their names, or made."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

from cnstra.cli.targets import load
from cnstra.errors import InvalidOption
from cnstra.jobs.worker import Worker

T = TypeVar("T")

App = Worker | Callable[..., Worker] | str
"""A worker; or, better, what makes one, called for each process; or `"module:name"` of either."""

MakeWorld = Callable[[Path], Any] | str
"""Makes what outlives the processes of a run, of an empty folder; or `"module:name"` of it."""

REMEDY = 'give a function without parameters that returns a Worker, or "module:name" of one'
IN_A_WORLD = "with world=, give a function of what that returns, and let it return a Worker"
NO_WORLD = 'give a function of one parameter, a folder, or "module:name" of one'


def builder(app: Any, *, in_world: bool = False) -> Callable[..., Worker]:
    """Makes the worker, each time anew where it can. Raises `InvalidOption` for what is no app.

    in_world: whether it is made of a world.
    """
    if isinstance(app, str):
        return partial(_made, named(app, FunctionType)) if in_world else partial(named, app, Worker)
    if isinstance(app, Worker) and not in_world:
        return lambda: app
    if not (_takes(app, "a world") if in_world else _takes(app)):
        remedy = IN_A_WORLD if in_world else REMEDY
        raise InvalidOption(option="app", value=app, remedy=remedy)
    return partial(_made, app)


def world_maker(world: Any) -> Callable[[Path], Any]:
    """Raises `InvalidOption` for what makes none."""
    make: Any = named(world, object) if isinstance(world, str) else world
    if not _takes(make, Path()):
        raise InvalidOption(option="world", value=world, remedy=NO_WORLD)
    return cast(Callable[[Path], Any], make)


def named(target: str, kind: type[T]) -> T:
    """What `module:name` or `path/to/file.py:name` names, or what that makes."""
    path, _, name = target.rpartition(":")
    if not path.endswith(".py"):
        return load(target, kind)
    module = Path(path).stem
    if module not in sys.modules:
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module])
    return load(f"{module}:{name}", kind)


def target_of(option: str, value: Any) -> str:
    """How another process finds it. Raises `InvalidOption` for what it could not."""
    if isinstance(value, str):
        return value
    name = getattr(value, "__qualname__", "<a worker>")
    if "<" in name or not (inspect.isfunction(value) or inspect.isclass(value)):
        remedy = 'other processes must find it: give "module:name", or what a module defines'
        raise InvalidOption(option=option, value=value, remedy=remedy)
    if value.__module__ == "__main__":
        return f"{Path(inspect.getfile(value)).resolve()}:{name}"
    return f"{value.__module__}:{name}"


def _takes(made: Any, *arguments: object) -> bool:
    try:
        inspect.signature(made).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def _made(app: Any, *world: Any) -> Worker:
    worker = app(*world)
    if inspect.iscoroutine(worker):
        worker.close()
    if not isinstance(worker, Worker):
        remedy = f"it returned {worker!r}, and should return a Worker"
        raise InvalidOption(option="app", value=app, remedy=remedy)
    return worker
