"""Public test tools: from one neuron to a crash test of a whole application."""

from cnstra.testing.crash import crash_everywhere
from cnstra.testing.faults import Fault, Point
from cnstra.testing.recorder import EffectRecorder, RecordedEffect
from cnstra.testing.report import CrashReport, CrashTestFailed, Finding

__all__ = [
    "CrashReport",
    "CrashTestFailed",
    "EffectRecorder",
    "Fault",
    "Finding",
    "Point",
    "RecordedEffect",
    "crash_everywhere",
]
