"""Flows with the bugs that are common, each beside the same flow done right."""

import asyncio
import os
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from cnstra import CNS, Context, Queue, Signal, Worker, collateral, neuron
from cnstra.effects import LEDGER, Happened, Transaction, on_sqlite, transactional
from cnstra.testing import EffectRecorder

Make = Callable[[], Worker]

effects = EffectRecorder()
ORDER = {"collateralName": "order", "payload": {"id": 7}}


def worker(*neurons: Any) -> Worker:
    cns = CNS(neurons)
    results = [one for one in ("done",) if one in cns.network.collaterals]
    return Worker(Queue("orders", "memory://bugs"), cns, results=results, durability="step")


def charging(key_of: Callable[[Context[Any]], str | None]) -> Worker:
    """A till that charges under whatever key that is."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done})

    @till.dendrite(order)
    async def charge(payload: Any, axon: Any, ctx: Context[Any]) -> Signal[Any]:
        await asyncio.sleep(0.1)
        effects.record("charge", key_of(ctx))
        signal: Signal[Any] = axon.done.create_signal(payload)
        return signal

    return worker(till)


def fresh_key() -> Worker:
    return charging(lambda ctx: uuid.uuid4().hex)


def no_key() -> Worker:
    return charging(lambda ctx: None)


def stable_key() -> Worker:
    return charging(lambda ctx: ctx.idempotency_key)


class Bank:
    async def charge(self, *, key: str) -> None: ...


def noting(before: bool) -> Worker:
    """Notes in its context that it has charged, before it does or after."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done}, context=bool)
    bank = effects.watch("bank", Bank(), key="key")

    @till.dendrite(order)
    async def charge(payload: Any, axon: Any, ctx: Context[bool]) -> Any:
        if not ctx.get(False):
            if before:
                ctx.set(True)
            await bank.charge(key=ctx.idempotency_key)
            ctx.set(True)
        return axon.done.create_signal(payload)

    return worker(till)


def noted_before() -> Worker:
    return noting(before=True)


def noted_after() -> Worker:
    return noting(before=False)


