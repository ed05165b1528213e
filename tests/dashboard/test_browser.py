"""The page in a real browser: each act, the keyboard, live changes, hostile data."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from cnstra import Queue
from cnstra.jobs.broker import JobState
from cnstra.jobs.explanation import explain
from tests.dashboard.site import DESKTOP, PHONE, Chromium, Site, chromium

pytestmark = pytest.mark.timeout(300)


OUT_OF_SIGHT = """
    return [...document.querySelectorAll(".tabs a")]
        .filter((tab) => tab.getBoundingClientRect().right > innerWidth)
        .map((tab) => tab.textContent);
"""
SMALLEST_NAME = """
    const heights = [...document.querySelectorAll("#graph .name")]
        .map((name) => name.getBoundingClientRect().height);
    return Math.min(...heights);
"""


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture
def person(site: Site) -> Iterator[Chromium]:
    with chromium(site.url) as person:
        yield person
        assert person.complaints() == []


def enqueue(site: Site, job_id: str, payload: dict[str, Any], **options: Any) -> None:
    signal = {"collateralName": "order", "payload": payload}
    site.run(site.shop.queue.enqueue(signal, job_id=job_id, **options))


def state(site: Site, job_id: str) -> str:
    record = site.run(site.shop.queue.record(job_id))
    assert record is not None
    return record.state


def edit(person: Chromium, value: str) -> None:
    """Type it into the editor in the place of what is there, and keep it."""
    field = person.one("#value")
    field.clear()
    field.send_keys(value)
    person.press("Keep")


def view_box(person: Chromium) -> list[float]:
    """The part of the graph that is shown."""
    return [float(one) for one in person.one("#graph").get_dom_attribute("viewBox").split()]


def test_a_failed_job_is_understood_mended_and_retried(site: Site, person: Chromium) -> None:
    """The newcomer's path: from the first page to a job that is completed after all."""
    site.run(site.shop.sell("bad", {"id": 8, "fails": "the bank does not answer"}))

    person.go("/")
    person.click(".count.is-dead")
    person.follow("bad")
    person.until_text("It is in the dead letters after 1 attempt")
    assert "the bank does not answer" in person.text
    assert "What a retry runs" in person.text

    person.follow("Edit")
    edit(person, '{"id": "eight"}')
    person.until_text("is not of its type")
    edit(person, '{"id": 9}')
    person.until_text("The change is kept.")
    person.press("Retry")
    person.until_text("goes on where it stood")
    site.run(site.shop.work())
    person.until_text("It is completed")

    assert "edited the input of till" in person.text
    assert state(site, "bad") == "completed"


def test_a_branch_is_left_out_and_the_context_is_edited(site: Site, person: Chromium) -> None:
    site.run(site.shop.sell("both", {"id": 8, "fails": "everywhere"}))

    person.go("/job?q=orders&id=both")
    rows = person.driver.find_elements(By.XPATH, "//tr[.//button[normalize-space()='Leave out']]")
    assert len(rows) == 2
    (audit,) = (row for row in rows if "audit" in row.text)
    audit.find_element(By.CSS_SELECTOR, "[aria-label='Leave out audit']").click()
    person.click("#confirm .primary")
    person.until_text("The job does not owe that branch any more")
    assert not person.driver.find_elements(By.XPATH, "//button[normalize-space()='Leave out']")

    person.driver.find_element(By.XPATH, "//tr[th[.='stock']]//a[.='Edit']").click()
    edit(person, '{"shelf": "nine"}')
    person.until_text("is not of its type")
    edit(person, '{"shelf": 9}')
    person.until_text("The change is kept.")

    explanation = site.run(explain(site.shop.queue, "both", site.shop.worker.cns.network))
    assert explanation is not None
    assert [task.neuron for task in explanation.runs] == ["till"]
    assert explanation.contexts == {"stock": b'{"shelf":9}'}


