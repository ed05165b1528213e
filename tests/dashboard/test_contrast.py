"""Every text of every page stands out from what is behind it, by day and by night."""

from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.pictures import warehouse
from tests.dashboard.site import DESKTOP, PHONE, Chromium, Site, chromium
from tests.dashboard.test_pictures import VIEWS, fill

LEAST = 4.5
"""What the WCAG ask of text at their level AA."""

FAINT_TEXTS = """
const numbers = (colour) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (above, below) =>
  [0, 1, 2].map((i) => above[i] * above[3] + below[i] * (1 - above[3])).concat(1);
const light = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const style = (element, part) => getComputedStyle(element, part);
const isDrawn = (element) => element instanceof SVGElement;

// A text of a drawing lies on the box beside it, others on what their ancestors are filled with.
function behind(element) {
  const box = isDrawn(element) && element.closest("a, g.end")?.querySelector("rect");
  if (box) return over(numbers(style(box).fill), behind(box.ownerSVGElement));
  const own = numbers(style(element).backgroundColor);
  if (own[3] === 1) return own;
  return over(own, element.parentElement ? behind(element.parentElement) : [255, 255, 255, 1]);
}

function dimmed(element) {
  let share = 1;
  for (let one = element; one; one = one.parentElement) share *= Number(style(one).opacity);
  return share;
}

function contrastOf(element, part) {
  const told = style(element, part);
  const ink = numbers(isDrawn(element) ? told.fill : told.color);
  const ground = behind(element);
  return contrast(over([...ink.slice(0, 3), ink[3] * dimmed(element)], ground), ground);
}

const found = [];
const keep = (element, text, part) => {
  const ratio = contrastOf(element, part);
  found.push([text.trim().slice(0, 40), element.className.baseVal ?? element.className, ratio]);
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const text = texts.currentNode;
  if (text.data.trim() && text.parentElement.checkVisibility()) keep(text.parentElement, text.data);
}
for (const field of document.querySelectorAll("input:not([type=hidden]), textarea, select"))
  if (field.checkVisibility()) {
    keep(field, field.name);
    if (field.placeholder) keep(field, field.placeholder, "::placeholder");
  }
return found;
"""

pytestmark = pytest.mark.timeout(600)


def test_every_text_stands_out_by_day_and_by_night(tmp_path: Path) -> None:
    site = Site(tmp_path, warehouse())
    site.run(fill(site))
    site.run(site.shop.queue.pause())
    with chromium(site.url) as person:
        paths = [*VIEWS.values(), f"{VIEWS['job']}&said=retried", "/job?id=nobody", edit(person)]
        for size in (DESKTOP, PHONE):
            for dark in (False, True):
                person.resize(size, dark=dark)
                for path in paths:
                    person.driver.get(person.url + path)
                    assert faint_texts(person) == [], (path, size, dark)
        person.driver.delete_all_cookies()
        for dark in (False, True):
            person.resize(DESKTOP, dark=dark)
            person.come_in("not the token")
            assert faint_texts(person) == [], dark
    site.close()


def test_a_text_that_does_not_stand_out_is_found(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with chromium(site.url) as person:
        person.script("document.querySelector('h1').style.color = '#8a8a8a'")
        found = faint_texts(person)
    site.close()

    assert [text for text, _, _ in found] == ["orders"]


def edit(person: Chromium) -> str:
    """Where the input of a task that is owed is edited."""
    person.go(VIEWS["job"])
    return str(person.one(".owed a").get_dom_attribute("href"))


def faint_texts(person: Chromium) -> list[list[Any]]:
    """The texts with too little contrast: how they begin, their class, their contrast."""
    found = person.script(FAINT_TEXTS)
    assert len(found) > 2
    return [one for one in found if one[2] < LEAST]
