"""The page for everybody: by keyboard, by ear, at rest, enlarged, offline, with any data."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium.webdriver.common.keys import Keys

from cnstra import CNS, Collateral, Signal, collateral, neuron
from tests.dashboard.pictures import warehouse
from tests.dashboard.site import DESKTOP, PHONE, Chromium, Site, chromium
from tests.dashboard.test_pictures import JOB, VIEWS, fill

ENLARGED = (DESKTOP[0] // 2, DESKTOP[1] // 2)
"""The same window at 200 %."""

CONTROLS = {"button", "link", "textbox", "searchbox", "combobox", "spinbutton", "checkbox"}
PLACES = {"table", "dialog", "navigation", "search", "img"}

FOCUS = """
    const { activeElement: at } = document;
    const told = getComputedStyle(at);
    const { bottom, top } = at.getBoundingClientRect();
    const isSeen = told.outlineStyle !== "none" && bottom > 0 && top < innerHeight;
    return [at.tagName, at.getAttribute("href") ?? at.textContent.trim(), isSeen];
"""
FROM_ELSEWHERE = """
    return performance.getEntriesByType("resource")
        .map((one) => one.name).filter((name) => !name.startsWith(location.origin));
"""
NAME = "clearance_of_international_shipments_and_export_documents"

pytestmark = pytest.mark.timeout(600)


class Axon(NamedTuple):
    again: Collateral[dict[str, Any]]
    branch: Collateral[dict[str, Any]]
    receipt: Collateral[dict[str, Any]]


def sprawling() -> CNS:
    """Long names, a long chain, and many branches, one of which fails."""
    order = collateral("order", dict[str, Any])
    axon = Axon(
        collateral("againAndAgainUntilNothingIsLeftToBeDone", dict[str, Any]),
        collateral("oneOfVeryManyBranchesOfTheSameKind", dict[str, Any]),
        collateral("receipt", dict[str, Any]),
    )
    step, leaf = neuron(NAME, axon), neuron("leaf_" + NAME, {})

    @step.dendrite([order, axon.again])
    async def go_on(payload: dict[str, Any], axon: Axon) -> list[Signal[dict[str, Any]]]:
        left = payload["left"] - 1
        branches = [axon.branch.create_signal({"number": one}) for one in range(payload["wide"])]
        return branches + ([axon.again.create_signal({"left": left, "wide": 0})] if left else [])

    @leaf.dendrite(axon.branch)
    async def end(payload: dict[str, Any]) -> None:
        if payload["number"] == 170:
            raise ConnectionError("the bank " * 40 + "x" * 200)

    return CNS([step, leaf])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, warehouse())
    site.run(fill(site))
    yield site
    site.close()


@pytest.fixture
def person(site: Site) -> Iterator[Chromium]:
    with chromium(site.url) as person:
        yield person


def test_long_names_and_large_runs_fit_and_can_be_taken_in(tmp_path: Path) -> None:
    site = Site(tmp_path, sprawling())
    name = "tenant-of-a-very-long-name:" * 6
    site.run(site.shop.sell(name, {"left": 400, "wide": 300, "deep": {"a": [{"b": "x" * 3000}]}}))
    views = ["/", "/graph", "/jobs", "/runs", "/dead", "/send", f"/job?q=orders&id={name}"]
    with chromium(site.url) as person:
        for size in (DESKTOP, ENLARGED, PHONE):
            person.resize(size)
            for path in views:
                person.go(path)
                wide = person.script("return document.documentElement.scrollWidth")
                assert wide <= size[0], (path, size, wide)
        person.resize(DESKTOP)
        person.go(views[-1])
        lanes = person.texts(".bars li")
        assert len(lanes) == 3
        assert any("× 300" in lane and "1 failed" in lane for lane in lanes)
        shown = [text for text in person.texts(".tree summary") if text]
        assert any("ConnectionError" in text for text in shown)
        assert len(shown) < 400
    site.close()


def test_everything_has_a_name(site: Site, person: Chromium) -> None:
    for path in VIEWS.values():
        person.go(path)
        person.driver.execute_cdp_cmd("Accessibility.enable", {})
        tree = person.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        heard = [
            (str(one["role"]["value"]), str(one.get("name", {}).get("value", "")))
            for one in tree
            if not one["ignored"]
        ]
        assert [role for role, name in heard if role in CONTROLS | PLACES and not name] == [], path
        alike = Counter(one for one in heard if one[0] in CONTROLS)
        assert [one for one, number in alike.items() if number > 1] == [], path


def test_the_focus_goes_through_the_page_and_is_seen(site: Site, person: Chromium) -> None:
    for path in VIEWS.values():
        person.go(path)
        person.type(Keys.TAB)
        assert person.script(FOCUS)[:2] == ["A", "#content"]
        for _ in range(16):
            person.type(Keys.TAB)
            tag, text, is_seen = person.script(FOCUS)
            assert is_seen or tag == "BODY", (path, text)

    person.go("/jobs")
    person.type(Keys.TAB + Keys.ENTER + Keys.TAB)
    assert person.script("return document.activeElement.closest('main') !== null")


def test_changes_leave_the_person_where_they_are(site: Site, person: Chromium) -> None:
    person.go("/jobs")
    person.type("jjj")
    here = person.script("return document.activeElement.href")
    person.script("getSelection().selectAllChildren(document.activeElement)")
    signal = {"collateralName": "order", "payload": {"id": 1, "customer": "Ed", "express": True}}
    site.run(site.shop.queue.enqueue(signal, job_id="fresh"))
    person.until(lambda: person.texts(".list td.id")[0] == "fresh")

    assert person.script("return document.activeElement.href") == here
    assert person.script("return getSelection().toString().trim()") in here

    person.go(VIEWS["job"])
    person.click("#traceback summary")
    assert not person.script("return document.querySelector('#traceback').open")
    site.run(site.shop.queue.redrive(JOB))
    person.until(lambda: person.texts(".job-title .state") == ["waiting"])
    assert person.has("#traceback:not([open])")


def test_nothing_moves_for_those_who_ask_for_rest(site: Site, person: Chromium) -> None:
    moving = "return document.getAnimations().length"
    person.go("/")
    assert person.script(moving) > 0

    rest = {"name": "prefers-reduced-motion", "value": "reduce"}
    person.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [rest]})
    assert person.script(moving) == 0


def test_nothing_is_asked_of_another_host(site: Site, person: Chromium) -> None:
    for path in VIEWS.values():
        person.go(path)
        assert person.script(FROM_ELSEWHERE) == [], path
