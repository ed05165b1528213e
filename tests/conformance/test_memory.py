from uuid import uuid4

import pytest

from cnstra.testing.conformance import BrokerConformance, Rig, StoreConformance, StoreRig

NO_SERVER = "memory has no server, no connections and no strangers"


class TestMemory(BrokerConformance):
    @pytest.fixture
    def rig(self) -> Rig:
        return Rig(
            url=f"memory://{uuid4().hex}",
            restart=NO_SERVER,
            cut=NO_SERVER,
            publish_raw=NO_SERVER,
            duplicate="a job in memory is one job",
        )


class TestMemoryStore(StoreConformance):
    subject = "memory"

    @pytest.fixture
    def rig(self) -> StoreRig:
        return StoreRig(
            url=f"memory://{uuid4().hex}",
            shared="runs end with their process",
            restart=NO_SERVER,
            cut=NO_SERVER,
        )
