"""Every point of a flow, with a real death at each."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from cnstra.engine.signals import Signal
from cnstra.errors import InvalidOption
from cnstra.jobs.envelope import job_data, signal_in
from cnstra.jobs.retry import backoff_of
from cnstra.testing.app import builder, target_of, world_maker
from cnstra.testing.faults import Fault, Kind, Point
from cnstra.testing.judgement import AGAIN
from cnstra.testing.observation import Observation
from cnstra.testing.processes.orders import Orders, Outcome, Strike
from cnstra.testing.report import CrashTestFailed
from cnstra.testing.story import Story
from cnstra.testing.tally import Tally

FORGE = "cnstra.testing.processes.forge"
MOST_OF_AN_ERROR = 3000

ONCE_MORE = "once more"
"""The token of the undisturbed run in another process, in which sets have another order."""

NOT_REACHED = "its point is not passed any more: the flow is another than the one that failed"
UNGUARDED = (
    "its processes import this module, which must not start a crash test then: put the call under "
    "`if __name__ == '__main__':`"
)


class Processes:
    """Runs a flow in processes of its own, and judges what they write down."""

    def __init__(
        self,
        app: Any,
        world: Any,
        signal: Signal[Any] | Mapping[str, Any],
        tally: Tally,
        *,
        options: Mapping[str, Any],
        patience: float,
    ) -> None:
        if _is_in_a_forge():
            raise InvalidOption(option="app", value=app, remedy=UNGUARDED)
        pause = backoff_of(options["backoff"])
        self._target = target_of("app", app)
        self._world = None if world is None else target_of("world", world)
        if callable(app):
            builder(app, in_world=world is not None)
        if callable(world):
            world_maker(world)
        self._signal = signal_in("", job_data(signal, "run"))
        self._options = {**options, "backoff": None if pause is None else pause.to_wire()}
        self._tally = tally
        self._patience = patience
        self.is_cancelled = False

    def run(self, replay: str | None) -> None:
        """All points, or the one that the token names. Raises `CrashTestFailed` if the flow fails
        even where nothing strikes.
        """
        strike = None if replay in (None, ONCE_MORE) else _strike(replay)
        with tempfile.TemporaryDirectory(prefix="cnstra-crash-") as folder:
            calm: Observation | None = None
            for outcome in self._outcomes(folder, strike, strikes=replay != ONCE_MORE):
                seen = _retold(outcome)
                if calm is None:
                    calm = seen
                    self._require_well(calm)
                elif outcome.strike is not None:
                    self._judge(seen, calm, outcome.strike, replay)
            if calm is not None and strike is None:
                for outcome in self._outcomes(folder, None, strikes=False, hash_seed="2"):
                    self._tally.compare(_retold(outcome), calm, AGAIN, ONCE_MORE)

    def _require_well(self, calm: Observation) -> None:
        if calm.state == "stuck":
            calm.error = (
                f"its process died, or was not done after {self._patience:.0f} s. "
                f"It said:\n{self._said()}"
            )
        self._tally.require_well(calm)

    def _judge(
        self, seen: Observation, calm: Observation, strike: Strike, replay: str | None
    ) -> None:
        if not seen.struck:
            raise InvalidOption(option="replay", value=replay, remedy=NOT_REACHED)
        self._tally.points += 1
        self._tally.add(seen, calm, f"{strike.kind}/{strike.fault.name}/{strike.number}")

    def _outcomes(
        self, folder: str, strike: Strike | None, *, strikes: bool, hash_seed: str = "1"
    ) -> Iterator[Outcome]:
        orders = Orders(
            self._target,
            self._world,
            msgspec.Raw(msgspec.json.encode(self._signal)),
            folder,
            self._options,
            self._patience,
            strike,
            strikes,
        )
        path = os.pathsep.join([os.fspath(Path.cwd()), *(one for one in sys.path if one)])
        with (
            tempfile.TemporaryFile(dir=folder) as errors,
            subprocess.Popen(
                [sys.executable, "-m", FORGE],
                env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as forge,
        ):
            self._errors: IO[bytes] = errors
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
                raise CrashTestFailed(f"{self._target} cannot be crashed:\n{self._said()}")

    def _said(self) -> str:
        """The last of what the processes have printed."""
        file = self._errors.fileno()
        start = max(0, os.fstat(file).st_size - MOST_OF_AN_ERROR)
        return os.pread(file, MOST_OF_AN_ERROR, start).decode(errors="replace")


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


def _strike(replay: str | None) -> Strike:
    try:
        assert replay is not None
        kind, fault, number = replay.split("/")
        return Strike(cast(Kind, kind), Fault[fault], int(number))
    except (KeyError, ValueError) as error:
        remedy = "give what a finding of the report says"
        raise InvalidOption(option="replay", value=replay, remedy=remedy) from error


def _is_in_a_forge() -> bool:
    """Whether this is the process that starts workers for another crash test."""
    spec = sys.modules["__main__"].__spec__
    return spec is not None and spec.name == FORGE
