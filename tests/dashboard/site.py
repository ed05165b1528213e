"""The page on a real server and a real Chromium in front of it."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from cnstra import CNS, History, Queue
from tests.dashboard.shop import TOKEN, Shop, page_of
from tests.durables import TravellingClock

T = TypeVar("T")

PATIENCE = 60.0
DESKTOP, PHONE = (1280, 860), (390, 844)


class Site:
    """The shop and its page, on a thread with an event loop of its own."""

    def __init__(
        self, folder: Path, cns: CNS | None = None, url: str | None = None, **options: Any
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.clock = TravellingClock()
        history = History(f"sqlite:///{folder}/history.db", clock=self.clock)
        queue = Queue("orders", url or f"sqlite:///{folder}/jobs.db", clock=self.clock)
        self.shop = Shop(queue, history, cns, 8)
        self._app = page_of(self.shop, **options)
        self.port = 0
        self.serve()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> None:
        """Serve the page, again on the same port."""
        config = uvicorn.Config(
            self._app, port=self.port, log_config=None, lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._serving = asyncio.run_coroutine_threadsafe(self._server.serve(), self._loop)
        while not self._server.started:
            threading.Event().wait(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def leave(self) -> None:
        """Serve it no more."""
        self._server.should_exit = True
        self._serving.result(PATIENCE)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of it on the site's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The shop's worker runs meanwhile."""
        running = asyncio.run_coroutine_threadsafe(self.shop.worker.run(signals=False), self._loop)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self.shop.worker.stop)
            running.result(PATIENCE)

    def close(self) -> None:
        self.leave()
        self.run(self.shop.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Chromium:
    """A person in front of a browser."""

    def __init__(self, url: str, driver: webdriver.Chrome) -> None:
        self.url = url
        self.driver = driver

    def come_in(self, token: str) -> None:
        self.driver.get(f"{self.url}/login?token={quote(token)}")

    def go(self, path: str) -> None:
        """Open a page, and wait for its script."""
        self.driver.get(self.url + path)
        self.until(lambda: self.has(".pulse.on"))

    def has(self, css: str) -> bool:
        return bool(self.all(css))

    def one(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        """What is written in each of them, all at one moment: the page may change meanwhile."""
        source = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
        return [str(text) for text in self.script(source, css)]

    def follow(self, text: str) -> None:
        """Click the link of that text."""
        self.driver.find_element(By.LINK_TEXT, text).click()

    def click(self, css: str) -> None:
        self.one(css).click()

    def press(self, label: str) -> None:
        """Click the button of that name."""
        path = f"//main//*[self::button or self::a][normalize-space()='{label}']"
        self.driver.find_element(By.XPATH, path).click()

    def type(self, keys: str) -> None:
        """Type, wherever the focus is."""
        webdriver.ActionChains(self.driver).send_keys(keys).perform()

    def until(self, holds: Callable[[], object]) -> None:
        WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: holds())

    def until_text(self, text: str) -> None:
        self.until(lambda: text in self.text)

    @property
    def text(self) -> str:
        return str(self.script("return document.body.innerText"))

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.url)

    def script(self, source: str, *arguments: object) -> Any:
        return self.driver.execute_script(source, *arguments)  # pyright: ignore

    def resize(self, size: tuple[int, int], *, dark: bool = False) -> None:
        """Look through a window of that size, by day or by night."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
        mobile = {"mobile": size == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | mobile)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})

    def complaints(self) -> list[str]:
        """What the browser refused, or the script got wrong, since the last time. A form that was
        not accepted is none.
        """
        found = [str(one["message"]) for one in self.driver.get_log("browser")]
        return [one for one in found if not one.endswith("status of 409 (Conflict)")]


@contextmanager
def chromium(url: str, token: str = TOKEN) -> Iterator[Chromium]:
    """A headless Chromium, out of Debian's package, that was let in to the page at this URL."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--hide-scrollbars", "--disable-background-networking",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        person = Chromium(url, driver)
        person.resize(DESKTOP)
        person.come_in(token)
        yield person
    finally:
        driver.quit()
