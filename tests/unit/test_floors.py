"""Each file imports only what stands below it: section "The house" of the design, kept with `ast`.

Functions' inner imports count too: a circle that is closed late is a circle.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"

FOUNDATION = {"errors", "clock"}
FLOORS: Mapping[str, set[str]] = {
    "errors": set(),
    "clock": {"errors"},
    "engine": FOUNDATION,
    "durable": FOUNDATION | {"engine"},
    "oimdb": FOUNDATION | {"engine"},
    "history": FOUNDATION | {"engine", "durable"},
    "jobs": FOUNDATION | {"engine", "durable", "history"},
    "effects": FOUNDATION | {"engine", "durable", "history", "jobs"},
    "adapters": FOUNDATION | {"engine", "durable", "history", "jobs"},
}
FRONT_DOOR = FOUNDATION | {"engine", "durable", "history", "jobs"}
PEOPLE = {
    "__main__",
    "cli",
    "cnstra_pytest",
    "dashboard",
    "demo",
    "mcp",
    "telemetry",
    "testing",
}
CORE_DEPENDENCIES = {"msgspec"}


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


@dataclass(frozen=True)
class House:
    """The modules under one source folder, by dotted name, and what each imports."""

    trees: Mapping[str, ast.Module]
    imports: tuple[Import, ...]

    @property
    def inner(self) -> Iterator[Import]:
        return (each for each in self.imports if is_ours(each.imported))

    @property
    def outer(self) -> Iterator[Import]:
        return (each for each in self.imports if not is_ours(each.imported))


def survey(src: Path) -> House:
    files = {dotted(path.relative_to(src)): path for path in sorted(src.rglob("*.py"))}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    imports = (
        Import(module, imported, node.lineno)
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call)
        for imported in imported_by(node, package_of(module, files[module]), trees)
    )
    return House(trees, tuple(imports))


def imported_by(
    node: ast.Import | ast.ImportFrom | ast.Call, package: str, modules: Mapping[str, ast.Module]
) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            origin = absolute(module, package, level)
            members = [f"{origin}.{alias.name}" for alias in names]
            return [member if member in modules else origin for member in members]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
        case _:
            return []


def absolute(module: str | None, package: str, level: int) -> str:
    if level == 0:
        return module or ""
    base = package.rsplit(".", level - 1)[:1]
    return ".".join([*base, *([module] if module else [])])


def dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str, path: Path) -> str:
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "cnstra"


def floor_of(module: str) -> str:
    """`engine` of `cnstra.engine.abort`; the empty string of `cnstra` itself; a module beside the
    package is a floor of its own.
    """
    return f"{module}.".split(".")[1] if is_ours(module) else module


def folder_of(module: str) -> str:
    """The folder of one technology: `adapters.sqlite`, or else the floor."""
    if module == "cnstra_pytest":
        return "testing"  # whose plugin it is
    parts = module.split(".")[1:]
    return ".".join(parts[:2] if parts[:1] == ["adapters"] else parts[:1])


def stands_on_a_known_floor(house: House) -> list[str]:
    known = {"", *FLOORS, *PEOPLE}
    return [
        f"{module} stands on no floor" for module in house.trees if floor_of(module) not in known
    ]


def imports_only_downwards(house: House) -> list[str]:
    def allowed(each: Import) -> bool:
        floor = floor_of(each.importer)
        below = FRONT_DOOR if floor == "" else FLOORS.get(floor)
        return below is None or floor_of(each.imported) in below | {floor, ""}

    return [str(each) for each in house.inner if not allowed(each)]


def leaves_the_front_door_to_people(house: House) -> list[str]:
    return [
        str(each)
        for each in house.inner
        if each.imported == "cnstra" and floor_of(each.importer) not in PEOPLE
    ]


def finds_adapters_by_entry_point(house: House) -> list[str]:
    return [
        str(each)
        for each in house.inner
        if floor_of(each.imported) == "adapters"
        and folder_of(each.importer) != folder_of(each.imported)
    ]


def goes_in_no_circles(house: House) -> list[str]:
    graph: dict[str, set[str]] = {module: set() for module in house.trees}
    for each in house.inner:
        graph.setdefault(each.importer, set()).add(each.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def hides_no_import_from_the_runtime(house: House) -> list[str]:
    return [
        f"{module} says TYPE_CHECKING"
        for module, tree in house.trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute | ast.alias)
        and "TYPE_CHECKING" in {getattr(node, field, None) for field in ("id", "attr", "name")}
    ]


def keeps_each_technology_in_one_folder(house: House) -> list[str]:
    folders: dict[str, set[str]] = {}
    for each in house.outer:
        folders.setdefault(each.imported.partition(".")[0], set()).add(folder_of(each.importer))
    return [
        f"{package} is imported by {', '.join(sorted(users))}"
        for package, users in folders.items()
        if package not in sys.stdlib_module_names | CORE_DEPENDENCIES and len(users) > 1
    ]


Rule = Callable[[House], list[str]]

RULES: tuple[Rule, ...] = (
    stands_on_a_known_floor,
    imports_only_downwards,
    leaves_the_front_door_to_people,
    finds_adapters_by_entry_point,
    goes_in_no_circles,
    hides_no_import_from_the_runtime,
    keeps_each_technology_in_one_folder,
)

SOUND = {
    "__init__.py": "from cnstra.engine import CNS\nfrom cnstra.jobs.queue import Queue",
    "errors.py": "class CnstraError(Exception): ...",
    "clock.py": "import time",
    "engine/__init__.py": "from cnstra.engine.cns import CNS",
    "engine/cns.py": "import msgspec\nfrom cnstra import clock\nfrom .signals import Signal",
    "engine/signals.py": "import msgspec\nfrom cnstra.errors import CnstraError",
    "durable/__init__.py": "from cnstra.engine import CNS",
    "jobs/__init__.py": "",
    "jobs/queue.py": "from cnstra.durable import CNS\nimport importlib.metadata",
    "adapters/__init__.py": "",
    "adapters/memory/__init__.py": "from cnstra.jobs.queue import Queue",
    "adapters/sqlite/__init__.py": "from cnstra.adapters.sqlite.broker import Queue",
    "adapters/sqlite/broker.py": "import sqlite3\nfrom cnstra.jobs.queue import Queue",
    "cli/__init__.py": "import typer\nfrom cnstra import CNS\nfrom cnstra.jobs import queue",
    "cli/jobs.py": "import typer\nfrom cnstra.cli import typer",
}

# Each line: what is added to the sound house, the rule that it breaks, and what the rule then says.
BREACHES: tuple[tuple[str, str, Rule, str], ...] = (
    (
        "utils.py",
        "",
        stands_on_a_known_floor,
        "cnstra.utils stands on no floor",
    ),
    (
        "clock.py",
        "from cnstra.engine import CNS",
        imports_only_downwards,
        "cnstra.clock:1 imports cnstra.engine",
    ),
    (
        "engine/gates.py",
        "def gate():\n    from ..jobs.queue import Queue",
        imports_only_downwards,
        "cnstra.engine.gates:2 imports cnstra.jobs.queue",
    ),
    (
        "durable/run.py",
        "from cnstra import jobs",
        imports_only_downwards,
        "cnstra.durable.run:1 imports cnstra.jobs",
    ),
    (
        "oimdb/database.py",
        "from cnstra.jobs.queue import Queue",
        imports_only_downwards,
        "cnstra.oimdb.database:1 imports cnstra.jobs.queue",
    ),
    (
        "jobs/worker.py",
        "from cnstra.effects.ledger import Ledger",
        imports_only_downwards,
        "cnstra.jobs.worker:1 imports cnstra.effects.ledger",
    ),
    (
        "jobs/worker.py",
        "import cnstra.cli.jobs",
        imports_only_downwards,
        "cnstra.jobs.worker:1 imports cnstra.cli.jobs",
    ),
    (
        "__init__.py",
        "from cnstra.cli import main",
        imports_only_downwards,
        "cnstra:1 imports cnstra.cli",
    ),
    (
        "adapters/sqlite/store.py",
        "from ...cli import jobs",
        imports_only_downwards,
        "cnstra.adapters.sqlite.store:1 imports cnstra.cli.jobs",
    ),
    (
        "jobs/worker.py",
        "from cnstra import Queue",
        leaves_the_front_door_to_people,
        "cnstra.jobs.worker:1 imports cnstra",
    ),
    (
        "jobs/worker.py",
        "from importlib import import_module\nimport_module('cnstra.adapters.sqlite')",
        finds_adapters_by_entry_point,
        "cnstra.jobs.worker:2 imports cnstra.adapters.sqlite",
    ),
    (
        "cli/worker.py",
        "from cnstra.adapters import memory",
        finds_adapters_by_entry_point,
        "cnstra.cli.worker:1 imports cnstra.adapters.memory",
    ),
    (
        "adapters/memory/store.py",
        "from ..sqlite.broker import Queue",
        finds_adapters_by_entry_point,
        "cnstra.adapters.memory.store:1 imports cnstra.adapters.sqlite.broker",
    ),
    (
        "engine/signals.py",
        "from cnstra.engine import cns",
        goes_in_no_circles,
        "cnstra.engine.cns <- cnstra.engine.signals",
    ),
    (
        "engine/signals.py",
        "def late():\n    from . import CNS",
        goes_in_no_circles,
        "cnstra.engine.signals",
    ),
    (
        "engine/context.py",
        "from typing import TYPE_CHECKING",
        hides_no_import_from_the_runtime,
        "cnstra.engine.context says TYPE_CHECKING",
    ),
    (
        "engine/context.py",
        "import typing\nif typing.TYPE_CHECKING: ...",
        hides_no_import_from_the_runtime,
        "cnstra.engine.context says TYPE_CHECKING",
    ),
    (
        "jobs/worker.py",
        "def show():\n    import typer.colors",
        keeps_each_technology_in_one_folder,
        "typer is imported by cli, jobs",
    ),
    (
        "adapters/sqlite/store.py",
        "import typer",
        keeps_each_technology_in_one_folder,
        "typer is imported by adapters.sqlite, cli",
    ),
)


def build(root: Path, files: Mapping[str, str]) -> House:
    for name, source in files.items():
        path = root / "cnstra" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return survey(root)


@pytest.fixture(scope="module")
def house() -> House:
    return survey(SRC)


def test_the_house_is_seen_whole(house: House) -> None:
    seen = {floor_of(module) for module in house.trees}

    assert {"", *FLOORS} <= seen


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house(house: House, rule: Rule) -> None:
    assert rule(house) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_house_passes(tmp_path: Path, rule: Rule) -> None:
    assert rule(build(tmp_path, SOUND)) == []


@pytest.mark.parametrize(("file", "source", "rule", "complaint"), BREACHES)
def test_a_breach_is_seen(
    tmp_path: Path, file: str, source: str, rule: Rule, complaint: str
) -> None:
    found = rule(build(tmp_path, {**SOUND, file: source}))

    assert any(complaint in each for each in found), found


def test_each_rule_has_its_breach() -> None:
    assert {rule for _, _, rule, _ in BREACHES} == set(RULES)
