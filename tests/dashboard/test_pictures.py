"""Pictures of the views. For docs/images: `PICTURES=1 pytest tests/dashboard/test_pictures.py`."""

import base64
import os
import random
from pathlib import Path

import pytest

from tests.dashboard.pictures import warehouse
from tests.dashboard.site import DESKTOP, PHONE, Chromium, Site, chromium

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "images"
LARGEST = 120_000
VIEWS = {
    "overview": "/", "graph": "/graph", "jobs": "/jobs", "runs": "/runs?within=1h",
    "dead": "/dead", "job": "/job?id=order-25", "send": "/send",
}  # fmt: skip

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
    site.run(fill(site))
    with chromium(site.url) as person:
        for dark in (False, True):
            for name, path in VIEWS.items():
                kept = folder / f"{name}-{'dark' if dark else 'light'}.webp"
                show(person, path, DESKTOP, dark=dark)
                picture(person, kept, tmp_path, ROOT)
        show(person, VIEWS["job"], PHONE, dark=False)
        picture(person, folder / "job-phone.webp", tmp_path, ROOT)
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
