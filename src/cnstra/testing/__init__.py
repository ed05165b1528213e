"""Public test tools: from one neuron to a crash test of a whole application."""

from cnstra.testing.crash import crash_everywhere
from cnstra.testing.enqueued import all_enqueued, assert_enqueued, refute_enqueued
from cnstra.testing.fakes import failing
from cnstra.testing.faults import Fault, Point
from cnstra.testing.harness import WorkerHarness
from cnstra.testing.recorder import EffectRecorder, RecordedEffect
from cnstra.testing.report import CrashReport, CrashTestFailed, Finding
from cnstra.testing.virtual import VirtualClock, virtual_time

__all__ = [
    "CrashReport",
    "CrashTestFailed",
    "EffectRecorder",
    "Fault",
    "Finding",
    "Point",
    "RecordedEffect",
    "VirtualClock",
    "WorkerHarness",
    "all_enqueued",
    "assert_enqueued",
    "crash_everywhere",
    "failing",
    "refute_enqueued",
    "virtual_time",
]