def test_a_branch_is_retried_alone_and_the_other_stays_owed(site: Site, person: Chromium) -> None:
    site.run(site.shop.sell("both", {"id": 8, "fails": "everywhere"}))

    person.go("/job?q=orders&id=both")
    person.click('[aria-label="Retry this branch of audit"]')
    person.until_text("The job is back in the queue for that branch alone")
    assert person.one("table.owed .badge").text == "held back"
    assert "till" in person.one("table.owed tr:has(.badge)").text

    site.run(site.shop.work())
    person.until_text("PermissionError")
    person.until_text("It is in the dead letters")
    assert "retried the task" in person.text
    assert person.driver.find_elements(By.CSS_SELECTOR, "table.owed .badge") == []
    assert len(person.driver.find_elements(By.CSS_SELECTOR, '[aria-label^="Retry this"]')) == 2


def test_jobs_are_sent_cloned_cancelled_and_the_queue_is_paused(
    site: Site, person: Chromium
) -> None:
    person.go("/send")
    fields = {"field:id": "7", "field:notes": '["a note"]'}
    for name, text in fields.items():
        person.one(f'[name="{name}"]').send_keys(text)
    Select(person.one('[name="field:size"]')).select_by_value("large")
    Select(person.one('[name="field:gift"]')).select_by_visible_text("yes")
    person.one("#job-id").send_keys("sent")
    person.press("Send")
    person.until_text("The job is in the queue.")
    record = site.run(site.shop.queue.record("sent"))
    assert record is not None
    assert b'{"gift":true,"id":7,"notes":["a note"],"size":"large"}' in record.data

    person.press("Cancel")
    person.click("#confirm .primary")
    person.until_text("The job ends")
    assert state(site, "sent") == "dead"

    person.press("Clone")
    person.until_text("This is the clone")
    assert site.run(site.shop.queue.counts())["waiting"] == 1

    person.go("/")
    person.press("Pause")
    person.click('#confirm button[value="no"]')
    assert not site.run(site.shop.queue.paused())
    person.press("Pause")
    person.click("#confirm .primary")
    person.until_text("Resume")
    assert site.run(site.shop.queue.paused())
    person.press("Resume")
    person.until_text("Pause")
    assert not site.run(site.shop.queue.paused())

    person.go("/dead")
    person.press("Retry all")
    person.click("#confirm .primary")
    person.until_text("back in the queue")
    assert state(site, "sent") == "waiting"


def test_a_dead_letter_is_retried_in_its_list_and_cloned_with_changes(
    site: Site, person: Chromium
) -> None:
    site.run(site.shop.sell("bad", {"id": 8, "fails": "the bank does not answer"}))

    person.go("/dead")
    person.press("Retry")
    person.until_text("goes on where it stood")
    assert state(site, "bad") == "waiting"

    person.follow("Clone with changes")
    person.until_text("Send a signal")
    for name, text in {"field:id": "9", "field:fails": ""}.items():
        field = person.one(f'[name="{name}"]')
        field.clear()
        field.send_keys(text)
    person.press("Send")
    person.until_text("The job is in the queue.")
    site.run(site.shop.work())
    person.until_text("It is completed")
    assert '"id": 9' in person.texts('[aria-label="result"]')[0]
    assert state(site, "bad") == "dead"

    person.click('[aria-label="Sign out"]')
    person.until(lambda: person.path.startswith("/login"))
    person.driver.get(person.url + "/jobs")
    assert person.path.startswith("/login")


def test_what_nobody_touches_is_cloned_and_edited_as_it_is(site: Site, person: Chromium) -> None:
    texts = [
        "a\u00a0b",
        "\u200c",
        "a\r\nb\n",
        "\n\n",
        "\u202e\x00\x1b",
        "</textarea>",
        "x" * 20_005,
    ]
    fails, name = "Prix : 5\u00a0€\n👨\u200d👩", "order\u200d\r1"
    payload = {"id": 1, "notes": texts, "fails": fails, "gift": False}
    site.run(site.shop.sell(name, payload))

    person.go(f"/job?id={quote(name)}")
    person.follow("Edit")
    person.press("Keep")
    person.until_text("The change is kept.")
    explanation = site.run(explain(site.shop.queue, name))
    assert explanation is not None
    assert json.loads(explanation.runs[0].payload) == payload
    person.follow("Clone with changes")
    person.press("Send")
    person.until_text("The job is in the queue.")
    (clone,) = site.run(site.shop.queue.jobs("waiting", limit=2))
    assert json.loads(clone.data)["signal"]["payload"] == payload
    person.go(f"/job?id={quote(name)}")
    person.press("Retry")
    person.until_text("goes on where it stood")
    assert state(site, name) == "waiting"


