"""A broker of messages with a store beside it, which no server is needed for."""

from functools import partial
from pathlib import Path

import pytest

from cnstra.testing.conformance import BrokerConformance, Rig
from tests.conformance import spool
from tests.conformance.installing import install

NO_SERVER = "a file has no server and no connections that others could cut"


class TestSpool(BrokerConformance):
    @pytest.fixture
    def rig(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
        install(monkeypatch, tmp_path, spool="tests.conformance.spool")
        url = f"spool:///{tmp_path}/messages.db?max_body=50000"
        return Rig(
            url=url,
            store=f"sqlite:///{tmp_path}/runs.db?synchronous=normal",
            restart=NO_SERVER,
            cut=NO_SERVER,
            publish_raw=partial(spool.publish, url),
            duplicate=partial(spool.duplicate, url),
        )
