"""Resources that a worker tends beside its jobs: a ledger of effects, for one."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Tended(Protocol):
    """A resource that has work of its own to do, and wants to know which runs are over."""

    async def tend(self) -> None:
        """Do it, beside the worker's jobs, until cancelled."""
        ...

    def run_ended(self, run: str) -> None:
        """A run is complete, and its broker knows. Called on the worker's loop."""
        ...