def test_changes_show_by_themselves_and_the_keyboard_does_it_all(
    site: Site, person: Chromium
) -> None:
    person.go("/jobs")
    person.script("window.isTheSamePage = true")
    enqueue(site, "fresh", {"id": 1, "fails": "no"})
    person.until(lambda: person.driver.find_elements(By.LINK_TEXT, "fresh"))
    site.run(site.shop.work())
    person.until(lambda: person.has("[data-row] .state.is-dead"))
    assert person.script("return window.isTheSamePage")

    person.type("j")
    person.type(Keys.ENTER)
    person.until(lambda: person.path.startswith("/job?q=orders&id=fresh"))
    person.until(lambda: person.has(".pulse.on"))
    person.type("gd")
    person.until(lambda: person.path.startswith("/dead"))
    person.until(lambda: person.has(".pulse.on"))
    person.type("gj")
    person.until(lambda: person.path.startswith("/jobs"))
    person.until(lambda: person.has(".pulse.on"))
    person.type("/")
    person.type("fresh" + Keys.ENTER)
    person.until(lambda: person.path.startswith("/job?"))
    person.until(lambda: person.has(".pulse.on"))
    before = person.script("return getComputedStyle(document.body).backgroundColor")
    person.type("t")
    assert person.script("return getComputedStyle(document.body).backgroundColor") != before
    person.type("?")
    person.until(lambda: person.has("#keys[open]"))
    person.type(Keys.ESCAPE)
    person.type(Keys.TAB)

    person.go("/graph")
    box = view_box(person)
    person.one(".graph").send_keys("+")
    assert view_box(person) != box
    person.press("Whole")
    assert view_box(person) == box
    person.click(".node")
    person.until(lambda: person.path.startswith("/runs?"))


def test_the_last_counts_are_shown_however_long_counting_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Queue.counts

    async def slow(queue: Queue) -> Mapping[JobState, int]:
        await asyncio.sleep(0.2)  # so that it may be done again after four seconds
        return await counts(queue)

    monkeypatch.setattr(Queue, "counts", slow)
    site = Site(tmp_path)
    with chromium(site.url) as person:
        person.go("/")
        site.run(site.shop.sell("bad", {"id": 1, "fails": "no"}))
        person.until(lambda: "1" in person.texts(".count.is-dead .figure"))
    site.close()


def test_hostile_data_does_nothing_and_fits_on_a_phone(site: Site, person: Chromium) -> None:
    script = "<script>window.hacked = true</script>"
    image = "<img src=x onerror='window.hacked = true'>"
    name = f'"><svg onload=window.hacked=true>{script}'
    notes = [script, image, "\u202eevil", "\x00\x1b[31m", "a" * 300_000, "javascript:alert(1)"]
    payload = {"id": 1, "fails": f"{image}{script}\u202e", "notes": notes}
    site.run(site.shop.sell(name, payload))
    site.run(site.shop.sell("good", {"id": 2}))

    pages = ("/", "/graph", "/jobs", "/runs", "/dead", "/send", "/job?id=good")
    person.go("/dead")
    person.click("[data-row] a")
    person.until_text("What a retry runs")
    assert script in person.text
    hostile = person.path
    for size in (DESKTOP, PHONE):
        person.resize(size)
        for path in (*pages, hostile):
            person.go(path)
            assert not person.script("return window.hacked"), path
            wide = person.script("return document.documentElement.scrollWidth")
            assert wide <= size[0], (path, size, wide)


def test_a_phone_shows_every_tab_and_a_graph_that_can_be_read(site: Site, person: Chromium) -> None:
    person.resize(PHONE)
    for path in ("/", "/graph", "/jobs", "/runs", "/dead", "/send"):
        person.go(path)
        assert person.script(OUT_OF_SIGHT) == [], path

    person.go("/graph")
    assert person.script(SMALLEST_NAME) >= 12
    person.press("Whole")
    assert view_box(person)[:2] == [0, 0]
