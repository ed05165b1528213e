"""Who may see the page, who may act on it, and what becomes of hostile data."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from cnstra import History, Queue
from cnstra.clock import SystemClock
from cnstra.dashboard import asgi, entering, live
from cnstra.errors import InvalidOption
from tests.dashboard.forms import Reader, form_in
from tests.dashboard.shop import BASE, TOKEN, Browser, Shop, browsing, page_of

PAGES = ("/", "/graph", "/jobs", "/runs", "/dead", "/send", "/job?id=one", "/edit?id=one", "/live")
ACTS = (
    "/do/leave",
    "/do/retry",
    "/do/clone",
    "/do/cancel",
    "/do/redrive",
    "/do/pause",
    "/do/resume",
)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop(Queue("orders", f"memory://{uuid4().hex}"), None)
    await shop.queue.enqueue({"collateralName": "order", "payload": {"id": 1}}, job_id="one")
    yield shop
    await shop.close()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entering, "PAUSE", 0.0)


async def state(shop: Shop) -> str | None:
    record = await shop.queue.record("one")
    return None if record is None else record.state


async def test_strangers_see_nothing(shop: Shop) -> None:
    async with browsing(page_of(shop), token=None) as browser:
        answers = [await browser.client.get(page) for page in PAGES]
        posts = [await browser.client.post(act, data={"id": "one"}) for act in (*ACTS, "/send")]
        wrong = await browser.client.post("/login", data={"token": "guessed"})
        asked = await browser.client.get("/login?token=guessed")

    assert {one.status_code for one in answers} == {303}
    assert {one.headers["location"].partition("?")[0] for one in answers} == {"/login"}
    assert {one.status_code for one in posts} == {403}
    assert (wrong.status_code, asked.status_code) == (401, 401)
    assert not wrong.cookies
    assert await state(shop) == "waiting"


@pytest.mark.parametrize("base", ["", "/admin/jobs"])
async def test_a_link_is_followed_once_its_reader_has_signed_in(shop: Shop, base: str) -> None:
    page = page_of(shop)
    transport = httpx.ASGITransport(Starlette(routes=[Mount(base, page)]) if base else page)
    link = f"{base}/job?q=orders&id=one&said=%C2%A0%26"
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        login = (await client.get(link)).headers["location"]
        form = await client.get(login)
        action = Reader(form.text).forms[0].action
        wrong = await client.post(action, data={"token": "guessed"})
        again = Reader(wrong.text).forms[0].action
        answer = await client.post(again, data={"token": TOKEN})
        known = await client.get(login)
        first = await client.get(f"{base}/login")

    assert answer.headers["location"] == known.headers["location"] == link
    assert "SameSite=lax" in answer.headers["set-cookie"]
    assert (known.status_code, first.headers["location"]) == (303, f"{base}/")


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/a\r\nSet-Cookie: a=b",
        "evil",
        "/",
    ],
)
async def test_signing_in_leads_to_pages_of_ours_alone(shop: Shop, elsewhere: str) -> None:
    async with browsing(page_of(shop), token=None) as browser:
        address = {"next": elsewhere}
        answer = await browser.client.post("/login", params=address, data={"token": TOKEN})
        known = await browser.client.get("/login", params=address)

    assert answer.headers["location"] == known.headers["location"] == "/"


async def test_whatever_does_something_is_no_link(shop: Shop) -> None:
    """A cookie comes with links from other sites: none of them may act."""
    async with browsing(page_of(shop)) as browser:
        paths = [*ACTS, "/do/branch", "/logout"]
        answers = [await browser.client.get(path, params={"id": "one"}) for path in paths]

    assert {one.status_code for one in answers} == {405}


async def test_a_cookie_that_was_made_up_or_has_expired_opens_nothing(shop: Shop) -> None:
    class Later(SystemClock):
        def time(self) -> float:
            return super().time() + 13 * 3600

    async with browsing(page_of(shop)) as browser:
        cookie = browser.client.cookies["cnstra"]
    later = Shop(Queue("orders", f"memory://{uuid4().hex}", clock=Later()), None)
    other = page_of(shop, token="another token, as long")
    visit, _, seal = cookie.rpartition(".")
    forged = f"{visit}9.{seal}"
    for app, value in [(page_of(later), cookie), (other, cookie), (page_of(shop), forged)]:
        async with browsing(app, token=None) as browser:
            browser.client.cookies.set("cnstra", value)
            assert (await browser.client.get("/jobs")).status_code == 303
    await later.close()


async def test_a_page_that_only_shows_does_nothing(shop: Shop) -> None:
    async with browsing(page_of(shop, write=False)) as browser:
        page = await browser.get("/job", id="one")
        overview = await browser.get("/")
        answers = [await browser.post(act, page, id="one") for act in (*ACTS, "/send", "/edit")]

    assert {one.status_code for one in answers} == {403}
    assert "/do/" not in page + overview
    assert "read only" in page
    assert await state(shop) == "waiting"


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Origin": BASE}, "made up"),
        ({"Origin": BASE}, ""),
        ({"Origin": "https://evil.example"}, None),
        ({"Origin": "null"}, None),
        ({}, None),
        ({"Sec-Fetch-Site": "cross-site"}, None),
    ],
    ids=str,
)
async def test_another_site_cannot_act_in_somebodys_name(
    shop: Shop, headers: dict[str, str], token: str | None
) -> None:
    async with browsing(page_of(shop)) as browser:
        page = await browser.get("/job", id="one")
        given = page.partition('name="form_token" value="')[2].partition('"')[0]
        fields = {"form_token": given if token is None else token, "id": "one"}
        answer = await browser.client.post("/do/cancel", data=fields, headers=headers)

    assert answer.status_code == 403
    assert await state(shop) == "waiting"


async def test_the_form_of_another_visit_is_refused(shop: Shop) -> None:
    app = page_of(shop)
    async with browsing(app) as one, browsing(app) as other:
        answer = await other.post("/do/cancel", await one.get("/job", id="one"), id="one")

    assert answer.status_code == 403


async def test_every_answer_forbids_what_the_page_does_not_need(shop: Shop) -> None:
    async with browsing(page_of(shop)) as browser:
        answers = [
            await browser.client.get(path)
            for path in ("/", "/login", "/nowhere", "/static/page.js", "/job?id=nobody")
        ]

    for one in answers:
        policy = one.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert one.headers["x-content-type-options"] == "nosniff"
    assert all("<script>" not in one.text and " style=" not in one.text for one in answers)
    assert all(" onclick=" not in one.text for one in answers)


async def test_the_cookie_is_for_this_page_alone(shop: Shop) -> None:
    async with browsing(page_of(shop), token=None) as browser:
        answer = await browser.client.post("/login", data={"token": TOKEN})
        cookie = answer.headers["set-cookie"]
    transport = httpx.ASGITransport(page_of(shop))
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as client:
        secure = (await client.post("/login", data={"token": TOKEN})).headers["set-cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert TOKEN not in cookie
    assert "Secure" in secure


async def test_the_page_answers_to_the_hosts_that_it_was_given(shop: Shop) -> None:
    app = page_of(shop, hosts=["localhost", "[::1]"])
    async with browsing(app) as browser:
        rebound = await browser.client.get("/jobs", headers={"Host": "evil.example"})
        login = await browser.client.get("/login", headers={"Host": "evil.example:8787"})
        local = await browser.client.get("/jobs", headers={"Host": "localhost:8787"})
        numeric = await browser.client.get("/jobs", headers={"Host": "[::1]:8787"})

    assert (rebound.status_code, login.status_code) == (421, 421)
    assert 421 not in (local.status_code, numeric.status_code)


@pytest.mark.parametrize(
    "options",
    [{}, {"token": "short"}, {"token": TOKEN, "auth": lambda request: True}],
    ids=["neither", "short", "both"],
)
def test_a_page_for_everybody_is_refused(shop: Shop, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="token"):
        asgi(shop.worker, **options)


async def test_the_page_stands_in_an_application_with_its_own_sign_in(shop: Shop) -> None:
    async def signed_in(request: Request) -> str | None:
        return request.headers.get("x-user")

    page = asgi(shop.worker, auth=signed_in, write=True)
    app = Starlette(routes=[Mount("/admin/jobs", page)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        stranger = await client.get("/admin/jobs/jobs")
        client.headers["x-user"] = "ann"
        browser = Browser(client)
        shown = await browser.get("/admin/jobs/job", id="one")
        cancelled = await browser.post("/admin/jobs/do/cancel", shown, id="one")
        login = await client.post("/admin/jobs/login", data={"token": ""})

    assert stranger.status_code == 403
    assert 'href="/admin/jobs/static/page.css"' in shown
    assert cancelled.headers["location"].startswith("/admin/jobs/job?")
    assert await state(shop) == "dead"
    assert login.status_code == 401


@pytest.mark.parametrize(
    ("secret", "status"), [("the secret of these tests", 303), (None, 403)], ids=["shared", "none"]
)
async def test_processes_that_share_a_secret_take_each_others_forms(
    shop: Shop, secret: str | None, status: int
) -> None:
    one, other = (asgi(shop.worker, auth=lambda _: "ann", write=True, secret=secret) for _ in "ab")
    async with browsing(one, token=None) as here, browsing(other, token=None) as there:
        form = form_in(await here.get("/job", id="one"), "/do/cancel")
        there.client.cookies = here.client.cookies
        answer = await there.send(form)

    assert answer.status_code == status
    assert ("give all the same secret=" in answer.text) == (status == 403)


async def test_pages_on_two_ports_of_a_host_leave_each_other_their_visits(shop: Shop) -> None:
    ports = {"http://localhost:8001": TOKEN, "http://localhost:8002": "another token, as long"}
    mounts = {url: httpx.ASGITransport(page_of(shop, token=one)) for url, one in ports.items()}
    async with httpx.AsyncClient(mounts=mounts) as client:
        for url, token in ports.items():
            await client.get(f"{url}/login", params={"token": token})
        answers = [await client.get(f"{url}/jobs") for url in ports]

    assert [one.status_code for one in answers] == [200, 200]


@pytest.mark.timeout(30)
async def test_a_stream_ends_so_that_its_listener_is_looked_at_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LASTS", 0.0)
    async with browsing(page_of(shop)) as browser:
        assert (await browser.get("/live")).startswith("retry:")
        browser.client.cookies.clear()
        answer = await browser.client.get("/live")

    assert answer.status_code == 303


async def test_nothing_of_a_strangers_form_is_read(shop: Shop) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(3):
            read += 1
            yield b"x" * 1000

    async with browsing(page_of(shop), token=None) as browser:
        answer = await browser.client.post("/do/cancel", content=body())

    assert (answer.status_code, read) == (403, 0)


@pytest.mark.parametrize("number", ["9" * 5_000, "9" * 30, "-1", "٣", "1e9", "\0"])
async def test_a_number_that_is_none_or_too_large_harms_nothing(shop: Shop, number: str) -> None:
    async with browsing(page_of(shop)) as browser:
        for path in ("/jobs", "/runs", "/dead"):
            await browser.get(path, after=number, redriven=number)


async def test_hostile_data_is_spelt_out(shop: Shop) -> None:
    evil = "<script>alert(1)</script>"
    name = f'"><img src=x onerror=alert(1)>{evil}'
    await shop.queue.enqueue(
        {
            "collateralName": "order",
            "payload": {
                "id": 2,
                "fails": evil,
                "notes": [evil, "\u202etxt", "\x1b[31m\0", "x" * 10**6],
            },
        },
        job_id=name,
    )
    await shop.work()

    async with browsing(page_of(shop)) as browser:
        pages = [
            await browser.get("/job", id=name),
            await browser.get("/jobs"),
            await browser.get("/dead"),
            await browser.get("/send", **{"from": name}),
        ]

    for page in pages:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page
        assert "\x1b" not in page
    assert all(len(page) < 200_000 for page in pages[:-1])  # a form holds all of it
    assert "\\u202etxt" in pages[0]
    assert "characters more" in pages[0]


async def test_a_form_that_is_too_large_is_nothing(shop: Shop) -> None:
    async with browsing(page_of(shop)) as browser:
        page = await browser.get("/send")
        answer = await browser.post("/send", page, collateral="order", filler="x" * (5 * 1024**2))

    assert answer.status_code == 403


async def test_what_is_redacted_is_struck_out_on_the_page_and_never_saved_so(
    tmp_path: Path,
) -> None:
    history = History(f"sqlite:///{tmp_path}/history.db", redact=["notes", "shelf"])
    shop = Shop(Queue("orders", f"memory://{uuid4().hex}"), history)
    await shop.sell("one", {"id": 4111, "notes": ["secret"], "fails": "no"})

    async with browsing(page_of(shop)) as browser:
        job = await browser.get("/job", id="one")
        pages = [job, *[await browser.get(path) for path in ("/jobs", "/dead", "/runs")]]
        edit = job.partition('href="/edit?')[2].partition('"')[0].replace("&amp;", "&")
        form = await browser.get(f"/edit?{edit}")
        answer = await browser.send(form_in(form, "/edit"), value='{"id": 1, "fails": "•••"}')
    await shop.close()

    assert all("secret" not in page for page in (*pages, form))
    assert "•••" in job
    assert answer.status_code == 409
    assert "write the value itself" in answer.text