def trusting(is_done: Callable[[Context[Any]], bool], error: type[Exception]) -> Worker:
    """Charges unless it thinks that this was done, and passes by some errors."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done})

    @till.dendrite(order)
    def charge(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        if not is_done(ctx):
            try:
                effects.record("charge", ctx.idempotency_key)
            except error:
                print("never mind")
        return axon.done.create_signal(payload)

    return worker(till)


def first_attempt_alone() -> Worker:
    return trusting(lambda ctx: ctx.attempt > 1, KeyError)


def swallowed_error() -> Worker:
    return trusting(lambda ctx: False, ConnectionError)


def every_attempt() -> Worker:
    return trusting(lambda ctx: False, KeyError)


def in_a_thread() -> Worker:
    """Charges in a thread of the loop's executor, which is told nothing of its handler."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done})

    @till.dendrite(order)
    async def charge(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        loop, key = asyncio.get_running_loop(), ctx.idempotency_key
        await loop.run_in_executor(None, effects.record, "charge", key)
        return axon.done.create_signal(payload)

    return worker(till)


def minted_key() -> Worker:
    """A fresh key is right, once a checkpoint holds it."""
    order, keyed = collateral("order", dict), collateral("keyed", dict)
    done = collateral("done", dict)
    mint, till = neuron("mint", {"keyed": keyed}, checkpoint=True), neuron("till", {"done": done})

    @mint.dendrite(order)
    def on_order(payload: Any, axon: Any) -> Any:
        return axon.keyed.create_signal({**payload, "key": uuid.uuid4().hex})

    @till.dendrite(keyed)
    async def charge(payload: Any, axon: Any) -> Any:
        effects.record("charge", payload["key"])
        return axon.done.create_signal({"id": payload["id"]})

    return worker(mint, till)


def paying(key_of: Callable[[Context[Any], Any, int], str]) -> Worker:
    """A till that makes three charges at once, in whatever order that comes to."""
    order, keyed = collateral("order", dict), collateral("keyed", dict)
    done = collateral("done", dict)
    mint, till = neuron("mint", {"keyed": keyed}, checkpoint=True), neuron("till", {"done": done})

    @mint.dendrite(order)
    def on_order(payload: Any, axon: Any) -> Any:
        return axon.keyed.create_signal({**payload, "key": uuid.uuid4().hex})

    @till.dendrite(keyed)
    async def charge(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        async def part(number: int) -> None:
            await asyncio.sleep(0.01)
            effects.record("charge", key_of(ctx, payload, number))

        await asyncio.gather(*(part(number) for number in range(3)))
        return axon.done.create_signal({"id": payload["id"]})

    return worker(mint, till)


def parts_under_fresh_keys() -> Worker:
    return paying(lambda ctx, payload, number: uuid.uuid4().hex)


def parts_under_their_keys() -> Worker:
    return paying(lambda ctx, payload, number: f"{ctx.idempotency_key}/{number}")


def parts_under_minted_keys() -> Worker:
    return paying(lambda ctx, payload, number: f"{payload['key']}/{number}")


def parts_under_one_key() -> Worker:
    return paying(lambda ctx, payload, number: ctx.idempotency_key)


def ordering(own_keys: bool) -> Worker:
    """A fan-out whose branches are charged for under a key of the order, or of their own."""
    order, part, done = (collateral(name, Any) for name in ("order", "part", "done"))
    split, till = neuron("split", {"part": part}), neuron("till", {"done": done})

    @split.dendrite(order)
    def on_order(payload: Any, axon: Any) -> Any:
        return [axon.part.create_signal(number) for number in range(2)]

    @till.dendrite(part)
    async def charge(number: int, axon: Any, ctx: Context[Any]) -> Any:
        effects.record("charge", ctx.idempotency_key if own_keys else "order-7")
        return axon.done.create_signal(number)

    return worker(split, till)


def branches_under_one_key() -> Worker:
    return ordering(own_keys=False)


def branches_under_their_keys() -> Worker:
    return ordering(own_keys=True)


def stepping(note_first: bool) -> Worker:
    """Three charges, one after the other; its context holds how far it is."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done}, context=int)

    @till.dendrite(order)
    async def charge(payload: Any, axon: Any, ctx: Context[int]) -> Any:
        for number in range(ctx.get(0), 3):
            if note_first:
                ctx.set(number + 1)
            effects.record("charge", f"{ctx.idempotency_key}/{number}")
            ctx.set(number + 1)
        return axon.done.create_signal(payload)

    return worker(till)


def steps_noted_before() -> Worker:
    return stepping(note_first=True)


def steps_noted_after() -> Worker:
    return stepping(note_first=False)


def persisting(key_of: Callable[[Context[Any]], str]) -> Worker:
    """Tries again by itself, within its attempt."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done})

    @till.dendrite(order)
    async def charge(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        for _ in range(2):
            try:
                effects.record("charge", key_of(ctx))
                break
            except ConnectionError:
                await asyncio.sleep(1.0)
        return axon.done.create_signal(payload)

    return worker(till)


def again_under_a_fresh_key() -> Worker:
    return persisting(lambda ctx: uuid.uuid4().hex)


def again_under_its_key() -> Worker:
    return persisting(lambda ctx: ctx.idempotency_key)


def gathering(remember: Callable[[Context[Any], list[Any], int], list[Any]]) -> Worker:
    """Three parts meet, one after the other, in what `remember` keeps."""
    order, part, done = (collateral(name, Any) for name in ("order", "part", "done"))
    split, join = neuron("split", {"part": part}), neuron("join", {"done": done})
    basket: list[Any] = []

    @split.dendrite(order)
    def on_order(payload: Any, axon: Any) -> Any:
        return [axon.part.create_signal(number) for number in range(3)]

    @join.dendrite(part)
    async def on_part(number: int, axon: Any, ctx: Context[Any]) -> Any:
        await asyncio.sleep(number)
        parts = remember(ctx, basket, number)
        return axon.done.create_signal(sorted(parts)) if len(parts) == 3 else None

    return worker(split, join)


def shared_basket() -> Worker:
    """A list of the process: gone with it, or written to once more by a second attempt."""

    def remember(ctx: Context[Any], basket: list[Any], number: int) -> list[Any]:
        basket.append(number)
        return basket

    return gathering(remember)


def kept_basket() -> Worker:
    def remember(ctx: Context[Any], basket: list[Any], number: int) -> list[Any]:
        parts = [*(ctx.get() or []), number]
        ctx.set(parts)
        return parts

    return gathering(remember)


def mailing(guard: Callable[[Any], Any]) -> Worker:
    """Sends a mail that takes its time, inside whatever `guard` makes of it."""
    order, done = collateral("order", dict), collateral("done", dict)
    mailer = neuron("mailer", {"done": done})

    @mailer.dendrite(order)
    async def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        async def send() -> None:
            await asyncio.sleep(60.0)
            effects.record("mail", ctx.idempotency_key)

        await guard(send())
        return axon.done.create_signal(payload)

    return worker(mailer)


def swallowed_abort() -> Worker:
    """Takes the end of its worker for a mail that may be left out."""

    async def guard(sending: Any) -> None:
        try:
            await sending
        except asyncio.CancelledError:
            print("never mind")

    return mailing(guard)


def heeded_abort() -> Worker:
    async def guard(sending: Any) -> None:
        await sending

    return mailing(guard)


def fetching(in_order: bool) -> Worker:
    """A fan-out over answers that come when they come."""
    order, part, done = (collateral(name, Any) for name in ("order", "part", "done"))
    fetch, use = neuron("fetch", {"part": part}), neuron("use", {"done": done})

    @fetch.dendrite(order)
    async def on_order(payload: Any, axon: Any) -> Any:
        answers: list[int] = []

        async def ask(number: int) -> int:
            await asyncio.sleep(0)
            answers.append(number)
            return number

        found = await asyncio.gather(*(ask(number) for number in range(4)))
        return [axon.part.create_signal(one) for one in (found if in_order else answers)]

    @use.dendrite(part)
    async def on_part(number: int, axon: Any, ctx: Context[Any]) -> Any:
        effects.record("use", ctx.idempotency_key)
        return axon.done.create_signal(number)

    return worker(fetch, use)


def as_they_come() -> Worker:
    return fetching(in_order=False)


def of_a_set() -> Worker:
    """A fan-out over what has no order of its own."""
    order, done = collateral("order", dict), collateral("done", str)
    split = neuron("split", {"done": done})

    @split.dendrite(order)
    def on_order(payload: Any, axon: Any) -> Any:
        names = {"anna", "bert", "carl", "dora", "emil"}
        return [axon.done.create_signal(one) for one in names]

    return worker(split)


def unstable_order() -> Worker:
    """The same without a checkpoint between the answers and their use."""
    found = fetching(in_order=False)
    return Worker(found.queue, found.cns, results=["done"])


def as_they_were_asked() -> Worker:
    return fetching(in_order=True)


def counting(at_once: bool) -> Worker:
    """A join that counts in its context, over a wait or at one go."""
    order, part, done = (collateral(name, Any) for name in ("order", "part", "done"))
    split, join = neuron("split", {"part": part}), neuron("join", {"done": done})

    @split.dendrite(order)
    def on_order(payload: Any, axon: Any) -> Any:
        return [axon.part.create_signal(number) for number in range(3)]

    @join.dendrite(part)
    async def on_part(number: int, axon: Any, ctx: Context[Any]) -> Any:
        count = ctx.get(0)
        await asyncio.sleep(1.0)
        if at_once:
            count = ctx.get(0)
        ctx.set(count + 1)
        return axon.done.create_signal(count + 1) if count == 2 else None

    return worker(split, join)


def counted_over_a_wait() -> Worker:
    return counting(at_once=False)


def counted_at_once() -> Worker:
    return counting(at_once=True)


def stamping(checkpoint: bool) -> Worker:
    """Puts into a payload when it was made."""
    order, made, done = (collateral(name, Any) for name in ("order", "made", "done"))
    stamp = neuron("stamp", {"made": made}, checkpoint=checkpoint)
    mailer = neuron("mailer", {"done": done})

    @stamp.dendrite(order)
    async def on_order(payload: Any, axon: Any) -> Any:
        return axon.made.create_signal({**payload, "at": uuid.uuid4().hex})

    @mailer.dendrite(made)
    async def on_made(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        effects.record("mail", ctx.idempotency_key)
        return axon.done.create_signal(payload["id"])

    return Worker(Queue("orders", "memory://bugs"), CNS([stamp, mailer]), results=["done"])


def stamped_anew() -> Worker:
    return stamping(checkpoint=False)


def stamped_once() -> Worker:
    return stamping(checkpoint=True)


class Repo:
    def find(self, order: int) -> dict[str, int]:
        return {"id": order}

    def save(self, row: Any, key: str) -> None: ...


def reading(only: Any) -> Worker:
    """Reads a row, and writes it under its key."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done})
    repo = effects.watch("repo", Repo(), key="key", only=only)

    @till.dendrite(order)
    async def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        repo.save(repo.find(payload["id"]), ctx.idempotency_key)
        return axon.done.create_signal(payload)

    return worker(till)


class Far:
    """What stays when a process dies: a bank that remembers keys, and a database."""

    def __init__(self, folder: Path) -> None:
        self.charges: dict[str, int] = {}
        self.books = folder / "books.db"
        with closing(sqlite3.connect(self.books)) as books:
            books.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY)")

    async def charge(self, key: str) -> int:
        return self.charges.setdefault(key, 50)

    async def find(self, key: str) -> Happened[int] | None:
        return Happened(self.charges[key]) if key in self.charges else None

    def add(self, key: str) -> bool:
        """Whether the row is new. It is recorded before it is committed."""
        with closing(sqlite3.connect(self.books)) as books, books:
            added = books.execute("INSERT INTO rows VALUES (?) ON CONFLICT DO NOTHING", [key])
            if added.rowcount:
                effects.record("row", key)
            return bool(added.rowcount)


def abroad(far: Far, handler: Any) -> Worker:
    """A worker of that handler, which is given the bank; its ledger is in the books."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done})
    bank = effects.watch("bank", far, key="key", only=["charge"])

    @till.dendrite(order)
    async def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        await handler(bank, ctx)
        return axon.done.create_signal(payload)

    ledger = LEDGER.opened_by(lambda: on_sqlite(far.books, create=True))
    return Worker(Queue("orders", "memory://bugs"), CNS([till], resources=[ledger]), results=[done])


def asked_before(far: Far) -> Worker:
    """Skips what the bank has: a resumed handler goes on where the other was."""

    async def charge(bank: Any, ctx: Context[Any]) -> None:
        for number in range(3):
            key = f"{ctx.idempotency_key}/{number}"
            if await bank.find(key) is None:
                await bank.charge(key)

    return abroad(far, charge)


def had_once(far: Far) -> Worker:
    async def charge(bank: Any, ctx: Context[Any]) -> None:
        for number in range(2):
            await ctx.once(f"charge {number}", bank.charge, reconcile=bank.find)

    return abroad(far, charge)


def row_added(far: Far) -> Worker:
    async def add(bank: Any, ctx: Context[Any]) -> None:
        bank.add(ctx.idempotency_key)

    return abroad(far, add)


def row_before_its_charge(far: Far) -> Worker:
    """Takes its own row for a charge that nobody may have made."""

    async def charge(bank: Any, ctx: Context[Any]) -> None:
        if bank.add(ctx.idempotency_key):
            await bank.charge(ctx.idempotency_key)

    return abroad(far, charge)


def row_after_its_charge(far: Far) -> Worker:
    async def charge(bank: Any, ctx: Context[Any]) -> None:
        await bank.charge(ctx.idempotency_key)
        bank.add(ctx.idempotency_key)

    return abroad(far, charge)


def in_a_transaction(far: Far) -> Worker:
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done})

    @till.dendrite(order)
    @transactional(LEDGER)
    def on_order(payload: Any, axon: Any, ctx: Context[Any], tx: Transaction[Any]) -> Any:
        tx.connection.execute("INSERT INTO rows VALUES (?)", [ctx.idempotency_key])
        effects.record("row", ctx.idempotency_key)
        return axon.done.create_signal(payload)

    ledger = LEDGER.opened_by(lambda: on_sqlite(far.books, create=True))
    return Worker(Queue("orders", "memory://bugs"), CNS([till], resources=[ledger]), results=[done])


def make_far(folder: Path) -> Far:
    return Far(folder)


visits: list[int] = []


def remembering() -> Worker:
    """Answers with what its module has kept of all jobs."""
    order, done = collateral("order", dict), collateral("done", Any)
    till = neuron("till", {"done": done})

    @till.dendrite(order)
    def on_order(payload: Any, axon: Any) -> Any:
        visits.append(payload["id"])
        return axon.done.create_signal(len(visits))

    return worker(till)


def talkative() -> Worker:
    """Prints, which is nobody's business."""
    order, done = collateral("order", dict), collateral("done", dict)
    till = neuron("till", {"done": done})

    @till.dendrite(order)
    async def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        print("charging", payload, flush=True)
        effects.record("charge", ctx.idempotency_key)
        return axon.done.create_signal(payload)

    return worker(till)


def speechless() -> Worker:
    """Its process dies of itself."""
    order = collateral("order", dict)
    till = neuron("till")

    @till.dendrite(order)
    async def on_order(payload: Any) -> None:
        print("out of paper", flush=True)
        os._exit(3)

    return worker(till)
