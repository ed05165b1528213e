"""What nobody touched in a form stays what it was, and what is not shown is not lost."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, NotRequired, TypedDict
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnstra import CNS, Collateral, History, Queue, Worker, collateral, neuron, payload
from cnstra.dashboard import asgi
from cnstra.engine.payloads import decode_json
from cnstra.jobs.envelope import entry_in
from tests.dashboard.forms import form_in
from tests.dashboard.shop import TOKEN, Browser, browsing

same = msgspec.json.Encoder(order="deterministic").encode


class Everything(TypedDict):
    id: int
    amount: float
    text: str
    note: str | None
    gift: bool
    sure: bool | None
    size: Literal["small", "two\nlines", "\u00a0"]
    left: NotRequired[str]
    kind: NotRequired[Literal["", "a"]]
    wrapped: NotRequired[bool]
    number: NotRequired[int | None]
    many: NotRequired[list[str]]
    any: NotRequired[Any]


everything = collateral("everything", Everything)

TEXTS = st.text() | st.sampled_from([
    "Prix : 5\u00a0€", "می\u200cخواهم", "👨\u200d👩", "a\nb", "a\r\nb", "\r", "\n\na", "\0",
    "\u202etxt", " a\t", "", "null", "x" * 20_005, "</textarea><script>", '"',
    "&amp;", "\x85\x1b", "\ufeff",
])  # fmt: skip
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
PAYLOADS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "id": st.integers(), "amount": st.floats(allow_nan=False, allow_infinity=False),
        "text": TEXTS, "note": st.none() | TEXTS, "gift": st.booleans(),
        "sure": st.none() | st.booleans(),
        "size": st.sampled_from(["small", "two\nlines", "\u00a0"]),
    },
    optional={
        "left": TEXTS, "kind": st.sampled_from(["", "a"]), "wrapped": st.booleans(),
        "number": st.none() | st.integers(), "many": st.lists(TEXTS, max_size=3), "any": JSON,
        "unknown to the type": JSON,
    },
)  # fmt: skip
PLAIN: dict[str, Any] = {
    "id": 1, "amount": 3.0, "text": "a", "note": None, "gift": False, "sure": None,
    "size": "small",
}  # fmt: skip


def failing(first: Collateral[Any], **options: Any) -> CNS:
    """A neuron that always fails."""
    till = neuron("till", {}, **options)

    @till.dendrite(first)
    async def charge(value: Any) -> None:
        raise ConnectionError("no bank")

    return CNS([till])


@asynccontextmanager
async def page_of(
    cns: CNS, history: History | None = None, **options: Any
) -> AsyncIterator[tuple[Worker, Browser]]:
    async with Queue("q", f"memory://{uuid4().hex}") as queue:
        worker = Worker(queue, cns, history=history)
        async with browsing(asgi(worker, token=TOKEN, write=True, **options)) as browser:
            yield worker, browser
    if history is not None:
        await history.close()


async def die(worker: Worker, value: Any, job_id: str = "one", **options: Any) -> None:
    """Add a job, and let it fail."""
    signal = {"collateralName": "everything", "payload": value}
    await worker.queue.enqueue(signal, job_id=job_id, **options)
    await worker.run(until_idle=True)


async def sent(worker: Worker, answer: httpx.Response) -> tuple[str, Any]:
    """Collateral and payload of the job that was added."""
    assert answer.status_code == 303, answer.text
    (job_id,) = parse_qs(urlsplit(answer.headers["location"]).query)["id"]
    record = await worker.queue.record(job_id)
    assert record is not None
    entry = entry_in(job_id, record.data)
    return entry.collateral_name, decode_json(bytes(entry.payload))


async def cloned(worker: Worker, browser: Browser, **changes: str) -> Any:
    """The payload of the job that comes of "Clone with changes"."""
    form = form_in(await browser.get("/send", **{"from": "one"}), "/send")
    fields = {f"field:{name}": text for name, text in changes.items()}
    return (await sent(worker, await browser.send(form, **fields)))[1]


async def edit_of(worker: Worker, browser: Browser) -> str:
    """The page that edits the one task that the job owes."""
    progress = await worker.queue.progress("one")
    assert progress is not None
    ((key, _),) = progress.tasks()
    return await browser.get("/edit", id="one", task=key)


async def owed(worker: Worker) -> Any:
    """The input of that task."""
    progress = await worker.queue.progress("one")
    assert progress is not None
    ((_, task),) = progress.tasks()
    return decode_json(bytes(task.payload))


@settings(max_examples=60, deadline=None)
@example(PLAIN)
@example(PLAIN | {"text": "x" * 20_005, "note": "a\r\nb", "sure": False, "kind": ""})
@example(PLAIN | {"id": 2**80, "amount": 1e300, "unknown to the type": [1.0, True, "\u00a0"]})
@example(PLAIN | {"size": "\u00a0", "text": "\n\n", "left": "", "many": ["\r"], "any": None})
@given(PAYLOADS)
def test_a_payload_that_nobody_touched_is_cloned_and_edited_as_it_is(value: Any) -> None:
    async def story() -> None:
        async with page_of(failing(everything)) as (worker, browser):
            await die(worker, value)
            clone, before = await cloned(worker, browser), await owed(worker)
            form = form_in(await edit_of(worker, browser), "/edit")
            assert (await browser.send(form)).status_code == 303
            assert same(clone) == same(value)
            assert same(await owed(worker)) == same(before)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("changes", "becomes"),
    [
        ({"note": "new"}, {"note": "new"}),
        ({"text": "a\r\nb"}, {"text": "a\nb"}),
        ({"left": ""}, {}),
        ({"gift": "true"}, {"gift": True}),
        ({"sure": "false"}, {"sure": False}),
        ({"number": ""}, {"number": None}),
        ({"amount": "4"}, {"amount": 4}),
    ],
    ids=str,
)
async def test_what_somebody_changed_changes_alone(
    changes: Mapping[str, str], becomes: Mapping[str, Any]
) -> None:
    value = PLAIN | {"left": "here", "number": 7, "unknown to the type": "\u00a0"}
    expected = {**value, **becomes}
    if "left" in changes:
        del expected["left"]
    async with page_of(failing(everything)) as (worker, browser):
        await die(worker, value)
        assert same(await cloned(worker, browser, **changes)) == same(expected)


@pytest.mark.parametrize("value", ["a\u00a0b", 7, True, None, [1.0], "a\rb"], ids=repr)
@pytest.mark.parametrize("type_", [Any, str, int, bool, bool | None, dict[str, str]], ids=str)
async def test_a_form_for_the_whole_payload_gives_it_back(type_: Any, value: Any) -> None:
    """Whatever the type says of it: what is not of the type is declined, not mended."""
    one = collateral("everything", type_)
    async with page_of(failing(one)) as (worker, browser):
        await die(worker, value)
        form = form_in(await browser.get("/send", **{"from": "one"}), "/send")
        answer = await browser.send(form)
        if answer.status_code == 409:
            assert "is not of its type" in answer.text
        else:
            assert same((await sent(worker, answer))[1]) == same(value)


@pytest.mark.parametrize(
    "job_id",
    ["a\u00a0b", "x\ty", "order\u200d1", "a\rb", "a\nb", "100%2B+&q=", "y" * 20_010],
    ids=repr,
)
async def test_an_act_is_about_the_job_whatever_its_id(job_id: str) -> None:
    async with page_of(failing(everything)) as (worker, browser):
        await die(worker, PLAIN, job_id)
        page = await browser.get("/job", id=job_id)
        answer = await browser.send(form_in(page, "/do/retry"))
        again = await browser.client.get(answer.headers["location"])

        record = await worker.queue.record(job_id)
        assert record is not None
        assert record.state == "waiting"
        assert "goes on where it stood" in again.text


async def test_a_clone_is_treated_as_its_job_was() -> None:
    async with page_of(failing(everything)) as (worker, browser):
        await die(worker, PLAIN, max_attempts=104, priority=7, backoff=0.001)
        plain = form_in(await browser.get("/job", id="one"), "/do/clone")
        changed = form_in(await browser.get("/send", **{"from": "one"}), "/send")
        for form in (plain, changed):
            answer = await browser.send(form)
            (job_id,) = parse_qs(urlsplit(answer.headers["location"]).query)["id"]
            record, old = await worker.queue.record(job_id), await worker.queue.record("one")
            assert record is not None
            assert old is not None
            assert (record.max_attempts, record.priority) == (104, 7)
            assert record.backoff == old.backoff


# --- what is not shown


def masked(name: str, value: Any) -> Any:
    """As applications redact: a number but for its end, a list's items in part, a name whole."""
    del name
    shown = {key: one for key, one in value.items() if key != "pin"}
    if "number" in shown:
        shown["number"] = "****" + shown["number"][-4:]
    if "cards" in shown:
        shown["cards"] = [{"last": one["last"]} for one in shown["cards"]]
    return shown


