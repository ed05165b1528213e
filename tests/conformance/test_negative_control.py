"""Brokers that are broken in one way each: the suite sees it, and says where."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import broken
from tests.conformance.installing import install

SEEN_BY = {
    "AcksFirst": "sigkill at each commit point",
    "LosesDelays": "fixed backoff",
    "DeliversTheDead": "exhausted attempts are dead lettered and redriven",
    "ChargesReleases": "an abort releases without an attempt",
    "RunsEarly": "delay",
    "Truncates": "a large payload is whole or refused",
    "IgnoresPriorities": "priority",
    "AcceptsTwice": "dedup",
    "LetsLeasesLapse": "a long handler keeps its lease",
    "ForgetsLimits": "rate limit",
    "Sound": "run and result",
}
SUITE = """
import pytest

from cnstra.testing.conformance import BrokerConformance, Rig


class Broken(BrokerConformance):
    @pytest.fixture
    def rig(self, tmp_path):
        url = f"broken:///{tmp_path}/jobs.db?fault={self.subject}"
        return Rig(url, restart="no server", patience=4.0)
"""


@pytest.fixture
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of somebody else, with an adapter and nothing of ours but what is installed."""
    install(monkeypatch, tmp_path, broken="tests.conformance.broken")
    return tmp_path


def run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Its tests, without any plugin that ours have."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-W", "error",
         "--import-mode=importlib", *options],
        cwd=folder, capture_output=True, text=True, timeout=110,
    )  # fmt: skip


def test_each_fault_is_seen(outsider: Path) -> None:
    """Each by the behaviour that it breaks, in workers of xdist; and the sound one passes all."""
    classes = [f"class Test{name}(Broken):\n    subject = {name!r}\n" for name in SEEN_BY]
    (outsider / "test_broken.py").write_text(SUITE + "\n\n".join(["", *classes]))
    asked = [
        f"test_broken.py::Test{subject}::test_{behaviour.replace(' ', '_')}"
        for name, behaviour in SEEN_BY.items()
        for subject in (name, "Sound")
    ]

    ended = run(outsider, "-n", "2", "--conformance-json", "table.json", *dict.fromkeys(asked))

    found: dict[str, Any] = json.loads((outsider / "table.json").read_text())["broker"]
    outcomes = {name: found[name][behaviour]["outcome"] for name, behaviour in SEEN_BY.items()}
    sound = {behaviour: cell["outcome"] for behaviour, cell in found["Sound"].items()}
    assert outcomes == dict.fromkeys(SEEN_BY, "FAIL") | {"Sound": "pass"}, ended.stdout
    assert sound == dict.fromkeys(SEEN_BY.values(), "pass"), ended.stdout
    assert set(SEEN_BY) == {*broken.FAULTS, "Sound"}
    assert ended.returncode == 1


def test_nothing_is_said_where_the_suite_does_not_run(outsider: Path) -> None:
    (outsider / "test_other.py").write_text(
        "import sys\n\n\ndef test_it():\n    assert 'cnstra' not in sys.modules\n"
    )

    ended = run(outsider, "test_other.py")

    assert ended.returncode == 0, ended.stdout
    assert "conformance" not in ended.stdout
