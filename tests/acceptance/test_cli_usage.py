"""What the command line says to those who use it wrongly, and to those who lack a part of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    (tmp_path / "broken.py").write_text("\n\nraise RuntimeError('not\\ntoday')\n")
    (tmp_path / "misspelt.py").write_text("def worker(:\n")
    (tmp_path / "lacking.py").write_text("import surely_not_installed\n")
    (tmp_path / "quitting.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "bare.py").write_text("")
    return shell


TARGETS = [
    ("app", "write MODULE:NAME, as in app:worker"),
    ("app:", "write MODULE:NAME, as in app:worker"),
    (":worker", "write MODULE:NAME"),
    ("ap:worker", "no module 'ap' in"),
    ("app.inner:worker", "no module 'app.inner' in"),
    ("app.py:worker", "as in app:worker"),
    ("app:wroker", "no 'wroker': did you mean 'worker'"),
    ("app:nothing_like_it", "no 'nothing_like_it': its Worker is 'worker'"),
    ("bare:worker", "it defines no Worker at all"),
    ("app:queue", "is a Queue: name a Worker"),
    ("app:number", "is an int: name a Worker"),
    ("app:Item", "name a Worker"),
    ("app:needs_more", "name a Worker, or a function without parameters"),
    ("app:make_number", "'app:make_number()' is an int"),
    ("app:make_trouble", "RuntimeError: no such luck"),
    ("broken:worker", "broken.py, line 3"),
    ("misspelt:worker", "misspelt.py, line 1"),
    ("lacking:worker", "No module named 'surely_not_installed'"),
    ("quitting:worker", "raises SystemExit"),
]


@pytest.mark.parametrize(("target", "says"), TARGETS, ids=[target for target, _ in TARGETS])
def test_a_bad_path_says_which_part_failed(shell: Shell, target: str, says: str) -> None:
    assert says in shell.complaint("worker", target, "--until-idle")


def test_debug_shows_the_traceback(shell: Shell) -> None:
    said = shell("--debug", "worker", "broken:worker", code=1).stderr

    assert "Traceback" in said
    assert "not\ntoday" in said


def test_a_database_that_is_not_ours_is_named(shell: Shell) -> None:
    (shell.folder / "work.db").write_text("not a database, " * 200)

    said = shell.complaint("jobs", "list", "app:queue", code=1)

    assert "work.db" in said


def test_what_has_no_tables_is_not_migrated(shell: Shell) -> None:
    assert "no tables to migrate" in shell.complaint("migrate", "sqlite:///work.db")
    assert "No adapter" in shell.complaint("migrate", "nonsense://work")
    assert "URL" in shell.complaint("migrate")


def test_a_migration_that_cannot_be_done_is_told(shell: Shell) -> None:
    url = "postgresql://somebody:secret@127.0.0.1:9/db"

    said = shell.complaint("migrate", url, code=1)

    assert "postgresql://***@127.0.0.1:9/db" in said
    assert "secret" not in said
    assert "schema=" in shell.complaint("migrate", f"{url}?schema=two words")
    assert "CREATE SCHEMA" in shell("migrate", url, "--sql").stdout


def test_a_wrong_word_is_told_in_one_line(shell: Shell) -> None:
    assert "cnstra --help" in shell.complaint("jbos")
    assert "cnstra jobs --help" in shell.complaint("jobs")
    assert "APP:WORKER" in shell.complaint("worker")
    assert "--processes" in shell.complaint("worker", "app:worker", "--processes", "0")


def test_a_list_of_commands_has_no_line_that_is_cut_off(shell: Shell) -> None:
    assert [shell(*one, "--help").stdout.count("...\n") for one in ([], ["jobs"], ["dead"])] == [
        1,  # the usage's own
        1,
        1,
    ]


def test_options_come_from_the_environment_under_their_own_names(shell: Shell) -> None:
    shell.environment |= {"CNSTRA_DEAD_REDRIVE_ALL": "1", "CNSTRA_DEAD_REDRIVE_JSON": "1"}

    assert json.loads(shell("dead", "redrive", "app:queue").stdout) == {"redriven": []}
    assert "CNSTRA_JOBS_LIST_STATE" in shell("jobs", "list", "--help").stdout


def test_what_the_system_refuses_is_told_in_one_line(shell: Shell) -> None:
    complaint = shell.complaint("graph", "app:cns", "--output", "nowhere/graph.svg", code=1)

    assert "No such file or directory: 'nowhere/graph.svg'" in complaint
    assert "'pdf' is not one of 'mermaid'" in shell.complaint("graph", "app:cns", "-f", "pdf")
    assert "Found: nothing" in shell.complaint("explain", "app:queue")


@pytest.mark.parametrize(
    ("typed", "found"), [("jobs sh", "show"), ("jobs list app:queue --state d", "delayed\ndead")]
)
def test_a_shell_completes_what_is_typed(shell: Shell, typed: str, found: str) -> None:
    words = f"cnstra {typed}"
    shell.environment |= {
        "_CNSTRA_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }

    assert shell().stdout.strip() == found


def test_without_words_it_helps(shell: Shell) -> None:
    assert "enqueue" in shell().stdout


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(tmp_path: Path, package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; import cnstra.cli; cnstra.cli.main()"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "pip install 'cnstra[cli]'" in line