SECRET: dict[str, Any] = {
    "number": "4111111111111111", "amount": 5, "pin": 1234,
    "cards": [{"last": 1, "code": "x"}, {"last": 2, "code": "y"}],
}  # fmt: skip


@pytest.fixture
def masking(tmp_path: Any) -> History:
    return History(f"sqlite:///{tmp_path}/history.db", redact=masked)


async def edited_to(worker: Worker, browser: Browser, *changes: tuple[str, str]) -> httpx.Response:
    form = form_in(await edit_of(worker, browser), "/edit")
    text = form.fields["value"]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return await browser.send(form, value=text)


async def test_an_edit_keeps_what_is_not_shown(masking: History) -> None:
    async with page_of(failing(collateral("everything", dict)), masking) as (worker, browser):
        await die(worker, SECRET)
        assert "4111" not in await edit_of(worker, browser)
        answer = await edited_to(worker, browser, ('"amount": 5', '"amount": 6'))
        assert answer.status_code == 303
        assert await owed(worker) == SECRET | {"amount": 6}

        answer = await edited_to(worker, browser, ('"last": 2', '"last": 3'))
        assert answer.status_code == 303
        cards = [{"last": 1, "code": "x"}, {"last": 3, "code": "y"}]
        assert await owed(worker) == SECRET | {"amount": 6, "cards": cards}

        answer = await edited_to(worker, browser, ("****1111", "4222222222222222"))
        assert answer.status_code == 303
        assert (await owed(worker))["number"] == "4222222222222222"


