"""What everybody may use says what it means."""

import importlib
import inspect
from collections.abc import Iterator
from types import FunctionType

import pytest

from website.reference import MODULES, public_names


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    public = [f"{name}.{one}" for one in public_names(module)]

    assert public
    assert [one for one in public if not told(getattr(module, one.rpartition(".")[2]))] == []


@pytest.mark.parametrize("name", MODULES)
def test_every_method_of_a_public_class_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)

    assert [
        f"{name}.{one}.{method}"
        for one in public_names(module)
        for method, value in methods(getattr(module, one))
        if not told(value)
    ] == []


def methods(value: object) -> Iterator[tuple[str, object]]:
    """Those that a class of ours defines, with what it inherits their meaning from."""
    if inspect.isclass(value):
        for name, own in vars(value).items():
            if not name.startswith("_") and isinstance(own, FunctionType | property):
                yield name, getattr(value, name)


def told(value: object) -> bool:
    return bool(inspect.getdoc(value))
