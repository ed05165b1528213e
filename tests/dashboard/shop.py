"""A queue with a job of each kind, and the page that shows it, for the tests of the page."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import httpx

from cnstra import CNS, Collateral, Context, History, Queue, Signal, Worker, collateral, neuron
from cnstra.dashboard import asgi
from tests.dashboard.forms import Form

TOKEN = "the token of these tests"
BASE = "http://localhost"


class Order(TypedDict):
    id: int
    size: NotRequired[Literal["small", "large"]]
    fails: NotRequired[str]
    notes: NotRequired[list[str]]
    gift: NotRequired[bool]


order = collateral("order", Order)
reserved = collateral("reserved", Order)
receipt = collateral("receipt", Order)


class StockAxon(NamedTuple):
    reserved: Collateral[Order]


class TillAxon(NamedTuple):
    receipt: Collateral[Order]


def shop() -> CNS:
    """Reserves an order, then charges it and notes it; an order may say how that fails."""
    stock = neuron("stock", StockAxon(reserved), context=dict[str, int])
    till = neuron("till", TillAxon(receipt))
    audit = neuron("audit", {})

    @stock.dendrite(order)
    async def reserve(
        payload: Order, axon: StockAxon, ctx: Context[dict[str, int]]
    ) -> Signal[Order]:
        ctx.set({"shelf": payload["id"]})
        return axon.reserved.create_signal(payload)

    @till.dendrite(reserved)
    async def charge(payload: Order, axon: TillAxon) -> Signal[Order]:
        if payload.get("fails"):
            raise ConnectionError(payload["fails"])
        return axon.receipt.create_signal(payload)

    @audit.dendrite(reserved)
    async def look(payload: Order) -> None:
        if payload.get("fails") == "everywhere":
            raise PermissionError("the books are locked")

    return CNS([stock, till, audit])


class Shop:
    """A queue and its worker, which a test lets run."""

    def __init__(
        self, queue: Queue, history: History | None, cns: CNS | None = None, concurrency: int = 1
    ) -> None:
        self.queue = queue
        self.history = history
        self.worker = Worker(
            queue, cns or shop(), results=["receipt"], history=history, concurrency=concurrency
        )

    async def sell(self, job_id: str, payload: Mapping[str, Any], **options: Any) -> None:
        """Add a job, and run all that is due."""
        signal = {"collateralName": "order", "payload": payload}
        await self.queue.enqueue(signal, job_id=job_id, **options)
        await self.work()

    async def work(self) -> None:
        """Run what is due."""
        await self.worker.run(until_idle=True)

    async def close(self) -> None:
        await self.queue.close()
        if self.history is not None:
            await self.history.close()


class Browser:
    """Asks the page as a browser does: with its cookies, and with what its forms hold."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **parameters: str) -> str:
        """The page, which must be there."""
        answer = await self.client.get(path, params=parameters or None)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def post(self, path: str, page: str, **fields: str) -> httpx.Response:
        """Send a form of that page."""
        token = page.partition('name="form_token" value="')[2].partition('"')[0]
        return await self.client.post(
            path,
            data={"form_token": token, "q": "orders", **fields},
            headers={"Origin": str(self.client.base_url).rstrip("/")},
        )

    async def send(self, form: Form, **changes: str) -> httpx.Response:
        """Send a form with what a person has changed in it."""
        origin = str(self.client.base_url).rstrip("/")
        return await self.client.post(
            form.action, data=form.fields | changes, headers={"Origin": origin}
        )


@asynccontextmanager
async def browsing(app: Any, *, token: str | None = TOKEN) -> AsyncIterator[Browser]:
    """Somebody who came in by the token, if it is given."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        if token is not None:
            answer = await client.get("/login", params={"token": token})
            assert answer.status_code == 303
        yield Browser(client)


def page_of(shop: Shop, **options: Any) -> Any:
    """The page of that shop."""
    given = {"token": TOKEN, "write": True, **options}
    return asgi(shop.worker, **given)