async def test_a_clone_with_changes_keeps_what_is_not_shown(masking: History) -> None:
    class Card(TypedDict):
        number: str
        amount: int
        pin: int

    value = {"number": "4111111111111111", "amount": 5, "pin": 1234}
    async with page_of(failing(collateral("everything", Card)), masking) as (worker, browser):
        await die(worker, value)
        assert "4111" not in await browser.get("/send", **{"from": "one"})
        assert await cloned(worker, browser, amount="6") == value | {"amount": 6}


@pytest.mark.parametrize(
    "change",
    [
        ("****1111", "****2222"),
        ('"amount": 5', '"amount": "****1111"'),
        ('"number": "****1111"', '"card": "****1111"'),
        ('"last": 1', '"last": 2'),
        ('"cards": [', '"cards": [{"last": 3},'),
        ('"amount": 5', '"amount": "•••"'),
    ],
    ids=str,
)
async def test_what_stands_for_what_is_not_shown_is_never_saved(
    masking: History, change: tuple[str, str]
) -> None:
    async with page_of(failing(collateral("everything", dict)), masking) as (worker, browser):
        await die(worker, SECRET)
        answer = await edited_to(worker, browser, change)

        assert answer.status_code == 409
        assert await owed(worker) == SECRET


async def test_a_payload_over_which_the_redaction_raises_is_kept_whole(tmp_path: Any) -> None:
    def raises(name: str, value: Any) -> Any:
        raise LookupError(name)

    history = History(f"sqlite:///{tmp_path}/history.db", redact=raises)
    async with page_of(failing(everything), history) as (worker, browser):
        await die(worker, PLAIN)
        assert same(await cloned(worker, browser)) == same(PLAIN)
        assert (await edited_to(worker, browser)).status_code == 303
        assert same(await owed(worker)) == same(PLAIN)


async def test_a_form_that_is_older_than_what_it_shows_changes_nothing(masking: History) -> None:
    async with page_of(failing(collateral("everything", dict)), masking) as (worker, browser):
        await die(worker, SECRET)
        late = form_in(await edit_of(worker, browser), "/edit")
        clone = form_in(await browser.get("/send", **{"from": "one"}), "/send")
        await edited_to(worker, browser, ("****1111", "4222222222222222"))
        answer = await browser.send(late, value='{"typed": "here"}')
        assert answer.status_code == 409
        assert form_in(answer.text, "/edit").fields["value"] == '{"typed": "here"}'
        assert (await owed(worker))["number"] == "4222222222222222"

        assert await worker.queue.remove("one")
        assert "does not hold it any more" in (await browser.send(clone)).text
        await die(worker, SECRET | {"number": "4333333333333333"})
        assert "another job under that id" in (await browser.send(clone)).text
        counts = await worker.queue.counts()
        assert sum(counts.values()) == 1


# --- after a deploy


class Euros(TypedDict):
    amount: float
    note: str


@payload(version=2, upcasts={1: lambda old: {**old, "amount": round(old["amount"] * 100)}})
class Cents(TypedDict):
    amount: int
    note: str


async def test_what_older_code_began_is_shown_and_kept_in_the_new_shape() -> None:
    before = failing(collateral("everything", Euros))
    new = collateral("purchase", Cents, former_names=("everything",))
    alpha = neuron("alpha", {})
    alpha.dendrite(collateral("alpha", dict), lambda value: None)
    till = neuron("counter", {}, former_names=("till",))
    till.dendrite(new, lambda value: None)

    async with page_of(CNS([alpha, till])) as (worker, browser):
        await die(Worker(worker.queue, before), {"amount": 3.0, "note": "x"})
        form = form_in(await browser.get("/send", **{"from": "one"}), "/send")
        answer = await browser.send(form, **{"field:note": "y"})
        assert await sent(worker, answer) == ("purchase", {"amount": 300, "note": "y"})

        answer = await edited_to(worker, browser, ('"x"', '"y"'))
        assert answer.status_code == 303
        assert await owed(worker) == {"amount": 300, "note": "y"}
        assert await worker.queue.redrive("one")
        await worker.run(until_idle=True)
        record = await worker.queue.record("one")
        assert record is not None
        assert record.state == "completed"


async def test_a_job_of_a_collateral_that_is_gone_has_no_form() -> None:
    async with page_of(failing(collateral("another", dict))) as (worker, browser):
        await die(worker, {"id": 1})
        answer = await browser.client.get("/send", params={"from": "one"})

    assert answer.status_code == 409
    assert "is not known to this network" in answer.text
    assert "<fieldset>" not in answer.text
