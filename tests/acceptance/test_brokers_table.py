"""The README's table of brokers says what the adapters declare."""

import re
from pathlib import Path

import pytest

from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.adapters import adapter_for
from cnstra.jobs.broker import JOB_STATES, Broker

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"^\| `([a-z]+://[^`]*)` \|(.*)\|$", re.MULTILINE)
ROWS = {
    url: [cell.strip() for cell in rest.split("|")] for url, rest in ROW.findall(README.read_text())
}
URLS = {"sqs://region": "sqs://eu-central-1"}


def test_all_brokers_are_in_the_table() -> None:
    assert {url.partition(":")[0] for url in ROWS} == {
        "memory", "sqlite", "redis", "postgresql", "nats", "amqp", "sqs",
    }  # fmt: skip


@pytest.mark.parametrize("url", ROWS)
def test_a_row_says_what_its_adapter_declares(url: str) -> None:
    told = URLS.get(url, url)
    broker: Broker = adapter_for(told).broker("q", told, SYSTEM_CLOCK, 1.0, None)
    can = broker.capabilities

    assert ROWS[url][1:6] == [
        "its own" if can.own_store else "beside it",
        "yes" if can.atomic_settlement else "no",
        "yes" if can.priorities else "no",
        "shared" if can.shared_rate_limit else "per process",
        "all" if can.lists == JOB_STATES else "dead letters",
    ]
    assert can.transactional_enqueue == ("transaction" in ROWS[url][6])
