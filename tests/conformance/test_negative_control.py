"""Brokers and stores that are broken in one way each: the suite sees it, and says where."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import broken, broken_stores
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
STORES_SEEN_BY = {
    "WritesForAnyone": "a zombie is refused and leaves nothing",
    "RepeatsWrites": "a repeated write succeeds and changes nothing",
    "WritesHalves": "a kill between any two writes",
    "AnswersEarly": "two stores of one place see the same runs",
    "KeepsNoResult": "a finished run holds its result alone",
    "NeverReleases": "a released run is not held",
    "Sound": "a large entry is whole",
}
SUITE = """
import pytest

from cnstra.testing.conformance import BrokerConformance, Rig, StoreConformance, StoreRig


class Broken(BrokerConformance):
    @pytest.fixture
    def rig(self, tmp_path):
        url = f"broken:///{tmp_path}/jobs.db?fault={self.subject}"
        return Rig(url, restart="no server", patience=4.0)


class Amiss(StoreConformance):
    @pytest.fixture
    def rig(self, tmp_path):
        return StoreRig(f"amiss:///{tmp_path}/runs.db?fault={self.subject}", patience=10.0)
"""


@pytest.fixture
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of somebody else, with an adapter and nothing of ours but what is installed."""
    install(
        monkeypatch,
        tmp_path,
        broken="tests.conformance.broken",
        amiss="tests.conformance.broken_stores",
    )
    return tmp_path


def run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Its tests, without any plugin that ours have."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-W", "error",
         "--import-mode=importlib", *options],
        cwd=folder, capture_output=True, text=True, timeout=110,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("suite", "base", "faults", "seen_by"),
    [
        ("broker", "Broken", broken.FAULTS, SEEN_BY),
        ("store", "Amiss", broken_stores.FAULTS, STORES_SEEN_BY),
    ],
)
def test_each_fault_is_seen(
    outsider: Path, suite: str, base: str, faults: dict[str, Any], seen_by: dict[str, str]
) -> None:
    """Each by the behaviour that it breaks, in workers of xdist; and the sound one passes all."""
    classes = [f"class Test{name}({base}):\n    subject = {name!r}\n" for name in seen_by]
    (outsider / "test_broken.py").write_text(SUITE + "\n\n".join(["", *classes]))
    asked = [
        f"test_broken.py::Test{subject}::test_{behaviour.replace(' ', '_')}"
        for name, behaviour in seen_by.items()
        for subject in (name, "Sound")
    ]

    ended = run(outsider, "-n", "2", "--conformance-json", "table.json", *dict.fromkeys(asked))

    found: dict[str, Any] = json.loads((outsider / "table.json").read_text())[suite]
    outcomes = {name: found[name][behaviour]["outcome"] for name, behaviour in seen_by.items()}
    sound = {behaviour: cell["outcome"] for behaviour, cell in found["Sound"].items()}
    assert outcomes == dict.fromkeys(seen_by, "FAIL") | {"Sound": "pass"}, ended.stdout
    assert sound == dict.fromkeys(seen_by.values(), "pass"), ended.stdout
    assert set(seen_by) == {*faults, "Sound"}
    assert ended.returncode == 1


def test_a_rig_that_fails_is_in_the_table(outsider: Path) -> None:
    (outsider / "test_broken.py").write_text(
        "from cnstra.testing.conformance import StoreConformance\n\n\n"
        "class TestMine(StoreConformance):\n    pass\n"
    )

    ended = run(outsider, "-k", "large", "--conformance-json", "table.json", "test_broken.py")

    found = json.loads((outsider / "table.json").read_text())
    failed = {"outcome": "FAIL", "reason": ""}
    assert found == {"store": {"mine": {"a large entry is whole": failed}}}
    assert "define the fixture `rig` in your subclass" in ended.stdout


def test_nothing_is_said_where_the_suite_does_not_run(outsider: Path) -> None:
    (outsider / "test_other.py").write_text(
        "import sys\n\n\ndef test_it():\n    assert 'cnstra' not in sys.modules\n"
    )

    ended = run(outsider, "test_other.py")

    assert ended.returncode == 0, ended.stdout
    assert "conformance" not in ended.stdout
