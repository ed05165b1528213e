"""Every point of a flow, with a real death at each."""

import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from cnstra.engine.signals import Signal
from cnstra.errors import InvalidOption
from cnstra.jobs.envelope import job_data, signal_in
from cnstra.jobs.retry import backoff_of
from cnstra.testing.faults import Fault, Kind, Point
from cnstra.testing.observation import Observation
from cnstra.testing.processes.orders import Orders, Outcome, Strike
from cnstra.testing.report import CrashTestFailed
from cnstra.testing.story import Story
from cnstra.testing.tally import Tally

FORGE = "cnstra.testing.processes.forge"
MOST_OF_AN_ERROR = 3000


class Processes:
    """Runs a flow in processes of its own, and judges what they write down."""

    def __init__(
        self,
        app: Any,
        signal: Signal[Any] | Mapping[str, Any],
        tally: Tally,
        *,
        options: Mapping[str, Any],
        patience: float,
    ) -> None:
        pause = backoff_of(options["backoff"])
        self._target = target_of(app)
        self._signal = signal_in("", job_data(signal, "run"))
        self._options = {**options, "backoff": None if pause is None else pause.to_wire()}
        self._tally = tally
        self._patience = patience
        self.is_cancelled = False

    def run(self, replay: str | None) -> None:
        """All points, or the one that the token names. Raises `CrashTestFailed` if the flow fails
        even where nothing strikes.
        """
        strike = None if replay is None else _strike(replay)
        with tempfile.TemporaryDirectory(prefix="cnstra-crash-") as folder:
            calm: Observation | None = None
            for outcome in self._outcomes(folder, strike):
                seen = _retold(outcome)
                if calm is None:
                    calm = seen
                    self._tally.require_well(calm)
                elif outcome.strike is not None:
                    kind, fault, number = (
                        outcome.strike.kind,
                        outcome.strike.fault,
                        outcome.strike.number,
                    )
                    self._tally.points += 1
                    self._tally.add(seen, calm, f"{kind}/{fault.name}/{number}")

    def _outcomes(self, folder: str, strike: Strike | None) -> Iterator[Outcome]:
        signal = msgspec.Raw(msgspec.json.encode(self._signal))
        orders = Orders(self._target, signal, folder, self._options, self._patience, strike)
        path = os.pathsep.join([os.fspath(Path.cwd()), *(one for one in sys.path if one)])
        with (
            tempfile.TemporaryFile(dir=folder) as errors,
            subprocess.Popen(
                [sys.executable, "-m", FORGE],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as forge,
        ):
            assert forge.stdin is not None
            assert forge.stdout is not None
            forge.stdin.write(msgspec.json.encode(orders))
            forge.stdin.close()
            try:
                for line in forge.stdout:
                    if self.is_cancelled:
                        return
                    yield msgspec.json.decode(line, type=Outcome)
                status = forge.wait()
            finally:
                forge.kill()
            if status:
                errors.seek(0)
                said = errors.read().decode(errors="replace")[-MOST_OF_AN_ERROR:]
                raise CrashTestFailed(f"The worker of {self._target} cannot be made:\n{said}")


def _retold(outcome: Outcome) -> Observation:
    story = Story()
    for name, arguments in outcome.events:
        getattr(story, name)(*arguments)
    seen, strike = story.seen, outcome.strike
    seen.trace = [f"{name} {arguments}" for name, arguments in outcome.events]
    if strike is not None and outcome.point is not None:
        point = Point(strike.kind, outcome.point, strike.number)
        seen.struck.append((point, strike.fault))
    return seen


def _strike(replay: str) -> Strike:
    try:
        kind, fault, number = replay.split("/")
        return Strike(cast(Kind, kind), Fault[fault], int(number))
    except (KeyError, ValueError) as error:
        remedy = "give what a finding of the report says"
        raise InvalidOption(option="replay", value=replay, remedy=remedy) from error


def target_of(app: str | Callable[..., Any] | object) -> str:
    """How another process finds it. Raises `InvalidOption` for what it could not."""
    if isinstance(app, str):
        return app
    name = getattr(app, "__qualname__", "<a worker>")
    if "<" in name or not inspect.isfunction(app):
        remedy = 'other processes must find it: give "module:name", or a function of a module'
        raise InvalidOption(option="app", value=app, remedy=remedy)
    if app.__module__ == "__main__":
        return f"{Path(inspect.getfile(app)).resolve()}:{name}"
    return f"{app.__module__}:{name}"
