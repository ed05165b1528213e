"""What the pages show and the acts do, on each broker, without a browser."""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import pytest

from cnstra import History, Queue
from cnstra.dashboard import asgi
from cnstra.dashboard.sources import Cached
from tests.dashboard.forms import form_in
from tests.dashboard.shop import Shop, browsing, page_of
from tests.manual_clock import ManualClock, settled

NO_LIST = ("nats", "mail")
"""Brokers of messages: one on a real server, one in memory that stands for the others."""


@pytest.fixture(params=["memory", "sqlite", "bullmq", "postgres", *NO_LIST])
def broker(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def open_shop(
    broker: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Shop]:
    queue = Queue("orders", url_of(broker, request, tmp_path))
    shop = Shop(queue, History(f"sqlite:///{tmp_path}/history.db"))
    await queue.open()
    yield shop
    await shop.close()


def url_of(broker: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match broker:
        case "memory":
            return f"memory://{uuid4().hex}"
        case "sqlite":
            return f"sqlite:///{tmp_path}/jobs.db"
        case "bullmq":
            return str(request.getfixturevalue("empty_redis").url)
        case "postgres":
            return str(request.getfixturevalue("postgres_schema"))
        case "nats":
            return str(request.getfixturevalue("nats_server").place())
        case _:
            return f"mail://{uuid4().hex}"


async def test_every_page_tells_of_the_jobs(open_shop: Shop, broker: str) -> None:
    await open_shop.sell("good", {"id": 7})
    await open_shop.sell("bad", {"id": 8, "fails": "no bank on port 8080"})

    async with browsing(page_of(open_shop)) as browser:
        overview = await browser.get("/")
        graph = await browser.get("/graph")
        jobs = await browser.get("/jobs")
        runs = await browser.get("/runs")
        failed = await browser.get("/runs", neuron="till", state="dead")
        dead = await browser.get("/dead")
        bad = await browser.get("/job", id="bad")
        good = await browser.get("/job", id="good")

    assert "till" in overview
    assert "✕ 1" in graph
    assert ">bad<" in jobs
    assert (">good<" in jobs) == (broker not in NO_LIST)
    assert ">good<" in runs
    assert ">bad<" in failed
    assert ">good<" not in failed
    assert "ConnectionError" in dead
    assert "no bank on port …" in dead
    assert "It is in the dead letters after 1 attempt: ConnectionError" in bad
    assert "in charge" in bad  # of the traceback
    assert "not run again" in bad
    assert "What a retry runs" in bad
    assert "It is completed" in good


async def test_errors_lead_to_the_runs_that_failed_alike(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnstra.dashboard.dead.SHOWN", 1)
    await open_shop.sell("one", {"id": 1, "fails": "no bank on port 1"})
    await open_shop.sell("two", {"id": 2, "fails": "no bank on port 2"})
    await open_shop.sell("other", {"id": 3, "fails": "no courier"})

    async with browsing(page_of(open_shop)) as browser:
        dead = await browser.get("/dead")
        links = set(
            re.findall(r'href="(/runs\?[^"]+)"[^>]*>(?:<bdi>ConnectionError|and 1 more)', dead)
        )
        links |= set(
            re.findall(r'href="(/runs\?[^"]+)">runs like', await browser.get("/job", id="one"))
        )
        runs = [await browser.get(html.unescape(link)) for link in links]
        overview = await browser.get("/")
        (failed,) = re.findall(r'href="(/runs\?q=orders&amp;neuron=[^"]+)"', overview)
        till = await browser.get(html.unescape(failed))
        stock = await browser.get("/runs", neuron="stock")

    alike = [page for page in runs if ">one<" in page and ">two<" in page and ">other<" not in page]
    assert len(links) == 3  # of the two groups, and of the rest of one
    assert len(alike) == 2
    assert all(f">{job}<" in till for job in ("one", "two", "other"))
    assert "none failed in <bdi>stock</bdi>" in stock


async def test_a_dead_job_is_edited_and_retried(open_shop: Shop) -> None:
    await open_shop.sell("bad", {"id": 8, "fails": "no bank"})

    async with browsing(page_of(open_shop)) as browser:
        page = await browser.get("/job", id="bad")
        edit = page.partition('href="/edit?')[2].partition('"')[0].replace("&amp;", "&")
        form = await browser.get(f"/edit?{edit}")
        wrong = await browser.send(form_in(form, "/edit"), value='{"id": "eight"}')
        kept = await browser.send(form_in(form, "/edit"), value='{"id": 9}')
        retried = await browser.post("/do/retry", page, id="bad")
        await open_shop.work()
        after = await browser.get("/job", id="bad")

    assert "no bank" in form
    assert wrong.status_code == 409
    assert "is not of its type" in wrong.text
    assert (kept.status_code, retried.status_code) == (303, 303)
    assert "said=retried" in retried.headers["location"]
    assert "It is completed" in after
    assert "edited the input of till" in after
    record = await open_shop.queue.record("bad")
    assert record is not None
    assert record.result == b'{"results":[{"id":9}]}'


async def test_a_job_is_cloned_and_a_group_is_redriven(open_shop: Shop) -> None:
    await open_shop.sell("one", {"id": 1, "fails": "no bank on port 1"})
    await open_shop.sell("two", {"id": 2, "fails": "no bank on port 2"})

    async with browsing(page_of(open_shop)) as browser:
        dead = await browser.get("/dead")
        cloned = await browser.post("/do/clone", dead, id="one")
        redriven = await browser.send(form_in(dead, "/do/redrive"))
        counts = await open_shop.queue.counts()

    assert cloned.headers["location"].startswith("/job?q=orders&id=")
    assert redriven.status_code == 303
    assert counts.get("waiting") == 3
    assert not counts.get("dead")


async def test_a_waiting_job_is_cancelled_and_the_queue_is_paused(open_shop: Shop) -> None:
    await open_shop.queue.enqueue({"collateralName": "order", "payload": {"id": 1}}, job_id="one")

    async with browsing(page_of(open_shop)) as browser:
        page = await browser.get("/job", id="one")
        paused = await browser.post("/do/pause", page)
        held = await browser.get("/job", id="one")
        resumed = await browser.post("/do/resume", page)
        cancelled = await browser.post("/do/cancel", page, id="one")
        after = await browser.get("/job", id="one")
        again = await browser.post("/do/cancel", page, id="one")

    assert (paused.status_code, resumed.status_code) == (303, 303)
    assert "The queue is paused" in held
    assert "said=cancelled" in cancelled.headers["location"]
    assert "JobCancelled" in after
    assert "said=not-cancelled" in again.headers["location"]


async def test_odd_addresses_and_forms_break_nothing(open_shop: Shop) -> None:
    await open_shop.sell("bad", {"id": 8, "fails": "no bank"})

    async with browsing(page_of(open_shop)) as browser:
        page = await browser.get("/job", id="bad")
        for odd in ("%00", "%ED%A0%80", "%FF", "'%22%25_*", "x" * 3_000, "%E2%80%AE"):
            for path in ("job?id=", "job?run=", "runs?job=", "runs?neuron=", "runs?after=",
                         "runs?like=", "edit?id=", "edit?id=bad&task=", "send?from=", "jobs?q=",
                         "jobs?state="):  # fmt: skip
                answer = await browser.client.get(f"/{path}{odd}")
                assert answer.status_code < 500, (path, odd, answer.text)
            text = unquote(odd)
            for act in ("retry", "clone", "cancel", "leave", "redrive"):
                answer = await browser.post(f"/do/{act}", page, id=text, task=text, group=text)
                assert answer.status_code < 500, (act, odd, answer.text)
            edit = {"id": "bad", "task": text, "context": text, "value": text}
            sent = {"collateral": "order", "field:id": text, "job_id": text, "max_attempts": text}
            for path, fields in {"/edit": edit, "/send": sent}.items():
                answer = await browser.post(path, page, **fields)
                assert answer.status_code < 500, (path, odd, answer.text)


async def test_a_page_without_graph_or_history_says_what_it_lacks() -> None:
    async with Queue("orders", f"memory://{uuid4().hex}") as queue:
        await queue.enqueue({"collateralName": "order", "payload": {"id": 1}}, job_id="one")
        async with browsing(asgi(queue, token="the token of these tests")) as browser:
            assert "No history is kept" in await browser.get("/")
            assert "give it the worker" in await browser.get("/graph")
            assert "No history is kept" in await browser.get("/runs")
            assert "No worker has taken it yet" in await browser.get("/job", id="one")


async def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    shop = Shop(Queue("orders", f"memory://{uuid4().hex}"), None)
    async with browsing(page_of(shop)) as browser:
        for path in ("/job?id=nobody", "/jobs?q=nothing", "/runs?after=x;--"):
            answer = await browser.client.get(path)
            assert answer.status_code in (404, 409, 200), answer.text
        form = await browser.get("/send")
        unknown = await browser.post("/send", form, collateral="nothing")
    await shop.close()

    assert unknown.status_code == 409


async def test_an_old_figure_is_shown_while_a_new_one_is_looked_for() -> None:
    clock, looks = ManualClock(), 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise ConnectionError("away")
        return looks

    cached = Cached(look, clock)
    assert await cached.get() == 1
    assert await cached.get() == 1
    await clock.advance(2)
    assert await cached.get() == 1  # and looks
    await settled()
    assert await cached.get() == 2
    await clock.advance(2)
    assert await cached.get() == 2  # and looks in vain
    await settled()
    await clock.advance(100)
    assert await cached.get() == 4


async def test_a_figure_covers_a_change_once_it_was_looked_for_since() -> None:
    clock, looks = ManualClock(), 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        return looks

    cached = Cached(look, clock)
    assert await cached.covers(0)
    await clock.advance(0.5)
    changed_at = clock.monotonic()
    assert not await cached.covers(changed_at)  # it may not look again yet
    await clock.advance(1)
    assert not await cached.covers(changed_at)  # and looks
    await settled()
    assert await cached.covers(changed_at)
    assert await cached.get() == looks == 2
