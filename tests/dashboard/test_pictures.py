"""The pictures in the documentation: `PICTURES=1 pytest tests/dashboard/test_pictures.py`."""

import base64
import os
import random
from pathlib import Path

import pytest

from tests.dashboard.pictures import warehouse
from tests.dashboard.site import DESKTOP, PHONE, Chromium, Site, chromium

FOLDER = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 120_000
VIEWS = {
    "overview": "/", "graph": "/graph", "jobs": "/jobs", "runs": "/runs?within=1h",
    "dead": "/dead", "job": "/job?id=order-25", "send": "/send",
}  # fmt: skip

pytestmark = [
    pytest.mark.skipif("PICTURES" not in os.environ, reason="taken when asked for: PICTURES=1"),
    pytest.mark.timeout(600),
]


def test_pictures_are_taken(tmp_path: Path) -> None:
    site = Site(tmp_path, warehouse())
    site.run(fill(site))
    with chromium(site) as person:
        for dark in (False, True):
            for name, path in VIEWS.items():
                picture(person, path, f"{name}-{'dark' if dark else 'light'}", DESKTOP, dark=dark)
        picture(person, VIEWS["job"], "job-phone", PHONE, dark=False)
    site.close()


async def fill(site: Site) -> None:
    shop, chance = site.shop, random.Random(7)
    for number in range(150):
        customer = chance.choice(["Ann", "Bo", "Cy"])
        payload = {"id": number, "customer": customer, "express": number % 3 == 0}
        await shop.queue.enqueue(
            {"collateralName": "order", "payload": payload}, job_id=f"order-{number}",
            max_attempts=2 if number % 2 else 1, backoff=0.1,
        )  # fmt: skip
    await shop.work()
    for number in range(150, 158):
        payload = {"id": number, "customer": "Di", "express": False}
        await shop.queue.enqueue(
            {"collateralName": "order", "payload": payload}, job_id=f"order-{number}",
            delay=3600 if number % 2 else None,
        )  # fmt: skip


def picture(person: Chromium, path: str, name: str, size: tuple[int, int], *, dark: bool) -> None:
    person.resize(size, dark=dark)
    person.go(path)
    shot = person.driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "webp", "quality": 82}
    )
    data = base64.b64decode(shot["data"])
    assert len(data) < LARGEST, name
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.webp").write_bytes(data)
