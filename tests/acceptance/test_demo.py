"""`cnstra demo`, whole, and its audit of a package that is not as it was."""

import json
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from cnstra import Queue, Worker
from cnstra.cli.demo import survey as surveying
from cnstra.cli.demo.audit import Listed, Package, audit_graph, examine, package, verdict
from cnstra.cli.demo.check import plain_audit
from cnstra.cli.demo.command import judge
from cnstra.cli.demo.effects import EffectLog, Hash, logged
from cnstra.cli.demo.ordeal import DemoFailed, Kill, Ordeal


def test_the_demo_survives_its_kills(tmp_path: Path) -> None:
    began = time.monotonic()

    ended = subprocess.run(
        [sys.executable, "-m", "cnstra", "demo", "--max-files", "5000", "--report", "report.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
    )  # fmt: skip

    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    assert "A plain loop over the same files: identical." in ended.stdout
    assert str(tmp_path / "report.json") in ended.stdout
    assert "\x1b" not in ended.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert 4000 <= report["totals"]["files"] <= 5000
    assert report["totals"]["packages"] == len(report["packages"])
    assert report["identicalToPlainLoop"] is True
    assert sum(kill["running"] > 0 for kill in report["kills"]) >= 3
    assert report["sparedByResume"] > 0
    assert report["repeatedThoughSaved"] == 0
    assert time.monotonic() - began < 60


@pytest.fixture
def record(tmp_path: Path) -> str:
    """A package with one file in each state."""
    site = tmp_path / "site"
    info = site / "thing-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "intact.py").write_text("as it was")
    (site / "mismatched.py").write_text("not as it was")
    (site / "folder.py").mkdir()

    def line(name: str, content: str = "as it was") -> str:
        digest = urlsafe_b64encode(sha256(content.encode()).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},9"

    lines = [line("intact.py"), line("mismatched.py"), line("missing.py"), line("folder.py")]
    lines += ['"comma, and ünicode.py",,', "thing-1.0.dist-info/RECORD,,", "odd.py,crc32=1,1"]
    lines += ["empty.py,sha256=,1", "shake.py,shake_128=abc,1", "no columns", ""]
    (info / "RECORD").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(info / "RECORD")


async def audited(record: str, url: str) -> list[dict[str, object]]:
    async with Queue("audit", url) as queue:
        job = await queue.enqueue(package.create_signal(Package(record)))
        await Worker(queue, audit_graph(), results=[verdict]).run(until_idle=True)
        result = await job.result(timeout=10)
    return list(result["results"])


async def test_each_file_of_a_package_is_counted(record: str, tmp_path: Path) -> None:
    (found,) = await audited(record, f"sqlite:///{tmp_path}/audit.db")

    assert found["counts"] == {
        "intact": 1,
        "mismatched": 1,
        "missing": 1,
        "unreadable": 1,
        "unhashed": 5,
    }
    assert (found["files"], found["mismatches"]) == (9, ["mismatched.py"])
    assert [found] == plain_audit([record])


async def test_a_record_that_is_empty_has_a_verdict_too(tmp_path: Path) -> None:
    record = tmp_path / "thing.dist-info" / "RECORD"
    record.parent.mkdir()
    record.touch()

    assert await audited(str(record), "memory://empty-record") == plain_audit([str(record)])


def test_the_survey_takes_what_fits(record: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "ROOTS", (Path(record).parents[2], Path(record).parents[1]))

    (found,) = surveying.survey(100)

    assert (found.record, found.files, found.hashed) == (record, 9, frozenset(range(4)))
    assert surveying.survey(8) == []


def test_the_log_tells_what_ran_when_it_ended(record: str, tmp_path: Path) -> None:
    log = EffectLog(tmp_path / "log")
    examine_and_log = logged(examine, tmp_path / "log")
    lines = [Listed(record, n, 3, "intact.py", "sha256=x") for n in range(3)]

    def die(line: Listed) -> None:
        raise SystemExit(line.line)

    examine_and_log(lines[0])
    with pytest.raises(SystemExit):
        logged(die, tmp_path / "log")(lines[1])  # type: ignore[arg-type]
    examine_and_log(Listed(record, 2, 3, "intact.py", ""))

    assert log.read() == [Hash(record, 0), Hash(record, 1)]
    assert (log.running, log.ended) == ({Hash(record, 1)}, {Hash(record, 0)})
    assert log.again == 0
    examine_and_log(lines[1])
    log.read()
    assert log.again == 1
    log.close()


def ordeal(hits: int, broken: int = 0) -> Ordeal:
    kills = [Kill(1.0, 1, 1, 1)] * hits + [Kill(1.0, 0, 1, 1)] * 9
    return Ordeal(10, 1, 5, kills=kills, broken_promises=broken)


def test_the_demo_is_strict_with_itself() -> None:
    judge(ordeal(hits=3), [])

    with pytest.raises(DemoFailed, match="only 2 kills"):
        judge(ordeal(hits=2), [])
    with pytest.raises(DemoFailed, match="repeated though saved"):
        judge(ordeal(hits=3, broken=1), [])
    with pytest.raises(DemoFailed, match=r"differs on thing"):
        judge(ordeal(hits=3), ["thing"])


def test_too_few_files_fail_the_demo(tmp_path: Path) -> None:
    program = (
        "import sys; from cnstra.cli import main; from cnstra.cli.demo import survey;"
        "survey.ROOTS = (); sys.argv[1:] = ['demo']; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 1
    assert "2,000" in ended.stderr
    assert "Traceback" not in ended.stderr
