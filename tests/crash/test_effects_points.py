"""An effect survives a death at any point, and each death is a real one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.effects_points import POINTS
from tests.ledgers import new_books

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "psycopg"])
def test_a_death_at_any_point_repeats_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In a process of its own, as it forks."""
    urls: list[str] = []
    if kind == "psycopg":
        schema = request.getfixturevalue("postgres_schema")
        with new_books(kind, tmp_path, schema) as books:
            books.execute("DROP TABLE rows")
            urls.append(books.url)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.crash.effects_points", *urls],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tried = {line[:22].strip() for line in done.stdout.splitlines()}
    assert tried == set(POINTS), done.stdout
