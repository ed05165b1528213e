"""The page while its server, the broker or the visit is away, and what is gone meanwhile."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from cnstra import Queue
from tests.dashboard.site import Chromium, Site, chromium
from tests.redis_server import RedisServer

pytestmark = pytest.mark.timeout(300)

STALE = "#stale:not([hidden])"
HEARS_NOTHING = """
    for (const part of document.querySelectorAll("[data-live]")) delete part.dataset.live;
"""
CLICK_THRICE = """
    const [clone] = [...document.querySelectorAll("button")].filter((b) => b.innerText === "Clone");
    for (let i = 0; i < 3; i++) clone.click();
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture
def person(site: Site) -> Iterator[Chromium]:
    with chromium(site.url) as person:
        yield person


def add(site: Site, job_id: str) -> None:
    signal = {"collateralName": "order", "payload": {"id": 1}}
    site.run(site.shop.queue.enqueue(signal, job_id=job_id))


def state(site: Site, job_id: str) -> str | None:
    record = site.run(site.shop.queue.record(job_id))
    return None if record is None else record.state


def test_a_server_that_is_away_is_said_and_what_was_missed_is_shown(
    site: Site, person: Chromium
) -> None:
    person.go("/jobs")
    site.leave()
    person.until(lambda: person.has(STALE))
    assert "does not answer" in person.texts(STALE)[0]
    person.until(lambda: not person.has(".pulse.on"))

    add(site, "meanwhile")
    site.serve()
    person.until(lambda: person.driver.find_elements(By.LINK_TEXT, "meanwhile"))
    assert not person.has(STALE)
    person.until(lambda: person.has(".pulse.on"))


def test_a_broker_that_is_away_is_said_on_every_page_and_comes_back(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    site = Site(tmp_path, url=server.url)
    add(site, "one")
    with chromium(site.url) as person:
        for path, told in {"/jobs": STALE, "/": '.trouble[role="alert"]:not(#stale)'}.items():
            person.go(path)
            server.kill()
            person.until(lambda told=told: any("reached" in one for one in person.texts(told)))
            server.start()
            person.until(lambda told=told: not person.has(told))

        person.go("/jobs")
        server.kill()
        person.until(lambda: person.has(STALE))
        person.driver.refresh()
        assert "cannot be reached" in person.texts("#declined")[0]
        assert person.has(".tabs a")
        server.start()
        person.until(lambda: person.has(".filters"))
    site.close()
    server.stop()


def test_a_visit_that_is_over_is_said(site: Site, person: Chromium) -> None:
    person.go("/jobs")
    person.driver.delete_all_cookies()
    add(site, "one")
    person.until(lambda: person.has(STALE))
    assert "Your visit is over" in person.texts(STALE)[0]

    person.click("#stale a")
    person.until(lambda: person.path.startswith("/login"))


def test_more_pages_are_open_than_a_browser_has_connections(site: Site, person: Chromium) -> None:
    first = person.driver.current_window_handle
    person.go("/jobs")
    for _ in range(7):
        person.driver.switch_to.new_window("tab")
        person.go("/jobs")
    add(site, "one")
    person.driver.switch_to.window(first)
    person.until(lambda: person.driver.find_elements(By.LINK_TEXT, "one"))


def test_a_form_is_sent_once_however_slow_the_server_is(
    site: Site, person: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = Queue.enqueue

    async def slow(self: Queue, *given: object, **options: object) -> object:
        await asyncio.sleep(0.5)
        return await enqueue(self, *given, **options)  # type: ignore[arg-type]  # pyright: ignore

    add(site, "one")
    monkeypatch.setattr(Queue, "enqueue", slow)
    person.go("/job?q=orders&id=one")
    person.script(CLICK_THRICE)
    person.until_text("This is the clone")
    assert site.run(site.shop.queue.counts())["waiting"] == 2


def test_what_is_gone_meanwhile_is_not_done_and_said(site: Site, person: Chromium) -> None:
    queue = site.shop.queue
    for name in ("one", "two"):
        site.run(site.shop.sell(name, {"id": 8, "fails": "no bank"}))
    person.go("/job?q=orders&id=one")
    person.script(HEARS_NOTHING)
    site.run(queue.redrive("one"))
    person.press("Retry")
    person.until_text("Nothing was done: the job is not dead any more")

    site.run(site.shop.work())
    person.until(lambda: person.driver.find_elements(By.LINK_TEXT, "Edit"))
    person.follow("Edit")
    site.run(queue.redrive("one"))
    field = person.one("#value")
    field.clear()
    field.send_keys('{"id": 9}')
    person.press("Keep")
    person.until(lambda: person.has(".trouble:not(#stale)"))
    assert person.one("#value").get_property("value") == '{"id": 9}'
    site.run(site.shop.work())

    person.go("/dead")
    person.script(HEARS_NOTHING)
    for name in ("one", "two"):
        site.run(queue.redrive(name))
    person.press("Retry all")
    person.click("#confirm .primary")
    person.until_text("no job of that group is dead any more")
    assert (state(site, "one"), state(site, "two")) == ("waiting", "waiting")


def test_a_page_that_only_shows_offers_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, write=False)
    site.run(site.shop.sell("bad", {"id": 8, "fails": "no bank"}))
    with chromium(site.url) as person:
        for path in ("/", "/dead", "/job?q=orders&id=bad"):
            person.go(path)
            assert "read only" in person.text
            assert person.texts("main button, main .button") == []
            assert "Send" not in person.texts(".tabs a")
        person.driver.get(person.url + "/edit?q=orders&id=bad&context=stock")
        assert "only shows" in person.texts("#declined")[0]
    site.close()
