"""Pictures of the views. For docs/images: `PICTURES=1 pytest tests/dashboard/test_pictures.py`."""

import base64
import os
import random
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.pictures import PATIENT, warehouse
from tests.dashboard.site import DESKTOP, PHONE, Chromium, Site, chromium

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "images"
LARGEST = 120_000
JOB = "order-51"
VIEWS = {
    "overview": "/", "graph": "/graph", "jobs": "/jobs", "runs": "/runs?within=1h",
    "dead": "/dead", "job": f"/job?id={JOB}", "send": "/send",
}  # fmt: skip
TALL = (DESKTOP[0], 1720)
"""Down to where a job's signals are."""

WITHOUT_FOLDERS = """
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode())
        for (const folder of arguments)
            texts.currentNode.data = texts.currentNode.data.replaceAll(folder, "");
"""
"""Where the picture is taken is nobody's business."""

pytestmark = pytest.mark.timeout(600)


def test_each_view_has_its_picture_in_light_and_dark(tmp_path: Path) -> None:
    folder = FOLDER if "PICTURES" in os.environ else tmp_path / "images"
    folder.mkdir(exist_ok=True)
    site = Site(tmp_path, warehouse())
    site.run(fill(site, minutes=60))
    with chromium(site.url) as person, site.at_work():
        person.go("/")
        person.until(lambda: person.texts("[aria-label=Workers] tbody tr"))
        person.until(lambda: "3" in person.texts("tr[data-key=till] td:nth-child(2)")[0])
        for dark in (False, True):
            for name, path in VIEWS.items():
                kept = folder / f"{name}-{'dark' if dark else 'light'}.webp"
                show(person, path, TALL if name == "job" else DESKTOP, dark=dark)
                picture(person, kept, tmp_path, ROOT)
        show(person, VIEWS["job"], PHONE, dark=False)
        picture(person, folder / "job-phone.webp", tmp_path, ROOT)
    site.close()


async def fill(site: Site, minutes: int = 1) -> None:
    """150 jobs that ran within so many minutes up to now, and some that wait."""
    shop, chance = site.shop, random.Random(7)
    begun = sorted(chance.randrange(minutes) for _ in range(150))
    for minute, numbers in groupby(range(150), begun.__getitem__):
        site.clock.ahead = 60.0 * (minute - minutes + 1)
        for number in numbers:
            customer = chance.choice(["Ann", "Bo", "Cy"])
            await shop.queue.enqueue(
                order(number, customer), job_id=f"order-{number}",
                max_attempts=2 if number % 2 else 1, backoff=0.1,
            )  # fmt: skip
        await shop.work()
    site.clock.ahead = 0.0
    for number in range(150, 166):
        delay = 3600 if number % 4 == 1 else None
        await shop.queue.enqueue(order(number, PATIENT), job_id=f"order-{number}", delay=delay)


def order(number: int, customer: str) -> dict[str, Any]:
    payload = {"id": number, "customer": customer, "express": number % 3 == 0}
    return {"collateralName": "order", "payload": payload}


def show(person: Chromium, path: str, size: tuple[int, int], *, dark: bool) -> None:
    person.resize(size, dark=dark)
    person.go(path)


def picture(person: Chromium, kept: Path, *folders: str | Path) -> None:
    person.driver.execute_script(WITHOUT_FOLDERS, *(f"{folder}/" for folder in folders))
    shot = person.driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "webp", "quality": 82}
    )
    data = base64.b64decode(shot["data"])
    assert len(data) < LARGEST, kept.name
    kept.write_bytes(data)
