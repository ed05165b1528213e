"""Finds what `MODULE:NAME` means."""

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cnstra.cli.usage import (
    FactoryBroken,
    ModuleBroken,
    ModuleNotThere,
    NameNotThere,
    NotATarget,
    UsageError,
    WrongKind,
)
from cnstra.errors import MissingExtra, UnknownScheme

T = TypeVar("T")

OURS = str(Path(__file__).parents[1])


def load(target: str, kind: type[T]) -> T:
    """The `kind` that `target` names, or that the function of that name returns.

    Raises a `UsageError` that says which part of it failed.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise NotATarget(target=target, wanted=kind.__name__, instead=_example(target, kind))
    found = _attribute(_module(target, module_name), name, kind)
    if isinstance(found, kind):
        return found
    if _is_factory(found):
        made = _made(target, found, kind)
        if isinstance(made, kind):
            return made
        raise WrongKind(target=f"{target}()", found=_kind_of(made), wanted=kind.__name__)
    raise WrongKind(target=target, found=_kind_of(found), wanted=kind.__name__)


def is_there(target: str) -> bool:
    """Whether a module has that name, or cannot be imported: `load` then says why."""
    _look_here()
    module, _, name = target.partition(":")
    package = module.partition(".")[0]
    if not package.isidentifier() or importlib.util.find_spec(package) is None:
        return False
    try:
        return hasattr(importlib.import_module(module), name.partition(".")[0])
    except Exception:
        return True


def neighbours(target: str, kind: type[T]) -> list[T]:
    """The objects of that kind in the module that `target` names, which is loaded already."""
    module = sys.modules[target.partition(":")[0]]
    return [value for value in vars(module).values() if isinstance(value, kind)]


def _module(target: str, name: str) -> Any:
    folder = _look_here()
    try:
        return importlib.import_module(name)
    except (MissingExtra, UnknownScheme):
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and _is_part(error.name, name):
            if name.endswith(".py") or "/" in name:
                instead = name.removesuffix(".py").strip("./").replace("/", ".")
                hint = f", as in {instead}:{target.partition(':')[2]}"
                raise NotATarget(target=target, wanted="module", instead=hint) from error
            raise ModuleNotThere(module=error.name, folder=folder, target=target) from error
        raise ModuleBroken(module=name, reason=_reason(error), place=_place(error)) from error


def _look_here() -> str:
    """Let modules of the current folder be imported; its path."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return folder


def _is_part(missing: str | None, module: str) -> bool:
    """Whether the module that is missing is the one that was asked for, or a package around it."""
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def _attribute(module: Any, path: str, kind: type[Any]) -> Any:
    found = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise NameNotThere(
                module=module.__name__, name=path, suggestion=_suggestion(module, name, kind)
            )
        found = getattr(found, name)
    return found


def _suggestion(module: Any, name: str, kind: type[Any]) -> str:
    names: dict[str, object] = vars(module) if inspect.ismodule(module) else {}
    fitting = [known for known, value in names.items() if isinstance(value, kind)]
    near = difflib.get_close_matches(name, [known for known in names if known[:1] != "_"])
    if near:
        return f"did you mean {near[0]!r}"
    if fitting:
        return f"its {kind.__name__} is {fitting[0]!r}"
    return f"it defines no {kind.__name__} at all"


def _is_factory(found: Any) -> bool:
    if inspect.isclass(found) or not callable(found):
        return False
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True


def _made(target: str, factory: Callable[[], object], kind: type[Any]) -> object:
    try:
        made = factory()
    except UsageError:
        raise
    except Exception as error:
        raise FactoryBroken(
            target=target, wanted=kind.__name__, reason=_reason(error), place=_place(error)
        ) from error
    if inspect.iscoroutine(made):
        made.close()
    return made


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _place(error: BaseException) -> str:
    """The line to look at: the last one outside of the import machinery and of cnstra itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
    ]
    last = next((one for one in reversed(frames) if not one.filename.startswith(OURS)), frames[-1])
    return f"{last.filename}, line {last.lineno}"


def _example(target: str, kind: type[Any]) -> str:
    module = target.removesuffix(".py").strip("./:").replace("/", ".") or "app"
    return f", as in {module}:{kind.__name__.lower()}"


def _kind_of(value: object) -> str:
    name = type(value).__name__
    return f"an {name}" if name[:1] in "AEIOUaeiou" else f"a {name}"
