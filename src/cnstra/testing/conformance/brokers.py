"""The behaviours of every broker."""

from typing import ClassVar

import pytest

from cnstra.testing.conformance.dying_workers import DyingWorkers
from cnstra.testing.conformance.retrying import Retrying
from cnstra.testing.conformance.rig import Rig
from cnstra.testing.conformance.running import Running
from cnstra.testing.conformance.stage import Stage
from cnstra.testing.conformance.troubles import Troubles


class BrokerConformance(Running, Retrying, DyingWorkers, Troubles):
    """Every behaviour of a broker, as tests. Subclass it and say how to reach yours.

    subject: the broker's name in the table; where it is not given, that of the class.

    >>> class TestMine(BrokerConformance):
    ...     @pytest.fixture
    ...     def rig(self, my_server) -> Rig:
    ...         return Rig(url=f"mine://{my_server.address}", restart=my_server.restart)
    """

    conformance: ClassVar[str] = "broker"
    subject: ClassVar[str] = ""
    stage_type = Stage

    @pytest.fixture
    def rig(self) -> Rig:
        """How to reach the broker."""
        raise NotImplementedError("define the fixture `rig` in your subclass")
