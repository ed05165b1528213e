"""The tests that the page on testing shows are run by pytest, as a user would."""

import subprocess
import sys
from pathlib import Path

from tests.acceptance.run_page import python_blocks

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"

SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    assert "2 passed" in run(tmp_path)


def test_a_crash_is_replayed_from_the_command_line(tmp_path: Path) -> None:
    told = run(tmp_path, "test_crashes.py", "--crash-replay", "0/0/1/DIE", passes=False)

    assert "assert 1 > 10" in told


def run(tmp_path: Path, *options: str, passes: bool = True) -> str:
    """What pytest says of the tests of the page."""
    for _, source in python_blocks(PAGE):
        first, _, _ = source.partition("\n")
        if first.startswith("# ") and first.endswith(".py"):
            (tmp_path / first[2:]).write_text(source, encoding="utf-8")

    (tmp_path / "pytest.ini").write_text(SETTINGS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
    )  # fmt: skip

    assert done.returncode == (0 if passes else 1), done.stdout + done.stderr
    return done.stdout
