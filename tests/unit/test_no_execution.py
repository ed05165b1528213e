"""Nothing that is read is run: no unpickling, no evaluation, no import by a name out of data."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "yaml",
}
CALLS = {"eval", "exec", "compile", "__import__"}
BY_NAME = {
    "cnstra/cli/targets.py": "the APP of a command line, which its user typed",
}
"""Where a module is imported by a name, and whose name that is."""


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names if one.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
                yield module
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id="builtins"), attr=name)) if (
                name in CALLS
            ):
                yield name
            case ast.Call(func=ast.Attribute(attr="import_module")):
                yield "import_module"
            case ast.Call(func=ast.Name(id="import_module")):
                yield "import_module"
            case _:
                pass


def test_the_source_runs_nothing_that_it_reads() -> None:
    found = {
        (str(path.relative_to(SOURCE)), one)
        for path in sorted(SOURCE.rglob("*.py"))
        for one in offences(ast.parse(path.read_text()))
    }
    assert found == {(path, "import_module") for path in BY_NAME}


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from pickle import loads", "import yaml.cyaml", "eval(data)", "exec(data)",
     "__import__(name)", "builtins.eval(data)", "importlib.import_module(name)"],
)  # fmt: skip
def test_each_way_to_run_data_is_seen(code: str) -> None:
    assert list(offences(ast.parse(code)))


@pytest.mark.parametrize("code", ["re.compile(pattern)", "from ast import literal_eval"])
def test_what_runs_nothing_is_let_be(code: str) -> None:
    assert not list(offences(ast.parse(code)))
